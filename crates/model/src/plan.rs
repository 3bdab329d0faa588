//! `lifeboat/plan/v1`: what to do about a failure, as an immutable value. A public format; see `docs/formats.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{ClassName, HostName, Seconds, VmName, VolumeName, reason::Reason};

/// The version that this build reads and writes.
pub const FORMAT: &str = "lifeboat/plan/v1";

/// What a planner is asked, beside the fleet.
///
/// It plans for every VM whose host is in `failed`, and for every VM in `place` (whose `host` in the fleet is none).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Hosts that have failed and are not fenced yet: the plan fences each first. They count as gone.
    pub failed: Vec<HostName>,
    /// VMs that run nowhere and shall run: each with the host where it must go, or none to choose.
    pub place: BTreeMap<VmName, Option<HostName>>,
    /// Hosts where a VM must not go (it would not stay up there).
    pub avoid: BTreeMap<VmName, BTreeSet<HostName>>,
}

/// Number of a step within its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A plan: which VM goes where, in which steps, and why not where it cannot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// The failed hosts that the plan recovers from.
    pub failed: Vec<HostName>,
    /// What to do; times are seconds after the failure is declared.
    pub steps: Vec<Step>,
    /// VM to host, for every VM that the plan starts or moves.
    pub placements: BTreeMap<VmName, HostName>,
    /// VMs without a place, and why.
    pub unplaced: Vec<Unplaced>,
    /// How long it takes.
    pub summary: Summary,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, unique in the plan.
    pub id: StepId,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// When it begins.
    pub start_s: Seconds,
    /// When it has ended.
    pub end_s: Seconds,
    /// The steps that must have ended before it begins.
    pub after: Vec<StepId>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Make sure that a failed host is unable to run its VMs.
    Fence {
        /// The host.
        host: HostName,
    },
    /// Unmap a volume from its old host and map it to the new one.
    Remap {
        /// The VM whose volume it is.
        vm: VmName,
        /// The volume.
        volume: VolumeName,
        /// The old host; none when the volume is mapped nowhere.
        from: Option<HostName>,
        /// The new host.
        host: HostName,
    },
    /// Prepare a VM on its host.
    Configure {
        /// The VM.
        vm: VmName,
        /// Its host.
        host: HostName,
    },
    /// Start a VM and wait until it is ready.
    Start {
        /// The VM.
        vm: VmName,
        /// Its host.
        host: HostName,
        /// The NUMA nodes chosen, where the host has nodes and the VM a width.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        numa: Option<Vec<u32>>,
    },
    /// Stop a running VM of lower class to make room.
    Stop {
        /// The VM.
        vm: VmName,
        /// Its host.
        host: HostName,
    },
    /// Move a running VM to make room.
    Migrate {
        /// The VM.
        vm: VmName,
        /// Where it runs.
        from: HostName,
        /// Where it goes.
        host: HostName,
        /// The NUMA nodes chosen, where the host has nodes and the VM a width.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        numa: Option<Vec<u32>>,
    },
}

impl Action {
    /// The VM that the step is about; none for a fence.
    #[must_use]
    pub const fn vm(&self) -> Option<&VmName> {
        match self {
            Self::Fence { .. } => None,
            Self::Remap { vm, .. }
            | Self::Configure { vm, .. }
            | Self::Start { vm, .. }
            | Self::Stop { vm, .. }
            | Self::Migrate { vm, .. } => Some(vm),
        }
    }

    /// The host that the step happens on: the destination, or the host that is fenced.
    #[must_use]
    pub const fn host(&self) -> &HostName {
        match self {
            Self::Fence { host }
            | Self::Remap { host, .. }
            | Self::Configure { host, .. }
            | Self::Start { host, .. }
            | Self::Stop { host, .. }
            | Self::Migrate { host, .. } => host,
        }
    }
}

/// A VM without a place. Written as `vm`, `code`, `detail` (a sentence), and `reason` (the same, typed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    /// The VM.
    pub vm: VmName,
    /// [`Reason::code`].
    pub code: String,
    /// [`Reason`] as a sentence.
    pub detail: String,
    /// The reason, typed.
    pub reason: Reason,
}

impl Unplaced {
    /// A VM without a place.
    #[must_use]
    pub fn new(vm: VmName, reason: Reason) -> Self {
        Self { vm, code: reason.code().to_owned(), detail: reason.to_string(), reason }
    }
}

/// How long a plan takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// When the last VM is ready.
    pub makespan_s: Seconds,
    /// By class, the most important first.
    pub classes: Vec<ClassSummary>,
}

/// How long a class takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSummary {
    /// The class.
    pub name: ClassName,
    /// How many VMs of it the plan starts.
    pub vms: u64,
    /// When the last VM of this class and all above is ready.
    pub ready_s: Seconds,
    /// No plan can be sooner than this.
    pub lower_bound_s: Seconds,
    /// Its recovery time objective.
    pub rto_s: Seconds,
    /// Whether `ready_s` is within it.
    pub met: bool,
}

impl Plan {
    /// A plan that does nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            format: FORMAT.to_owned(),
            failed: Vec::new(),
            steps: Vec::new(),
            placements: BTreeMap::new(),
            unplaced: Vec::new(),
            summary: Summary::default(),
        }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// When the text is not JSON of this shape or says another format.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = crate::json::read(text).map_err(PlanError::Json)?;
        if plan.format != FORMAT {
            return Err(PlanError::Format { found: crate::json::shorten(&plan.format) });
        }
        Ok(plan)
    }
}

/// What is wrong with a plan's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is not JSON of this shape.
    #[error("{0}")]
    Json(String),
    /// It is another format or version.
    #[error("format is {found:?}, not \"{FORMAT}\"")]
    Format {
        /// What it says it is.
        found: String,
    },
}
