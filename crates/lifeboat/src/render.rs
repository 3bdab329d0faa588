//! What an operator sees: pure functions from the API's views to text.
//!
//! Nothing here reads a clock, a terminal or the environment: [`Look`] says how wide and how colourful the text may be
//! and in which time zone, the views say what time it is at the controller. So each screen can be tested as it is.

pub mod checks;
pub mod drill;
pub mod drilled;
pub mod event;
pub mod evidence;
pub mod explain;
pub mod fence;
pub mod outcome;
pub mod paint;
pub mod paper;
pub mod plan;
pub mod progress;
pub mod reason;
pub mod recovery;
pub mod rolling;
pub mod rows;
pub mod rules;
pub mod scenario;
pub mod status;
pub mod swarm;
pub mod table;
pub mod when;
pub mod wrap;

#[cfg(test)]
mod samples;

use jiff::tz::TimeZone;
pub use lifeboat_model::text::{count, counted};

/// How text may look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Columns of the terminal; none: no terminal, so nothing is cut or wrapped.
    pub width: Option<usize>,
    /// Whether colours may be used.
    pub colour: bool,
    /// The operator's time zone.
    pub zone: TimeZone,
}
