//! How bad it gets.

use std::{fmt, str::FromStr};

use super::draw::Kind;

/// How bad it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// One thing at a time, with time to recover between: a bad month.
    Calm,
    /// Things go wrong on top of each other: a bad day.
    Stormy,
    /// Everything at once, BMCs that lie and messages that repeat and overtake each other.
    Hell,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Calm, Self::Stormy, Self::Hell];

    /// The mean time between two mishaps, in seconds.
    pub(super) const fn pause_s(self) -> u64 {
        match self {
            Self::Calm => 300,
            Self::Stormy => 60,
            Self::Hell => 15,
        }
    }

    /// The longest that a mishap lasts, in seconds.
    pub(super) const fn longest_s(self) -> u64 {
        match self {
            Self::Calm => 120,
            Self::Stormy => 180,
            Self::Hell => 300,
        }
    }

    /// How often each kind of mishap is drawn.
    pub(super) const fn weight(self, kind: Kind) -> u64 {
        use Kind as K;
        match (self, kind) {
            (Self::Hell, K::BmcLies | K::Messages | K::Flaps | K::ControllerHangs) => 3,
            (_, K::BmcLies) => 0,
            (Self::Hell, _) => 2,
            (_, K::PowerLoss | K::Hang | K::Partition | K::VmDies | K::ControllerDies) => 4,
            (Self::Calm, K::RackPower | K::Flaps | K::ControllerDiesIn | K::StoreFlaky) => 0,
            _ => 1,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Calm => "calm",
            Self::Stormy => "stormy",
            Self::Hell => "hell",
        })
    }
}

/// A text is not a profile's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile `{0}`; there are calm, stormy and hell")]
pub struct NoSuchProfile(String);

impl FromStr for Profile {
    type Err = NoSuchProfile;
    fn from_str(text: &str) -> Result<Self, NoSuchProfile> {
        Self::ALL.into_iter().find(|profile| profile.to_string() == text).ok_or_else(|| NoSuchProfile(text.to_owned()))
    }
}
