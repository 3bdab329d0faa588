//! What an operator may set of a receiver. `docs/settings.md` lists the same values.

use lifeboat_model::{Seconds, notice::Severity};
use serde::{Deserialize, Serialize};

/// What a receiver is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// Messages for people: what happened.
    #[default]
    Messages,
    /// Alerts: what is the matter now.
    Alerts,
}

/// A receiver's settings, apart from how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiverSettings {
    /// Its name.
    pub name: String,
    /// What it is told.
    #[serde(skip)]
    pub style: Style,
    /// It is told of what matters at least so much.
    pub severity: Severity,
    /// For so long the events of one recovery, host or VM gather before they are told.
    pub wait_s: Seconds,
    /// For so long they gather after a message, unless one of them is critical or the last.
    pub pause_s: Seconds,
    /// Messages an hour, at most, after the first `burst`.
    pub per_hour: u32,
    /// Messages in a row, at most.
    pub burst: u32,
    /// Times that a message is tried.
    pub attempts: u32,
    /// Alerts that last are said again after this.
    pub repeat_s: Seconds,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            style: Style::Messages,
            severity: Severity::Warning,
            wait_s: Seconds::new(5),
            pause_s: Seconds::new(60),
            per_hour: 30,
            burst: 10,
            attempts: 8,
            repeat_s: Seconds::new(60),
        }
    }
}

impl ReceiverSettings {
    /// Checks that the values are in their ranges.
    ///
    /// # Errors
    /// A sentence that names the setting and what it must be.
    pub fn validate(&self) -> Result<(), String> {
        let name = &self.name;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
            return Err(format!(
                "the receiver `{name}` has no good name: it must have 1 to 63 lower-case letters, digits or `-`"
            ));
        }
        let hour = Seconds::new(3600);
        if self.wait_s > hour || self.pause_s > hour * 24 {
            return Err(format!("receiver {name}: wait_s must be at most 3600 and pause_s at most 86400"));
        }
        if !(1..=3600).contains(&self.per_hour) || !(1..=1000).contains(&self.burst) {
            return Err(format!("receiver {name}: per_hour must be from 1 to 3600 and burst from 1 to 1000"));
        }
        if !(1..=20).contains(&self.attempts) {
            return Err(format!("receiver {name}: attempts must be from 1 to 20"));
        }
        if self.repeat_s < Seconds::new(5) || self.repeat_s > hour {
            return Err(format!("receiver {name}: repeat_s must be from 5 to 3600"));
        }
        Ok(())
    }
}
