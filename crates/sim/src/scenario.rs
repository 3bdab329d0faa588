//! Scenario files: a fleet, a script of timed commands, and what must come of it. `docs/scenarios.md` is their manual.
//!
//! # Theory of operation
//!
//! [`read`] splits a file into its declaration sections, which are read as operators' declarations are, and the rest, and
//! checks every name that the [`script`] and the expectations use. [`run`] lets the fleet come up, which is time 0, obeys
//! the script line by line, waits until nothing happens any more, and holds the [`expect`]ations and all promises against
//! the world.

use std::fmt;

use lifeboat_model::{Seconds, declaration::Place};
use serde::Serialize;

mod course;
mod expect;
mod read;
mod run;
mod script;
mod sections;

pub use expect::Expect;
pub use read::{MAX_BYTES, read};
pub use run::{Report, TimelineLine, run};
pub use script::{Command, Step, When};

use crate::world::WorldSettings;

/// A scenario that may be run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it shows.
    pub about: String,
    /// Its world.
    pub settings: WorldSettings,
    /// VMs and rules that are declared only when the script adds them.
    pub later: lifeboat_model::spec::Declaration,
    /// What happens.
    pub steps: Vec<Step>,
    /// How long the fleet has to come to rest after the script.
    pub limit: Seconds,
    /// What must come of it.
    pub expect: Expect,
}

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, and the way out.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
