//! Whether KVM is of use here, found out by trying.
//!
//! `/dev/kvm` may open and yet run guests at a crawl or not at all (inside some virtual machines). So two QEMUs boot the
//! same tiny guest side by side, one under KVM and one emulated: its boot sector waits for three ticks of the timer and
//! then ends QEMU by a device made for that. KVM is used only when its guest ends not much later than the emulated one;
//! where KVM works it is first by far. The answer is kept in `run_dir` until the next power cycle.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::{
    directory,
    settings::{Accelerator, QemuSettings},
};

/// How long the emulated guest may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How much later the guest under KVM may end.
const LEEWAY: Duration = Duration::from_millis(500);

/// What QEMU's `isa-debug-exit` makes of the byte that the probe guest writes to it.
const SUCCESS: i32 = (0x10 << 1) | 1;

/// The guest: 16-bit code at 0000:7c00.
const BOOT_CODE: &[u8] = &[
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    0xfb, // sti
    0x8b, 0x1e, 0x6c, 0x04, // mov bx, [0x46c]   the firmware's count of timer ticks
    0xf4, // wait: hlt
    0xa1, 0x6c, 0x04, // mov ax, [0x46c]
    0x29, 0xd8, // sub ax, bx
    0x3d, 0x03, 0x00, // cmp ax, 3
    0x72, 0xf5, // jb wait
    0xb0, 0x10, // mov al, 0x10
    0xe6, 0xf4, // out 0xf4, al
    0xf4, // end: hlt
    0xeb, 0xfd, // jmp end
];

#[derive(Serialize, Deserialize)]
struct Answer {
    kvm: bool,
}

/// Whether to use KVM.
pub(super) async fn choose(settings: &QemuSettings) -> bool {
    match settings.accelerator {
        Accelerator::Kvm => true,
        Accelerator::Tcg => false,
        Accelerator::Auto => {
            let cache = settings.run_dir.join("accelerator.json");
            if let Ok(Some(Answer { kvm })) = directory::read(&cache) {
                return kvm;
            }
            let kvm = Path::new("/dev/kvm").exists() && probe(settings).await;
            tracing::info!(kvm, "chose what executes the guests");
            if let Err(error) = directory::write(&cache, &Answer { kvm }) {
                tracing::warn!(%error, "cannot keep whether KVM works; it will be tried again");
            }
            kvm
        }
    }
}

async fn probe(settings: &QemuSettings) -> bool {
    let image = settings.run_dir.join("accelerator-probe.raw");
    if let Err(error) = write_image(&image) {
        tracing::warn!(%error, "cannot write the guest that would show whether KVM works; emulating");
        return false;
    }
    let (kvm, emulated) = (boots(&settings.binary, "kvm", &image), boots(&settings.binary, "tcg", &image));
    let (mut kvm, mut emulated) = (std::pin::pin!(kvm), std::pin::pin!(timeout(LIMIT, emulated)));
    tokio::select! {
        booted = &mut kvm => booted,
        // Even when the emulated guest fails, one under KVM that does not is good.
        _ = &mut emulated => timeout(LEEWAY, kvm).await.unwrap_or(false),
    }
}

fn write_image(path: &PathBuf) -> io::Result<()> {
    let mut sector = [0; 512];
    sector[..BOOT_CODE.len()].copy_from_slice(BOOT_CODE);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::write(path, sector)?;
    // The firmware boots from no disk of less than a cylinder.
    fs::File::options().write(true).open(path)?.set_len(1 << 20)
}

async fn boots(binary: &Path, accelerator: &str, image: &Path) -> bool {
    let disk = json!({ "driver": "file", "node-name": "probe", "filename": image, "read-only": true });
    let status = Command::new(binary)
        .args([
            "-accel",
            accelerator,
            "-machine",
            "q35",
            "-m",
            "32",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-device", "virtio-blk-pci,drive=probe,bootindex=0"])
        .args(["-blockdev", &disk.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await;
    status.is_ok_and(|status| status.code() == Some(SUCCESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_probe_guest_boots_where_it_can_and_only_there() {
        let root = tempfile::tempdir().unwrap();
        let image = root.path().join("probe.raw");
        write_image(&image).unwrap();
        let binary = QemuSettings::default().binary;
        assert!(boots(&binary, "tcg", &image).await);
        assert!(!boots(&binary, "no-such-accelerator", &image).await);
        assert!(!boots(Path::new("/nowhere/qemu"), "tcg", &image).await);
    }

    #[tokio::test]
    async fn the_answer_is_kept_and_a_setting_overrules_it() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = QemuSettings { run_dir: root.path().to_owned(), ..QemuSettings::default() };
        fs::write(root.path().join("accelerator.json"), r#"{"kvm":true}"#).unwrap();
        assert!(choose(&settings).await);
        fs::write(root.path().join("accelerator.json"), r#"{"kvm":false}"#).unwrap();
        assert!(!choose(&settings).await);
        settings.accelerator = Accelerator::Kvm;
        assert!(choose(&settings).await);
    }
}
