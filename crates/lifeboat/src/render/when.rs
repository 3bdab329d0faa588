//! Points in time and spans, as an operator reads them: relative first, absolute beside it.

use jiff::{Timestamp, Zoned};
use lifeboat_model::{Seconds, Time};

use super::Look;

/// The time of day, with the date where it is not the same day as `now`.
pub fn clock(at: Time, now: Time, look: &Look) -> String {
    let (at, now) = (zoned(at, look), zoned(now, look));
    let form = if at.date() == now.date() { "%H:%M:%S" } else { "%b %d %H:%M" };
    at.strftime(form).to_string()
}

/// The date and the time of day to the second.
pub fn stamp(at: Time, look: &Look) -> String {
    zoned(at, look).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn zoned(at: Time, look: &Look) -> Zoned {
    let micros = i64::try_from(at.micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_zoned(look.zone.clone())
}

/// A span of whole seconds, as a person says it.
pub fn span(span: Seconds) -> String {
    Seconds::new(span.micros() / 1_000_000).to_string()
}

/// The age of something, as a person says it.
pub fn age(at: Time, now: Time) -> String {
    span(now.since(at))
}

/// `41 s ago (12:04:10)`.
pub fn ago(at: Time, now: Time, look: &Look) -> String {
    format!("{} ago ({})", age(at, now), clock(at, now, look))
}

/// `in 22 s (12:04:51)`, or `overdue since 5 s (12:04:51)`.
pub fn ahead(at: Time, now: Time, look: &Look) -> String {
    let clock = clock(at, now, look);
    if at >= now { format!("in {} ({clock})", age(now, at)) } else { format!("overdue by {} ({clock})", age(at, now)) }
}
