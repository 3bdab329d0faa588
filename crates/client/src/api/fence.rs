//! The ladder by which a failed host is made unable to run its VMs, as an operator sees it.

use std::fmt;

use lifeboat_model::{FenceName, HostName, Seconds, Time};
use serde::{Deserialize, Serialize};

/// How a rung stands in a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungState {
    /// It has not been tried.
    Waiting,
    /// It is being tried, or its time is not over.
    Trying,
    /// It was tried and is no proof yet; it is tried again.
    Failed,
    /// As things are it can be no proof.
    Unavailable,
    /// It is the proof.
    Proven,
}

impl fmt::Display for RungState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Trying => "under way",
            Self::Failed => "failed",
            Self::Unavailable => "not possible",
            Self::Proven => "proven",
        })
    }
}

/// What one of a rung's devices said last in a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungDevice {
    /// The device.
    pub name: FenceName,
    /// When.
    pub at_us: Time,
    /// What was wrong; none: it read as off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A rung in a recovery, in the order in which they are tried. Beside them an operator's word is always one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungRow {
    /// What it is, for a person: `power by bmc-h2`, `storage`, `lease`.
    pub rung: String,
    /// How it stands.
    pub state: RungState,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u64,
    /// What came of it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_us: Option<Time>,
    /// What its devices said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<RungDevice>,
}

/// A fence device that was read, nothing being cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTest {
    /// The device.
    pub name: FenceName,
    /// What it is, for a person: `redfish`, `fence_ipmilan`.
    pub kind: String,
    /// Whether it says that the power is on; none: it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    /// What is wrong; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How long it took to answer.
    pub took_s: Seconds,
}

/// What a rung would do if the host failed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungTest {
    /// See [`RungRow::rung`].
    pub rung: String,
    /// Whether it would be proof, as far as can be known in peace.
    pub works: bool,
    /// Why.
    pub said: String,
}

/// What `lifeboat fence test` found. Nothing was cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceTest {
    /// The host.
    pub host: HostName,
    /// The controller's time of this test.
    pub now_us: Time,
    /// Its devices.
    pub devices: Vec<DeviceTest>,
    /// Its ladder, in the order in which it is tried.
    pub rungs: Vec<RungTest>,
}

impl FenceTest {
    /// Whether a failure of the host would be recovered from without a person.
    #[must_use]
    pub fn works(&self) -> bool {
        self.rungs.iter().any(|rung| rung.works)
    }
}
