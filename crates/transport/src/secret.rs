//! Secrets that do not leak through logs, and the files that hold them.
//!
//! A [`Secret`] is wiped from memory when it is dropped, never shown by `Debug`, has no `Display` and is not
//! serialisable: the only way to its text is [`Secret::reveal`], which is easy to find in a review.

use std::{fmt, path::Path};

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use crate::private_file::FileError;
use crate::private_file::{self, Privacy};

/// The longest secret that a file may hold, in bytes.
pub const MAX_SECRET_BYTES: u64 = 4096;

/// A text that must not be shown. Compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, to be sent or hashed; never to be logged.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read, or others may read or change it.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing in the file.
    #[error("{} is empty: write the secret on its first line", .path.display())]
    Empty {
        /// The file.
        path: std::path::PathBuf,
    },
    /// There is more than one line in the file.
    #[error("{} has more than one line: a secret stands alone on the first", .path.display())]
    SeveralLines {
        /// The file.
        path: std::path::PathBuf,
    },
}

/// Files with one secret on one line.
#[derive(Debug)]
pub struct SecretFile;

impl SecretFile {
    /// Reads a file that holds a secret on one line; the line's end is not part of it. The file's group may read it
    /// (`0640`), which service managers and containers need; others may not, and the group may not write.
    ///
    /// # Errors
    /// [`SecretError`] when the file is missing, open to others, empty, longer than [`MAX_SECRET_BYTES`] or more than
    /// one line.
    pub fn read(path: &Path) -> Result<Secret, SecretError> {
        let text = private_file::read(path, Privacy::GroupReads, MAX_SECRET_BYTES)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        if line.contains(['\n', '\r']) {
            return Err(SecretError::SeveralLines { path: path.to_owned() });
        }
        Ok(Secret::new(line))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    fn file(dir: &tempfile::TempDir, mode: u32, content: &[u8]) -> PathBuf {
        let path = dir.path().join("bmc.pass");
        fs::write(&path, content).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        path
    }

    #[test]
    fn a_secret_is_the_line_without_its_end() {
        let dir = tempfile::tempdir().expect("dir");
        for content in ["hunter 2", "hunter 2\n", "hunter 2\r\n"] {
            let secret = SecretFile::read(&file(&dir, 0o600, content.as_bytes())).expect("a secret");
            assert_eq!(secret.reveal(), "hunter 2");
            assert_eq!(secret, Secret::new("hunter 2"));
            assert!(!format!("{secret:?}").contains("hunter"));
        }
    }

    #[test]
    fn a_file_that_others_may_read_or_the_group_may_write_is_refused_with_its_mend() {
        let dir = tempfile::tempdir().expect("dir");
        for mode in [0o604, 0o644, 0o620, 0o602, 0o666] {
            let path = file(&dir, mode, b"hunter2\n");
            let error = SecretFile::read(&path).expect_err("refused").to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        SecretFile::read(&file(&dir, 0o640, b"hunter2\n")).expect("its group may read it");
    }

    #[test]
    fn what_is_not_one_line_of_text_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let read = |content: &[u8]| SecretFile::read(&file(&dir, 0o600, content)).expect_err("refused");
        assert!(matches!(read(b""), SecretError::Empty { .. }));
        assert!(matches!(read(b"\n"), SecretError::Empty { .. }));
        assert!(matches!(read(b"a\nb\n"), SecretError::SeveralLines { .. }));
        assert!(matches!(read(&[0xff]), SecretError::File(FileError::NotText { .. })));
        assert!(matches!(read(&[b'a'; 4097]), SecretError::File(FileError::TooLong { .. })));
        assert!(matches!(SecretFile::read(dir.path()), Err(SecretError::File(FileError::NotAFile { .. }))));
        let missing = SecretFile::read(&dir.path().join("none")).expect_err("missing");
        assert!(matches!(missing, SecretError::File(error) if error.is_missing()));
    }

    #[test]
    fn a_pipe_in_a_secrets_place_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("mkfifo");
        assert!(matches!(SecretFile::read(&path), Err(SecretError::File(FileError::NotAFile { .. }))));
    }
}
