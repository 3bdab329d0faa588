//! What a VM's process is doing on a host.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Generation, VmName};

/// What a VM's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmRunState {
    /// The guest executes.
    Running,
    /// The process is there, the guest does not execute (paused, still starting).
    Paused,
    /// The guest stands still because a volume gave an I/O error: it goes on where it was when it is let go.
    IoError,
    /// The guest stands still because its watchdog device ran out: it was hung.
    Watchdog,
}

impl VmRunState {
    /// Whether the guest executes.
    #[must_use]
    pub const fn executes(self) -> bool {
        matches!(self, Self::Running)
    }
}

impl fmt::Display for VmRunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::IoError => "paused because of an I/O error",
            Self::Watchdog => "hung: its watchdog ran out",
        })
    }
}

/// A VM whose process exists on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunningVm {
    /// The VM.
    pub vm: VmName,
    /// The generation of the intent that it was started for.
    pub generation: Generation,
    /// What it is doing.
    pub state: VmRunState,
}
