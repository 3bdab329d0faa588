//! Taps: the host's ends of VMs' network cards. They are opened here and inherited by QEMU, so that a later QEMU can take
//! over the same one; they are not persistent, so they are gone when the last process that has them open is gone.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
};

use lifeboat_model::VmName;
use nix::libc;
use sha2::{Digest as _, Sha256};

/// The part of the kernel's `struct ifreq` that `TUNSETIFF` reads.
#[repr(C)]
struct TunRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    unused: [u8; 22],
}

#[allow(unsafe_code, reason = "the kernel offers taps through this ioctl alone; see SAFETY at its one call")]
mod ioctl {
    use super::{TunRequest, libc};

    nix::ioctl_readwrite_bad!(
        /// `TUNSETIFF`: makes the tap and ties it to the descriptor.
        tun_set_iff,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        TunRequest
    );
}

/// A tap that could not be made ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum TapError {
    /// Opening `/dev/net/tun`.
    #[error("cannot open /dev/net/tun (load the tun module; run as root)")]
    Device(#[source] io::Error),
    /// Making the tap.
    #[error("cannot make tap {name}")]
    Make { name: String, source: io::Error },
    /// Running `ip`.
    #[error("cannot run `ip` to attach tap {name} to bridge {bridge} (install iproute2)")]
    Run { name: String, bridge: String, source: io::Error },
    /// `ip` said no.
    #[error("cannot attach tap {name} to bridge {bridge}: {problem}")]
    Attach { name: String, bridge: String, problem: String },
}

/// The name of the tap of a VM's `index`th network card: the same each time, and at most 15 characters.
pub(super) fn name(vm: &VmName, index: usize) -> String {
    let digest = Sha256::digest(format!("{vm}/{index}"));
    digest[..6].iter().fold(String::from("lb"), |name, byte| format!("{name}{byte:02x}"))
}

/// Makes a tap, joins it to a bridge and brings it up. It lives as long as the descriptor.
pub(super) fn open(name: &str, bridge: &str) -> Result<OwnedFd, TapError> {
    let device = File::options().read(true).write(true).open("/dev/net/tun").map_err(TapError::Device)?;
    let mut request = TunRequest { name: [0; libc::IFNAMSIZ], flags: 0, unused: [0; 22] };
    let length = name.len().min(libc::IFNAMSIZ - 1);
    request.name[..length].copy_from_slice(&name.as_bytes()[..length]);
    #[allow(clippy::cast_possible_truncation, reason = "the kernel's field is a short and the flags fit")]
    let flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    request.flags = flags;
    // SAFETY: the descriptor is open for the whole call, and the kernel reads and writes `sizeof(struct ifreq)` = 40
    // bytes at the pointer, which is what the initialised, exclusively borrowed `TunRequest` has.
    #[allow(unsafe_code, reason = "see SAFETY")]
    unsafe { ioctl::tun_set_iff(device.as_raw_fd(), &raw mut request) }
        .map_err(|error| TapError::Make { name: name.to_owned(), source: error.into() })?;
    attach(name, bridge)?;
    Ok(device.into())
}

fn attach(name: &str, bridge: &str) -> Result<(), TapError> {
    let told = Command::new("ip")
        .args(["link", "set", "dev", name, "master", bridge, "up"])
        .env("LC_ALL", "C")
        .output()
        .map_err(|source| TapError::Run { name: name.to_owned(), bridge: bridge.to_owned(), source })?;
    if told.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&told.stderr).trim().to_owned();
    Err(TapError::Attach { name: name.to_owned(), bridge: bridge.to_owned(), problem })
}

const _: () = assert!(size_of::<TunRequest>() == size_of::<libc::ifreq>(), "the kernel copies a whole ifreq");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_names_are_short_stable_and_differ() {
        let long = VmName::new(&"x".repeat(128)).unwrap();
        let names = [name(&long, 0), name(&long, 1), name(&VmName::new("web-1").unwrap(), 0)];
        assert!(names.iter().all(|name| name.len() <= 15 && name.starts_with("lb")), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2] && names[0] == super::name(&long, 0));
    }
}
