//! Receivers of what people are told.

use lifeboat_model::Time;
use serde::{Deserialize, Serialize};

use super::Severity;

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverRow {
    /// Its name.
    pub name: String,
    /// What it is: `webhook`, `alertmanager`, `mail`, `command`, `log`.
    pub kind: String,
    /// Where it leads.
    pub target: String,
    /// It is told of what matters at least so much.
    pub severity: Severity,
    /// When it took a message last; none: not since this controller began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_us: Option<Time>,
    /// Events that wait to be told.
    pub waiting: u64,
    /// Events that it could not be told; it will be told their number.
    pub lost: u64,
    /// Whether what waits is held back by its rate.
    pub held_back: bool,
    /// What went wrong last; none: it takes messages, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What came of a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyTested {
    /// The receiver.
    pub name: String,
    /// Where it leads.
    pub target: String,
    /// What was not quite as it should be although it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Why it was not taken; none: it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
