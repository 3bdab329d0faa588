//! Files that only their owner may see, written whole or not at all.
//!
//! A file is written beside its place under a random name, flushed to the disk, given its place in one step, and the
//! directory is flushed too: after a power cut there is the old file, the new one, or none, never a part.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Why a private file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is not there, or may not be opened or read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file or its directory could not be made or written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or change what is secret.
    #[error("{} is open to others (mode {mode:04o}): run `chmod {wanted:o} {}`, and replace the secret if others were on this machine", .path.display(), .path.display())]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits as they are.
        mode: u32,
        /// The permission bits that mend it.
        wanted: u32,
    },
    /// The path names a directory, a device or a pipe.
    #[error("{} is not a regular file: name a file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is longer than anything that belongs there.
    #[error("{} is longer than {limit} bytes: it is not what it should be, name another file", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// The file is not UTF-8 text.
    #[error("{} is not text: name another file", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Which permission bits nobody but the owner may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Privacy {
    /// Nothing for group and others.
    OwnerOnly,
    /// The group may read.
    GroupReads,
}

impl Privacy {
    fn forbidden_bits(self) -> u32 {
        match self {
            Self::OwnerOnly => 0o077,
            Self::GroupReads => 0o027,
        }
    }
}

/// Makes a directory with mode 0700 (parents with it) or finds it; refuses one that others may write to.
pub(crate) fn open_dir(dir: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(FileError::Exposed { path: dir.to_owned(), mode, wanted: 0o700 });
    }
    Ok(())
}

/// Reads a whole text file of at most `limit` bytes, after looking at who else may.
pub(crate) fn read(path: &Path, privacy: Privacy, limit: u64) -> Result<Zeroizing<String>, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    // Not blocking: opening a pipe must not wait for its other end.
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & privacy.forbidden_bits() != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode, wanted: 0o600 });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLong { path: path.to_owned(), limit });
    }
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(FileError::NotText { path: path.to_owned() }),
    }
}

/// Writes a file with mode 0600; what was there before is replaced in one step.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    write(path, text, |temporary| temporary.persist(path))
}

/// Writes a file with mode 0600 where there is none; `Ok(false)` when there is one, which stays as it is.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<bool, FileError> {
    match write(path, text, |temporary| temporary.persist_noclobber(path)) {
        Ok(()) => Ok(true),
        Err(FileError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(
    path: &Path,
    text: &str,
    put_in_place: impl FnOnce(tempfile::NamedTempFile) -> Result<File, tempfile::PersistError>,
) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // A temporary file has mode 0600 from its first moment.
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    put_in_place(temporary).map_err(|error| failed(error.error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}
