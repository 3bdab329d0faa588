//! The one screen for three in the morning.

use lifeboat_model::{Epoch, HostName, Time, VmName, drill::Report};
use serde::{Deserialize, Serialize};

use super::{HostCondition, RecoveryRow, RecoveryState, VmPhase};

/// How the fleet is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// All is as it should be.
    Calm,
    /// Nothing is down that should be up; something should be looked at by day.
    Attention,
    /// VMs are being brought back.
    Recovering,
    /// VMs that should run do not, and somebody has to act.
    Stuck,
}

/// The controller that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerView {
    /// Its version.
    pub version: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// Since when it leads.
    pub since_us: Time,
}

/// A host that is spoken of by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNote {
    /// The host.
    pub host: HostName,
    /// Since when it is so.
    pub since_us: Time,
    /// See [`super::HostRow::note`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When its maintenance ends by itself; none: when an operator ends it, or it is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<Time>,
}

/// How many hosts are in a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCount {
    /// The condition.
    pub condition: HostCondition,
    /// How many.
    pub count: u64,
    /// Which, for every condition but up; at most 20.
    #[serde(default)]
    pub named: Vec<HostNote>,
}

/// How many VMs are in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmCount {
    /// The phase.
    pub phase: VmPhase,
    /// How many.
    pub count: u64,
}

/// Something that should be looked at, with its mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What is wrong and what it means, one sentence.
    pub text: String,
    /// What to do: a command, or a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_us: Option<Time>,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The VM that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
}

/// The whole fleet at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// How the fleet is, in one word; see [`StatusView::judge`].
    pub overall: Overall,
    /// The controller's time of this view.
    pub now_us: Time,
    /// The controller that answers.
    pub controller: ControllerView,
    /// Hosts by condition; conditions that no host is in are left out.
    pub hosts: Vec<HostCount>,
    /// VMs by phase; phases that no VM is in are left out.
    pub vms: Vec<VmCount>,
    /// Recoveries that have not ended, oldest first.
    pub recoveries: Vec<RecoveryRow>,
    /// Recoveries that ended within the last day, newest first; at most 3.
    #[serde(default)]
    pub recent: Vec<RecoveryRow>,
    /// The last drill, with the three worst cases of each part; none: there was none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Report>,
    /// What should be looked at, the worst first; at most 20.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

impl StatusView {
    /// The one word for what the view says.
    ///
    /// Stuck: a fencing waits for an operator, or a VM has no place and no recovery is on its way. Recovering: a recovery runs. Attention: there is a
    /// warning, or a host neither up nor in maintenance. Calm: none of these.
    #[must_use]
    pub fn judge(&self) -> Overall {
        let unplaced = self.vms.iter().any(|count| count.phase == VmPhase::Unplaced && count.count > 0);
        let waits =
            |recovery: &RecoveryRow| recovery.state == RecoveryState::Fencing && recovery.fence.waits_for.is_some();
        let fine = |count: &HostCount| {
            matches!(count.condition, HostCondition::Up | HostCondition::Maintenance | HostCondition::Leaving)
        };
        if self.recoveries.iter().any(waits) || (unplaced && self.recoveries.is_empty()) {
            Overall::Stuck
        } else if !self.recoveries.is_empty() {
            Overall::Recovering
        } else if !self.warnings.is_empty() || !self.hosts.iter().all(fine) {
            Overall::Attention
        } else {
            Overall::Calm
        }
    }
}
