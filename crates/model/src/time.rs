//! Spans and points in time, in whole microseconds, so that arithmetic is exact and the same everywhere.

use std::{fmt, ops};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const MICROS: u64 = 1_000_000;

/// The longest span that a document may name: ten years.
pub const MAX_SECONDS: u64 = 10 * 366 * 24 * 3600;

/// A span of time. Serialised as a number of seconds, fractions allowed; kept in whole microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds {
    micros: u64,
}

impl Seconds {
    /// No time at all.
    pub const ZERO: Self = Self { micros: 0 };

    /// A span of whole seconds.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self { micros: seconds * MICROS }
    }

    /// A span of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self { micros: millis * 1000 }
    }

    /// A span of microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// A span of seconds with fractions, rounded to the nearest microsecond; `None` when it is negative, not a number,
    /// or longer than [`MAX_SECONDS`].
    #[must_use]
    pub fn from_f64(seconds: f64) -> Option<Self> {
        let in_range = (0.0..=MAX_SECONDS as f64).contains(&seconds);
        in_range.then(|| Self { micros: (seconds * MICROS as f64).round() as u64 })
    }

    /// In whole microseconds.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.micros
    }

    /// In whole milliseconds, rounded down.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.micros / 1000
    }

    /// In seconds.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.micros as f64 / MICROS as f64
    }

    /// This span less another, or no time where the other is longer.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_sub(other.micros) }
    }
}

impl ops::Add for Seconds {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { micros: self.micros.saturating_add(other.micros) }
    }
}

impl ops::AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::Mul<u64> for Seconds {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        Self { micros: self.micros.saturating_mul(times) }
    }
}

impl std::iter::Sum for Seconds {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::ZERO, ops::Add::add)
    }
}

impl From<Seconds> for std::time::Duration {
    fn from(span: Seconds) -> Self {
        Self::from_micros(span.micros)
    }
}

impl fmt::Display for Seconds {
    /// As a person says it: `0.4 s`, `41 s`, `3 min 10 s`, `2 h 5 min`, `3 d 4 h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.micros / MICROS;
        let text = match s {
            0..10 if !self.micros.is_multiple_of(MICROS) => format!("{:.1} s", self.as_f64()),
            0..120 => format!("{s} s"),
            120..7200 if s.is_multiple_of(60) => format!("{} min", s / 60),
            120..7200 => format!("{} min {} s", s / 60, s % 60),
            7200..172_800 if s % 3600 < 60 => format!("{} h", s / 3600),
            7200..172_800 => format!("{} h {} min", s / 3600, s % 3600 / 60),
            _ if s % 86_400 < 3600 => format!("{} d", s / 86_400),
            _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
        };
        f.pad(&text)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of seconds from 0 to {MAX_SECONDS}")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Seconds, E> {
                Seconds::from_f64(value).ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Seconds, E> {
                if value > MAX_SECONDS {
                    return Err(E::invalid_value(de::Unexpected::Unsigned(value), &self));
                }
                Ok(Seconds::new(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Seconds, E> {
                let unsigned = u64::try_from(value);
                unsigned
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
                    .and_then(|v| self.visit_u64(v))
            }
        }
        from.deserialize_any(Visitor)
    }
}

/// A point in time: microseconds since 1970-01-01 UTC, as the body that feeds the brain reads it. A body guarantees
/// that it never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time {
    micros: u64,
}

impl Time {
    /// A point in time, in microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// In microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.micros
    }

    /// In seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.micros as f64 / MICROS as f64
    }

    /// The span from an earlier point to this one; no time when that one is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Seconds {
        Seconds::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

impl ops::Add<Seconds> for Time {
    type Output = Self;
    fn add(self, span: Seconds) -> Self {
        Self { micros: self.micros.saturating_add(span.micros()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_read_as_a_person_says_them() {
        let said = |s: f64| Seconds::from_f64(s).expect("in range").to_string();
        assert_eq!(said(0.4), "0.4 s");
        assert_eq!(said(41.0), "41 s");
        assert_eq!(said(190.0), "3 min 10 s");
        assert_eq!(said(600.0), "10 min");
        assert_eq!(said(7500.0), "2 h 5 min");
        assert_eq!(said(7201.0), "2 h");
        assert_eq!(said(12.0 * 86_400.0), "12 d");
    }

    #[test]
    fn absurd_seconds_are_refused() {
        for bad in ["-1", "-0.5", "1e12", "\"3\""] {
            assert!(serde_json::from_str::<Seconds>(bad).is_err(), "{bad} was taken");
        }
        assert_eq!(serde_json::from_str::<Seconds>("0.25").expect("a span").millis(), 250);
    }
}
