//! What a look at a VM saw: a check's status, its words, and what it measured.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters of a check's words that are kept.
pub const MAX_OUTPUT_CHARS: usize = 400;
/// The most measured values of one look that are kept.
pub const MAX_PERFORMANCE: usize = 32;

/// What a look at a VM came to: the four states of the monitoring plugins' guidelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It is well.
    Ok,
    /// It answers, and somebody should look at it.
    Warning,
    /// It does not do what it is for.
    Critical,
    /// The check itself could not be made, so nothing is known of the VM.
    Unknown,
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        })
    }
}

/// One value that a look measured. The numbers stay the text that they came as, so that none is rounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performance {
    /// What was measured.
    pub label: String,
    /// The number.
    pub value: String,
    /// Its unit: `s`, `ms`, `%`, `B`, `c`, …; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// From where on the plugin warns; may be a range.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warning: String,
    /// From where on it is critical.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub critical: String,
}

impl fmt::Display for Performance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}{}", self.label, self.value, self.unit)
    }
}

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// What it came to.
    pub status: CheckStatus,
    /// In one line what was seen, for a person.
    pub output: String,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub performance: Vec<Performance>,
}

impl CheckReport {
    /// A report without measured values, its words made into one line of at most [`MAX_OUTPUT_CHARS`].
    #[must_use]
    pub fn new(status: CheckStatus, output: &str) -> Self {
        Self { status, output: one_line(output), performance: Vec::new() }
    }

    /// Whether what was looked at answers: well, or with a warning.
    #[must_use]
    pub const fn answers(&self) -> bool {
        matches!(self.status, CheckStatus::Ok | CheckStatus::Warning)
    }

    /// The report as it is kept and told: everything in it bounded, whoever made it.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.output = one_line(&self.output);
        self.performance.truncate(MAX_PERFORMANCE);
        for value in &mut self.performance {
            let Performance { label, value, unit, warning, critical } = value;
            for text in [label, value, unit, warning, critical] {
                if text.chars().count() > 64 || text.chars().any(char::is_control) {
                    *text = text.chars().filter(|c| !c.is_control()).take(64).collect();
                }
            }
        }
        self
    }
}

/// A text as one line without control characters, of at most [`MAX_OUTPUT_CHARS`].
fn one_line(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line = String::new();
    for word in visible.collect::<String>().split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.chars().count() > MAX_OUTPUT_CHARS {
        line = line.chars().take(MAX_OUTPUT_CHARS - 1).chain(['…']).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_one_bounded_line() {
        let report = CheckReport::new(CheckStatus::Critical, " a\n\tb\u{1b}[31m c ");
        assert_eq!(report.output, "a b [31m c");
        let long = CheckReport::new(CheckStatus::Ok, &"word ".repeat(1000));
        assert_eq!(long.output.chars().count(), MAX_OUTPUT_CHARS);
        assert!(long.output.ends_with('…'));
    }

    #[test]
    fn a_report_from_outside_is_bounded_in_every_part() {
        let value = Performance {
            label: "l".repeat(1000),
            value: "1".to_owned(),
            unit: "m\ns".to_owned(),
            warning: String::new(),
            critical: String::new(),
        };
        let report =
            CheckReport { status: CheckStatus::Ok, output: "x\n".repeat(10_000), performance: vec![value; 999] };
        let bounded = report.bounded();
        assert!(bounded.output.chars().count() <= MAX_OUTPUT_CHARS && !bounded.output.contains('\n'));
        assert_eq!(bounded.performance.len(), MAX_PERFORMANCE);
        assert_eq!((bounded.performance[0].label.len(), bounded.performance[0].unit.as_str()), (64, "ms"));
    }
}
