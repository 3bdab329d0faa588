//! Storage arrays: what maps volumes to hosts and takes them away.
//!
//! | module | the array |
//! | --- | --- |
//! | [`nbd`] | image files exported over NBD by `qemu-storage-daemon`, one daemon a host |
//! | [`shared`] | image files in a directory that all hosts see |

pub mod nbd;
mod order;
pub mod shared;

use std::{path::Path, sync::Arc};

use lifeboat_model::{
    ArrayName, HostName,
    spec::{ArrayBackend, ArraySpec, VolumeSpec},
};
use lifeboat_ports::{Cause, Retry, StorageArray, StorageError};

pub use nbd::NbdArray;
pub use shared::SharedDirectory;

/// The array that a declaration describes; none where it is only planned with.
///
/// Nothing is asked of it yet: an array that is out of reach is found out when it is first used.
///
/// # Errors
/// [`StorageError::Failed`] when the declaration cannot be meant: a directory that is no absolute path.
pub fn array(spec: &ArraySpec) -> Result<Option<Arc<dyn StorageArray>>, StorageError> {
    Ok(match &spec.backend {
        None => None,
        Some(ArrayBackend::Nbd { directory, hosts }) => {
            Some(Arc::new(NbdArray::new(spec.name.clone(), directory, hosts.clone())?))
        }
        Some(ArrayBackend::Shared { directory }) => Some(Arc::new(SharedDirectory::new(spec.name.clone(), directory)?)),
    })
}

/// An operation of an array and its object, as errors name it.
#[derive(Clone)]
struct Operation {
    array: ArrayName,
    /// `map volume web-1-d0 to h2`.
    text: String,
}

impl Operation {
    fn new(array: &ArrayName, text: impl Into<String>) -> Self {
        Self { array: array.clone(), text: text.into() }
    }

    fn map(array: &ArrayName, volume: &VolumeSpec, host: &HostName) -> Self {
        Self::new(array, format!("map volume {} to {host}", volume.name))
    }

    fn unmap(array: &ArrayName, volume: &VolumeSpec, host: &HostName) -> Self {
        Self::new(array, format!("unmap volume {} from {host}", volume.name))
    }

    fn failed(&self, retry: Retry, problem: impl Into<String>, source: Option<Cause>) -> StorageError {
        StorageError::Failed {
            array: self.array.clone(),
            operation: self.text.clone(),
            problem: problem.into(),
            retry,
            source,
        }
    }
}

/// The directory of an array, if it can be one.
fn directory(array: &ArrayName, directory: &str) -> Result<String, StorageError> {
    if Path::new(directory).is_absolute() {
        return Ok(directory.trim_end_matches('/').to_owned());
    }
    let problem = format!("its directory `{directory}` is no absolute path; write it from the root on: `/srv/volumes`");
    Err(Operation::new(array, "be used").failed(Retry::IsFutile, problem, None))
}

/// The path of a volume's image file. A file name that would lead out of the directory is refused.
fn image(operation: &Operation, directory: &str, volume: &VolumeSpec) -> Result<String, StorageError> {
    let file = volume.file_name();
    if file.is_empty() || file == "." || file == ".." || file.contains(['/', '\0']) {
        let problem = format!(
            "`{}` is not the name of a file in the array's directory; mend the volume's `file`",
            file.escape_default()
        );
        return Err(operation.failed(Retry::IsFutile, problem, None));
    }
    Ok(format!("{directory}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(backend: &str) -> ArraySpec {
        serde_json::from_str(&format!(r#"{{"name":"a1"{backend}}}"#)).unwrap()
    }

    #[test]
    fn a_declaration_makes_the_array_that_it_describes() {
        assert!(array(&spec("")).unwrap().is_none(), "an array that is only planned with");
        let shared = array(&spec(r#","backend":{"kind":"shared","directory":"/srv/v/"}"#)).unwrap().unwrap();
        assert!(!shared.cuts_writes());
        let target = r#"{"qmp":"/run/h1.sock","host":"10.0.0.1","port":10809}"#;
        let nbd = format!(r#","backend":{{"kind":"nbd","directory":"/srv/v","hosts":{{"h1":{target}}}}}"#);
        assert!(array(&spec(&nbd)).unwrap().unwrap().cuts_writes());
        for kind in ["shared", "nbd"] {
            let backend = format!(r#","backend":{{"kind":"{kind}","directory":"srv/v","hosts":{{}}}}"#);
            let backend = if kind == "shared" { backend.replace(r#","hosts":{}"#, "") } else { backend };
            let told = array(&spec(&backend)).err().unwrap().to_string();
            assert!(told.contains("array a1 cannot be used: its directory `srv/v` is no absolute path"), "{told}");
        }
    }
}
