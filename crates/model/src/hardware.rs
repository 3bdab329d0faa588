//! What is known of a host's hardware: readings of sources that tell of its going bad before it fails.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Time;

/// Who tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardwareSource {
    /// Computations that are repeated and compared.
    Diagnostic,
    /// The kernel's counters of memory errors (EDAC).
    Memory,
    /// Machine checks and other errors that rasdaemon has written down.
    MachineChecks,
    /// What disks say of themselves (SMART).
    Disks,
    /// Temperatures and fans that the host's BMC tells the controller of (Redfish).
    Sensors,
}

impl HardwareSource {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Diagnostic, Self::Memory, Self::MachineChecks, Self::Disks, Self::Sensors];
}

impl fmt::Display for HardwareSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Diagnostic => "diagnostic",
            Self::Memory => "memory",
            Self::MachineChecks => "machine checks",
            Self::Disks => "disks",
            Self::Sensors => "sensors",
        })
    }
}

/// What a source says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareReading {
    /// The source.
    pub source: HardwareSource,
    /// Why there is no such source on this host; none: there is. A source that is absent says nothing, good or bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
    /// Errors that were corrected, as far back as the source counts.
    #[serde(default)]
    pub corrected: u64,
    /// Errors that were not.
    #[serde(default)]
    pub uncorrected: u64,
    /// What is wrong now, one sentence each; at most [`MAX_FAULTS`].
    #[serde(default)]
    pub faults: Vec<String>,
    /// Degrees (°C) that are left to the nearest critical threshold; none: the source has no thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<u32>,
    /// What was looked at, for a person.
    pub detail: String,
}

/// Faults of a reading, at most.
pub const MAX_FAULTS: usize = 8;
/// Characters of a text in a reading, at most.
pub const MAX_TEXT: usize = 300;

impl HardwareReading {
    /// A source that is there and found nothing.
    #[must_use]
    pub fn of(source: HardwareSource, detail: impl Into<String>) -> Self {
        let (absent, faults) = (None, Vec::new());
        Self { source, absent, corrected: 0, uncorrected: 0, faults, margin: None, detail: detail.into() }
    }

    /// A source that this host has not.
    #[must_use]
    pub fn absent(source: HardwareSource, why: impl Into<String>) -> Self {
        Self { absent: Some(why.into()), ..Self::of(source, "") }
    }

    /// The same with its texts and lists within their bounds, whatever an agent said.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let cut = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
        };
        self.faults.truncate(MAX_FAULTS);
        for fault in &mut self.faults {
            *fault = cut(fault);
        }
        self.detail = cut(&self.detail);
        self.absent = self.absent.as_deref().map(cut);
        self
    }
}

/// A reading with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareSeen {
    /// When it came.
    pub at_us: Time,
    /// What it says.
    #[serde(flatten)]
    pub reading: HardwareReading,
}
