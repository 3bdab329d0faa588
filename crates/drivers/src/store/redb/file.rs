//! The file of a store: how it is made, opened and verified, and what is said when it cannot be.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use lifeboat_ports::{Cause, Retry, StoreError};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, TableDefinition, TableError, backends::FileBackend,
};

use super::VALUES;

/// What a store says about itself; its shape never changes, so that every version can read every other's.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("lifeboat/about");

/// Key of [`ABOUT`]: the version of everything else in the file.
const FORMAT_KEY: &str = "format";

/// The version that this program writes, and the newest that it reads.
const FORMAT: u64 = 1;

/// Bytes of the file that are kept in memory.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

type Open = dyn Fn(&Builder) -> Result<Database, redb::Error> + Send + Sync;

/// Where a store is.
pub(super) struct Place {
    /// How it is called in messages: its path.
    pub(super) name: String,
    open: Box<Open>,
}

impl Place {
    /// A file, made when there is none.
    ///
    /// It is made here and never again: a file that is gone later is an accident and no reason to begin anew.
    pub(super) fn file(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let path = path.to_owned();
        let made = make_missing(&path);
        let place = Self { name, open: Box::new(move |builder| open_file(builder, &path)) };
        match made {
            Ok(()) => Ok(place),
            Err(error) => Err(place.failure("write", error)),
        }
    }

    /// Something that stands for a file, and has a store in it already: a disk whose power can be cut.
    #[cfg(test)]
    pub(super) fn disk(open: impl Fn(&Builder) -> Result<Database, redb::Error> + Send + Sync + 'static) -> Self {
        Self { name: "disk".to_owned(), open: Box::new(open) }
    }

    /// Opens the database and verifies all of it.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        // The checksums find all damage that the disk does. A panic that some other content of the file causes in the
        // library is damage too: nothing else has happened by then.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = (self.open)(&builder())?;
            let format = format_of(&database)?;
            Ok::<_, redb::Error>((database, format))
        }));
        match opened {
            Ok(Ok((database, Some(FORMAT)))) => Ok(database),
            Ok(Ok((_, Some(newer)))) => Err(self.unreadable(
                format!(
                    "it is of format {newer} and this program reads format {FORMAT}; run the newer version of Lifeboat \
                     that wrote it"
                ),
                None,
            )),
            Ok(Ok((_, None))) => Err(self.unreadable(NOT_A_STORE.to_owned(), None)),
            Ok(Err(error)) => Err(self.open_failure(error)),
            Err(_) => Err(self.unreadable(DAMAGED.to_owned(), None)),
        }
    }

    fn unreadable(&self, problem: String, source: Option<Cause>) -> StoreError {
        StoreError::Unreadable { place: self.name.clone(), problem, source }
    }

    fn open_failure(&self, error: redb::Error) -> StoreError {
        let problem = match &error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                "another process has it open, probably a running controller; stop that one first, or use another file"
            }
            redb::Error::UpgradeRequired(_) => NOT_A_STORE,
            redb::Error::Corrupted(_) => DAMAGED,
            redb::Error::Io(cause) => match cause.kind() {
                io::ErrorKind::InvalidData => NOT_A_STORE,
                io::ErrorKind::UnexpectedEof => DAMAGED,
                io::ErrorKind::IsADirectory => "it is a directory; name a file in it",
                io::ErrorKind::PermissionDenied => "it may not be read and written; look at its owner and mode",
                _ => return self.failure("read", error),
            },
            _ => return self.failure("read", error),
        };
        self.unreadable(problem.to_owned(), Some(error.into()))
    }

    /// What to say of an operation that failed on an open database, or on the way to one.
    pub(super) fn failure(&self, operation: &'static str, error: redb::Error) -> StoreError {
        let problem = match &error {
            redb::Error::Io(cause) => match cause.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "no space is left on its disk; make room there, then try again (what was acknowledged is kept)"
                }
                io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only; mend that, then try again",
                io::ErrorKind::NotFound => "it is gone, or its directory is; put it back, then try again",
                io::ErrorKind::PermissionDenied => "its directory may not be written; look at its owner and mode",
                _ => "its disk reports an error; look at the system's log and at the disk, then try again",
            },
            redb::Error::Corrupted(_) => DAMAGED,
            _ => "the file cannot be used as it is; stop the controller, keep a copy of the file, and start it again",
        };
        failed(operation, &self.name, problem.to_owned(), Some(error.into()))
    }
}

const NOT_A_STORE: &str =
    "it is not a store of Lifeboat; name the right file, or move this one away to begin with an empty store";

const DAMAGED: &str = "it is damaged or cut short; put a backup of it in its place, or move it away to begin with an \
                       empty store and apply your files again";

/// An operation that failed and may succeed once a person has made room or mended the disk.
pub(super) fn failed(operation: &'static str, place: &str, problem: String, source: Option<Cause>) -> StoreError {
    StoreError::Failed { operation, place: place.to_owned(), problem, retry: Retry::MayHelp, source }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// The format that the database says it has; none when it is not a store.
fn format_of(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(ABOUT) {
        Ok(about) => Ok(about.get(FORMAT_KEY)?.map(|format| format.value())),
        Err(TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Writes into an empty database what makes it a store.
pub(super) fn initialize(database: &Database) -> Result<(), redb::Error> {
    write_format(database, FORMAT)
}

fn write_format(database: &Database, format: u64) -> Result<(), redb::Error> {
    let writing = database.begin_write()?;
    writing.open_table(ABOUT)?.insert(FORMAT_KEY, format)?;
    writing.open_table(VALUES)?;
    writing.commit()?;
    Ok(())
}

/// Makes the file when there is none: whole, or not at all.
fn make_missing(path: &Path) -> Result<(), redb::Error> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Only its owner may read and write a file made so.
    let new = tempfile::Builder::new().prefix(".new-store-").tempfile_in(directory)?;
    let database = builder().create_with_backend(backend(new.reopen()?)?)?;
    initialize(&database)?;
    database.close()?;
    match new.persist_noclobber(path) {
        Ok(_) => {}
        // Another process was faster: whether it still has the store open is seen when it is opened.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error.error.into()),
    }
    File::open(directory)?.sync_all()?;
    Ok(())
}

fn backend(file: File) -> Result<FileBackend, DatabaseError> {
    FileBackend::new(file)
}

fn open_file(builder: &Builder, path: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let about = file.metadata()?;
    if about.len() == 0 {
        // The library would take an empty file for a new one, and with it all that was in it for never written.
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if about.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    // After a failed sync the page cache may hold what the disk has not: read the disk.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).map_err(io::Error::from)?;
    Ok(builder.create_with_backend(backend(file)?)?)
}

/// Makes a store as a later version would write it.
#[cfg(test)]
pub(super) fn forge_newer(path: &Path) {
    write_format(&builder().create(path).unwrap(), FORMAT + 1).unwrap();
}
