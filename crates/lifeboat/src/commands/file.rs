//! Files that commands read and write.

use std::{
    fs::Permissions,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::failure::{Exit, Failure, Outcome};

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::BadInput, format!("cannot read {}: {error}", path.display()));
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(failed)
}

/// Who may read what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// As usual.
    All,
    /// The owner only: it is a secret.
    Owner,
}

/// Writes a file, whole or not at all.
pub fn write(path: &Path, text: &str, readers: Readers) -> Outcome {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600, so that a secret is never open to others, not even for a moment.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    if readers == Readers::All {
        file.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
