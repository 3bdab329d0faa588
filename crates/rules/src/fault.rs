//! What is wrong with rules.

use std::fmt;

use lifeboat_model::declaration::{Object, Places, Problem};

/// The most faults that are told at once.
pub const MAX_FAULTS: usize = 100;

/// Something that is wrong with a rule, or comes out wrong for a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule.
    pub rule: Object,
    /// Its field.
    pub field: &'static str,
    /// What, as sentences that name the rule, the VM where there is one, and the way out.
    pub text: String,
}

impl Fault {
    /// The fault as a problem with a declaration, at its line where the files are known.
    #[must_use]
    pub fn problem(self, places: &Places) -> Problem {
        Problem { place: places.field(&self.rule, self.field), object: Some(self.rule), text: self.text }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}
