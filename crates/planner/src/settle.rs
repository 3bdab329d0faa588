//! What remains when not all fits: no part of an all-or-nothing group, no stage after an incomplete one, and the room
//! that these give back used by what comes next in importance.

use lifeboat_model::reason::Reason;

use crate::case::Case;
use crate::index::NONE;
use crate::reasons;
use crate::room::Room;
use crate::schedule::Assignment;

/// Takes back the hosts of jobs that are of no use: members of an all-or-nothing group that is not whole, and stages
/// after one that is not.
pub(crate) fn drop_useless(case: &Case<'_>, assignment: &mut Assignment) {
    for group in &case.groups {
        let mut blocked =
            group.all_or_nothing && group.stages.iter().flatten().any(|job| assignment.host[*job as usize] == NONE);
        for stage in &group.stages {
            let missing = stage.iter().any(|job| assignment.host[*job as usize] == NONE);
            for job in stage.iter().map(|job| *job as usize) {
                if blocked && assignment.host[job] != NONE {
                    assignment.release(case, job);
                }
            }
            blocked |= missing;
        }
    }
}

/// Jobs that stand or fall together, or one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Its jobs that have no host, in the order of their stages.
    pub(crate) jobs: Vec<u32>,
    /// The group, or [`NONE`].
    pub(crate) group: u32,
    /// All of them or none.
    pub(crate) whole: bool,
}

/// What has no host yet, the most important first: by the highest class in it, then importance, then size of need.
pub(crate) fn missing_units(case: &Case<'_>, assignment: &Assignment) -> Vec<Unit> {
    let missing = |job: &&u32| assignment.host[**job as usize] == NONE;
    let mut units: Vec<Unit> = Vec::new();
    for (at, group) in case.groups.iter().enumerate() {
        let jobs: Vec<u32> = group.stages.iter().flatten().filter(missing).copied().collect();
        if !jobs.is_empty() {
            units.push(Unit { jobs, group: at as u32, whole: group.all_or_nothing });
        }
    }
    for (at, job) in case.jobs.iter().enumerate() {
        if job.group == NONE && assignment.host[at] == NONE {
            units.push(Unit { jobs: vec![at as u32], group: NONE, whole: true });
        }
    }
    units.sort_by_key(|unit| {
        let class = unit.jobs.iter().map(|job| case.jobs[*job as usize].class).min();
        let importance = case.jobs[unit.jobs[0] as usize].importance;
        (class, std::cmp::Reverse(importance), unit.jobs[0])
    });
    units
}

/// Finds hosts for what has none, the fullest host that can take it, and says why where there is none.
pub(crate) fn fill(case: &Case<'_>, assignment: &mut Assignment) -> Vec<Option<Reason>> {
    let mut why: Vec<Option<Reason>> = vec![None; case.jobs.len()];
    for unit in missing_units(case, assignment) {
        let Some((failed, reason)) = place_unit(case, assignment, &unit) else { continue };
        explain_unit(case, assignment, &unit, failed, reason, &mut why);
    }
    why
}

/// Places a unit's jobs; of a unit that is not whole as many as its stages allow. Says which job had no place, and why.
fn place_unit(case: &Case<'_>, assignment: &mut Assignment, unit: &Unit) -> Option<(u32, Reason)> {
    let mut placed = Vec::new();
    let mut failed: Option<(u32, Reason)> = None;
    for job in unit.jobs.iter().map(|job| *job as usize) {
        let behind = failed.as_ref().is_some_and(|(first, _)| case.jobs[*first as usize].stage < case.jobs[job].stage);
        if behind {
            break;
        }
        match tightest(case, &assignment.room, job) {
            Some((host, nodes)) => {
                assignment.assign(case, job, host, nodes);
                placed.push(job);
            }
            None if failed.is_none() => failed = Some((job as u32, reasons::of(case, &assignment.room, job))),
            None => {}
        }
        if unit.whole && failed.is_some() {
            break;
        }
    }
    if unit.whole && failed.is_some() {
        placed.into_iter().for_each(|job| assignment.release(case, job));
    }
    failed
}

/// The host that would be fullest with the job on it.
pub(crate) fn tightest(case: &Case<'_>, room: &Room, job: usize) -> Option<(usize, u64)> {
    let mut best: Option<(i64, usize, u64)> = None;
    for host in 0..case.index.host_count() {
        let Ok(nodes) = room.check(case, job, host) else { continue };
        let left = room.slack_after(case, job, host);
        if best.is_none_or(|(least, _, _)| left < least) {
            best = Some((left, host, nodes));
        }
    }
    best.map(|(_, host, nodes)| (host, nodes))
}

fn explain_unit(
    case: &Case<'_>,
    assignment: &Assignment,
    unit: &Unit,
    failed: u32,
    reason: Reason,
    why: &mut [Option<Reason>],
) {
    for job in unit.jobs.iter().filter(|job| **job != failed && assignment.host[**job as usize] == NONE) {
        let group = case.index.fleet.groups[case.groups[unit.group as usize].at as usize].name.clone();
        let missing = case.index.fleet.vms[case.jobs[failed as usize].vm as usize].name.clone();
        let later = case.jobs[*job as usize].stage > case.jobs[failed as usize].stage;
        why[*job as usize] = Some(if unit.whole {
            Reason::GroupIncomplete { group, missing }
        } else if later {
            Reason::StageBlocked { group, missing }
        } else {
            reasons::of(case, &assignment.room, *job as usize)
        });
    }
    why[failed as usize] = Some(reason);
}
