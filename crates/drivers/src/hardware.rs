//! What tells of a host's hardware going bad, before it fails.
//!
//! Each source is read on its own, within a time limit and with bounded output. A source that a machine has not is reported
//! as absent, with what is missing; never as healthy. Roots and programs are settings, so that tests bring their own.

use std::path::PathBuf;

use lifeboat_model::hardware::HardwareReading;
use serde::Deserialize;

pub mod diagnostic;
mod disks;
mod machine_checks;
mod memory;
mod program;

/// Where sources are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardwareConfig {
    /// Seconds between two readings; 0: the hardware is not looked at.
    pub every_s: u64,
    /// The kernel's counters of memory errors.
    pub edac_root: PathBuf,
    /// Block devices.
    pub block_root: PathBuf,
    /// rasdaemon's database.
    pub ras_database: PathBuf,
    /// What reads it.
    pub sqlite: String,
    /// What asks disks.
    pub smartctl: String,
    /// Whether computations are repeated and compared, in the time that nobody else wants.
    pub diagnostic: bool,
}

impl Default for HardwareConfig {
    fn default() -> Self {
        Self {
            every_s: 300,
            edac_root: "/sys/devices/system/edac/mc".into(),
            block_root: "/sys/block".into(),
            ras_database: "/var/lib/rasdaemon/ras-mc_event.db".into(),
            sqlite: "sqlite3".to_owned(),
            smartctl: "smartctl".to_owned(),
            diagnostic: true,
        }
    }
}

/// Reads every source but the diagnostic, which runs by itself.
pub async fn read(config: &HardwareConfig) -> Vec<HardwareReading> {
    let memory = memory::read(&config.edac_root);
    let (checks, disks) = tokio::join!(
        machine_checks::read(&config.ras_database, &config.sqlite),
        disks::read(&config.block_root, &config.smartctl)
    );
    vec![memory, checks, disks]
}
