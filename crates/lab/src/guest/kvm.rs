//! Whether KVM works: `/dev/kvm` alone does not say so. Where machines are nested it may be there and every guest hang.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::image::GuestImage;

/// Under KVM the image boots in about a second.
const LIMIT: Duration = Duration::from_secs(10);

/// Boots the image under KVM, asking it to say that it is up and to switch itself off.
pub(super) fn boots(image: &GuestImage) -> bool {
    if !Path::new("/dev/kvm").exists() {
        return false;
    }
    let started = Command::new("qemu-system-x86_64")
        .args([
            "-machine",
            "q35,accel=kvm",
            "-cpu",
            "host",
            "-m",
            "128",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
        ])
        .args(["-display", "none", "-serial", "stdio", "-append"])
        .arg("console=ttyS0 quiet panic=-1 lifeboat.probe")
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initrd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = started else { return false };
    let reached = ends_in_time(&mut child);
    // It has ended, or is ended here.
    let _ = child.kill();
    let _ = child.wait();
    reached
}

/// Waits for QEMU to close its output, and looks whether the guest spoke.
fn ends_in_time(child: &mut Child) -> bool {
    let Some(mut output) = child.stdout.take() else { return false };
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = output.read_to_end(&mut text);
        let _ = tell.send(String::from_utf8_lossy(&text).contains("the guest is up"));
    });
    told.recv_timeout(LIMIT).unwrap_or(false)
}
