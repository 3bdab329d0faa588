//! What the brain remembers across its own death: one record an object, each under its own key, as JSON.
//!
//! | key | record |
//! | --- | --- |
//! | `spec/KIND/NAME` | what an operator declared |
//! | `state/host/NAME` | [`HostRecord`] |
//! | `state/vm/NAME` | [`VmRecord`] |
//! | `state/volume/NAME` | [`VolumeRecord`] |
//! | `state/check/CHECK/VM` | [`WatchRecord`](super::health::WatchRecord) |
//! | `recovery/ID` | [`RecoveryRecord`] |
//! | `plan/ID/PART` | a [`PlanRecord`] in parts of at most [`PLAN_PART_BYTES`] |
//! | `drill/last`, `drill/earlier` | [`Report`](lifeboat_model::drill::Report) |
//! | `event/SEQUENCE` | [`EventRecord`] |
//! | `trace/SEQUENCE` | a trace event |
//! | `meta/counters` | [`Counters`] |

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    BootId, ClassName, FenceName, Generation, HostName, Seconds, Time, VmName,
    attach::Attachment,
    liveness::{Evidence, VerdictRule},
    plan::{Plan, Request},
    running::VmRunState,
};
use serde::{Deserialize, Serialize};

pub use lifeboat_model::notice::Severity;

use super::{
    fencing::{FenceChecked, RungRecord},
    io::{FenceProof, PlanId, RecoveryId},
};
use crate::message::Pledge;

/// A stored part of a plan has at most this many bytes.
pub const PLAN_PART_BYTES: usize = 256 * 1024;

/// How a host is, as far as the brain knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum HostCondition {
    /// Declared; its agent was never heard.
    #[default]
    New,
    /// Its agent was heard and it has not been declared failed since.
    Up,
    /// Declared failed; it may still run its VMs.
    Failed {
        /// The recovery from it.
        recovery: RecoveryId,
        /// When it was declared failed.
        since: Time,
    },
    /// Proven unable to run the VMs that it had.
    Fenced {
        /// The recovery from it.
        recovery: RecoveryId,
        /// When it was proven.
        since: Time,
        /// How.
        proof: FenceProof,
    },
}

/// More of an operator's order that a host gets no VMs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upkeep {
    /// Since when.
    pub since: Time,
    /// Why, for other people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it ends by itself; none: when an operator ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What is remembered of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// How it is.
    pub condition: HostCondition,
    /// The boot that it said last that it was in.
    pub boot: Option<BootId>,
    /// Whether it is kept from getting VMs.
    #[serde(default)]
    pub maintenance: bool,
    /// More of that; none: it is not, or an earlier version was ordered so.
    #[serde(default)]
    pub upkeep: Option<Upkeep>,
    /// Whether it is being emptied.
    #[serde(default)]
    pub draining: bool,
    /// When it was declared failed, within the window in which that is counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Time>,
    /// That it is held out; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<super::flapping::HeldOut>,
    /// That it is about to shut down or reboot, or has; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<super::leaving::Leaving>,
    /// What is remembered of its hardware.
    #[serde(default)]
    pub hardware: super::HardwareRecord,
    /// Whether the VMs that belong to it go back to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failing_back: bool,
    /// Number of the last fencing attempt.
    #[serde(default)]
    pub fence_attempt: u64,
    /// Since when it is up, or declared and never heard.
    #[serde(default)]
    pub since: Time,
    /// The version that its agent said last that it is.
    #[serde(default)]
    pub version: Option<String>,
    /// What its agent pledged last to do when its lease runs out.
    #[serde(default)]
    pub pledge: Pledge,
    /// The longest lease that may have been granted to it and still run.
    #[serde(default)]
    pub lease_s: Seconds,
    /// What came of the last look at each of its fence devices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fence_checks: BTreeMap<FenceName, FenceChecked>,
    /// Where others can look whether its agent lives, over one network each; the first is that of its link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probe_addresses: Vec<String>,
}

/// What an operator (or the VM's own shutdown) wants of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It shall run.
    #[default]
    Running,
    /// It shall not run, because an operator said so.
    Stopped,
    /// It shall not run, because its guest shut itself down.
    ShutDown,
}

/// Where a VM is in its life. The host in it, but for `Preparing`, is the one host where its process may exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Phase {
    /// Its process surely exists nowhere.
    #[default]
    Stopped,
    /// Its volumes and its configuration are brought to a host; its start has not been ordered.
    Preparing {
        /// The host.
        host: HostName,
    },
    /// Its start was ordered.
    Starting {
        /// The host.
        host: HostName,
    },
    /// Its process exists.
    Running {
        /// The host.
        host: HostName,
        /// When it answered its check; none: not yet.
        ready: Option<Time>,
    },
    /// Its stop was ordered.
    Stopping {
        /// The host.
        host: HostName,
    },
    /// Its host is declared failed and not yet fenced.
    Lost {
        /// The host.
        host: HostName,
        /// When it answered its check, before its host was lost; none: it had not.
        #[serde(default)]
        ready: Option<Time>,
    },
}

impl Phase {
    /// The host where its process may exist.
    #[must_use]
    pub const fn may_run_on(&self) -> Option<&HostName> {
        match self {
            Self::Stopped | Self::Preparing { .. } => None,
            Self::Starting { host }
            | Self::Running { host, .. }
            | Self::Stopping { host }
            | Self::Lost { host, .. } => Some(host),
        }
    }

    /// The host that it takes room on.
    #[must_use]
    pub const fn occupies(&self) -> Option<&HostName> {
        match self {
            Self::Stopped | Self::Lost { .. } => None,
            Self::Preparing { host }
            | Self::Starting { host }
            | Self::Running { host, .. }
            | Self::Stopping { host } => Some(host),
        }
    }
}

/// What is remembered of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRecord {
    /// Generation of the newest intent to run it somewhere.
    pub generation: Generation,
    /// The generation that it was declared with: that of no intent, and none lower than any of a deleted VM of its name.
    #[serde(default)]
    pub born: Generation,
    /// What is wanted.
    pub wanted: Wanted,
    /// When an operator last ordered it to run; none: nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Time>,
    /// Whether Lifeboat looks after it.
    pub enabled: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// The host that it ran on last.
    pub last_host: Option<HostName>,
    /// The hosts where its process may have existed since it was last seen to exist, that one included.
    #[serde(default)]
    pub was_on: BTreeSet<HostName>,
    /// When it failed (died, or would not start) within the window.
    pub failures: Vec<Time>,
    /// Hosts where it would not stay up; forgotten when it is up.
    pub avoid: BTreeSet<HostName>,
    /// Why it was given up; none: it was not.
    pub given_up: Option<String>,
    /// What went wrong with it last.
    pub problem: Option<String>,
    /// The recovery that it is part of.
    pub recovery: Option<RecoveryId>,
    /// Where it goes when it has stopped, since a plan or an operator moves it; none: it is not being moved.
    #[serde(default)]
    pub move_to: Option<HostName>,
    /// The host that it was taken from and belongs to; none: it is where it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<HostName>,
    /// Since when it is in its phase.
    pub since: Time,
    /// Since when its guest does not execute although its process exists; none: it executes, as far as is known.
    #[serde(default)]
    pub paused: Option<Time>,
    /// Why its guest does not execute; none: it executes, as far as is known.
    #[serde(default)]
    pub halted: Option<VmRunState>,
}

impl Default for VmRecord {
    fn default() -> Self {
        Self {
            generation: Generation(0),
            born: Generation(0),
            wanted: Wanted::Running,
            ordered: None,
            enabled: true,
            phase: Phase::Stopped,
            last_host: None,
            was_on: BTreeSet::new(),
            failures: Vec::new(),
            avoid: BTreeSet::new(),
            given_up: None,
            problem: None,
            recovery: None,
            move_to: None,
            home: None,
            since: Time::default(),
            paused: None,
            halted: None,
        }
    }
}

/// Where a volume is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum VolumePlace {
    /// No host can open it.
    #[default]
    Unmapped,
    /// One host is being given it, or was, with unknown success.
    Mapping {
        /// The host.
        host: HostName,
    },
    /// One host can open it.
    Mapped {
        /// The host.
        host: HostName,
        /// The way to it.
        attachment: Attachment,
    },
    /// It is being taken from a host.
    Unmapping {
        /// The host.
        host: HostName,
    },
}

impl VolumePlace {
    /// The host that may be able to open it.
    #[must_use]
    pub const fn host(&self) -> Option<&HostName> {
        match self {
            Self::Unmapped => None,
            Self::Mapping { host } | Self::Mapped { host, .. } | Self::Unmapping { host } => Some(host),
        }
    }
}

/// What is remembered of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Generation of the newest order for it.
    pub generation: Generation,
    /// Where it is.
    pub place: VolumePlace,
    /// What went wrong with it last; none: nothing since it last went well.
    #[serde(default)]
    pub problem: Option<String>,
    /// Since when it is where it is.
    #[serde(default)]
    pub since: Time,
}

/// How far a VM's recovery has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum EntryState {
    /// It waits, or is being moved and started.
    Open,
    /// It is up.
    Ready {
        /// Where.
        host: HostName,
        /// When.
        at: Time,
    },
    /// It is another recovery's now, since the host that it went to failed too.
    PassedOn {
        /// The other recovery.
        to: RecoveryId,
    },
    /// It was never away: its host answered again before it was fenced.
    NeverLeft,
    /// Nobody wants it to run any more, or it is left alone.
    Released,
    /// It was given up.
    GivenUp {
        /// Why.
        why: String,
    },
}

/// A VM in a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryEntry {
    /// Its class.
    pub class: ClassName,
    /// How far it has come.
    pub state: EntryState,
}

/// What is remembered of a recovery: one failure of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRecord {
    /// Its number.
    pub id: RecoveryId,
    /// The host that failed.
    pub host: HostName,
    /// When it was last heard.
    pub last_heard: Time,
    /// When it was declared failed.
    pub declared: Time,
    /// The verdict.
    pub verdict: String,
    /// The rule that led to it; none in records of versions that had one rule only.
    #[serde(default)]
    pub rule: Option<VerdictRule>,
    /// The evidence at that time.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// When and how it was proven unable to run its VMs.
    pub fenced: Option<(Time, FenceProof)>,
    /// What each fence device said last, when it did not work.
    pub fence_problems: BTreeMap<FenceName, String>,
    /// How often a fence device was asked to cut its power.
    #[serde(default)]
    pub fence_attempts: u64,
    /// The rungs of its host's ladder, with what each has said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<RungRecord>,
    /// The newest plan for it.
    pub plan: Option<PlanId>,
    /// When the last VM is expected to be ready, by that plan.
    pub expected: Option<Time>,
    /// Its VMs.
    pub vms: BTreeMap<VmName, RecoveryEntry>,
    /// When it ended.
    pub closed: Option<Time>,
}

impl RecoveryRecord {
    /// How many of its VMs are up.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.vms
            .values()
            .filter(|entry| matches!(entry.state, EntryState::Ready { .. } | EntryState::NeverLeft))
            .count()
    }

    /// How many of its VMs are not settled.
    #[must_use]
    pub fn open(&self) -> usize {
        self.vms.values().filter(|entry| entry.state == EntryState::Open).count()
    }

    /// From the host being declared failed to the last VM being up, or to now.
    #[must_use]
    pub fn took(&self, now: Time) -> Seconds {
        self.closed.unwrap_or(now).since(self.declared)
    }
}

/// A plan as it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Its number.
    pub id: PlanId,
    /// The plan that it replaces.
    pub parent: Option<PlanId>,
    /// When it was made.
    pub made: Time,
    /// Why it was made.
    pub why: String,
    /// What was asked.
    pub request: Request,
    /// The plan.
    pub plan: Plan,
}

/// Something that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number, counting up.
    pub sequence: u64,
    /// When.
    pub time: Time,
    /// How much it matters.
    pub severity: Severity,
    /// What, as a sentence.
    pub text: String,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The VM that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
    /// The recovery that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryId>,
    /// The trouble that lasts from the first event that names it to the one with which it is over; of a recovery's events
    /// it is the recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether the trouble, or else the recovery, is over with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}

/// Numbers that only go up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Recoveries so far.
    pub recoveries: u64,
    /// Plans so far.
    pub plans: u64,
    /// The highest generation of the VMs and volumes that were deleted.
    #[serde(default)]
    pub deleted: Generation,
}
