//! The records beside the image files. All of this blocks.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use lifeboat_model::{Epoch, Generation, HostName, VolumeName};
use lifeboat_ports::{MapOrder, Mapping};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::storage::order::Newest;

/// More than any record has.
const MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Whom a volume belongs to, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The host that it is mapped to.
    pub(super) host: Option<HostName>,
    /// Epoch and generation of the newest order that was obeyed; none only where there is no record.
    epoch: Option<Epoch>,
    generation: Option<Generation>,
}

impl Record {
    pub(super) const fn of(host: Option<HostName>, order: MapOrder) -> Self {
        Self { host, epoch: Some(order.epoch), generation: Some(order.generation) }
    }

    pub(super) fn newest(&self) -> Newest {
        Newest(self.epoch.zip(self.generation).map(|(epoch, generation)| MapOrder { epoch, generation }))
    }
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("{} is not a record of Lifeboat", .path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot {operation} {}", .path.display())]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn io_error<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RecordError + 'a {
    move |source| RecordError::Io { operation, path: path.to_owned(), source }
}

/// The directory of records.
pub(super) struct Records {
    directory: PathBuf,
}

impl Records {
    pub(super) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Keeps other processes from changing records until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, RecordError> {
        match fs::create_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error("make", &self.directory)(error));
            }
            _ => {}
        }
        let path = self.directory.join("lock");
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(io_error("open", &path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|errno| io_error("lock", &path)(errno.into()))?;
        Ok(file)
    }

    fn path(&self, volume: &VolumeName) -> PathBuf {
        self.directory.join(format!("{volume}.json"))
    }

    /// A volume's record; an empty one when there is none.
    pub(super) fn read(&self, volume: &VolumeName) -> Result<Record, RecordError> {
        let path = self.path(volume);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            other => other.map_err(io_error("open", &path))?,
        };
        let mut text = String::new();
        file.take(MAX_RECORD_BYTES).read_to_string(&mut text).map_err(io_error("read", &path))?;
        serde_json::from_str(&text).map_err(|source| RecordError::Damaged { path, source })
    }

    /// Writes a volume's record, durably.
    pub(super) fn replace(&self, volume: &VolumeName, before: &Record, after: &Record) -> Result<(), RecordError> {
        if before != after {
            self.write(volume, after)?;
        }
        // Also for a record that is as it should be: a sync may have failed after it was put there.
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(io_error("sync", &self.directory))
    }

    fn write(&self, volume: &VolumeName, after: &Record) -> Result<(), RecordError> {
        let path = self.path(volume);
        let text = serde_json::to_string(after).map_err(|error| io_error("write", &path)(error.into()))?;
        let mut new = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.directory)
            .map_err(io_error("make a file in", &self.directory))?;
        new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(io_error("write", &path))?;
        new.persist(&path).map_err(|error| io_error("replace", &path)(error.error))?;
        Ok(())
    }

    /// All volumes that are mapped.
    pub(super) fn mappings(&self) -> Result<Vec<Mapping>, RecordError> {
        let entries = match fs::read_dir(&self.directory) {
            // Nothing was mapped yet; but where the array's own directory is gone, nobody knows.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = self.directory.parent().unwrap_or(&self.directory);
                return fs::metadata(parent).map(|_| Vec::new()).map_err(io_error("read", parent));
            }
            other => other.map_err(io_error("read", &self.directory))?,
        };
        let mut mappings = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error("read", &self.directory))?.file_name();
            let volume = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|v| v.parse().ok());
            let Some(volume) = volume else { continue };
            if let Some(host) = self.read(&volume)?.host {
                mappings.push(Mapping { volume, host });
            }
        }
        mappings.sort();
        Ok(mappings)
    }
}
