//! A VM, as an operator sees it.

use std::fmt;

use lifeboat_model::{ClassName, Generation, GroupName, HostName, Time, VmName, VolumeName, reason::Reason};
use serde::{Deserialize, Serialize};

/// Where a VM stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmPhase {
    /// Runs and answers its check.
    Running,
    /// Its process is there, the guest does not execute: its storage is gone, or it was paused.
    Paused,
    /// Started, not ready yet.
    Starting,
    /// Being prepared on its host.
    Configuring,
    /// Its volumes are on their way to its host.
    Remapping,
    /// Has a host, and waits for its turn.
    Waiting,
    /// Its host has failed, and it waits until that host is surely off.
    Lost,
    /// No host can take it; see [`VmRow::why_not`].
    Unplaced,
    /// Being stopped.
    Stopping,
    /// Does not run, as its owner wants it.
    Stopped,
    /// Disabled, and not known to run.
    Disabled,
}

impl fmt::Display for VmPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Starting => "starting",
            Self::Configuring => "configuring",
            Self::Remapping => "volumes moving",
            Self::Waiting => "waiting",
            Self::Lost => "lost",
            Self::Unplaced => "no place",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
        })
    }
}

/// What a VM's owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It shall run.
    Running,
    /// It shall not.
    Stopped,
}

/// A VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRow {
    /// Its name.
    pub name: VmName,
    /// Its SLA class.
    pub class: ClassName,
    /// Its dependency group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// Where it runs, or is being started; none: nowhere.
    pub host: Option<HostName>,
    /// Where it stands.
    pub phase: VmPhase,
    /// Since when.
    pub since_us: Time,
    /// Of the intent for it.
    pub generation: Generation,
    /// What its owner wants.
    pub desired: Desired,
    /// Whether it is taken care of; see [`VmAction::Disable`].
    pub enabled: bool,
    /// Why it does not run although it should, and what it waits for, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// The same, typed, where a plan said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Its volumes, the first to boot from.
    #[serde(default)]
    pub volumes: Vec<VolumeName>,
}
