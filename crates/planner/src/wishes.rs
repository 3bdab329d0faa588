//! Wishes, granted where that costs nothing: after the search, which looks only at when VMs are ready, each job whose wishes
//! are not all met is tried where more of them are, and stays there if no class is ready later for it.

use crate::Options;
use crate::case::Case;
use crate::index::NONE;
use crate::make_room::Held;
use crate::schedule::{self, Assignment, Clock};
use crate::score::Goal;
use crate::search::{self, Draft};

/// The part of the effort that one look at a host, and one whole schedule of a job, count for.
const LOOK: u64 = 4;
const SCHEDULE: u64 = 40;
/// Whole schedules, at most.
const MOST: u64 = 400;
/// Hosts that a job is tried on, and jobs there that it is exchanged for, at most.
const TRIED: usize = 16;
const PARTNERS: usize = 3;

/// What may still be spent.
struct Budget {
    looks: u64,
    schedules: u64,
}

impl Budget {
    fn new(case: &Case<'_>, options: &Options) -> Self {
        let jobs = case.jobs.len().max(1) as u64;
        Self { looks: options.effort / LOOK, schedules: (options.effort / SCHEDULE / jobs).min(MOST) }
    }

    fn look_at_all(&mut self, case: &Case<'_>) -> bool {
        let hosts = case.index.host_count() as u64;
        let enough = self.schedules > 0 && self.looks >= hosts;
        self.looks = self.looks.saturating_sub(hosts);
        enough
    }
}

/// Moves jobs, by themselves or in exchange for another, to where more of their wishes are met.
pub(crate) fn grant(case: &Case<'_>, options: &Options, goal: &Goal, mut draft: Draft, held: &Held) -> Draft {
    let mut budget = Budget::new(case, options);
    // Where room is being made, a job's place is part of how.
    if budget.schedules == 0 || !held.is_empty() || !(0..case.jobs.len()).any(|job| may_wish(case, job)) {
        return draft;
    }
    let order = search::placed_order(case, &mut draft);
    let mut clock = Clock::new(case, false);
    let mut ready = |assignment: &mut Assignment| {
        let schedule = schedule::run(case, &order, assignment, &mut clock, options, held);
        goal.ready(case, &assignment.host, &schedule)
    };
    let mut best = ready(&mut draft.assignment);
    for job in order.iter().map(|job| *job as usize).filter(|job| may_wish(case, *job)) {
        if !budget.look_at_all(case) {
            break;
        }
        for host in better_hosts(case, &mut draft.assignment, job) {
            if budget.schedules == 0 {
                return draft;
            }
            let partners = partners(case, &draft.assignment, job, host);
            let done = std::iter::once(None).chain(partners.into_iter().map(Some)).any(|partner| {
                if budget.schedules == 0 {
                    return false;
                }
                let Some(old) = exchange(case, &mut draft.assignment, job, host, partner) else { return false };
                budget.schedules -= 1;
                let then = ready(&mut draft.assignment);
                let well = then.iter().zip(&best).all(|(then, best)| then <= best);
                if well {
                    best = then;
                } else {
                    old.restore(case, &mut draft.assignment);
                }
                well
            });
            if done {
                break;
            }
        }
    }
    draft
}

/// Where jobs were before an exchange: `(job, host, nodes)`.
struct Old(Vec<(usize, usize, u64)>);

impl Old {
    fn restore(self, case: &Case<'_>, assignment: &mut Assignment) {
        for (job, ..) in &self.0 {
            if assignment.host[*job] != NONE {
                assignment.release(case, *job);
            }
        }
        for (job, host, nodes) in self.0 {
            assignment.assign(case, job, host, nodes);
        }
    }
}

/// Gives a job another host, and its own to the partner that was there. Nothing is changed where that cannot be, or where the
/// partner would have fewer of its own wishes met.
fn exchange(
    case: &Case<'_>,
    assignment: &mut Assignment,
    job: usize,
    host: usize,
    partner: Option<usize>,
) -> Option<Old> {
    let moved: Vec<usize> = std::iter::once(job).chain(partner).collect();
    let place = |job: &usize| (*job, assignment.host[*job] as usize, assignment.nodes[*job]);
    let old = Old(moved.iter().map(place).collect());
    let from = old.0[0].1;
    let before: Vec<(u32, i64)> = moved.iter().map(|job| unmet_now(case, assignment, *job)).collect();
    for job in &moved {
        assignment.release(case, *job);
    }
    for (job, host) in moved.iter().zip([host, from]) {
        let Ok(nodes) = assignment.room.check(case, *job, host) else {
            old.restore(case, assignment);
            return None;
        };
        assignment.assign(case, *job, host, nodes);
    }
    let after = moved.iter().map(|job| unmet_now(case, assignment, *job));
    let (gains, keeps) = after.zip(&before).enumerate().fold((false, true), |(gains, keeps), (at, (after, before))| {
        (gains || (at == 0 && after < *before), keeps && after <= *before)
    });
    if gains && keeps {
        return Some(old);
    }
    old.restore(case, assignment);
    None
}

/// What of a job's wishes is not met on a host: less is better.
fn unmet(case: &Case<'_>, assignment: &Assignment, job: usize, host: usize) -> (u32, i64) {
    (assignment.room.wishes_broken(case, job, host), -schedule::liking(case, &case.jobs[job], host))
}

/// The same where it is.
fn unmet_now(case: &Case<'_>, assignment: &mut Assignment, job: usize) -> (u32, i64) {
    let (host, nodes) = (assignment.host[job] as usize, assignment.nodes[job]);
    // It must not be in its own way.
    assignment.release(case, job);
    let unmet = unmet(case, assignment, job, host);
    assignment.assign(case, job, host, nodes);
    unmet
}

/// Whether a job has any wish.
fn may_wish(case: &Case<'_>, job: usize) -> bool {
    let row = &case.jobs[job];
    !case.index.fleet.vms[row.vm as usize].prefers.is_empty()
        || row.rules.iter().any(|(rule, _)| !case.rules[*rule as usize].required)
}

/// Hosts that may take a job, their room aside, and meet more of its wishes than its own does: those that meet most come first.
fn better_hosts(case: &Case<'_>, assignment: &mut Assignment, job: usize) -> Vec<usize> {
    let (from, nodes) = (assignment.host[job] as usize, assignment.nodes[job]);
    assignment.release(case, job);
    let now = unmet(case, assignment, job, from);
    let mut better: Vec<_> = (0..case.index.host_count())
        .filter(|host| case.may_go(&case.jobs[job], *host))
        .map(|host| (unmet(case, assignment, job, host), host))
        .filter(|(then, _)| *then < now)
        .collect();
    assignment.assign(case, job, from, nodes);
    better.sort_unstable();
    better.truncate(TRIED);
    better.into_iter().map(|(_, host)| host).collect()
}

/// The jobs of the same class on a host that are most like this one.
fn partners(case: &Case<'_>, assignment: &Assignment, job: usize, host: usize) -> Vec<usize> {
    let row = &case.jobs[job];
    let mut like: Vec<(u64, u32, usize)> = (0..case.jobs.len())
        .filter(|other| assignment.host[*other] as usize == host && case.jobs[*other].class == row.class)
        .map(|other| {
            let it = &case.jobs[other];
            (it.start.abs_diff(row.start), it.volumes.abs_diff(row.volumes), other)
        })
        .collect();
    like.sort_unstable();
    like.truncate(PARTNERS);
    like.into_iter().map(|(_, _, other)| other).collect()
}
