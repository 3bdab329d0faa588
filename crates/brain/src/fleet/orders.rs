//! What operators order and what they are told.

use lifeboat_model::{HostName, Seconds, VmName, spec::Declaration};
pub use lifeboat_model::{action::VmAction, declaration::Kind};
use serde::{Deserialize, Serialize};

/// What an operator wants.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorOrder {
    /// Make the fleet so: create what is new, change what differs, leave the rest.
    Apply(Box<Declaration>),
    /// Forget an object.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// Do something with a VM.
    Vm {
        /// The VM.
        vm: VmName,
        /// What.
        action: VmAction,
    },
    /// The operator gives their word that a failed host is off and stays off until it has booted anew.
    ConfirmOff {
        /// The host.
        host: HostName,
    },
    /// Move a VM to a host. Until VMs move while they run, it is stopped and started.
    Move {
        /// The VM.
        vm: VmName,
        /// Where to.
        to: HostName,
    },
    /// Empty a host: it gets no VMs any more, and those that it has move elsewhere as far as there is room. An order to end
    /// its maintenance ends this too.
    Drain {
        /// The host.
        host: HostName,
    },
    /// Bring the VMs that belong to a host back to it.
    Failback {
        /// The host.
        host: HostName,
    },
    /// Keep a host from getting VMs, or let it have them again.
    Maintenance {
        /// The host.
        host: HostName,
        /// Whether it is in maintenance.
        on: bool,
        /// Why, for other people; none: what was noted before stays.
        note: Option<String>,
        /// After this it ends by itself; none: when it is ended.
        ends_after: Option<Seconds>,
    },
}

impl OperatorOrder {
    /// A host is in maintenance until an operator ends it, or no longer.
    #[must_use]
    pub const fn maintenance(host: HostName, on: bool) -> Self {
        Self::Maintenance { host, on, note: None, ends_after: None }
    }
}

/// What an operator is told when their order was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Objects that are new.
    pub created: Vec<String>,
    /// Objects that differ from before.
    pub changed: Vec<String>,
    /// How many objects are as they were.
    pub unchanged: u64,
    /// What the operator should know beside.
    pub warnings: Vec<String>,
}

/// Why an operator's order was not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// Why, for a person.
    pub message: String,
    /// What to do, for a person.
    pub advice: Option<String>,
}

/// Kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The order itself is wrong.
    Invalid,
    /// It names what is not there.
    NotFound,
    /// It cannot be done as things are.
    Conflict,
}
