//! Drills.

use lifeboat_model::drill::{Report, Worse};
use serde::{Deserialize, Serialize};

/// What the last drill found, beside an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    /// The last; none: there was none yet.
    #[serde(default)]
    pub last: Option<Report>,
    /// The last before it that said something else.
    #[serde(default)]
    pub earlier: Option<Report>,
    /// In which ways the last is worse.
    #[serde(default)]
    pub worse: Vec<Worse>,
}
