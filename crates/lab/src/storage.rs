//! The lab's array: raw image files, and one `qemu-storage-daemon` a host as that host's LUN mask.
//!
//! A daemon exports nothing by itself: it listens on a QMP socket for whoever maps volumes, and over NBD, with TLS and a
//! pre-shared key that only its host has. The images and the daemons are in the fabric: they outlive every host.

use std::{fs, fs::File, os::unix::fs::OpenOptionsExt as _, path::Path};

use lifeboat_model::{HostName, VolumeName};

use crate::{
    LabError,
    layout::{self, Layout},
    process::{Enter, EntryPoint},
};

/// Size of a volume.
pub(crate) const VOLUME_GIB: u64 = 1;

/// Makes a volume's image file, all holes.
pub(crate) fn make_image(layout: &Layout, volume: &VolumeName) -> Result<(), LabError> {
    let path = layout.volumes().join(format!("{volume}.raw"));
    File::create_new(&path)
        .and_then(|file| file.set_len(VOLUME_GIB << 30))
        .map_err(LabError::system(format!("make the image {}", path.display())))
}

/// Makes the pre-shared key of a host, for both ends: QEMU wants it in a file `keys.psk` in a directory of its own. The
/// user that it names is the host.
pub(crate) fn make_key(layout: &Layout, host: &HostName) -> Result<(), LabError> {
    let key = random_hex(32)?;
    for dir in [layout.host_dir(host).join("psk"), layout.bmc().with_file_name("storage").join(host.as_str())] {
        fs::create_dir_all(&dir).map_err(LabError::system(format!("make {}", dir.display())))?;
        write_secret(&dir.join("keys.psk"), &format!("{host}:{key}\n"))?;
    }
    Ok(())
}

/// Starts a host's daemon and returns when it listens.
pub(crate) fn start_daemon(layout: &Layout, host: &HostName, index: usize, entry: &EntryPoint) -> Result<(), LabError> {
    let psk = layout.bmc().with_file_name("storage").join(host.as_str());
    let qmp = layout.storage_qmp(host);
    let port = layout::nbd_port(index);
    let command = [
        "qemu-storage-daemon".to_owned(),
        "--daemonize".to_owned(),
        "--object".to_owned(),
        format!("tls-creds-psk,id=tls0,endpoint=server,dir={}", psk.display()),
        "--chardev".to_owned(),
        format!("socket,id=qmp0,path={},server=on,wait=off", qmp.display()),
        "--monitor".to_owned(),
        "chardev=qmp0".to_owned(),
        "--nbd-server".to_owned(),
        format!("addr.type=inet,addr.host={},addr.port={port},tls-creds=tls0", layout::FABRIC),
    ];
    let enter = Enter {
        cgroup: layout.cgroup_of("fabric")?.path().to_owned(),
        netns: Layout::netns_file(&layout.fabric_netns()),
        hostname: None,
        log: layout.log(&format!("storage-{host}")),
        wait: true,
        command: command.into(),
    };
    enter.start(entry)
}

/// Writes a file that only root may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), LabError> {
    use std::io::Write as _;
    let mut options = fs::OpenOptions::new();
    let opened = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(LabError::system(format!("write {}", path.display())))
}

/// Random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String, LabError> {
    use std::io::Read as _;
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(LabError::system("read random bytes"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
