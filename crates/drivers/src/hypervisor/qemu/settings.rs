//! What an operator can set.

use std::path::PathBuf;

use lifeboat_model::Seconds;
use serde::{Deserialize, Serialize};

/// How this host runs QEMU. Every field has a default, so an empty table will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QemuSettings {
    /// The program: a name that `PATH` finds, or an absolute path. Version 10.0 or later.
    pub binary: PathBuf,
    /// Absolute directory for what is to be read after a power cycle: the logs and serial consoles of VMs.
    pub state_dir: PathBuf,
    /// Absolute directory for what a power cycle must wipe (on tmpfs, as `/run` is): each VM's configuration, command
    /// line, lock, process and QMP socket.
    pub run_dir: PathBuf,
    /// What executes the guests' instructions.
    pub accelerator: Accelerator,
    /// Absolute directory with `keys.psk` (one line, `user:hexkey`), this host's key for volumes over NBD with TLS.
    pub psk_dir: Option<PathBuf>,
    /// How long a guest may take to shut down when asked, before its process is killed.
    pub shutdown_grace_s: Seconds,
}

impl Default for QemuSettings {
    fn default() -> Self {
        Self {
            binary: PathBuf::from("qemu-system-x86_64"),
            state_dir: PathBuf::from("/var/lib/lifeboat/qemu"),
            run_dir: PathBuf::from("/run/lifeboat/qemu"),
            accelerator: Accelerator::Auto,
            psk_dir: None,
            shutdown_grace_s: Seconds::new(60),
        }
    }
}

/// What executes the guests' instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// KVM where a probe guest shows that it works here, else emulation.
    #[default]
    Auto,
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// Emulation: slow, works everywhere.
    Tcg,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        assert_eq!(serde_json::from_str::<QemuSettings>("{}").unwrap(), QemuSettings::default());
        let some = r#"{"accelerator":"tcg","psk_dir":"/etc/lifeboat/psk","shutdown_grace_s":1.5}"#;
        let some: QemuSettings = serde_json::from_str(some).unwrap();
        assert_eq!((some.accelerator, some.shutdown_grace_s), (Accelerator::Tcg, Seconds::from_millis(1500)));
        let unknown = serde_json::from_str::<QemuSettings>(r#"{"shutdown_grace":1}"#).unwrap_err();
        assert!(unknown.to_string().contains("shutdown_grace"), "{unknown}");
    }
}
