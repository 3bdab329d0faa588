//! What a declaration is made of, and how one speaks of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of thing that is declared and has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An SLA class.
    Class,
    /// A host.
    Host,
    /// An array.
    Array,
    /// A volume.
    Volume,
    /// A VM.
    Vm,
    /// A dependency group.
    Group,
    /// A placement rule.
    Rule,
    /// A restart rule.
    Restart,
    /// A start order.
    Order,
    /// A check of VMs.
    Check,
}

impl Kind {
    /// All kinds, in the order in which they are spoken of.
    pub const ALL: [Self; 10] = [
        Self::Class,
        Self::Host,
        Self::Array,
        Self::Volume,
        Self::Vm,
        Self::Group,
        Self::Rule,
        Self::Restart,
        Self::Order,
        Self::Check,
    ];

    /// The word for one, as in a file's `[[vm]]` and in `lifeboat delete vm NAME`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Host => "host",
            Self::Array => "array",
            Self::Volume => "volume",
            Self::Vm => "vm",
            Self::Group => "group",
            Self::Rule => "rule",
            Self::Restart => "restart",
            Self::Order => "order",
            Self::Check => "check",
        }
    }

    /// The word for many, as in the API's paths.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Class => "classes",
            Self::Host => "hosts",
            Self::Array => "arrays",
            Self::Volume => "volumes",
            Self::Vm => "vms",
            Self::Group => "groups",
            Self::Rule => "rules",
            Self::Restart => "restarts",
            Self::Order => "orders",
            Self::Check => "checks",
        }
    }

    /// The kind that a word stands for, one or many of it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| word == kind.key() || word == kind.plural())
    }
}

impl fmt::Display for Kind {
    /// As it stands in a sentence: `VM`, `host`, `restart rule`, …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Vm => "VM",
            Self::Restart => "restart rule",
            Self::Order => "start order",
            other => other.key(),
        })
    }
}

/// One declared thing: its kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
}

impl Object {
    /// The thing of this kind and name.
    pub fn new(kind: Kind, name: impl fmt::Display) -> Self {
        Self { kind, name: name.to_string() }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_words() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.key()), Some(kind));
            assert_eq!(Kind::from_word(kind.plural()), Some(kind));
        }
        assert_eq!(Kind::from_word("node"), None);
    }
}
