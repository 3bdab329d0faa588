//! From an order of jobs to times: each job in turn is given the earliest moments that its host, its arrays and the
//! stages before it leave free.
//!
//! A job may fill a gap before others that are already booked, never push them: what comes earlier in the order is not
//! delayed by what comes later. A job without a host yet is given the one where it would be ready first.

use crate::Options;
use crate::case::{Case, Job};
use crate::index::NONE;
use crate::make_room::Held;
use crate::queue::Queue;
use crate::room::Room;
use crate::timeline::Timeline;

/// Which host each job has, and what room is left.
#[derive(Clone)]
pub(crate) struct Assignment {
    /// The host of each job, or [`NONE`].
    pub(crate) host: Vec<u32>,
    /// Its NUMA nodes there, as bits.
    pub(crate) nodes: Vec<u64>,
    pub(crate) room: Room,
}

impl Assignment {
    /// No job has a host.
    pub(crate) fn new(case: &Case<'_>, room: Room) -> Self {
        Self { host: vec![NONE; case.jobs.len()], nodes: vec![0; case.jobs.len()], room }
    }

    /// Gives a job a host that [`Room::check`] has found fit.
    pub(crate) fn assign(&mut self, case: &Case<'_>, job: usize, host: usize, nodes: u64) {
        self.room.take(case, job, host, nodes);
        self.host[job] = host as u32;
        self.nodes[job] = nodes;
    }

    /// Takes a job's host away.
    pub(crate) fn release(&mut self, case: &Case<'_>, job: usize) {
        let host = self.host[job] as usize;
        self.room.give_back(case, job, host, self.nodes[job]);
        self.host[job] = NONE;
        self.nodes[job] = 0;
    }
}

/// When a job's steps are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// When its volumes are there.
    pub(crate) mapped: u64,
    pub(crate) start: u64,
    pub(crate) ready: u64,
}

/// One volume on its way: `(array, begin)`.
pub(crate) type Op = (u32, u64);

/// The times of all jobs that have a host.
#[derive(Clone, Default)]
pub(crate) struct Schedule {
    pub(crate) times: Vec<Times>,
    /// Each job's operations, where asked for.
    pub(crate) ops: Vec<Vec<Op>>,
}

/// The lanes of hosts and arrays, and how far the stages of each group are.
pub(crate) struct Clock {
    starts: Vec<Timeline>,
    maps: Vec<Timeline>,
    arrays: Vec<Timeline>,
    /// For each group: the stage being booked, when it may start, when it is ready.
    stages: Vec<(u32, u64, u64)>,
    touched: Vec<u32>,
    record: bool,
}

impl Clock {
    /// Nothing is booked. `record` keeps every operation.
    pub(crate) fn new(case: &Case<'_>, record: bool) -> Self {
        let hosts = case.index.host_count();
        Self {
            starts: vec![Timeline::default(); hosts],
            maps: vec![Timeline::default(); hosts],
            arrays: vec![Timeline::default(); case.remap.len()],
            stages: vec![(0, 0, 0); case.groups.len()],
            touched: Vec::new(),
            record,
        }
    }

    fn clear(&mut self) {
        for host in self.touched.drain(..) {
            self.starts[host as usize].clear();
            self.maps[host as usize].clear();
        }
        self.arrays.iter_mut().for_each(Timeline::clear);
        self.stages.fill((0, 0, 0));
    }

    /// When a job may start as far as the stages before it go.
    fn gate(&mut self, case: &Case<'_>, job: &Job) -> u64 {
        if job.group == NONE {
            return 0;
        }
        let (stage, gate, ready) = &mut self.stages[job.group as usize];
        if job.stage > *stage {
            *stage = job.stage;
            if *ready > 0 {
                *gate = ready.saturating_add(case.groups[job.group as usize].delay);
            }
            *ready = 0;
        }
        *gate
    }

    fn book(&mut self, case: &Case<'_>, at_job: usize, host: usize, not_before: u64, out: &mut Schedule) {
        let job = &case.jobs[at_job];
        let gate = self.gate(case, job);
        if self.starts[host].is_idle() && self.maps[host].is_idle() {
            self.touched.push(host as u32);
        }
        let zero = job.release.max(not_before);
        let mut mapped = zero;
        for (array, count) in &job.maps {
            let span = case.remap[*array as usize];
            let (mut from, mut left) = (zero, *count);
            while left > 0 {
                let (at, together) = self.book_maps(case, host, *array as usize, from, left);
                (from, left) = (at, left - together);
                mapped = mapped.max(at + span);
                if self.record {
                    out.ops[at_job].extend(std::iter::repeat_n((*array, at), together as usize));
                }
            }
        }
        let lanes = case.start_lanes[host];
        let start = self.starts[host].earliest((mapped + job.configure).max(gate), job.start, lanes);
        let ready = start + job.start;
        self.starts[host].book(start, ready, 1);
        if job.group != NONE {
            let stage = &mut self.stages[job.group as usize];
            stage.2 = stage.2.max(ready);
        }
        out.times[at_job] = Times { mapped, start, ready };
    }

    /// Books as many of `count` operations as can begin together at the earliest moment; says when, and how many.
    fn book_maps(&mut self, case: &Case<'_>, host: usize, array: usize, from: u64, count: u32) -> (u64, u32) {
        let span = case.remap[array];
        let mut at = from;
        loop {
            let on_host = self.maps[host].earliest(at, span, case.map_lanes[host]);
            at = self.arrays[array].earliest(on_host, span, case.array_lanes[array]);
            if at == on_host {
                break;
            }
        }
        let on_host = self.maps[host].free(at, span, case.map_lanes[host]);
        let on_array = self.arrays[array].free(at, span, case.array_lanes[array]);
        let together = count.min(on_host).min(on_array).max(1);
        self.maps[host].book(at, at + span, together);
        self.arrays[array].book(at, at + span, together);
        (at, together)
    }

    /// When a job would be ready on a host, nearly: the array's and the host's lanes are looked at apart.
    fn estimate(&self, case: &Case<'_>, job: &Job, host: usize, arrays_end: u64, gate: u64) -> u64 {
        let each = if job.volumes == 0 {
            0
        } else {
            let work: u64 = job.maps.iter().map(|(array, count)| case.remap[*array as usize] * u64::from(*count)).sum();
            work / u64::from(job.volumes)
        };
        let mapped = self.maps[host].fill_end(job.release, each, case.map_lanes[host], job.volumes).max(arrays_end);
        let start = self.starts[host].earliest((mapped + job.configure).max(gate), job.start, case.start_lanes[host]);
        start + job.start
    }

    fn arrays_end(&self, case: &Case<'_>, job: &Job) -> u64 {
        let ends = job.maps.iter().map(|(array, count)| {
            let array = *array as usize;
            self.arrays[array].fill_end(job.release, case.remap[array], case.array_lanes[array], *count)
        });
        ends.max().unwrap_or(job.release)
    }
}

/// How many hosts that can take a job are compared at most.
const COMPARED: usize = 48;
/// How many equally good ones, for the sake of wishes.
const TIES: usize = 8;

/// Gives every job in `order` its times, and a host where it has none. A job that no host can take is left out.
/// `held` tells which jobs' room comes free only later.
pub(crate) fn run(
    case: &Case<'_>,
    order: &[u32],
    assignment: &mut Assignment,
    clock: &mut Clock,
    options: &Options,
    held: &Held,
) -> Schedule {
    clock.clear();
    let jobs = case.jobs.len();
    let mut out = Schedule {
        times: vec![Times::default(); jobs],
        ops: if clock.record { vec![Vec::new(); jobs] } else { Vec::new() },
    };
    let mut queue: Option<Queue> = None;
    for at in order.iter().map(|at| *at as usize) {
        if assignment.host[at] == NONE {
            let queue = queue.get_or_insert_with(|| {
                let mut queue = Queue::new(case, &assignment.room, options.policy);
                for host in clock.touched.iter().map(|host| *host as usize) {
                    queue.update(case, &assignment.room, host, clock.starts[host].end());
                }
                queue
            });
            let Some((host, nodes)) = choose(case, at, assignment, clock, queue) else { continue };
            assignment.assign(case, at, host, nodes);
        }
        let host = assignment.host[at] as usize;
        clock.book(case, at, host, held.begin(at, host), &mut out);
        if let Some(queue) = &mut queue {
            queue.update(case, &assignment.room, host, clock.starts[host].end());
        }
    }
    out
}

/// The host where a job would be ready first; of equal ones the one with the fewest wishes broken, then the one that
/// comes first by policy.
fn choose(
    case: &Case<'_>,
    at: usize,
    assignment: &Assignment,
    clock: &mut Clock,
    queue: &Queue,
) -> Option<(usize, u64)> {
    let job = &case.jobs[at];
    let gate = clock.gate(case, job);
    let arrays_end = clock.arrays_end(case, job);
    let ideal = (arrays_end + job.configure).max(gate) + job.start;
    let mut best: Option<((u64, u32, i64), usize, u64)> = None;
    let (mut compared, mut ties) = (0, 0);
    for (end, host) in queue.hosts_for(case, at) {
        if best.as_ref().is_some_and(|(best, _, _)| end.saturating_add(job.start) > best.0) {
            break;
        }
        let Ok(nodes) = assignment.room.check(case, at, host) else { continue };
        let ready = clock.estimate(case, job, host, arrays_end, gate);
        let key = (ready, assignment.room.wishes_broken(case, at, host), -liking(case, job, host));
        if best.as_ref().is_none_or(|(best, _, _)| key < *best) {
            best = Some((key, host, nodes));
        }
        compared += 1;
        ties += usize::from(ready <= ideal);
        if compared >= COMPARED || ties >= TIES {
            break;
        }
    }
    best.map(|(_, host, nodes)| (host, nodes))
}

/// The weight of a VM's own wishes that a host meets.
pub(crate) fn liking(case: &Case<'_>, job: &Job, host: usize) -> i64 {
    let row = &case.index.fleet.hosts[host];
    let wishes = &case.index.fleet.vms[job.vm as usize].prefers;
    let met = wishes.iter().filter(|wish| {
        let has = if wish.label == "host" {
            Some(row.name.as_str())
        } else {
            row.labels.get(&wish.label).map(String::as_str)
        };
        has == Some(wish.value.as_str())
    });
    met.map(|wish| i64::from(wish.weight)).sum()
}
