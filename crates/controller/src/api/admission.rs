//! Admission: whether what is applied would break what could fail before.
//!
//! A VM that takes the last spare room runs well until a host fails. So before an apply goes to the brain, the fleet that it
//! would make is drilled aside, host by host (and pair by pair where two may fail), with new VMs where a planner would put
//! them; what would not come back then, and would have before, is told or refused. Nothing is decided by it for VMs that run.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::fleet::{
    Brain,
    records::{HostCondition, Wanted},
};
use lifeboat_model::{
    HostName, VmName,
    declaration::{Kind, Object, merge, to_fleet},
    drill::{Part, Report, Worse, worse},
    fleet::{Fleet, HostState},
    plan::{Request, Unplaced},
    spec::Declaration,
};
use lifeboat_planner::{
    Options, PlanError, RoomMaking,
    drill::{By, Drill, drill, part},
};

use crate::config::Admission;

/// VMs times what-ifs that are looked at, at most: a few seconds of one processor. Larger fleets are left to the daily drill.
const MAX_WORK: u64 = 20_000_000;
/// Breaks that are told, at most.
const TOLD: usize = 5;
/// Kinds of things that say what fits where.
const MATTERS: [Kind; 3] = [Kind::Host, Kind::Vm, Kind::Rule];

/// What runs where, as far as admission looks at it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ground {
    /// Hosts that joined, with what they do.
    states: BTreeMap<HostName, HostState>,
    /// Where VMs are.
    at: BTreeMap<VmName, HostName>,
    /// VMs that shall not run.
    idle: BTreeSet<VmName>,
}

impl Ground {
    pub(super) fn of(brain: &Brain) -> Self {
        let fleet = brain.fleet();
        let joined =
            |name: &HostName| brain.hosts().get(name).is_some_and(|host| host.record.condition != HostCondition::New);
        let idle = brain.vms().iter().filter(|(_, vm)| !vm.enabled || vm.wanted != Wanted::Running);
        let hosts = fleet.hosts.into_iter().filter(|host| joined(&host.name));
        Self {
            idle: idle.map(|(name, _)| name.clone()).collect(),
            states: hosts.map(|host| (host.name, host.state)).collect(),
            at: fleet.vms.into_iter().filter_map(|vm| vm.host.map(|host| (vm.name, host))).collect(),
        }
    }

    /// The fleet of a declaration on this ground, with VMs that shall run and do not yet where a planner would put them; and
    /// those that have no place, with the reason.
    fn fleet(&self, declaration: &Declaration) -> Option<(Fleet, Vec<Unplaced>)> {
        let mut fleet = to_fleet(declaration);
        let derived = lifeboat_rules::derive(&declaration.restarts, &declaration.orders, &fleet).ok()?;
        derived.apply_to(&mut fleet);
        for host in &mut fleet.hosts {
            // One that has not joined yet is meant to be there.
            host.state = self.states.get(&host.name).copied().unwrap_or(host.state);
        }
        for vm in &mut fleet.vms {
            vm.host = self.at.get(&vm.name).cloned();
        }
        let waits = fleet.vms.iter().filter(|vm| vm.host.is_none() && !self.idle.contains(&vm.name));
        let request = Request { place: waits.map(|vm| (vm.name.clone(), None)).collect(), ..Request::default() };
        if request.place.is_empty() {
            return Some((fleet, Vec::new()));
        }
        let plan = lifeboat_planner::plan(&fleet, &request, &options()).ok()?;
        for vm in fleet.vms.iter_mut().filter(|vm| vm.host.is_none()) {
            vm.host = plan.placements.get(&vm.name).cloned();
        }
        Some((fleet, plan.unplaced))
    }
}

/// What an apply would break, a sentence each; nothing when all that may fail now may fail then.
pub(super) fn breaks(settings: &Admission, ground: &Ground, known: &Declaration, new: &Declaration) -> Vec<String> {
    let merged = merge(known, new);
    if !merged.created.iter().chain(&merged.changed).any(|object| MATTERS.contains(&object.kind)) {
        return Vec::new();
    }
    let Some((after, unplaced)) = ground.fleet(&merged.declaration) else { return Vec::new() };
    let created = |out: &&Unplaced| merged.created.contains(&Object::new(Kind::Vm, &out.vm));
    let told = unplaced.iter().filter(created).take(TOLD);
    let mut told: Vec<String> =
        told.map(|out| format!("VM `{}` would have no place: {}.", out.vm, out.reason)).collect();
    let hosts = after.hosts.iter().filter(|host| host.state != HostState::Down).count() as u64;
    let cases = if settings.spare > 1 { hosts * hosts.saturating_sub(1) / 2 } else { hosts };
    if hosts <= u64::from(settings.spare) || cases * after.vms.len() as u64 > MAX_WORK {
        return told;
    }
    let Ok(now) = drilled(&after, settings.spare) else { return told };
    if now.any_one_may_fail() {
        return told;
    }
    let Some((before, _)) = ground.fleet(known) else { return told };
    let Ok(then) = drilled(&before, settings.spare) else { return told };
    let report = |part| Report { parts: vec![part], ..Report::default() };
    let found = worse(&report(then), &report(now));
    let found: Vec<&Worse> = found.iter().filter(|it| matches!(it, Worse::LeftOut { .. })).collect();
    told.extend(found.iter().take(TOLD).map(|it| format!("N+{} would be broken: {it}.", settings.spare)));
    if found.len() > TOLD {
        told.push(format!("so it would be for {} hosts more.", found.len() - TOLD));
    }
    told
}

fn options() -> Options {
    Options { effort: 0, room: RoomMaking::Stop, ..Options::default() }
}

/// The failure of every host, or of every two together.
fn drilled(fleet: &Fleet, spare: u32) -> Result<Part, PlanError> {
    let mut answer: Drill = drill(fleet, &By::Host, spare, &options())?;
    answer.what_ifs.retain(|it| it.name.len() == spare as usize);
    Ok(part(&answer, "host"))
}
