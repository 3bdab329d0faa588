//! What many seeds came to.

use std::collections::BTreeMap;

use lifeboat_model::Seconds;
use serde::Serialize;

use super::Outcome;

/// What many seeds came to. It does not depend on the order in which they are added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Seeds.
    pub seeds: u64,
    /// Events of all worlds.
    pub events: u64,
    /// Mishaps that were drawn.
    pub mishaps: u64,
    /// Controllers' deaths.
    pub crashes: u64,
    /// Hosts that were declared failed.
    pub declared: u64,
    /// Hosts whose power was cut by their BMC.
    pub fenced: u64,
    /// Processes of VMs that were started.
    pub starts: u64,
    /// How often a VM that was lost came back.
    pub recovered: u64,
    /// The longest that a VM was away.
    #[serde(rename = "slowest_s")]
    pub slowest: Option<Seconds>,
    /// How often a VM was away for so many tenths of a second.
    #[serde(skip)]
    away: BTreeMap<u64, u64>,
}

impl Tally {
    /// Adds a seed.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.mishaps += outcome.case.only.as_ref().map_or(outcome.mishaps, Vec::len) as u64;
        self.crashes += outcome.crashes;
        self.declared += outcome.declared;
        self.fenced += outcome.fenced;
        self.starts += outcome.starts;
        self.recovered += outcome.outages.len() as u64;
        self.slowest = self.slowest.max(outcome.outages.iter().max().copied());
        for span in &outcome.outages {
            *self.away.entry(span.micros() / 100_000).or_default() += 1;
        }
    }

    /// Half of the VMs that were lost came back within this.
    #[must_use]
    pub fn median(&self) -> Option<Seconds> {
        let mut left = self.recovered.div_ceil(2);
        let tenths = self.away.iter().find(|(_, count)| {
            left = left.saturating_sub(**count);
            left == 0
        });
        tenths.map(|(tenths, _)| Seconds::from_millis(tenths * 100))
    }
}
