//! What people are told: events gathered into a message, and troubles that last as alerts.

use serde::{Deserialize, Serialize};

use crate::{HostName, Time, VmName};

/// How much something matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// The word for it: `info`, `warning`, `critical`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Something that happened, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeEvent {
    /// Its number, counting up.
    pub sequence: u64,
    /// When.
    pub time_us: Time,
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
    /// The number of the recovery that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<u64>,
    /// The trouble that lasts which it belongs to; of a recovery's events it is `recovery r-7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A trouble that lasts, or did, or an event as one that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is, the same at its beginning and its end: `recovery r-7`, `receiver ops`, `event`.
    pub trouble: String,
    /// How much it mattered at its beginning.
    pub severity: Severity,
    /// What was said of it last.
    pub text: String,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The VM that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
    /// When it began.
    pub since_us: Time,
    /// When it ended, or ends by itself; none: it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<Time>,
}

/// A message to one receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The highest severity of what it tells.
    pub severity: Severity,
    /// What it is about, in one line.
    pub subject: String,
    /// What happened, the oldest first.
    pub events: Vec<NoticeEvent>,
    /// How many events more there were that are told by their number only.
    pub left_out: u64,
    /// Troubles, for receivers that keep track of them; empty for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
}
