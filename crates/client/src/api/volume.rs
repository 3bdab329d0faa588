//! A volume, as an operator sees it.

use std::fmt;

use lifeboat_model::{ArrayName, Generation, HostName, Time, VmName, VolumeName};
use serde::{Deserialize, Serialize};

/// Where a volume shall be mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shall_be", rename_all = "snake_case")]
pub enum VolumeIntent {
    /// To this host.
    Mapped {
        /// The host.
        host: HostName,
    },
    /// To none.
    Unmapped,
}

/// Where a volume stands against its intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeState {
    /// As intended.
    Settled,
    /// Being mapped or unmapped.
    Moving,
    /// Its array did not do it; see [`VolumeRow::problem`]. It is tried again.
    Failing,
    /// Its array has not been asked yet.
    Unknown,
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settled => "settled",
            Self::Moving => "moving",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        })
    }
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    /// Its name.
    pub name: VolumeName,
    /// The array that serves it.
    pub array: ArrayName,
    /// Its size in GiB.
    pub size_gib: u64,
    /// The VM that it belongs to.
    pub vm: Option<VmName>,
    /// The host that it is mapped to, as far as is known.
    pub host: Option<HostName>,
    /// Where it shall be.
    pub intent: VolumeIntent,
    /// How far that is.
    pub state: VolumeState,
    /// Since when.
    pub since_us: Time,
    /// Of the intent for it.
    pub generation: Generation,
    /// What its array said when it did not do it, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
