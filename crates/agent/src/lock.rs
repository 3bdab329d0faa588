//! One agent at a time on a host: a locked file in each of its directories. The kernel lets go of the lock when the
//! agent ends in whatever way; the file's text is for people.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The file in each directory.
const LOCK_FILE: &str = "agent.lock";

/// Why the directories cannot be had for this agent alone.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has them.
    #[error("another agent already works with {} (process {holder}): two would give this host two wills; end one", .dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The other agent's process number, if it is known.
        holder: String,
    },
    /// The directory or the file in it cannot be made.
    #[error("cannot use the directory {}; make it writable for this user, or set another in the configuration", .dir.display())]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory that is this agent's alone until this is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes a directory, which is made if need be, with mode 0700.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { dir: dir.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(LOCK_FILE));
        let mut file = file.map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held { dir: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        noted.map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_agent_until_that_one_ends() {
        let dir = tempfile::tempdir().expect("dir");
        let state = dir.path().join("state");
        let first = DirLock::take(&state).expect("taken");
        let error = DirLock::take(&state).expect_err("held").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DirLock::take(&state).expect("free again");
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("a-file");
        std::fs::write(&file, "").expect("written");
        let error = DirLock::take(&file.join("state")).expect_err("unusable").to_string();
        assert!(error.contains("a-file/state"), "{error}");
    }
}
