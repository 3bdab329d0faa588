//! The search as a whole: cycles of the fast search over hosts and the thorough one over whole schedules.
//!
//! Every cycle begins with the best draft so far and does the same whatever the effort: effort only says after how many
//! cycles to stop, so that more of it sees all that less of it saw. A cycle of a large plan counts for more than in
//! proportion: there chance evens out what search would gain.

use crate::Options;
use crate::case::Case;
use crate::dice::Dice;
use crate::make_room::Held;
use crate::polish::Polish;
use crate::schedule::{self, Clock};
use crate::score::{Goal, Score};
use crate::search::{self, Draft};

/// How much worse a pair of hosts may become, round by round.
const WARMTH: [f64; 4] = [0.3, 0.1, 0.03, 0.0];
/// Cycles without a gain after which search ends, at least; who grants more effort waits longer for chance.
const PATIENCE: u64 = 4;
/// The effort that buys one more such cycle.
const EFFORT_A_CYCLE: u64 = 750_000;
/// The number of jobs from which on a cycle counts for more.
const LARGE: u64 = 250;

/// What a cycle does for a plan of so many jobs.
struct Cycle {
    /// Changes tried between two whole schedules.
    tries: u64,
    /// Whole schedules of the thorough search.
    passes: u64,
    /// What it counts for.
    cost: u64,
}

impl Cycle {
    fn new(jobs: u64) -> Self {
        let tries = (500 + 60 * jobs).min(20_000);
        let passes = (20_000 / jobs.max(1)).clamp(10, 150);
        let rounds = WARMTH.len() as u64;
        let cost = (rounds * (tries + 20 * jobs) + passes * 10 * jobs) * (jobs / LARGE).max(1);
        Self { tries, passes, cost }
    }
}

/// Improves a draft as far as the effort allows.
pub(crate) fn refine(case: &Case<'_>, options: &Options, goal: &Goal, draft: Draft, held: &Held) -> Draft {
    let cycle = Cycle::new(case.jobs.len() as u64);
    let mut dice = Dice::new(options.seed, 2);
    let mut clock = Clock::new(case, false);
    let mut best = (Score::WORST, draft);
    let patience = PATIENCE.max(options.effort / EFFORT_A_CYCLE);
    let mut idle = 0;
    for _ in 0..options.effort / cycle.cost.max(1) {
        let before = best.0;
        for warmth in WARMTH {
            let mut draft = best.1.clone();
            let order = search::placed_order(case, &mut draft);
            let schedule = schedule::run(case, &order, &mut draft.assignment, &mut clock, options, held);
            let score = goal.score(case, &draft.assignment.host, &schedule);
            if score < best.0 {
                best = (score, draft.clone());
            }
            if score == Score::PERFECT {
                return draft;
            }
            Polish::new(case, &mut draft.assignment, &order, &schedule, &goal.bounds, held).run(
                &mut dice,
                cycle.tries,
                warmth,
            );
            let schedule = schedule::run(case, &order, &mut draft.assignment, &mut clock, options, held);
            let score = goal.score(case, &draft.assignment.host, &schedule);
            if score < best.0 {
                best = (score, draft);
            }
        }
        let (draft, score) = search::improve(case, options, goal, best.1.clone(), held, cycle.passes, &mut dice);
        if score < best.0 {
            best = (score, draft);
        }
        idle = if best.0 < before { 0 } else { idle + 1 };
        if best.0 == Score::PERFECT || idle >= patience {
            break;
        }
    }
    best.1
}
