//! `lifeboat/trace/v1`: what really happened, newline-delimited JSON, one event a line, in time order. A public format;
//! see `docs/formats.md`.

use serde::{Deserialize, Serialize};

use crate::{Epoch, HostName, Time, VmName, VolumeName};

/// Who writes a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A virtual world.
    Simulator,
    /// A farm on one machine, with a watcher of processes.
    Lab,
    /// A controller: what it knows.
    Controller,
}

/// What a trace event tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The first event of every trace.
    TraceStarted {
        /// Who writes it.
        source: Source,
    },
    /// A host lost power or stopped (a fact of the world).
    HostDown,
    /// A host is up: its agent said hello after a boot.
    HostUp,
    /// A host was declared failed.
    HostDeclared {
        /// The verdict.
        verdict: String,
    },
    /// A host's fencing was asked for.
    FenceRequested,
    /// A host is known to be unable to run its VMs.
    Fenced {
        /// The rung of the ladder: `power`, `storage`, `lease`, `operator`.
        method: String,
    },
    /// A VM's hypervisor process was started.
    VmStarted,
    /// A VM answered its check.
    VmReady,
    /// A VM was stopped on purpose.
    VmStopped,
    /// A VM's process died (a fact of the world).
    VmKilled,
    /// A volume was mapped to a host.
    VolumeMapped,
    /// A volume was unmapped from a host.
    VolumeUnmapped,
    /// A live migration began.
    MigrateStarted {
        /// Where the VM ran.
        from: HostName,
    },
    /// A live migration ended.
    MigrateDone,
    /// A controller died (a fact of the world).
    ControllerCrashed,
    /// A controller took the lead.
    ControllerLeader,
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// Seconds; in a controller's or a lab's trace since 1970-01-01 UTC, in a simulator's since its start.
    pub t: f64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
    /// The volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeName>,
    /// The epoch of the leader on whose word it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}

impl TraceEvent {
    /// An event at a time, about nothing yet.
    #[must_use]
    pub fn new(at: Time, what: What) -> Self {
        Self { t: at.as_f64(), what, host: None, vm: None, volume: None, epoch: None }
    }

    /// The same, about this host.
    #[must_use]
    pub fn host(mut self, host: &HostName) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// The same, about this VM.
    #[must_use]
    pub fn vm(mut self, vm: &VmName) -> Self {
        self.vm = Some(vm.clone());
        self
    }

    /// The same, about this volume.
    #[must_use]
    pub fn volume(mut self, volume: &VolumeName) -> Self {
        self.volume = Some(volume.clone());
        self
    }

    /// The same, on the word of this leader.
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }
}
