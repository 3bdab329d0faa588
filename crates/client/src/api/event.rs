//! Events: what happened, as sentences for people.

use lifeboat_model::{HostName, Time, VmName};
use serde::{Deserialize, Serialize};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody should look at it by day.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its number, counting up; ask for events after it.
    pub sequence: u64,
    /// When it happened.
    pub time_us: Time,
    /// How much it matters.
    pub severity: Severity,
    /// What happened, one sentence.
    pub text: String,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The VM that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
    /// The recovery that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<u64>,
}
