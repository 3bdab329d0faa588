//! Image files in a directory that all hosts, and the controller, see.
//!
//! # Theory of operation
//! Any host can open any file there, so mapping is a matter of record: `.lifeboat/VOLUME.json` says which host a volume
//! belongs to, and the newest order that was obeyed for it. The record stays when the volume is unmapped, so that an
//! older order is refused by a controller that was started later, too. Taking a volume away stops no write of its host:
//! [`StorageArray::cuts_writes`] is false, and such a host must be fenced by its power.
//!
//! A record is replaced by renaming a synced file over it. One lock file keeps two controllers from changing records at
//! the same time; where a file system hangs, at most one thread hangs with it, and callers give up after a time limit.

mod record;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use lifeboat_model::{
    ArrayName, HostName,
    attach::{Attachment, VolumePath},
    spec::VolumeSpec,
};
use lifeboat_ports::{MapOrder, Mapping, Retry, StorageArray, StorageError};
use tokio::{sync::Mutex, time::timeout};

use super::{Operation, directory, image};
use record::{Record, RecordError, Records};

/// How long an operation may take, the wait for those before it included.
const LIMIT: Duration = Duration::from_secs(30);

/// An array of files on a shared directory.
pub struct SharedDirectory {
    name: ArrayName,
    directory: String,
    /// Taken by the thread that works, and given back by it even when its caller has given up.
    records: Arc<Mutex<Records>>,
}

impl SharedDirectory {
    /// An array of the files in a directory, an absolute path that is the same on all hosts.
    ///
    /// # Errors
    /// [`StorageError::Failed`] when the path is not absolute.
    pub fn new(name: ArrayName, directory: &str) -> Result<Self, StorageError> {
        let directory = self::directory(&name, directory)?;
        let records = Records::new(PathBuf::from(format!("{directory}/.lifeboat")));
        Ok(Self { name, directory, records: Arc::new(Mutex::new(records)) })
    }

    /// Runs what blocks on a thread that may.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Records) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let records = Arc::clone(&self.records);
        let task = async {
            let records = records.lock_owned().await;
            tokio::task::spawn_blocking(move || work(&records)).await
        };
        match timeout(LIMIT, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(stopped)) => Err(operation.failed(Retry::MayHelp, "the program is stopping", Some(stopped.into()))),
            Err(_) => {
                let problem = format!(
                    "directory {} did not answer within {} s; look whether its file system hangs",
                    self.directory,
                    LIMIT.as_secs()
                );
                Err(operation.failed(Retry::MayHelp, problem, None))
            }
        }
    }
}

impl RecordError {
    fn of(self, operation: &Operation) -> StorageError {
        let (retry, problem) = match &self {
            Self::Damaged { path, .. } => {
                (Retry::IsFutile, format!("{} is damaged; delete it if no host has the volume open", path.display()))
            }
            Self::Io { .. } => (
                Retry::MayHelp,
                "its directory cannot be read or written; look whether it is there, mounted, and has room".to_owned(),
            ),
        };
        operation.failed(retry, problem, Some(self.into()))
    }
}

#[async_trait]
impl StorageArray for SharedDirectory {
    async fn mappings(&self) -> Result<Vec<Mapping>, StorageError> {
        let operation = Operation::new(&self.name, "list its mappings");
        self.run(operation.clone(), move |records| records.mappings().map_err(|error| error.of(&operation))).await
    }

    async fn map(&self, volume: &VolumeSpec, host: &HostName, order: MapOrder) -> Result<Attachment, StorageError> {
        let operation = Operation::map(&self.name, volume, host);
        let path = image(&operation, &self.directory, volume)?;
        let (volume, host) = (volume.name.clone(), host.clone());
        self.run(operation.clone(), move |records| {
            let failed = |error: RecordError| error.of(&operation);
            let _locked = records.lock().map_err(failed)?;
            let before = records.read(&volume).map_err(failed)?;
            before.newest().admit(&volume, order)?;
            if let Some(owner) = before.host.as_ref().filter(|owner| **owner != host) {
                return Err(StorageError::MappedElsewhere { volume, host: owner.clone() });
            }
            if !std::fs::metadata(&path).is_ok_and(|about| about.is_file()) {
                let problem = format!("there is no image file {path}; make it, or mend the volume's `file`");
                return Err(operation.failed(Retry::IsFutile, problem, None));
            }
            records.replace(&volume, &before, &Record::of(Some(host), order)).map_err(failed)?;
            Ok(Attachment { volume, path: VolumePath::File { path } })
        })
        .await
    }

    async fn unmap(&self, volume: &VolumeSpec, host: &HostName, order: MapOrder) -> Result<(), StorageError> {
        let operation = Operation::unmap(&self.name, volume, host);
        let (volume, host) = (volume.name.clone(), host.clone());
        self.run(operation.clone(), move |records| {
            let failed = |error: RecordError| error.of(&operation);
            let _locked = records.lock().map_err(failed)?;
            let before = records.read(&volume).map_err(failed)?;
            before.newest().admit(&volume, order)?;
            let owner = before.host.clone().filter(|owner| *owner != host);
            records.replace(&volume, &before, &Record::of(owner, order)).map_err(failed)
        })
        .await
    }

    fn cuts_writes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
