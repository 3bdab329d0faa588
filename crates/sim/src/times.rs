//! How long things take in a world: fixed, or drawn from a range, for all parts and for some of them.

use std::collections::BTreeMap;

use lifeboat_model::Seconds;
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Span {
    /// Always so long.
    Fixed(Seconds),
    /// Something from the first to the second, all equally likely.
    Between(Seconds, Seconds),
    /// As the first, and once in so many times as the second.
    Tail(Seconds, Seconds, u64),
}

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self::Fixed(Seconds::from_millis(millis))
    }

    /// The shortest that it can be.
    #[must_use]
    pub fn least(self) -> Seconds {
        match self {
            Self::Fixed(span) => span,
            Self::Between(least, most) => least.min(most),
            Self::Tail(mostly, rarely, _) => mostly.min(rarely),
        }
    }

    /// Draws.
    pub fn draw(self, random: &mut Random) -> Seconds {
        match self {
            Self::Fixed(span) => span,
            Self::Between(least, most) => random.between(least, most),
            Self::Tail(mostly, rarely, one_in) => {
                if random.below(one_in.max(1)) == 0 {
                    rarely
                } else {
                    mostly
                }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SpanText {
    Fixed(Seconds),
    Between([Seconds; 2]),
    Tail(TailText),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TailText {
    mostly: Seconds,
    rarely: Seconds,
    one_in: u64,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = SpanText::deserialize(from).map_err(|_| {
            D::Error::custom(
                "a time is a number of seconds, `[least, most]`, or `{ mostly = …, rarely = …, one_in = … }`",
            )
        })?;
        match text {
            SpanText::Fixed(span) => Ok(Self::Fixed(span)),
            SpanText::Between([least, most]) if least <= most => Ok(Self::Between(least, most)),
            SpanText::Between(_) => Err(D::Error::custom("`[least, most]` with the greater first")),
            SpanText::Tail(tail) if tail.one_in > 0 => Ok(Self::Tail(tail.mostly, tail.rarely, tail.one_in)),
            SpanText::Tail(_) => Err(D::Error::custom("`one_in` must be at least 1")),
        }
    }
}

macro_rules! times {
    ($($(#[$doc:meta])* $name:ident: $default:expr;)*) => {
        /// How long each thing takes.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub struct Times {
            $($(#[$doc])* pub $name: Span,)*
        }

        impl Default for Times {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// Some times, in place of others.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct SomeTimes {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<Span>,)*
        }

        /// The times of a scenario: for all parts, and for some of them by name.
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct TimesText {
            $($name: Option<Span>,)*
            pub(crate) of: BTreeMap<toml::Spanned<String>, SomeTimes>,
        }

        impl TimesText {
            /// Those for all parts.
            pub(crate) fn all(&self) -> SomeTimes {
                SomeTimes { $($name: self.$name,)* }
            }
        }

        impl SomeTimes {
            /// These times, and the others for those that are not here.
            #[must_use]
            pub fn over(&self, others: &Times) -> Times {
                Times { $($name: self.$name.unwrap_or(others.$name),)* }
            }
        }
    };
}

times! {
    /// From a host's power being on to its agent starting.
    host_boot: Span::Between(Seconds::new(40), Seconds::new(60));
    /// From an agent's death to its successor.
    agent_restart: Span::Fixed(Seconds::new(2));
    /// From a controller's death to its successor.
    controller_restart: Span::Fixed(Seconds::new(2));
    /// A BMC cutting a host's power and reading it back.
    fence: Span::Between(Seconds::new(1), Seconds::new(4));
    /// An array mapping a volume.
    map: Span::Between(Seconds::from_millis(20), Seconds::from_millis(200));
    /// An array unmapping a volume.
    unmap: Span::Between(Seconds::from_millis(20), Seconds::from_millis(200));
    /// An agent preparing a VM.
    configure: Span::Between(Seconds::from_millis(5), Seconds::from_millis(50));
    /// From an agent's being told to start a VM to its process running.
    launch: Span::Between(Seconds::from_millis(100), Seconds::from_millis(600));
    /// From a VM's process running to its answering.
    guest_boot: Span::Between(Seconds::new(3), Seconds::new(6));
    /// A guest shutting down when asked.
    guest_stop: Span::Between(Seconds::new(1), Seconds::new(4));
    /// A message from one machine to another.
    latency: Span::Between(Seconds::from_micros(200), Seconds::from_micros(800));
    /// An agent's record becoming durable.
    disk: Span::Between(Seconds::from_micros(300), Seconds::from_micros(2000));
    /// A controller's transaction becoming durable.
    commit: Span::Between(Seconds::from_millis(1), Seconds::from_millis(8));
}

/// The times of a world: for all parts, and for some of them.
#[derive(Clone, Debug, Default)]
pub struct WorldTimes {
    /// For all that is not named.
    pub all: Times,
    /// For parts by name: a host's, an array's, a VM's.
    pub of: BTreeMap<String, Times>,
}

impl WorldTimes {
    /// The times of a part.
    #[must_use]
    pub fn of(&self, name: &str) -> &Times {
        if self.of.is_empty() { &self.all } else { self.of.get(name).unwrap_or(&self.all) }
    }
}
