//! The clocks of hosts and controllers: each reads the world's time through its own drift and jumps.
//!
//! A body never sees its clock go back (that is a body's contract), so a jump is only ever forward; a clock that is set
//! back shows itself as one that stands still, which is a drift of -100 %.

use lifeboat_model::{Seconds, Time};

const MILLION: u64 = 1_000_000;

/// A clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// A point in the world's time.
    world: Time,
    /// What the clock showed then.
    local: Time,
    /// How many microseconds it counts in a second of the world.
    rate: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { world: Time::default(), local: Time::default(), rate: MILLION }
    }
}

impl Clock {
    /// What it shows.
    #[must_use]
    pub fn read(&self, now: Time) -> Time {
        if self.rate == MILLION {
            return self.local + now.since(self.world);
        }
        let passed = u128::from(now.since(self.world).micros()) * u128::from(self.rate) / u128::from(MILLION);
        self.local + Seconds::from_micros(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The first point in the world's time, not before now, at which it shows that time.
    #[must_use]
    pub fn when(&self, shows: Time, now: Time) -> Time {
        let ahead = shows.since(self.local).micros();
        if self.rate == MILLION {
            return (self.world + Seconds::from_micros(ahead)).max(now);
        }
        let needed = (u128::from(ahead) * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        (self.world + Seconds::from_micros(u64::try_from(needed).unwrap_or(u64::MAX))).max(now)
    }

    /// From now on it counts so many microseconds in a second of the world (at least 1000).
    pub fn set_rate(&mut self, now: Time, rate: u64) {
        *self = Self { world: now, local: self.read(now), rate: rate.max(1000) };
    }

    /// It jumps ahead.
    pub fn jump(&mut self, now: Time, by: Seconds) {
        *self = Self { world: now, local: self.read(now) + by, rate: self.rate };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_and_jumps_still_reaches_every_time_that_it_is_asked_for() {
        let mut clock = Clock::default();
        let mut now = Time::from_micros(5_000_000);
        for (rate, jump) in [(1_000_000, 0), (1_030_000, 0), (970_000, 3), (1000, 0), (1_000_001, 1)] {
            clock.set_rate(now, rate);
            clock.jump(now, Seconds::new(jump));
            for ahead in [0, 1, 999, 1_000_000, 123_456_789] {
                let wanted = clock.read(now) + Seconds::from_micros(ahead);
                let at = clock.when(wanted, now);
                assert!(at >= now && clock.read(at) >= wanted, "rate {rate}: {ahead}");
            }
            now = now + Seconds::new(17);
        }
    }
}
