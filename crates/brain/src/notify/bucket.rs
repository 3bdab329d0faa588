//! A token bucket in whole microseconds.

use lifeboat_model::{Seconds, Time};

/// Lets so many pass at once, and so many an hour after that.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The time in which one token comes.
    period: Seconds,
    /// What it holds at most, as time.
    size: Seconds,
    /// When it would be full. What is missing until then is what was taken.
    full_at: Time,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(per_hour: u32, burst: u32, now: Time) -> Self {
        let period = Seconds::from_micros(Seconds::new(3600).micros() / u64::from(per_hour.max(1)));
        Self { period, size: period * u64::from(burst.max(1)), full_at: now }
    }

    /// Whole tokens in it.
    pub(super) fn tokens(&self, now: Time) -> u64 {
        let missing = self.full_at.since(now);
        self.size.saturating_sub(missing).micros() / self.period.micros().max(1)
    }

    /// Takes a token; whether there was one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        if self.tokens(now) == 0 {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.period;
        true
    }

    /// When there will be a token.
    pub(super) fn next(&self, now: Time) -> Time {
        if self.tokens(now) > 0 {
            return now;
        }
        let missing = self.full_at.since(now);
        now + missing.saturating_sub(self.size.saturating_sub(self.period))
    }
}
