//! Requests that change something, and what came of them.

use lifeboat_model::{HostName, OperatorName, Seconds, Time, declaration::Object};
use serde::{Deserialize, Serialize};

use super::HostRow;

/// What came of an apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOutcome {
    /// What did not exist before.
    pub created: Vec<Object>,
    /// What existed and is different now.
    pub changed: Vec<Object>,
    /// How many existed and are the same.
    pub unchanged: u64,
    /// Whether the limits are different now.
    #[serde(default)]
    pub limits_changed: bool,
    /// What was taken, and should be looked at: one sentence each, with a way out.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What came of a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// What is gone.
    pub object: Object,
    /// What was done on the way, one sentence each (`VM db-1 is being stopped on h2`).
    #[serde(default)]
    pub notes: Vec<String>,
}

/// An operator's word that a host has no power: the last rung of the fencing ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOff {
    /// The host, once more, so that a slip in the path is found.
    pub host: HostName,
}

/// What came of an operator's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedOff {
    /// The host.
    pub host: HostName,
    /// The recovery that goes on by it.
    pub recovery: u64,
}

/// A host is kept from getting VMs, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRequest {
    /// Whether it is.
    pub on: bool,
    /// Why, for other people: one line of at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// After this it ends by itself; none: when it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_after_s: Option<Seconds>,
}

/// A host, after an order for it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostOrdered {
    /// The host as it is now.
    pub host: HostRow,
    /// Whether the order changed anything.
    pub changed: bool,
    /// What was taken, and should be looked at: one sentence each, with a way out.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What to plan for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// Hosts that are supposed to fail, all at once.
    pub failed: Vec<HostName>,
}

/// A token is asked for, with which a host's agent joins once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The host.
    pub host: HostName,
}

/// A token. A secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIssued {
    /// The host that it lets in.
    pub host: HostName,
    /// The token.
    pub token: String,
    /// When it is no longer taken.
    pub expires_us: Time,
}

impl std::fmt::Debug for TokenIssued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssued")
            .field("host", &self.host)
            .field("expires_us", &self.expires_us)
            .finish_non_exhaustive()
    }
}

/// A certificate is asked for, with which an operator gives orders over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRequest {
    /// The operator.
    pub name: OperatorName,
    /// The PEM certificate request; its private key never leaves the operator's machine.
    pub csr_pem: String,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorIssued {
    /// The operator's certificate, PEM.
    pub cert_pem: String,
    /// The authority that the controller's certificate chains to, PEM.
    pub ca_pem: String,
}
