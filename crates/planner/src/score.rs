//! How good a schedule is.

use crate::case::Case;
use crate::index::NONE;
use crate::schedule::Schedule;

/// Less is better: first the classes that miss their objective, the most important counting most; then how far each class
/// and all above it is from its lower bound, far counting more than in proportion; then how late single jobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Score {
    missed: u32,
    pub(crate) cost: u64,
}

impl Score {
    /// Nothing can be better.
    pub(crate) const PERFECT: Self = Self { missed: 0, cost: 0 };
    /// Anything is better.
    pub(crate) const WORST: Self = Self { missed: u32::MAX, cost: u64::MAX };
}

/// What the lower bounds allow, per class.
pub(crate) struct Goal {
    /// The lower bound of each class and all above it.
    pub(crate) bounds: Vec<u64>,
    rto: Vec<u64>,
}

impl Goal {
    pub(crate) fn new(case: &Case<'_>, bounds: Vec<u64>) -> Self {
        let rto = case.index.fleet.classes.iter().map(|class| class.rto_s.micros()).collect();
        Self { bounds, rto }
    }

    /// When each class and all above it is ready.
    pub(crate) fn ready(&self, case: &Case<'_>, hosts: &[u32], schedule: &Schedule) -> Vec<u64> {
        let mut ready = vec![0; self.bounds.len()];
        for (at, job) in case.jobs.iter().enumerate().filter(|(at, _)| hosts[*at] != NONE) {
            let slot = &mut ready[job.class as usize];
            *slot = schedule.times[at].ready.max(*slot);
        }
        let mut latest = 0;
        for slot in &mut ready {
            latest = latest.max(*slot);
            *slot = latest;
        }
        ready
    }

    /// How good a schedule is.
    pub(crate) fn score(&self, case: &Case<'_>, hosts: &[u32], schedule: &Schedule) -> Score {
        let ready = self.ready(case, hosts, schedule);
        let (mut missed, mut cost) = (0_u32, 0_u64);
        for (class, ready) in ready.iter().enumerate() {
            if *ready > self.rto[class] {
                missed |= 1 << 31_usize.saturating_sub(class);
            }
            let over = self.over(class, *ready);
            cost = cost.saturating_add(over.saturating_mul(1000)).saturating_add(over.saturating_mul(over) / 250);
        }
        let mut late = 0_u64;
        for (at, job) in case.jobs.iter().enumerate().filter(|(at, _)| hosts[*at] != NONE) {
            let over = self.over(job.class as usize, schedule.times[at].ready);
            late = late.saturating_add(over.saturating_mul(over) / 10_000);
        }
        let late = late / case.jobs.len().max(1) as u64;
        Score { missed, cost: cost.saturating_add(late) }
    }

    /// By how many millionths of its bound a class's job is later than that.
    fn over(&self, class: usize, ready: u64) -> u64 {
        let bound = self.bounds[class].max(1);
        (u128::from(ready.saturating_sub(bound)) * 1_000_000 / u128::from(bound)).min(1 << 30) as u64
    }
}
