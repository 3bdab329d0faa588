//! How QEMU opens a VM's volumes, and the checks that can be made before it does.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use lifeboat_model::attach::{Attachment, VolumePath};
use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::settings::QemuSettings;

/// The id of the TLS credentials of volumes over NBD.
const CREDENTIALS: &str = "psk";

/// What QEMU's command line says about the volumes.
#[derive(Debug, PartialEq)]
pub(super) struct Volumes {
    /// `-object` of the TLS credentials, when a volume wants them. No secret: it names the directory that has it.
    pub(super) credentials: Option<Value>,
    /// `-blockdev` of each, whose node is called as [`node`] says.
    pub(super) block_devices: Vec<Value>,
}

/// Why a volume cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum VolumeProblem {
    /// The path does not begin with `/`.
    #[error("the file `{0}` of volume {1} is not an absolute path")]
    NotAbsolute(String, String),
    /// The file is missing, or may not be read.
    #[error("the file {} of volume {volume} cannot be opened; is the shared directory mounted, and the volume mapped to this host?", .path.display())]
    File { volume: String, path: PathBuf, source: io::Error },
    /// It is a directory, a pipe or the like.
    #[error("{} of volume {volume} is neither a file nor a block device", .path.display())]
    NotAFile { volume: String, path: PathBuf },
    /// No `psk_dir` is set.
    #[error("volume {0} wants TLS with a pre-shared key; set `psk_dir` in this host's agent configuration")]
    NoKeySet(String),
    /// The key's file is missing.
    #[error("cannot read this host's pre-shared key {}", .path.display())]
    Key { path: PathBuf, source: io::Error },
    /// The key's file is not as it should be.
    #[error("{} has no line `user:hexkey`", .path.display())]
    NotAKey { path: PathBuf },
}

/// The name of the `index`th volume's node in QEMU's block graph.
pub(super) fn node(index: usize) -> String {
    format!("volume{index}")
}

/// Says how QEMU opens the volumes, looking at their files.
pub(super) fn describe(attachments: &[Attachment], settings: &QemuSettings) -> Result<Volumes, VolumeProblem> {
    let mut volumes = Volumes { credentials: None, block_devices: Vec::new() };
    for (index, attachment) in attachments.iter().enumerate() {
        let volume = attachment.volume.as_str();
        let mut device = match &attachment.path {
            VolumePath::File { path } => file(volume, path)?,
            VolumePath::Nbd { host, port, export, tls_psk } => {
                if *tls_psk && volumes.credentials.is_none() {
                    volumes.credentials = Some(credentials(volume, settings)?);
                }
                nbd(host, *port, export, *tls_psk)
            }
        };
        device["node-name"] = json!(node(index));
        device["discard"] = json!("unmap");
        volumes.block_devices.push(device);
    }
    Ok(volumes)
}

fn nbd(host: &str, port: u16, export: &str, tls: bool) -> Value {
    let server = json!({ "type": "inet", "host": host, "port": port.to_string(), "keep-alive": true });
    // Without reconnecting: a volume that is taken away stays away, and the guest stops at once.
    let mut device = json!({ "driver": "nbd", "server": server, "export": export, "reconnect-delay": 0 });
    if tls {
        device["tls-creds"] = json!(CREDENTIALS);
    }
    device
}

fn file(volume: &str, path: &str) -> Result<Value, VolumeProblem> {
    let absolute = Path::new(path);
    if !absolute.is_absolute() {
        return Err(VolumeProblem::NotAbsolute(path.to_owned(), volume.to_owned()));
    }
    let unopened = |source| VolumeProblem::File { volume: volume.to_owned(), path: absolute.to_owned(), source };
    let kind = fs::metadata(absolute).map_err(unopened)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(VolumeProblem::NotAFile { volume: volume.to_owned(), path: absolute.to_owned() });
    }
    File::options().read(true).write(true).open(absolute).map_err(unopened)?;
    Ok(json!({
        "driver": if kind.is_block_device() { "host_device" } else { "file" },
        "filename": path,
        "locking": "on",
        // Past the page cache, so that another host never sees what this one still keeps; some filesystems refuse it.
        "cache": { "direct": takes_direct(absolute), "no-flush": false },
    }))
}

fn takes_direct(path: &Path) -> bool {
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
    File::options().read(true).write(true).custom_flags(flags).open(path).is_ok()
}

fn credentials(volume: &str, settings: &QemuSettings) -> Result<Value, VolumeProblem> {
    let directory = settings.psk_dir.as_ref().ok_or_else(|| VolumeProblem::NoKeySet(volume.to_owned()))?;
    let path = directory.join("keys.psk");
    let text = fs::read_to_string(&path).map_err(|source| VolumeProblem::Key { path: path.clone(), source })?;
    // The key itself goes nowhere: QEMU reads the file. Only the user's name must be told to it.
    let user = text.lines().find_map(|line| line.split_once(':')).map(|(user, _key)| user.trim());
    let user = user.filter(|user| !user.is_empty()).ok_or(VolumeProblem::NotAKey { path })?;
    Ok(json!({
        "qom-type": "tls-creds-psk", "id": CREDENTIALS, "endpoint": "client", "dir": directory, "username": user,
    }))
}

#[cfg(test)]
mod tests {
    use lifeboat_model::VolumeName;

    use super::*;

    fn attachment(path: VolumePath) -> Attachment {
        Attachment { volume: VolumeName::new("web-d0").unwrap(), path }
    }

    fn tls() -> Attachment {
        let (host, export) = ("10.0.0.9".to_owned(), "web-d0".to_owned());
        attachment(VolumePath::Nbd { host, port: 10809, export, tls_psk: true })
    }

    #[test]
    fn the_key_stays_in_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let settings = QemuSettings { psk_dir: Some(directory.path().to_owned()), ..QemuSettings::default() };
        let missing = describe(&[tls()], &settings).unwrap_err();
        assert!(matches!(missing, VolumeProblem::Key { .. }), "{missing}");
        fs::write(directory.path().join("keys.psk"), "h1:00112233445566778899\n").unwrap();
        let volumes = describe(&[tls(), tls()], &settings).unwrap();
        let credentials = volumes.credentials.as_ref().unwrap();
        assert_eq!(credentials["username"], "h1");
        assert!(!format!("{volumes:?}").contains("00112233"));
        fs::write(directory.path().join("keys.psk"), "00112233445566778899\n").unwrap();
        let told = describe(&[tls()], &settings).unwrap_err().to_string();
        assert!(told.contains("user:hexkey") && !told.contains("0011"), "{told}");
    }

    #[test]
    fn what_cannot_be_opened_is_told_before_qemu_is_run() {
        let file = |path: &str| attachment(VolumePath::File { path: path.to_owned() });
        for (attachment, words) in [
            (file("d0.raw"), "not an absolute path"),
            (file("/nowhere/d0.raw"), "/nowhere/d0.raw"),
            (file("/"), "neither a file"),
            (tls(), "psk_dir"),
        ] {
            let told = describe(&[attachment], &QemuSettings::default()).unwrap_err().to_string();
            assert!(told.contains(words) && told.contains("web-d0"), "{told}");
        }
    }
}
