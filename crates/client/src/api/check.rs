//! A check of a VM, as an operator sees it.

use std::fmt;

use lifeboat_model::{
    CheckName, Time, VmName,
    health::{CheckReport, CheckStatus},
    spec::CheckFrom,
};
use serde::{Deserialize, Serialize};

/// How a check of a VM stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Nothing is known: the VM is not up, or was not looked at yet.
    Pending,
    /// It answers.
    Ok,
    /// It fails, not often enough in a row to do something about it.
    SoftFailure,
    /// It fails, and what its check says was done about it.
    HardFailure,
    /// It fails, and what may be done about it within an hour is used up.
    Held,
    /// It could not be looked at.
    Unknown,
}

impl fmt::Display for CheckState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Ok => "ok",
            Self::SoftFailure => "soft failure",
            Self::HardFailure => "hard failure",
            Self::Held => "given up for now",
            Self::Unknown => "unknown",
        })
    }
}

/// A check of one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRow {
    /// The check.
    pub name: CheckName,
    /// The VM.
    pub vm: VmName,
    /// How it looks: `tcp`, `http`, `nagios`, `guest_agent`.
    pub kind: String,
    /// Who looks.
    pub from: CheckFrom,
    /// How it stands.
    pub state: CheckState,
    /// Since when.
    pub since_us: Time,
    /// Failures in a row, while they are soft.
    pub failures: u32,
    /// Failures in a row from which on they are hard.
    pub failures_allowed: u32,
    /// Restarts of the VM because of this check within the last hour.
    pub restarts: u32,
    /// Such restarts that are allowed within an hour.
    pub restarts_allowed: u32,
    /// When it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_us: Option<Time>,
    /// What was seen then, with what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<CheckReport>,
    /// Why it is not looked at now, or nothing is done, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl CheckRow {
    /// Whether somebody should look at it.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        let warns = self.last.as_ref().is_some_and(|last| last.status == CheckStatus::Warning);
        warns || !matches!(self.state, CheckState::Pending | CheckState::Ok)
    }
}
