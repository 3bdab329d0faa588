//! What is wrong with a declaration, and where.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Object;

/// The most problems that are told at once; more would hide the first.
pub const MAX_PROBLEMS: usize = 20;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: Arc<str>,
    /// The line, counted from 1; none where only the file is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Place {
    /// How a sentence about something in `near` speaks of this place: `line 41`, or `other.toml:41`.
    #[must_use]
    pub fn seen_from(&self, near: Option<&Self>) -> String {
        match (self.line, near) {
            (Some(line), Some(near)) if near.file == self.file => format!("line {line}"),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// Something wrong with a declaration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Where it is; none when the declaration did not come out of files (the API).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The thing that it is about; none when it is about a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// What is wrong and the way out, as sentences.
    pub text: String,
}

impl fmt::Display for Problem {
    /// `FILE:LINE: text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
