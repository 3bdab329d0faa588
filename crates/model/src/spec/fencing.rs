//! How a failed host is made unable to run its VMs, as declared: its ladder, and what it does when it is cut off.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FenceName;

/// A rung of a ladder, as declared. Beside the rungs that are listed an operator's word is always one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RungSpec {
    /// [`POWER`](Self::POWER), [`STORAGE`](Self::STORAGE), [`LEASE`](Self::LEASE), or the name of one device.
    One(String),
    /// Devices that must be confirmed off together, such as two power supplies.
    Together(Vec<FenceName>),
}

impl RungSpec {
    /// Every fence device that the host declares, one after the other.
    pub const POWER: &'static str = "power";
    /// The host's volumes confirmed cut at their arrays, and its self-fencing deadline past.
    pub const STORAGE: &'static str = "storage";
    /// The host's lease run out, with a guard beside its agent.
    pub const LEASE: &'static str = "lease";
    /// Words that are rungs, so that no device may have them for a name.
    pub const WORDS: [&'static str; 3] = [Self::POWER, Self::STORAGE, Self::LEASE];

    /// The ladder where nobody declares one.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        [Self::POWER, Self::LEASE].map(|word| Self::One(word.to_owned())).to_vec()
    }
}

/// What a host does whose agent cannot renew its lease, since it is cut off from the controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// It keeps its VMs. Then a lease that runs out proves nothing.
    #[default]
    Keep,
    /// It kills its VMs when the lease runs out.
    Stop,
    /// It asks its VMs to shut down half-way through the lease, but for those of the most important class that it has;
    /// what is left is killed when the lease runs out.
    StopCriticalLast,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Stop => "stop",
            Self::StopCriticalLast => "stop-critical-last",
        })
    }
}
