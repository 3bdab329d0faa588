//! What is wrong with one value of a file, before it is known whose it is.

use std::{fmt, ops::Range};

use serde::de::{self, Expected, Unexpected};

use super::nearest::nearest;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A field that does not exist.
    Unknown { field: String, known: &'static [&'static str] },
    /// A field that must be there and is not.
    Missing(&'static str),
    /// A field of a tagged choice is none of its words.
    Choice { found: String, known: &'static [&'static str] },
    /// A value of another type, or out of range.
    Value { found: String, expected: String },
    /// Anything else, in its own words.
    Other(String),
}

/// Something wrong, where, and on which path below the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) wrong: Wrong,
    /// Bytes in the text; none until a value around it adds its own.
    pub(super) span: Option<Range<usize>>,
    /// From the object down: `fence`, `[0]`, `url`.
    pub(super) path: Vec<String>,
}

impl Fault {
    fn new(wrong: Wrong) -> Self {
        Self { wrong, span: None, path: Vec::new() }
    }

    /// The same, here, unless a more exact place is known.
    pub(super) fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    /// The same, one step further down.
    pub(super) fn below(mut self, step: impl fmt::Display) -> Self {
        self.path.insert(0, step.to_string());
        self
    }

    /// The fault as sentences about `whose`, with the way out.
    pub(super) fn sentence(&self, whose: &str) -> String {
        let at = path_text(&self.path);
        let of = if at.is_empty() { whose.to_owned() } else { format!("`{at}` of {whose}") };
        match &self.wrong {
            Wrong::Unknown { field, known } => match nearest(field, known.iter().copied()) {
                Some(meant) => format!("{of} has no field `{field}`; did you mean `{meant}`?"),
                None => format!("{of} has no field `{field}`. It takes {}.", list(known)),
            },
            Wrong::Missing(field) => format!("{of} lacks `{field}`. Add it{}.", example(field)),
            Wrong::Choice { found, known } => match nearest(found, known.iter().copied()) {
                Some(meant) => format!("{of} is `{found}`; did you mean `{meant}`?"),
                None => format!("{of} is `{found}`. It may be {}.", list(known)),
            },
            Wrong::Value { found, expected } => format!("{of} is {found}; it must be {expected}."),
            Wrong::Other(text) => format!("{of}: {text}."),
        }
    }
}

fn path_text(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        if !text.is_empty() && !step.starts_with('[') {
            text.push('.');
        }
        text.push_str(step);
    }
    text
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "no fields".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// How a field is written, where its name alone does not say it.
fn example(field: &str) -> String {
    let example = match field {
        "name" => "name = \"web-1\"",
        "class" => "class = \"gold\"",
        "array" => "array = \"a1\"",
        "capacity" => "capacity = { cpu_milli = 16000, memory_mib = 65536 }",
        "demand" => "demand = { cpu_milli = 1000, memory_mib = 2048 }",
        "rto_s" => "rto_s = 600",
        "stages" => "stages = [[\"db-1\"], [\"web-1\", \"web-2\"]]",
        "vms" => "vms = [\"web-1\", \"web-2\"]",
        "url" => "url = \"https://bmc-h1.example\"",
        "user" => "user = \"lifeboat\"",
        "password_file" => "password_file = \"/etc/lifeboat/bmc-h1.password\"",
        "agent" => "agent = \"fence_ipmilan\"",
        "directory" => "directory = \"/srv/volumes\"",
        "hosts" => "hosts = { h1 = { qmp = \"/run/qsd-h1.sock\", host = \"10.0.0.1\", port = 10809 } }",
        "bridge" => "bridge = \"br0\"",
        "mac" => "mac = \"52:54:00:00:00:01\"",
        "address" => "address = \"10.0.0.7:22\"",
        "fence_s" => "fence_s = 15",
        "starts_per_host" => "starts_per_host = 4",
        "maps_per_host" => "maps_per_host = 4",
        _ => return String::new(),
    };
    format!(", for example `{example}`")
}

/// What was found, in an operator's words.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => {
            let short: String = text.chars().take(60).collect();
            format!("the text \"{short}\"")
        }
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// What is expected, in an operator's words: serde speaks of Rust's types.
fn expected(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u64" => "a whole number from 0 up".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "i64" => "a whole number".to_owned(),
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        _ if text.starts_with("struct ") || text.contains(" enum ") => "a table".to_owned(),
        _ => text,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence("the value"))
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Wrong::Other(text.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(Wrong::Value { found: found(unexpected), expected: expected(wanted) })
    }

    fn invalid_value(unexpected: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, wanted)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Wrong::Choice { found: variant.chars().take(60).collect(), known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Wrong::Unknown { field: field.chars().take(60).collect(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Wrong::Missing(field))
    }
}
