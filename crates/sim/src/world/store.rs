//! The controllers' store: transactions that happen as a whole or not at all, the newest leader's epoch, and a lease.

use std::collections::BTreeMap;

use lifeboat_model::{Epoch, Seconds, Time};

use crate::random::Random;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreFault {
    /// Nothing.
    #[default]
    None,
    /// Every transaction fails, and nothing of it is done.
    Fails,
    /// So many in a million fail, half of them although they were done.
    Flaky(u32),
    /// Every transaction takes so much longer.
    Slow(Seconds),
}

/// How a transaction ended for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    Done,
    Failed,
    /// Another leader's epoch is in the store.
    Deposed,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    pub(super) records: BTreeMap<String, Vec<u8>>,
    epoch: Epoch,
    /// Who leads, and until when.
    pub(super) lease: Option<(usize, Time)>,
    pub(crate) fault: StoreFault,
    random: Random,
}

impl Store {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            epoch: Epoch(0),
            lease: None,
            fault: StoreFault::None,
            random: Random::of(seed, "store"),
        }
    }

    /// The newest leader's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How much longer than usual a transaction takes.
    pub(super) fn delay(&self) -> Seconds {
        match self.fault {
            StoreFault::Slow(span) => span,
            _ => Seconds::ZERO,
        }
    }

    /// Takes the lead: a new epoch, and the records as they are. None when the store does not work.
    pub(super) fn take_lead(&mut self) -> Option<Epoch> {
        if self.fault == StoreFault::Fails {
            return None;
        }
        self.epoch = self.epoch.next();
        Some(self.epoch)
    }

    /// Does a transaction of a leader's.
    pub(super) fn commit(&mut self, epoch: Epoch, writes: &[(String, Option<Vec<u8>>)]) -> Committed {
        if self.fault == StoreFault::Fails {
            return Committed::Failed;
        }
        if epoch != self.epoch {
            return Committed::Deposed;
        }
        let fails = matches!(self.fault, StoreFault::Flaky(rate) if self.random.chance(rate));
        if !fails || self.random.below(2) == 0 {
            self.write(writes);
        }
        if fails { Committed::Failed } else { Committed::Done }
    }

    /// Writes what a dying leader had sent, if it still leads.
    pub(super) fn last_words(&mut self, epoch: Epoch, writes: &[(String, Option<Vec<u8>>)]) {
        if epoch == self.epoch && self.fault != StoreFault::Fails && self.random.below(2) == 0 {
            self.write(writes);
        }
    }

    pub(super) fn write(&mut self, writes: &[(String, Option<Vec<u8>>)]) {
        for (key, value) in writes {
            match value {
                Some(value) => drop(self.records.insert(key.clone(), value.clone())),
                None => drop(self.records.remove(key)),
            }
        }
    }
}
