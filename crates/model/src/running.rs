//! What a VM's process is doing on a host.

use serde::{Deserialize, Serialize};

use crate::{Generation, VmName};

/// What a VM's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmRunState {
    /// The guest executes.
    Running,
    /// The process is there, the guest does not execute (paused, I/O error, still starting).
    Paused,
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
