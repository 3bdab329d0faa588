//! The guest's image: built once for each kernel and content, then taken from a cache.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{archive::Archive, kernel, kvm};
use crate::{LabError, host::power::write};

const INIT: &str = include_str!("init.sh");
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest"));
const BUSYBOX: &[&str] = &["/usr/bin/busybox", "/bin/busybox"];

/// What executes guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// QEMU's own translator: works everywhere.
    Tcg,
    /// The processor. Only where a probe has booted a guest with it.
    Kvm,
}

impl Accelerator {
    /// As QEMU names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }
}

/// A kernel and a RAM disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestImage {
    /// The kernel.
    pub kernel: PathBuf,
    /// The RAM disk.
    pub initrd: PathBuf,
}

impl GuestImage {
    /// Takes the image from a cache directory, or builds it there, with the kernel that the cache has or the newest that apt
    /// knows (empty the cache for a newer one). Two that build at once do the work twice and disturb
    /// each other not.
    ///
    /// # Errors
    /// [`LabError`] when a package cannot be downloaded or unpacked, busybox is missing, or the cache not be written.
    pub fn in_cache(cache: &Path, told: &dyn Fn(&str)) -> Result<Self, LabError> {
        fs::create_dir_all(cache).map_err(LabError::system(format!("make {}", cache.display())))?;
        let busybox = BUSYBOX.iter().find_map(|path| fs::read(path).ok()).ok_or(LabError::Missing(vec!["busybox"]))?;
        let package = package(cache)?;
        let root = cache.join(&package);
        if !root.is_dir() {
            told(&format!("fetching {package}, for the guests only"));
            let scratch = tempfile::tempdir_in(cache).map_err(LabError::system("make a directory in the cache"))?;
            kernel::unpack(&package, scratch.path())?;
            publish(scratch, &root)?;
        }
        let image = cache.join(format!("{package}-{}", fingerprint(&busybox)));
        let found = Self { kernel: image.join("kernel"), initrd: image.join("initrd") };
        if !image.is_dir() {
            told("building the guest's image");
            let scratch = tempfile::tempdir_in(cache).map_err(LabError::system("make a directory in the cache"))?;
            found.build(&root, &busybox, scratch.path())?;
            publish(scratch, &image)?;
        }
        Ok(found)
    }

    fn build(&self, root: &Path, busybox: &[u8], into: &Path) -> Result<(), LabError> {
        let failed = || LabError::system(format!("write the guest's image in {}", into.display()));
        fs::copy(kernel::kernel(root)?, into.join("kernel")).map_err(failed())?;
        fs::write(into.join("initrd"), ram_disk(&kernel::modules(root)?, busybox)).map_err(failed())
    }

    /// The kernel's command line for a guest with this address. Where guests are translated, each thing that the kernel
    /// does not do saves time at every start.
    #[must_use]
    pub fn cmdline(address: &str) -> String {
        let lean =
            "nokaslr mitigations=off rcupdate.rcu_expedited=1 cryptomgr.notests ipv6.disable=1 audit=0 apparmor=0";
        format!("console=ttyS0 quiet panic=1 {lean} lifeboat.ip={address}")
    }

    /// What can execute this image here. Asks KVM by booting the image with it once, and keeps the answer for this boot
    /// of the machine: where it hangs, asking takes its whole time limit.
    ///
    /// # Errors
    /// [`LabError`] when the answer cannot be kept.
    pub fn accelerator(&self, cache: &Path, told: &dyn Fn(&str)) -> Result<Accelerator, LabError> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let file = cache.join("kvm");
        if let Ok(kept) = fs::read_to_string(&file)
            && let Some(answer) = kept.strip_prefix(boot.trim())
        {
            return Ok(if answer.trim() == "works" { Accelerator::Kvm } else { Accelerator::Tcg });
        }
        told("asking whether KVM works here");
        let works = kvm::boots(self);
        write(&file, &format!("{} {}\n", boot.trim(), if works { "works" } else { "does not" }))?;
        Ok(if works { Accelerator::Kvm } else { Accelerator::Tcg })
    }
}

/// The kernel package that the cache has, else the newest that apt knows: a lab wants some kernel, and soon.
fn package(cache: &Path) -> Result<String, LabError> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let kept = entries
        .filter(|entry| entry.path().join("boot").is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("linux-image-"));
    kept.max().map_or_else(kernel::newest_package, Ok)
}

/// Gives a finished directory its place, unless somebody else was faster.
fn publish(scratch: tempfile::TempDir, place: &Path) -> Result<(), LabError> {
    match fs::rename(scratch.path(), place) {
        Ok(()) => {
            let _ = scratch.keep();
            Ok(())
        }
        Err(_) if place.is_dir() => Ok(()),
        Err(error) => Err(LabError::system(format!("make {}", place.display()))(error)),
    }
}

fn ram_disk(modules: &[kernel::Module], busybox: &[u8]) -> Vec<u8> {
    let mut archive = Archive::new();
    for folder in ["bin", "dev", "proc", "modules"] {
        archive.folder(folder);
    }
    archive.program("init", INIT.as_bytes());
    archive.program("bin/busybox", busybox);
    archive.program("bin/guest", PROGRAM);
    let order: String = modules.iter().map(|(name, _)| format!("{name}.ko\n")).collect();
    archive.program("modules/order", order.as_bytes());
    for (name, content) in modules {
        archive.program(&format!("modules/{name}.ko"), content);
    }
    archive.finish()
}

/// Of all that goes into a RAM disk but the kernel's own files.
fn fingerprint(busybox: &[u8]) -> String {
    let sum = Sha256::new().chain_update(INIT).chain_update(PROGRAM).chain_update(busybox).finalize();
    sum[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
