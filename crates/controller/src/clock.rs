//! The one clock of a controller: the wall's time at its start, and from then on a clock that never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lifeboat_model::Time;

/// Reads points in time that never go back, whatever is done to the wall clock meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    at: Time,
}

impl Clock {
    /// Begins at the wall's time.
    #[must_use]
    pub fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), at: Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        let since = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.at + lifeboat_model::Seconds::from_micros(since)
    }

    /// When a point in time is, for timers of the runtime.
    #[must_use]
    pub fn instant(&self, at: Time) -> Instant {
        self.started + std::time::Duration::from(at.since(self.at))
    }
}
