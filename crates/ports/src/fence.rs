use async_trait::async_trait;
use lifeboat_model::FenceName;
use serde::{Deserialize, Serialize};

use crate::{Cause, Retry};

/// A host's power, as its fence device reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// On, or going on or off: anything that is not surely off.
    On,
    /// Off.
    Off,
}

/// Cuts one host's power and reads it back. An IPMI and a Redfish interface of one BMC are two devices.
///
/// Every call ends within the time limit that the device was declared with, and no answer is an error, never a state. A
/// call that is dropped may or may not have been carried out. Calls may be made at once, also from several controllers.
#[async_trait]
pub trait FenceDevice: Send + Sync {
    /// Asks for the power to be cut at once, without the operating system being asked. Returns when the device has
    /// taken the order, which proves nothing: read [`power_state`](Self::power_state). Success when it is off already.
    async fn power_off(&self) -> Result<(), FenceError>;

    /// Reads the power.
    async fn power_state(&self) -> Result<PowerState, FenceError>;
}

/// Why a fence device did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("fence device {device} cannot {operation}: {problem}")]
pub struct FenceError {
    /// The device.
    pub device: FenceName,
    /// `cut the power`, `read the power`, `be set up`.
    pub operation: &'static str,
    /// What went wrong and what to do, for a person.
    pub problem: String,
    /// Whether the same call may succeed later.
    pub retry: Retry,
    /// The cause.
    #[source]
    pub source: Option<Cause>,
}
