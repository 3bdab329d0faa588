//! From numbers back to a plan.

use std::collections::BTreeMap;

use lifeboat_model::plan::{Action, ClassSummary, FORMAT, Plan, Step, StepId, Summary, Unplaced};
use lifeboat_model::reason::Reason;
use lifeboat_model::{HostName, Seconds, VmName};

use crate::case::Case;
use crate::index::NONE;
use crate::make_room::{self, MadeRoom};
use crate::schedule::{Assignment, Op, Schedule};

/// A joint decision: where, when, and why not.
pub(crate) struct Solution {
    pub(crate) assignment: Assignment,
    pub(crate) schedule: Schedule,
    pub(crate) why: Vec<Option<Reason>>,
    pub(crate) made: MadeRoom,
    /// The lower bound of each class and all above it.
    pub(crate) bounds: Vec<u64>,
}

/// Writes a plan.
pub(crate) fn plan(case: &Case<'_>, solution: &Solution) -> Plan {
    let fleet = case.index.fleet;
    let mut writer = Writer {
        case,
        solution,
        steps: Vec::with_capacity(step_count(case, solution)),
        fences: Vec::new(),
        leaves: Vec::new(),
        starts: vec![None; case.jobs.len()],
    };
    writer.fences();
    writer.leaves();
    writer.jobs();
    let steps = writer.steps;
    let placed = case.jobs.iter().zip(&solution.assignment.host).filter(|(_, host)| **host != NONE);
    let mut placements: BTreeMap<VmName, HostName> =
        placed.map(|(job, host)| (vm_name(case, job.vm), host_name(case, *host))).collect();
    for leave in &solution.made.leaves {
        if let Some((to, _)) = leave.to {
            placements.insert(vm_name(case, leave.vm), host_name(case, to));
        }
    }
    Plan {
        format: FORMAT.to_owned(),
        failed: case.failed.iter().map(|host| fleet.hosts[*host as usize].name.clone()).collect(),
        steps,
        placements,
        unplaced: unplaced(case, solution),
        summary: summary(case, solution),
    }
}

/// How many steps a plan has: so that their list, the largest of all, never grows by being copied.
fn step_count(case: &Case<'_>, solution: &Solution) -> usize {
    let placed = case.jobs.iter().zip(&solution.assignment.host).filter(|(_, host)| **host != NONE);
    let of_jobs: usize = placed.map(|(job, _)| job.volumes as usize + 2).sum();
    case.failed.len() + solution.made.leaves.len() + of_jobs
}

/// The jobs without a place, and why.
pub(crate) fn unplaced(case: &Case<'_>, solution: &Solution) -> Vec<Unplaced> {
    let out = case.jobs.iter().enumerate().filter(|(at, _)| solution.assignment.host[*at] == NONE);
    out.map(|(at, job)| {
        let reason = solution.why[at].clone().unwrap_or(Reason::NoEligibleHost { requires: None });
        Unplaced::new(vm_name(case, job.vm), reason)
    })
    .collect()
}

fn vm_name(case: &Case<'_>, vm: u32) -> VmName {
    case.index.fleet.vms[vm as usize].name.clone()
}

fn host_name(case: &Case<'_>, host: u32) -> HostName {
    case.index.fleet.hosts[host as usize].name.clone()
}

struct Writer<'c, 'a> {
    case: &'c Case<'a>,
    solution: &'c Solution,
    steps: Vec<Step>,
    /// `(host, step)` of each fence.
    fences: Vec<(u32, StepId)>,
    /// `(host, step)` of each VM that leaves a host.
    leaves: Vec<(u32, StepId)>,
    /// The start step of each job written so far.
    starts: Vec<Option<StepId>>,
}

impl Writer<'_, '_> {
    fn push(&mut self, action: Action, start: u64, end: u64, after: Vec<StepId>) -> StepId {
        let id = StepId(self.steps.len() as u32);
        self.steps.push(Step {
            id,
            action,
            start_s: Seconds::from_micros(start),
            end_s: Seconds::from_micros(end),
            after,
        });
        id
    }

    fn fences(&mut self) {
        let case = self.case;
        for host in &case.failed {
            let end = case.index.fleet.limits.fence_s.micros();
            let id = self.push(Action::Fence { host: host_name(case, *host) }, 0, end, Vec::new());
            self.fences.push((*host, id));
        }
    }

    fn leaves(&mut self) {
        let (case, made) = (self.case, &self.solution.made);
        for (leave, (begin, end)) in made.leaves.iter().zip(make_room::times(case, made)) {
            let (vm, from) = (vm_name(case, leave.vm), host_name(case, leave.from));
            let moves = |step: &StepId| matches!(self.steps[step.0 as usize].action, Action::Migrate { .. });
            let before = |step: &(u32, StepId)| (step.0 == leave.from).then_some(step.1).filter(moves);
            // One migration of a host after the other.
            let after = if leave.to.is_some() {
                self.leaves.iter().rev().find_map(before).into_iter().collect()
            } else {
                Vec::new()
            };
            let action = match leave.to {
                None => Action::Stop { vm, host: from },
                Some((to, nodes)) => Action::Migrate { vm, from, host: host_name(case, to), numa: node_list(nodes) },
            };
            let id = self.push(action, begin, end, after);
            self.leaves.push((leave.from, id));
        }
    }

    /// Jobs in the order in which they start, so that every step stands behind those that it waits for.
    fn jobs(&mut self) {
        let times = &self.solution.schedule.times;
        let mut order: Vec<u32> = (0..self.case.jobs.len() as u32)
            .filter(|job| self.solution.assignment.host[*job as usize] != NONE)
            .collect();
        order.sort_unstable_by_key(|at| {
            let job = &self.case.jobs[*at as usize];
            let stage = if job.group == NONE { 0 } else { job.stage };
            (times[*at as usize].start, times[*at as usize].ready, stage, *at)
        });
        for job in order {
            self.job(job as usize);
        }
    }

    fn job(&mut self, at: usize) {
        let case = self.case;
        let job = &case.jobs[at];
        let times = self.solution.schedule.times[at];
        let host = host_name(case, self.solution.assignment.host[at]);
        let vm = &case.index.fleet.vms[job.vm as usize];
        let from = (job.from != NONE).then(|| host_name(case, job.from));
        let mut gate: Vec<StepId> = Vec::new();
        if let Ok(fence) = self.fences.binary_search_by_key(&job.from, |fence| fence.0) {
            gate.push(self.fences[fence].1);
        }
        if self.solution.made.waiting.binary_search(&(at as u32)).is_ok() {
            let host = self.solution.assignment.host[at];
            gate.extend(self.leaves.iter().filter(|leave| leave.0 == host).map(|leave| leave.1));
        }
        let mut remaps = Vec::with_capacity(vm.volumes.len());
        for (volume, array, begin) in self.volumes(at) {
            let end = begin + case.remap[array as usize];
            let volume = vm.volumes[volume].clone();
            let action = Action::Remap { vm: vm.name.clone(), volume, from: from.clone(), host: host.clone() };
            remaps.push(self.push(action, begin, end, gate.clone()));
        }
        let ready_for = if remaps.is_empty() { gate } else { remaps };
        let action = Action::Configure { vm: vm.name.clone(), host: host.clone() };
        let configure = self.push(action, times.mapped, times.mapped + job.configure, ready_for);
        let mut after = vec![configure];
        after.extend(self.stage_before(at));
        let numa = self.numa(at);
        let start = self.push(Action::Start { vm: vm.name.clone(), host, numa }, times.start, times.ready, after);
        self.starts[at] = Some(start);
    }

    /// Each volume with its array and its operation's begin, by begin.
    fn volumes(&self, at: usize) -> Vec<(usize, u32, u64)> {
        let ops: &[Op] = &self.solution.schedule.ops[at];
        let arrays = self.case.arrays_of(at);
        let first = |array: &u32| ops.iter().position(|op| op.0 == *array).unwrap_or(0);
        let mut next: Vec<(u32, usize)> =
            self.case.jobs[at].maps.iter().map(|(array, _)| (*array, first(array))).collect();
        let mut rows = Vec::with_capacity(arrays.len());
        for (volume, array) in arrays.iter().enumerate() {
            if let Some(slot) = next.iter_mut().find(|slot| slot.0 == *array) {
                rows.push((volume, *array, ops[slot.1].1));
                slot.1 += 1;
            }
        }
        rows.sort_unstable_by_key(|row| (row.2, row.0));
        rows
    }

    fn stage_before(&self, at: usize) -> Vec<StepId> {
        let job = &self.case.jobs[at];
        if job.group == NONE || job.stage == 0 {
            return Vec::new();
        }
        let before = &self.case.groups[job.group as usize].stages[job.stage as usize - 1];
        before.iter().filter_map(|job| self.starts[*job as usize]).collect()
    }

    fn numa(&self, at: usize) -> Option<Vec<u32>> {
        node_list(self.solution.assignment.nodes[at])
    }
}

fn node_list(nodes: u64) -> Option<Vec<u32>> {
    (nodes != 0).then(|| (0..64).filter(|node| nodes & (1 << node) != 0).collect())
}

/// How long it takes.
pub(crate) fn summary(case: &Case<'_>, solution: &Solution) -> Summary {
    let placed: Vec<bool> = solution.assignment.host.iter().map(|host| *host != NONE).collect();
    let mut count = vec![0_u64; case.classes];
    let mut ready = vec![0_u64; case.classes];
    for (at, job) in case.jobs.iter().enumerate().filter(|(at, _)| placed[*at]) {
        count[job.class as usize] += 1;
        ready[job.class as usize] = ready[job.class as usize].max(solution.schedule.times[at].ready);
    }
    let mut latest = 0;
    let mut classes = Vec::with_capacity(case.classes);
    for (at, class) in case.index.fleet.classes.iter().enumerate() {
        latest = ready[at].max(latest);
        classes.push(ClassSummary {
            name: class.name.clone(),
            vms: count[at],
            ready_s: Seconds::from_micros(latest),
            lower_bound_s: Seconds::from_micros(solution.bounds[at]),
            rto_s: class.rto_s,
            met: latest <= class.rto_s.micros(),
        });
    }
    Summary { makespan_s: Seconds::from_micros(latest), classes }
}
