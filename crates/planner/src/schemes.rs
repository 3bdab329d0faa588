//! The three schemes of Salapura and Harper (2015), to compare with.
//!
//! Serial: one VM after the other in the whole fleet, its volumes one after the other, then its start. Parallel: the same
//! as one stream for each destination. Paper: one stream for each destination, up to four volumes of a VM at a time. VMs
//! come in the order of classes and stages; each goes to the stream that is free first. All limits of hosts and arrays
//! hold.

use crate::bounds;
use crate::case::Case;
use crate::emit::Solution;
use crate::index::NONE;
use crate::make_room::MadeRoom;
use crate::priority;
use crate::reach::Reach;
use crate::room::Room;
use crate::schedule::{Assignment, Op, Schedule, Times};
use crate::settle;
use crate::timeline::Timeline;

/// How streams run.
#[derive(Clone, Copy)]
pub(crate) struct Streams {
    /// One stream for the whole fleet, not one for each destination.
    pub(crate) single: bool,
    /// Volumes of a VM at a time.
    pub(crate) volumes: u32,
}

/// Plans by streams.
pub(crate) fn solve(case: &Case<'_>, streams: Streams) -> Solution {
    // A VM that one of a higher class waits for comes with that class: else the comparison would flatter us.
    let needed = bounds::needed_by(case, &vec![true; case.jobs.len()]);
    let mut keys: Vec<i64> = needed.into_iter().map(i64::from).collect();
    let order = priority::order(case, &mut keys);
    let mut assignment = Assignment::new(case, Room::new(case));
    let mut schedule = run(case, streams, &order, &mut assignment, true);
    let mut why = vec![None; case.jobs.len()];
    if assignment.host.contains(&NONE) {
        settle::drop_useless(case, &mut assignment);
        why = settle::fill(case, &mut assignment);
        schedule = run(case, streams, &order, &mut assignment, false);
    }
    let placed: Vec<bool> = assignment.host.iter().map(|host| *host != NONE).collect();
    let bounds = bounds::lower_bounds(case, &placed, &Reach::new(case, &MadeRoom::default()));
    Solution { assignment, schedule, why, made: MadeRoom::default(), bounds }
}

fn run(case: &Case<'_>, streams: Streams, order: &[u32], assignment: &mut Assignment, choose: bool) -> Schedule {
    let jobs = case.jobs.len();
    let mut schedule = Schedule { times: vec![Times::default(); jobs], ops: vec![Vec::new(); jobs] };
    let mut free = vec![0_u64; if streams.single { 1 } else { case.index.host_count() }];
    let mut arrays = vec![Timeline::default(); case.remap.len()];
    for at in order.iter().map(|at| *at as usize) {
        let stream = |host: usize| if streams.single { 0 } else { host };
        if choose {
            let fits = (0..case.index.host_count())
                .filter_map(|host| Some((host, assignment.room.check(case, at, host).ok()?)));
            let best = fits.min_by_key(|(host, _)| (free[stream(*host)], assignment.room.fullness(case, *host), *host));
            let Some((host, nodes)) = best else { continue };
            assignment.assign(case, at, host, nodes);
        }
        if assignment.host[at] == NONE {
            continue;
        }
        let host = assignment.host[at] as usize;
        let job = &case.jobs[at];
        let begin = job.release.max(free[stream(host)]);
        let lanes = streams.volumes.min(case.map_lanes[host]);
        let mapped = map(case, at, begin, lanes, &mut arrays, &mut schedule.ops[at]);
        let start = (mapped + job.configure).max(gate(case, at, &schedule));
        schedule.times[at] = Times { mapped, start, ready: start + job.start };
        free[stream(host)] = start + job.start;
    }
    schedule
}

/// Maps a VM's volumes, so many at a time; says when all are there.
fn map(case: &Case<'_>, at: usize, begin: u64, lanes: u32, arrays: &mut [Timeline], ops: &mut Vec<Op>) -> u64 {
    let mut own = Timeline::default();
    let mut mapped = begin;
    for (array, count) in &case.jobs[at].maps {
        let (span, slot) = (case.remap[*array as usize], &mut arrays[*array as usize]);
        for _ in 0..*count {
            let mut from = begin;
            loop {
                let free = own.earliest(from, span, lanes);
                from = slot.earliest(free, span, case.array_lanes[*array as usize]);
                if from == free {
                    break;
                }
            }
            own.book(from, from + span, 1);
            slot.book(from, from + span, 1);
            ops.push((*array, from));
            mapped = mapped.max(from + span);
        }
    }
    mapped
}

/// When a job's stage may start.
fn gate(case: &Case<'_>, at: usize, schedule: &Schedule) -> u64 {
    let job = &case.jobs[at];
    if job.group == NONE || job.stage == 0 {
        return 0;
    }
    let group = &case.groups[job.group as usize];
    let before = group.stages[job.stage as usize - 1].iter().map(|other| schedule.times[*other as usize].ready).max();
    before.filter(|ready| *ready > 0).map_or(0, |ready| ready + group.delay)
}
