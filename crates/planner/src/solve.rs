//! From a case to a solution: greedy pass, what does not fit, final times.

use crate::bounds;
use crate::case::Case;
use crate::dice::Dice;
use crate::emit::Solution;
use crate::index::NONE;
use crate::polish::Polish;
use crate::priority;
use crate::room::Room;
use crate::schedule::{self, Assignment, Clock};
use crate::score::{Goal, Score};
use crate::search::{self, Draft};
use crate::settle;
use crate::{Options, PlanError};

/// The longest plan, in years.
pub(crate) const MAX_YEARS: u64 = 100_000;

/// Decides where and when.
///
/// # Errors
/// [`PlanError::TooLong`] when the times do not fit.
pub(crate) fn solve(case: &Case<'_>, options: &Options) -> Result<Solution, PlanError> {
    check_times(case)?;
    let all = vec![true; case.jobs.len()];
    let targets = bounds::lower_bounds(case, &all);
    let goal = Goal::new(case, targets);
    let Draft { mut assignment, keys } = draft(case, options, &goal);
    let mut why = vec![None; case.jobs.len()];
    if assignment.host.contains(&NONE) {
        settle::drop_useless(case, &mut assignment);
        why = settle::fill(case, &mut assignment);
    }
    let placed: Vec<bool> = assignment.host.iter().map(|host| *host != NONE).collect();
    let goal = Goal::new(case, bounds::lower_bounds(case, &placed));
    let draft = Draft { assignment, keys };
    let draft = polish(case, options, &goal, draft);
    let (mut draft, _) = search::improve(case, options, &goal, draft, &[], passes(case, options) / 4);
    let order = search::placed_order(case, &mut draft);
    let mut clock = Clock::new(case, true);
    let schedule = schedule::run(case, &order, &mut draft.assignment, &mut clock, options, &[]);
    Ok(Solution { assignment: draft.assignment, schedule, why })
}

/// The best of some ways to weigh urgency: most jobs placed, then the best times.
fn draft(case: &Case<'_>, options: &Options, goal: &Goal) -> Draft {
    let room = Room::new(case, false);
    let mut clock = Clock::new(case, false);
    let mut best: Option<((usize, Score), Draft)> = None;
    let tried = 1 + passes(case, options).min(priority::TRIED.len() as u64 - 1) as usize;
    for weights in &priority::TRIED[..tried] {
        let mut keys = priority::latest_begin(case, &goal.bounds, *weights);
        let order = priority::order(case, &mut keys);
        let mut assignment = Assignment::new(case, room.clone());
        let schedule = schedule::run(case, &order, &mut assignment, &mut clock, options, &[]);
        let missing = assignment.host.iter().filter(|host| **host == NONE).count();
        let worth = (missing, goal.score(case, &assignment.host, &schedule));
        if best.as_ref().is_none_or(|(least, _)| worth < *least) {
            best = Some((worth, Draft { assignment, keys }));
        }
        if worth == (0, Score::PERFECT) {
            break;
        }
    }
    best.map_or_else(|| Draft { assignment: Assignment::new(case, room), keys: Vec::new() }, |(_, draft)| draft)
}

/// Rounds of fast search over hosts, each judged by a whole schedule.
fn polish(case: &Case<'_>, options: &Options, goal: &Goal, mut draft: Draft) -> Draft {
    let mut clock = Clock::new(case, false);
    let mut dice = Dice::new(options.seed, 2);
    let mut best: Option<(Score, Draft)> = None;
    let steps = options.effort.min(POLISH_STEPS.max(4 * case.jobs.len() as u64));
    let rounds = options.effort / steps.max(1);
    for round in 0..=rounds {
        let order = search::placed_order(case, &mut draft);
        let schedule = schedule::run(case, &order, &mut draft.assignment, &mut clock, options, &[]);
        let score = goal.score(case, &draft.assignment.host, &schedule);
        let better = best.as_ref().is_none_or(|(least, _)| score < *least);
        if better {
            best = Some((score, draft.clone()));
        }
        if round == rounds || score == Score::PERFECT {
            break;
        }
        let warmth = WARMTH * ((rounds - round) as f64) / (rounds as f64);
        Polish::new(case, &mut draft.assignment, &order, &schedule, &goal.bounds).run(&mut dice, steps, warmth);
    }
    best.map_or(draft, |(_, draft)| draft)
}

/// Tries between two whole schedules.
const POLISH_STEPS: u64 = 20_000;
/// How much worse a pair of hosts may become at first.
const WARMTH: f64 = 0.3;

/// How many schedules are made: fewer of large ones, where chance evens out what search would gain.
fn passes(case: &Case<'_>, options: &Options) -> u64 {
    let jobs = (case.jobs.len() as u64).max(1);
    let most = options.effort / 200;
    if jobs <= 200 { most } else { options.effort.saturating_mul(200) / jobs.saturating_mul(jobs) }
}

/// Refuses durations whose sum would not fit into a plan's times.
fn check_times(case: &Case<'_>) -> Result<(), PlanError> {
    let limit = u128::from(MAX_YEARS) * 366 * 24 * 3600 * 1_000_000;
    let mut sum = u128::from(case.index.fleet.limits.fence_s.micros());
    for job in &case.jobs {
        let delay = case.groups.get(job.group as usize).map_or(0, |group| group.delay);
        sum += u128::from(job.configure) + u128::from(job.start) + u128::from(delay);
        for (array, count) in &job.maps {
            sum += u128::from(case.remap[*array as usize]) * u128::from(*count);
        }
    }
    if sum > limit { Err(PlanError::TooLong) } else { Ok(()) }
}
