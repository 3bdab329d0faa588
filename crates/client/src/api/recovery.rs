//! A recovery, as an operator sees it.

use std::fmt;

use lifeboat_model::{ClassName, FenceName, HostName, Seconds, Time, VmName};
use serde::{Deserialize, Serialize};

use super::RungRow;

/// Where a recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryState {
    /// The host is being made sure to be off. Nothing of it starts elsewhere before that.
    Fencing,
    /// VMs are on their way.
    Recovering,
    /// Ended: every VM is up.
    Complete,
    /// Ended: all that could be brought back is up, the rest has no place. It is taken up again when there is room.
    Incomplete,
    /// Ended: the host came back before it was fenced, and has its VMs still.
    Withdrawn,
}

impl RecoveryState {
    /// Whether it has ended.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Complete | Self::Incomplete | Self::Withdrawn)
    }
}

impl fmt::Display for RecoveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fencing => "fencing",
            Self::Recovering => "recovering",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Withdrawn => "withdrawn",
        })
    }
}

/// How far the fencing of a recovery's host is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceProgress {
    /// The rung that made sure, as in trace/v1: `power`, `storage`, `lease`, `operator`; none: not sure yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The fence device that did it, or is being tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<FenceName>,
    /// From the failure being declared to being sure; none: not sure yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_s: Option<Seconds>,
    /// Attempts so far, over all rungs.
    #[serde(default)]
    pub attempts: u64,
    /// While it is stuck: what it waits for, as a sentence with the last problem of each device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// While it is stuck: what an operator can do, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mends: Vec<String>,
    /// The rungs of the host's ladder, in the order in which they are tried, each with what it has said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<RungRow>,
}

/// How a class stands against its recovery time objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rto {
    /// All of it is ready, in time.
    Met,
    /// It is expected to be ready in time.
    OnTrack,
    /// It is expected to be late, or nobody can say yet when.
    AtRisk,
    /// The time is over.
    Missed,
}

impl fmt::Display for Rto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Met => "met",
            Self::OnTrack => "on track",
            Self::AtRisk => "at risk",
            Self::Missed => "missed",
        })
    }
}

/// How far a class is within a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassProgress {
    /// The class.
    pub class: ClassName,
    /// VMs of it that are to be brought back, those without a place among them.
    pub total: u64,
    /// Those that are ready.
    pub ready: u64,
    /// Those without a place.
    pub unplaced: u64,
    /// Its recovery time objective, from the failure being declared.
    pub rto_s: Seconds,
    /// How it stands against it.
    pub rto: Rto,
    /// When the last of it became ready (those without a place apart), from the failure being declared; none: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_s: Option<Seconds>,
    /// What is being done, in words (`1 starting on h4`, `2 waiting for volumes on h1`); empty when nothing is.
    #[serde(default)]
    pub doing: Vec<String>,
}

/// The plan that a recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRef {
    /// Its number.
    pub id: u64,
    /// The plan that it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
}

/// A recovery, without its single VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRow {
    /// Its number, counting up.
    pub id: u64,
    /// The host that failed.
    pub host: HostName,
    /// The verdict on it, as in trace/v1.
    pub verdict: String,
    /// When it was declared failed.
    pub declared_us: Time,
    /// Where the recovery stands.
    pub state: RecoveryState,
    /// The fencing.
    pub fence: FenceProgress,
    /// VMs to bring back, those without a place among them.
    pub total: u64,
    /// Those that are ready.
    pub ready: u64,
    /// Those without a place.
    pub unplaced: u64,
    /// By class, the most important first.
    #[serde(default)]
    pub classes: Vec<ClassProgress>,
    /// The plan that it follows; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRef>,
    /// When the last VM with a place is expected to be ready; none when nobody can say, or it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_us: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<Time>,
}

/// Where a VM stands within a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryVmState {
    /// Waits: for the fence, for an earlier stage, for its turn.
    Waiting,
    /// Its volumes are on their way.
    Remapping,
    /// It is being prepared.
    Configuring,
    /// It has been started.
    Starting,
    /// It is up.
    Ready,
    /// It has no place.
    Unplaced,
    /// Its owner stopped, disabled or deleted it meanwhile.
    Released,
}

impl fmt::Display for RecoveryVmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Remapping => "volumes moving",
            Self::Configuring => "configuring",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unplaced => "no place",
            Self::Released => "released",
        })
    }
}

/// A VM within a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryVm {
    /// The VM.
    pub vm: VmName,
    /// Its class.
    pub class: ClassName,
    /// Where it was.
    pub from: HostName,
    /// Where it goes; none: no place yet.
    pub to: Option<HostName>,
    /// Where it stands.
    pub state: RecoveryVmState,
    /// What it waits for, or why it has no place, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it was ready, from the failure being declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_s: Option<Seconds>,
}

/// A recovery with its VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryView {
    /// All but its VMs.
    #[serde(flatten)]
    pub row: RecoveryRow,
    /// The controller's time of this view.
    pub now_us: Time,
    /// Its VMs, by class, the most important first, then by name.
    pub vms: Vec<RecoveryVm>,
}
