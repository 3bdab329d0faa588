//! A host, as an operator sees it.

use std::fmt;

use lifeboat_model::{Epoch, FenceName, HostName, Time, fleet::Resources, hardware::HardwareSeen};
use serde::{Deserialize, Serialize};

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostCondition {
    /// Its agent says hello and heartbeats; it takes VMs.
    Up,
    /// Up, keeps its VMs, takes no new ones.
    Maintenance,
    /// It has failed too often: up, and takes no VMs until an operator lets it or a time is over.
    HeldOut,
    /// Its hardware is suspect: up, takes no new VMs, and those that it has leave it.
    Suspicious,
    /// It has said that it is about to shut down or reboot, or is doing so: that it is away is no failure.
    Leaving,
    /// Its heartbeats stopped; it is being asked in other ways.
    Suspect,
    /// Declared failed, and not known yet to be unable to run its VMs.
    Failed,
    /// Known to be unable to run VMs: fenced, or an operator has said so. Back when its agent says hello.
    Off,
    /// Declared, and its agent has never joined.
    New,
}

impl fmt::Display for HostCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Maintenance => "maintenance",
            Self::HeldOut => "held out",
            Self::Suspicious => "bad hardware",
            Self::Leaving => "leaving",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
            Self::Off => "off",
            Self::New => "new",
        })
    }
}

/// The link between the controller and a host's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLink {
    /// Whether it is there now.
    pub connected: bool,
    /// Since when it is there, or is not.
    pub since_us: Time,
    /// When the agent was last heard.
    pub heard_us: Time,
    /// The agent's version.
    pub version: String,
}

/// What came of looking at a fence device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceCheck {
    /// When.
    pub at_us: Time,
    /// What was wrong, for a person; none: it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A fence device of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRow {
    /// Its name.
    pub name: FenceName,
    /// What it is, for a person: `redfish`, `fence_ipmilan`.
    pub kind: String,
    /// The last look at it; none: not looked at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<FenceCheck>,
}

/// An order that a host gets no VMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceView {
    /// Since when.
    pub since_us: Time,
    /// Why, for other people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it ends by itself; none: when an operator ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<Time>,
    /// Whether the host is being emptied.
    pub draining: bool,
}

/// What is known of a host's hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareView {
    /// The host.
    pub host: HostName,
    /// Why it is suspect; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// Since when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_us: Option<Time>,
    /// What each source said last; empty: its agent has told nothing since this controller began.
    pub sources: Vec<HardwareSeen>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRow {
    /// Its name.
    pub name: HostName,
    /// How it is.
    pub condition: HostCondition,
    /// The verdict on it, as in trace/v1: `alive`, `suspect`, `hung`, `isolated`, `dead`; none before its agent joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Since when it is in this condition.
    pub since_us: Time,
    /// Why, where there is more to say: the note of a maintenance, the evidence of a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The order that it gets no VMs; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceView>,
    /// Its agent; none: it never joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentLink>,
    /// VMs that run there, or are being started there.
    pub vms: u64,
    /// What they take.
    pub used: Resources,
    /// What it has.
    pub capacity: Resources,
    /// Its fence devices, in the order in which they are tried.
    #[serde(default)]
    pub fences: Vec<FenceRow>,
    /// The highest epoch that its agent has obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
}
