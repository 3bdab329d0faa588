//! What an operator may order for a VM.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an operator may order for a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmAction {
    /// Make it run, and keep it running.
    Start,
    /// Stop it, and keep it stopped.
    Stop,
    /// Stop and start it where it is.
    Restart,
    /// Leave it alone from now on: it is neither restarted nor recovered.
    Disable,
    /// Take care of it again.
    Enable,
}

impl VmAction {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Start, Self::Stop, Self::Restart, Self::Disable, Self::Enable];

    /// The word for it, as in the path.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Disable => "disable",
            Self::Enable => "enable",
        }
    }
}

impl fmt::Display for VmAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
