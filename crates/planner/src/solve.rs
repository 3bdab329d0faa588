//! From a case to a solution: greedy pass, what does not fit, final times.

use crate::bounds;
use crate::case::Case;
use crate::emit::Solution;
use crate::index::NONE;
use crate::priority;
use crate::room::Room;
use crate::schedule::{self, Assignment, Clock};
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
    let mut keys = priority::latest_begin(case, &targets);
    let order = priority::order(case, &mut keys);
    let mut assignment = Assignment::new(case, Room::new(case, false));
    let mut clock = Clock::new(case, false);
    schedule::run(case, &order, &mut assignment, &mut clock, options, &[]);
    let mut why = vec![None; case.jobs.len()];
    if assignment.host.contains(&NONE) {
        settle::drop_useless(case, &mut assignment);
        why = settle::fill(case, &mut assignment);
    }
    let order: Vec<u32> = order.into_iter().filter(|job| assignment.host[*job as usize] != NONE).collect();
    let mut clock = Clock::new(case, true);
    let schedule = schedule::run(case, &order, &mut assignment, &mut clock, options, &[]);
    Ok(Solution { assignment, schedule, why })
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
