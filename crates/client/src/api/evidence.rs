//! What is known of a host, and what is judged by it.

use lifeboat_model::{
    HostName, Seconds, Time,
    liveness::{Evidence, Judgement, PolicyName},
};
use serde::{Deserialize, Serialize};

/// How quickly a host is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name; none: the settings for all that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<PolicyName>,
    /// Between heartbeats.
    pub heartbeat_s: Seconds,
    /// Of silence, then it is suspect.
    pub suspect_after_s: Seconds,
    /// Of silence, then it counts as lost unless something says that it lives.
    pub lost_after_s: Seconds,
}

/// A host's evidence: what each source says, when it said so, and the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceView {
    /// The host.
    pub host: HostName,
    /// The controller's time of this view.
    pub now_us: Time,
    /// The verdict, with its rule; none: its agent never joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// The rule, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// How quickly it is judged.
    pub policy: PolicyView,
    /// What each source said last; at most 25, its agent first.
    pub evidence: Vec<Evidence>,
    /// What they said when it was declared failed; empty: it is up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when_declared: Vec<Evidence>,
    /// Earlier verdicts, the oldest first; at most 8.
    #[serde(default)]
    pub earlier: Vec<Judgement>,
}
