//! Whom to tell what, and when: events to messages.
//!
//! # Theory of operation
//!
//! Each receiver has a state machine of its own, so that one that does not answer holds up no other.
//!
//! ```text
//!  event ─► filter (severity; or it ends what was told) ─► group: recovery, trouble, host or VM
//!                                                             │ due: after wait_s; after pause_s when told lately
//!                                                             ▼
//!                                  bucket: per_hour, burst ─► one message in flight ─► told
//!                                     │ empty                   │ failed: again, `attempts` times
//!                                     ▼                         ▼ given up: counted
//!                         groups gather, and go out together in the next message
//! ```
//!
//! What is over is told to whoever was told that it began, whatever its severity; so a recovery's summary comes at its end.
//! Nothing is kept without a bound: of what does not fit only the number is told. A receiver's [`Memory`] is stored after
//! each message, so that a restart goes on behind what was told last; what was under way then may be told twice.
//!
//! Receivers of alerts (Alertmanager) get the troubles that last with every message, and every `repeat_s` again, since they
//! take for ended what they no longer hear of.

use std::collections::BTreeMap;

use lifeboat_model::{
    Time,
    notice::{Notice, Severity},
};

use crate::fleet::records::EventRecord;

mod bucket;
mod group;
mod receiver;
mod settings;

pub use receiver::{Lasting, Memory, ReceiverView};
pub use settings::{ReceiverSettings, Style};

use receiver::Receiver;

/// What happens to the notifications.
#[derive(Clone, Debug, PartialEq)]
pub enum NotifyInput {
    /// Time has passed.
    Tick,
    /// An event was stored.
    Event(Box<EventRecord>),
    /// Events were missed and can no longer be read.
    Missed(u64),
    /// A message was delivered or not.
    Delivered {
        /// The receiver.
        receiver: String,
        /// The attempt.
        attempt: u64,
        /// What went wrong, and whether a retry can help.
        result: Result<(), (String, bool)>,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum NotifyEffect {
    /// Deliver a message.
    Deliver {
        /// The receiver.
        receiver: String,
        /// The attempt, for [`NotifyInput::Delivered`].
        attempt: u64,
        /// The message.
        notice: Notice,
    },
    /// Store what is remembered of a receiver.
    Remember {
        /// The receiver.
        receiver: String,
        /// What.
        memory: Memory,
    },
    /// Tell the fleet's side that a receiver takes no messages, or takes them again.
    Note {
        /// How much it matters.
        severity: Severity,
        /// What, as a sentence.
        text: String,
        /// The trouble's name.
        trouble: String,
        /// Whether it is over.
        over: bool,
    },
}

/// All receivers.
#[derive(Debug, Default)]
pub struct Notifications {
    receivers: BTreeMap<String, Receiver>,
    now: Time,
}

impl Notifications {
    /// Receivers with what is remembered of each. One of which nothing is remembered begins behind the event `last`.
    #[must_use]
    pub fn new(now: Time, last: u64, receivers: impl IntoIterator<Item = (ReceiverSettings, Option<Memory>)>) -> Self {
        let made = receivers.into_iter().map(|(settings, memory)| {
            let memory = memory.unwrap_or(Memory { told: last, ..Memory::default() });
            (settings.name.clone(), Receiver::new(settings, memory, now))
        });
        Self { receivers: made.collect(), now }
    }

    /// The number of the last event that every receiver has been told, or need not be.
    #[must_use]
    pub fn begins_after(&self) -> u64 {
        self.receivers.values().map(Receiver::told).min().unwrap_or(u64::MAX)
    }

    /// When [`handle`](Self::handle) wants to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.receivers.values().filter_map(|receiver| receiver.next_deadline(self.now)).min()
    }

    /// Takes an input and gives what follows from it.
    pub fn handle(&mut self, now: Time, input: NotifyInput) -> Vec<NotifyEffect> {
        self.now = self.now.max(now);
        let now = self.now;
        let mut effects = Vec::new();
        match input {
            NotifyInput::Tick => {}
            NotifyInput::Event(event) => {
                for receiver in self.receivers.values_mut() {
                    receiver.take(now, &event);
                }
            }
            NotifyInput::Missed(count) => {
                for receiver in self.receivers.values_mut() {
                    receiver.missed(count);
                }
            }
            NotifyInput::Delivered { receiver, attempt, result } => {
                if let Some(receiver) = self.receivers.get_mut(&receiver) {
                    receiver.ended(now, attempt, result, &mut effects);
                }
            }
        }
        for receiver in self.receivers.values_mut() {
            receiver.advance(now, &mut effects);
        }
        effects
    }

    /// How each receiver is, by name.
    #[must_use]
    pub fn views(&self) -> Vec<ReceiverView> {
        self.receivers.values().map(|receiver| receiver.view(self.now)).collect()
    }
}

#[cfg(test)]
mod tests;
