//! The link to the controllers: which one to try, when to greet, beat and give up.

use lifeboat_model::{HostName, Seconds, Time};

use super::LinkId;

/// How long a body may take to connect and shake hands before the next controller is tried.
pub const CONNECT_LIMIT: Seconds = Seconds::new(10);
/// How long a controller may take to answer a Hello.
pub(super) const WELCOME_LIMIT: Seconds = Seconds::new(5);
/// How many heartbeat intervals a controller may say nothing.
const SILENT_INTERVALS: u64 = 3;
/// Heartbeat intervals that are obeyed, in milliseconds; what lies outside is brought inside.
const INTERVAL_MS: std::ops::RangeInclusive<u64> = 50..=60_000;
/// The first back-off and the longest.
const BACK_OFF: (Seconds, Seconds) = (Seconds::from_millis(100), Seconds::new(2));

/// Where the link is.
#[derive(Clone, Debug)]
enum State {
    /// The agent does not know yet what runs here.
    Asleep,
    /// There is none; a back-off runs.
    Down { connect_at: Time },
    /// The body connects.
    Connecting { link: LinkId, give_up_at: Time },
    /// The Hello is said.
    Greeting { link: LinkId, give_up_at: Time },
    /// A leader has welcomed this agent.
    Led { link: LinkId, interval: Seconds, next_beat: Time, sequence: u64, heard: Time },
}

/// What has fallen due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Connect.
    Connect { link: LinkId, controller: usize },
    /// The controller does not connect or does not answer: give up.
    GiveUp,
    /// The controller has fallen silent: give up.
    Silent,
    /// Say a heartbeat.
    Beat { link: LinkId, sequence: u64 },
}

/// The link, and the turn of the controllers.
#[derive(Clone, Debug)]
pub(super) struct Links {
    state: State,
    controllers: usize,
    controller: usize,
    failures: u32,
    last: LinkId,
    scatter: u64,
}

impl Links {
    pub(super) fn new(host: &HostName, controllers: usize) -> Self {
        let scatter = scatter(host);
        Self { state: State::Asleep, controllers, controller: 0, failures: 0, last: LinkId(0), scatter }
    }

    /// Begins to connect.
    pub(super) fn wake(&mut self, now: Time) {
        if matches!(self.state, State::Asleep) {
            self.state = State::Down { connect_at: now };
        }
    }

    /// Which controller is dealt with, counted from 0.
    pub(super) fn controller(&self) -> usize {
        self.controller
    }

    /// The link on which a Hello was said, welcomed or not.
    pub(super) fn greeted(&self) -> Option<LinkId> {
        match self.state {
            State::Greeting { link, .. } | State::Led { link, .. } => Some(link),
            State::Asleep | State::Down { .. } | State::Connecting { .. } => None,
        }
    }

    /// The link to the leader that has welcomed this agent.
    pub(super) fn led(&self) -> Option<LinkId> {
        match self.state {
            State::Led { link, .. } => Some(link),
            _ => None,
        }
    }

    /// The link that is in use or being made.
    pub(super) fn current(&self) -> Option<LinkId> {
        match self.state {
            State::Connecting { link, .. } => Some(link),
            _ => self.greeted(),
        }
    }

    /// The connection stands; whether it is the one that was waited for.
    pub(super) fn opened(&mut self, now: Time, opened: LinkId) -> bool {
        match self.state {
            State::Connecting { link, .. } if link == opened => {
                self.state = State::Greeting { link, give_up_at: now + WELCOME_LIMIT };
                true
            }
            _ => false,
        }
    }

    /// The controller said something.
    pub(super) fn heard(&mut self, now: Time) {
        if let State::Led { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    /// A leader has welcomed this agent, perhaps again.
    pub(super) fn welcomed(&mut self, now: Time, link: LinkId, heartbeat_ms: u64) {
        let interval = Seconds::from_millis(heartbeat_ms.clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end()));
        let sequence = match self.state {
            State::Led { sequence, .. } => sequence,
            _ => 0,
        };
        self.failures = 0;
        self.state = State::Led { link, interval, next_beat: now, sequence, heard: now };
    }

    /// The leader wants to hear heartbeats more or less often; the next comes at once.
    pub(super) fn pace(&mut self, now: Time, heartbeat_ms: u64) {
        if let State::Led { interval, next_beat, .. } = &mut self.state {
            *interval = Seconds::from_millis(heartbeat_ms.clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end()));
            *next_beat = now;
        }
    }

    /// The link is gone or useless. A leader that is lost is looked for where it was; one that does not answer or does
    /// not want this agent, elsewhere.
    pub(super) fn lost(&mut self, now: Time, useless: bool) {
        let was_led = matches!(self.state, State::Led { .. });
        if useless || !was_led {
            self.controller = (self.controller + 1) % self.controllers;
        }
        self.state = State::Down { connect_at: now + self.back_off() };
        self.failures = self.failures.saturating_add(1);
    }

    /// Doubles with each failure up to a cap. A part of it depends on the host's name, so that a thousand agents do not
    /// come back to a restarted controller in one instant.
    fn back_off(&self) -> Seconds {
        let (first, longest) = BACK_OFF;
        let whole = Seconds::from_micros(first.micros() << self.failures.min(10)).min(longest);
        let half = whole.micros() / 2;
        let turn = self.scatter.rotate_left(self.failures % 64);
        Seconds::from_micros(half + turn % (half + 1))
    }

    /// What is to be done now; called until there is nothing.
    pub(super) fn due(&mut self, now: Time) -> Option<Due> {
        match &mut self.state {
            State::Down { connect_at } if *connect_at <= now => {
                self.last = LinkId(self.last.0 + 1);
                self.state = State::Connecting { link: self.last, give_up_at: now + CONNECT_LIMIT };
                Some(Due::Connect { link: self.last, controller: self.controller })
            }
            State::Connecting { give_up_at, .. } | State::Greeting { give_up_at, .. } if *give_up_at <= now => {
                Some(Due::GiveUp)
            }
            State::Led { heard, interval, .. } if *heard + *interval * SILENT_INTERVALS <= now => Some(Due::Silent),
            State::Led { link, interval, next_beat, sequence, .. } if *next_beat <= now => {
                *sequence += 1;
                let planned = *next_beat + *interval;
                *next_beat = if planned > now { planned } else { now + *interval };
                Some(Due::Beat { link: *link, sequence: *sequence })
            }
            _ => None,
        }
    }

    /// When something falls due next.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match &self.state {
            State::Asleep => None,
            State::Down { connect_at } => Some(*connect_at),
            State::Connecting { give_up_at, .. } | State::Greeting { give_up_at, .. } => Some(*give_up_at),
            State::Led { heard, interval, next_beat, .. } => {
                Some((*heard + *interval * SILENT_INTERVALS).min(*next_beat))
            }
        }
    }
}

/// A number that depends on a host's name only (FNV-1a).
fn scatter(host: &HostName) -> u64 {
    host.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_offs_grow_to_a_cap_and_differ_between_hosts() {
        let waits = |name: &str| {
            let mut links = Links::new(&HostName::new(name).expect("a name"), 2);
            let mut waits = Vec::new();
            links.wake(Time::default());
            for _ in 0..40 {
                links.lost(Time::default(), false);
                waits.push(links.next_deadline().expect("a deadline").since(Time::default()));
            }
            waits
        };
        let (one, other) = (waits("h1"), waits("h2"));
        assert!(one.iter().all(|wait| *wait >= Seconds::from_millis(50) && *wait <= Seconds::new(2)), "{one:?}");
        assert!(one[39] >= Seconds::new(1), "{one:?}");
        assert_ne!(one, other);
    }
}
