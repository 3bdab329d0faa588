//! Why a VM is ready when it is, where it is, and not elsewhere: for people, as types.
//!
//! The critical path is read off the plan from its end: a step that begins when one that it waits for ends follows that
//! one; a step that begins later waited for a lane of its host or array, and what held the lane then is named.

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Action, Plan, Request, Step, StepId};
use lifeboat_model::reason::Reason;
use lifeboat_model::{ArrayName, ClassName, GroupName, HostName, Seconds, VmName};
use serde::Serialize;

use crate::PlanError;
use crate::bounds::{self, Because};
use crate::case::Case;
use crate::index::{Index, NONE};
use crate::make_room::{self, MadeRoom};
use crate::reach::Reach;
use crate::room::{Blocker, Room};

/// What a plan does with a VM, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The VM.
    pub vm: VmName,
    /// Its class.
    pub class: ClassName,
    /// Its group.
    pub group: Option<GroupName>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What becomes of a VM.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "becomes", rename_all = "snake_case")]
pub enum Outcome {
    /// It is started.
    Ready {
        /// Where.
        host: HostName,
        /// When it is ready.
        ready_s: Seconds,
        /// Its class's objective.
        rto_s: Seconds,
        /// How soon its class and all above it could be ready at best, and what makes it so.
        bound: Option<ClassBound>,
        /// What leads up to it, in the order of time.
        path: Vec<Link>,
        /// Why not on other hosts.
        elsewhere: Vec<Elsewhere>,
    },
    /// It is left out.
    LeftOut {
        /// Why.
        reason: Reason,
    },
    /// It moves to make room.
    Moved {
        /// Where to.
        host: HostName,
    },
    /// It is stopped to make room.
    Stopped,
    /// The plan does not touch it.
    Untouched,
}

/// A step of a critical path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// The step.
    pub step: StepId,
    /// What it does.
    pub action: Action,
    /// When it begins.
    pub start_s: Seconds,
    /// When it ends.
    pub end_s: Seconds,
    /// How long it waited after what it follows.
    pub waited_s: Seconds,
    /// What it waited for.
    pub wait: Option<Wait>,
}

/// What a step waits for beside the steps that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Wait {
    /// The host starts others first; the one whose end it waited for.
    Starts {
        /// The VM that started before.
        behind: VmName,
    },
    /// All lanes of the host for volumes are in use.
    Maps,
    /// The array does as much as it can.
    Array {
        /// The array.
        array: ArrayName,
    },
    /// The delay between stages of its group.
    StageDelay,
}

/// Why a VM is not on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The host.
    pub host: HostName,
    /// Why not.
    pub why: WhyNot,
}

/// Why not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum WhyNot {
    /// It is down, failed, in maintenance, or kept as a spare.
    Closed,
    /// It lacks what the VM requires, or the request forbids it.
    NotEligible,
    /// It is short of a resource.
    Short {
        /// The resource.
        resource: String,
        /// By how much.
        by: u64,
    },
    /// It would have too many volumes.
    Volumes {
        /// By how many.
        by: u64,
    },
    /// It has not enough NUMA nodes with room.
    Numa,
    /// A required rule forbids it.
    Rule {
        /// Its position in the fleet's `rules`.
        rule: usize,
    },
    /// It would do; its own starts are over at that time, so the VM would be ready no sooner than so.
    Free {
        /// When its last start of this plan is over.
        busy_until_s: Seconds,
    },
}

/// Explains what a plan does with a VM.
///
/// # Errors
/// [`PlanError`] when fleet and request do not match, or there is no such VM.
pub fn explain(fleet: &Fleet, request: &Request, plan: &Plan, vm: &VmName) -> Result<Explanation, PlanError> {
    let index = Index::new(fleet)?;
    let case = Case::new(&index, request)?;
    let at = index.vm(vm.as_str()).ok_or_else(|| PlanError::UnknownVm(vm.clone()))?;
    let row = &fleet.vms[at as usize];
    let (group, _) = index.group_of[at as usize];
    let own = |step: &&Step| step.action.vm() == Some(vm);
    let start = plan.steps.iter().filter(own).find(|step| matches!(step.action, Action::Start { .. }));
    let outcome = if let Some(start) = start {
        let rto = fleet.classes.iter().find(|class| class.name == row.class).map_or(Seconds::ZERO, |class| class.rto_s);
        Outcome::Ready {
            host: start.action.host().clone(),
            ready_s: start.end_s,
            rto_s: rto,
            bound: bounds_of(&case, plan).into_iter().find(|bound| bound.class == row.class),
            path: critical_path(fleet, &index, plan, start),
            elsewhere: elsewhere(&case, plan, at, start.action.host()),
        }
    } else if let Some(out) = plan.unplaced.iter().find(|out| out.vm == *vm) {
        Outcome::LeftOut { reason: out.reason.clone() }
    } else {
        match plan.steps.iter().find(own).map(|step| &step.action) {
            Some(Action::Migrate { host, .. }) => Outcome::Moved { host: host.clone() },
            Some(Action::Stop { .. }) => Outcome::Stopped,
            _ => Outcome::Untouched,
        }
    };
    let group = (group != NONE).then(|| fleet.groups[group as usize].name.clone());
    Ok(Explanation { vm: vm.clone(), class: row.class.clone(), group, outcome })
}

/// What leads up to a step: from each step back to the one that ends last of those that it waits for.
fn critical_path(fleet: &Fleet, index: &Index<'_>, plan: &Plan, last: &Step) -> Vec<Link> {
    let find = |id: &StepId| plan.steps.get(id.0 as usize).filter(|step| step.id == *id);
    let mut path = Vec::new();
    let mut step = last;
    loop {
        let before = step.after.iter().filter_map(find).max_by_key(|step| (step.end_s, step.id));
        let waited = step.start_s.saturating_sub(before.map_or(Seconds::ZERO, |before| before.end_s));
        let wait = if waited == Seconds::ZERO { None } else { waits_for(fleet, index, plan, step) };
        let (start_s, end_s) = (step.start_s, step.end_s);
        path.push(Link { step: step.id, action: step.action.clone(), start_s, end_s, waited_s: waited, wait });
        // Every step follows one that ended no later than it begins, so the walk ends; the bound guards a foreign plan.
        match before {
            Some(before) if path.len() <= plan.steps.len() => step = before,
            _ => break,
        }
    }
    path.reverse();
    path
}

fn waits_for(fleet: &Fleet, index: &Index<'_>, plan: &Plan, step: &Step) -> Option<Wait> {
    match &step.action {
        Action::Start { host, .. } => {
            let before = |other: &&Step| {
                matches!(&other.action, Action::Start { host: there, .. } if there == host)
                    && other.end_s == step.start_s
            };
            let behind = plan.steps.iter().find(before).and_then(|other| other.action.vm().cloned());
            Some(behind.map_or(Wait::StageDelay, |behind| Wait::Starts { behind }))
        }
        Action::Remap { host, volume, .. } => {
            let at = index.hosts.get(host.as_str())? as usize;
            let lanes = fleet.hosts[at].maps.unwrap_or(fleet.limits.maps_per_host);
            // The moment just before it began: were all lanes of its host taken then, it waited for them.
            let just_before = |other: &&Step| other.start_s < step.start_s && other.end_s >= step.start_s;
            let on_host = |other: &&Step| matches!(&other.action, Action::Remap { host: there, .. } if there == host);
            let busy = plan.steps.iter().filter(on_host).filter(just_before).count() as u64;
            if busy >= lanes {
                return Some(Wait::Maps);
            }
            let row = fleet.volumes.iter().find(|row| row.name == *volume)?;
            Some(Wait::Array { array: row.array.clone() })
        }
        _ => None,
    }
}

/// The room as the plan leaves it, but for one VM.
fn room_without(case: &Case<'_>, plan: &Plan, vm: u32) -> Room {
    let mut room = Room::new(case);
    for (job, row) in case.jobs.iter().enumerate().filter(|(_, row)| row.vm != vm) {
        let name = &case.index.fleet.vms[row.vm as usize].name;
        if let Some(host) = plan.placements.get(name).and_then(|host| case.index.hosts.get(host.as_str())) {
            // The plan's own nodes are as good as these for telling whether another host has room.
            let nodes = room.check(case, job, host as usize).unwrap_or(0);
            room.take(case, job, host as usize, nodes);
        }
    }
    make_room::replay(case, &mut room, &MadeRoom::of_plan(case, plan));
    room
}

fn elsewhere(case: &Case<'_>, plan: &Plan, vm: u32, here: &HostName) -> Vec<Elsewhere> {
    let Some(job) = case.jobs.iter().position(|job| job.vm == vm) else { return Vec::new() };
    let room = room_without(case, plan, vm);
    let hosts = case.index.fleet.hosts.iter().enumerate().filter(|(_, host)| host.name != *here);
    hosts
        .map(|(at, host)| {
            let why = match room.check(case, job, at) {
                Err(Blocker::Closed) if room.open[at] => WhyNot::NotEligible,
                Err(Blocker::Closed) => WhyNot::Closed,
                Err(Blocker::Resource { resource, short }) => {
                    WhyNot::Short { resource: case.index.resources[resource].to_owned(), by: short.unsigned_abs() }
                }
                Err(Blocker::Volumes { short }) => WhyNot::Volumes { by: short.unsigned_abs() },
                Err(Blocker::Numa) => WhyNot::Numa,
                Err(Blocker::Rule(rule)) => WhyNot::Rule { rule: case.rules[rule].at as usize },
                Ok(_) => {
                    let starts = plan.steps.iter().filter(
                        |step| matches!(&step.action, Action::Start { host: there, .. } if *there == host.name),
                    );
                    WhyNot::Free { busy_until_s: starts.map(|step| step.end_s).max().unwrap_or(Seconds::ZERO) }
                }
            };
            Elsewhere { host: host.name.clone(), why }
        })
        .collect()
}

/// What keeps a class from being ready sooner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassBound {
    /// The class, with all above it.
    pub class: ClassName,
    /// No plan can be sooner than this.
    pub bound_s: Seconds,
    /// Its objective; below the bound it cannot be met.
    pub rto_s: Seconds,
    /// What makes the bound.
    pub because: Bound,
}

/// What makes a bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Bound {
    /// Nothing is to be done.
    Nothing,
    /// The way of one VM alone, with the stages before it.
    Chain {
        /// The VM.
        vm: VmName,
    },
    /// All lanes for starting VMs, of all hosts together.
    Starts,
    /// All lanes for volumes, of all hosts together.
    Maps,
    /// The operations of an array.
    Array {
        /// The array.
        array: ArrayName,
    },
    /// The few hosts that have what some VMs require.
    FewHosts,
    /// A rule that holds VMs together on one host.
    Together {
        /// Its position in the fleet's `rules`.
        rule: usize,
    },
}

/// For each class the bound on its being ready with all above it, and what makes it, over the VMs that a plan starts.
///
/// # Errors
/// [`PlanError`] when fleet and request do not match.
pub fn class_bounds(fleet: &Fleet, request: &Request, plan: &Plan) -> Result<Vec<ClassBound>, PlanError> {
    let index = Index::new(fleet)?;
    Ok(bounds_of(&Case::new(&index, request)?, plan))
}

fn bounds_of(case: &Case<'_>, plan: &Plan) -> Vec<ClassBound> {
    let fleet = case.index.fleet;
    let name = |vm: u32| fleet.vms[vm as usize].name.clone();
    let placed: Vec<bool> = case.jobs.iter().map(|job| plan.placements.contains_key(&name(job.vm))).collect();
    let rows = bounds::explained(case, &placed, &Reach::new(case, &MadeRoom::of_plan(case, plan)))
        .into_iter()
        .zip(&fleet.classes);
    rows.map(|((bound, because), class)| ClassBound {
        class: class.name.clone(),
        bound_s: Seconds::from_micros(bound),
        rto_s: class.rto_s,
        because: match because {
            Because::Nothing => Bound::Nothing,
            Because::Chain(job) => Bound::Chain { vm: name(case.jobs[job as usize].vm) },
            Because::Starts => Bound::Starts,
            Because::Maps => Bound::Maps,
            Because::Array(array) => Bound::Array { array: fleet.arrays[array].name.clone() },
            Because::FewHosts => Bound::FewHosts,
            Because::Together(rule) => Bound::Together { rule: case.rules[rule].at as usize },
        },
    })
    .collect()
}
