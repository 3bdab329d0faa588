//! The expectations as they are written.

use std::{collections::BTreeMap, fmt};

use lifeboat_model::Seconds;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

/// A name and its place in the file.
pub(super) type Word = Spanned<String>;
/// What is expected by name.
pub(super) type Table<T> = BTreeMap<Word, T>;

/// One name, or several of which any will do.
#[derive(Clone, Debug)]
pub(super) struct AnyOf(pub Vec<String>);

impl<'de> Deserialize<'de> for AnyOf {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> de::Visitor<'de> for Names {
            type Value = AnyOf;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name in quotes or a list of names")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<AnyOf, E> {
                Ok(AnyOf(vec![name.to_owned()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<AnyOf, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(AnyOf(names))
            }
        }
        from.deserialize_any(Names)
    }
}

/// Something that is to be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventText {
    /// A part of its text.
    pub text: Word,
    /// How often; none: at least once.
    #[serde(default)]
    pub times: Option<u64>,
    /// The first of them not before this, since the script began.
    #[serde(default)]
    pub from_s: Option<Seconds>,
    /// The first of them not after this.
    #[serde(default)]
    pub to_s: Option<Seconds>,
}

/// All that may be expected.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::scenario) struct ExpectText {
    pub(super) host: Table<AnyOf>,
    pub(super) state: Table<String>,
    pub(super) unplaced: Table<String>,
    pub(super) starts: Table<u64>,
    pub(super) started_on: Table<Vec<Word>>,
    pub(super) untouched: Vec<Word>,
    pub(super) all_up: bool,
    pub(super) apart: Vec<Vec<Word>>,
    pub(super) together: Vec<Vec<Word>>,
    pub(super) order: Vec<Vec<Word>>,
    pub(super) within: Table<Seconds>,
    pub(super) at_least: Table<Seconds>,
    pub(super) recovered_s: Option<Seconds>,
    pub(super) declared: Option<Vec<Word>>,
    pub(super) fenced: Option<Vec<Word>>,
    pub(super) fenced_by: Table<String>,
    pub(super) said: Vec<Word>,
    pub(super) not_said: Vec<Word>,
    pub(super) sequence: Vec<String>,
    pub(super) event: Vec<EventText>,
    pub(super) happened: Vec<Word>,
    pub(super) not_happened: Vec<Word>,
    pub(super) refused: Vec<String>,
    pub(super) calm: bool,
    pub(super) at_rest: Option<bool>,
}
