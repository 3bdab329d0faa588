//! From a case to a solution: greedy pass, what does not fit, final times.

use crate::bounds;
use crate::case::Case;
use crate::emit::Solution;
use crate::index::NONE;
use crate::make_room::{self, MadeRoom};
use crate::pack::{self, Packer};
use crate::priority;
use crate::refine;
use crate::room::Room;
use crate::schedule::{self, Assignment, Clock};
use crate::schemes::{self, Streams};
use crate::score::{Goal, Score};
use crate::search::{self, Draft};
use crate::settle;
use crate::{Options, PlanError, Scheme};

/// The longest plan, in years.
pub(crate) const MAX_YEARS: u64 = 100_000;

/// Decides where and when.
///
/// # Errors
/// [`PlanError::TooLong`] when the times do not fit.
pub(crate) fn solve(case: &Case<'_>, options: &Options) -> Result<Solution, PlanError> {
    check_times(case)?;
    match options.scheme {
        Scheme::Lifeboat => {}
        Scheme::Serial => return Ok(schemes::solve(case, Streams { single: true, volumes: 1 })),
        Scheme::Parallel => return Ok(schemes::solve(case, Streams { single: false, volumes: 1 })),
        Scheme::Paper => return Ok(schemes::solve(case, Streams { single: false, volumes: 4 })),
    }
    let all = vec![true; case.jobs.len()];
    let targets = bounds::lower_bounds(case, &all);
    let goal = Goal::new(case, targets);
    let mut room = Assignment::new(case, Room::new(case));
    pack::place_together(case, &mut room);
    let (mut missing, Draft { mut assignment, mut keys }) = draft(case, options, &goal, &room);
    if missing > 0 {
        pack::place_scarce(case, &mut room);
        let (still, denser) = draft(case, options, &goal, &room);
        if still < missing {
            (missing, Draft { assignment, keys }) = (still, denser);
        }
    }
    let mut why = vec![None; case.jobs.len()];
    let mut made = MadeRoom::default();
    if missing > 0 {
        let mut packer = Packer::new(case, assignment, PUSHES);
        let mut left: Vec<usize> = (0..case.jobs.len()).filter(|job| packer.assignment.host[*job] == NONE).collect();
        left.sort_by_key(|job| (std::cmp::Reverse(packer.size(*job)), *job));
        for job in left {
            packer.insert(job, 2);
        }
        settle::drop_useless(case, &mut packer.assignment);
        packer.refile();
        made = make_room::make_room(case, &mut packer, options.room);
        assignment = packer.assignment;
        why = settle::fill(case, &mut assignment);
    }
    let held = make_room::not_before(case, &assignment.host, &made);
    let placed: Vec<bool> = assignment.host.iter().map(|host| *host != NONE).collect();
    let goal = if placed.contains(&false) { Goal::new(case, bounds::lower_bounds(case, &placed)) } else { goal };
    let draft = Draft { assignment, keys };
    let mut draft = refine::refine(case, options, &goal, draft, &held);
    let order = search::placed_order(case, &mut draft);
    let mut clock = Clock::new(case, true);
    let schedule = schedule::run(case, &order, &mut draft.assignment, &mut clock, options, &held);
    Ok(Solution { assignment: draft.assignment, schedule, why, made, bounds: goal.bounds })
}

/// The best of some ways to weigh urgency: most jobs placed, then the best times.
fn draft(case: &Case<'_>, options: &Options, goal: &Goal, from: &Assignment) -> (usize, Draft) {
    let mut clock = Clock::new(case, false);
    let mut best: Option<((usize, Score), Draft)> = None;
    for weights in &priority::TRIED[..tried(case.jobs.len(), options)] {
        let mut keys = priority::latest_begin(case, &goal.bounds, *weights);
        let order = priority::order(case, &mut keys);
        let mut assignment = from.clone();
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
    best.map_or_else(
        || (0, Draft { assignment: from.clone(), keys: Vec::new() }),
        |((missing, _), draft)| (missing, draft),
    )
}

/// Tries to push jobs from host to host.
const PUSHES: u64 = 20_000;
/// How many ways to weigh urgency are tried, by the number of jobs: all where that costs little; one without effort.
const fn tried(jobs: usize, options: &Options) -> usize {
    match jobs {
        _ if options.effort == 0 => 1,
        0..=1_500 => priority::TRIED.len(),
        1_501..=6_000 => 2,
        _ => 1,
    }
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
