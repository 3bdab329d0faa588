//! Ways to spoil a sound plan.

#![allow(dead_code, missing_docs)]

mod crowd;

use std::collections::BTreeMap;

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Action, Plan, Step, StepId};
use lifeboat_model::{HostName, Seconds, VmName};

fn first(plan: &Plan, is: impl Fn(&Step) -> bool) -> Option<usize> {
    plan.steps.iter().position(is)
}

fn is_start(step: &Step) -> bool {
    matches!(step.action, Action::Start { .. })
}

fn is_remap(step: &Step) -> bool {
    matches!(step.action, Action::Remap { .. })
}

/// Moves a step in time, its length kept.
fn shift(step: &mut Step, to: Seconds) {
    let span = step.end_s.saturating_sub(step.start_s);
    step.start_s = to;
    step.end_s = to + span;
}

/// Removes a step and every wait for it.
fn remove(plan: &mut Plan, at: usize) {
    let id = plan.steps.remove(at).id;
    plan.steps.iter_mut().for_each(|step| step.after.retain(|after| *after != id));
}

fn set_host(step: &mut Step, to: &HostName) {
    match &mut step.action {
        Action::Remap { host, .. } | Action::Configure { host, .. } | Action::Start { host, .. } => *host = to.clone(),
        _ => {}
    }
}

fn started(plan: &Plan) -> Vec<VmName> {
    plan.steps.iter().filter(|step| is_start(step)).filter_map(|step| step.action.vm().cloned()).collect()
}

/// The same plan with a VM's steps on another host.
fn sent(plan: &Plan, vm: &VmName, to: &HostName) -> Plan {
    let mut plan = plan.clone();
    plan.steps.iter_mut().filter(|step| step.action.vm() == Some(vm)).for_each(|step| set_host(step, to));
    plan.placements.insert(vm.clone(), to.clone());
    plan
}

/// Plans that break something for certain, each with what was done to it.
pub fn broken(fleet: &Fleet, plan: &Plan) -> Vec<(&'static str, Plan)> {
    let mut found = Vec::new();
    let mut spoil = |name, at: Option<usize>, how: &dyn Fn(&mut Plan, usize)| {
        if let Some(at) = at {
            let mut plan = plan.clone();
            how(&mut plan, at);
            found.push((name, plan));
        }
    };
    let long = |step: &Step| step.end_s > step.start_s;
    spoil(
        "a start at once",
        first(plan, |s| {
            is_start(s)
                && s.start_s > Seconds::ZERO
                && s.after.iter().any(|id| plan.steps[id.0 as usize].end_s > Seconds::ZERO)
        }),
        &|plan, at| {
            shift(&mut plan.steps[at], Seconds::ZERO);
        },
    );
    spoil("a volume forgotten", first(plan, is_remap), &remove);
    spoil(
        "a volume before the fence",
        first(plan, |s| matches!(&s.action, Action::Remap { from: Some(_), .. })),
        &|plan, at| {
            shift(&mut plan.steps[at], Seconds::ZERO);
        },
    );
    spoil("a VM forgotten", first(plan, is_start), &|plan, at| {
        let vm = plan.steps[at].action.vm().cloned();
        while let Some(at) = first(plan, |step| step.action.vm() == vm.as_ref()) {
            remove(plan, at);
        }
        plan.placements.retain(|name, _| Some(name) != vm.as_ref());
    });
    spoil("a VM started twice", first(plan, is_start), &|plan, at| {
        let id = StepId(plan.steps.iter().map(|step| step.id.0).max().unwrap_or(0) + 1);
        let again = Step { id, ..plan.steps[at].clone() };
        plan.steps.push(again);
    });
    spoil("a start cut short", first(plan, |s| is_start(s) && long(s)), &|plan, at| {
        plan.steps[at].end_s = plan.steps[at].start_s;
    });
    spoil("a volume too quick", first(plan, |s| is_remap(s) && long(s)), &|plan, at| {
        plan.steps[at].end_s = plan.steps[at].start_s;
    });
    spoil("a fence too quick", first(plan, |s| matches!(s.action, Action::Fence { .. })), &|plan, at| {
        plan.steps[at].end_s = Seconds::ZERO;
    });
    spoil(
        "no fence",
        first(
            plan,
            |s| matches!(&s.action, Action::Fence { host } if plan.steps.iter().any(|s| matches!(&s.action, Action::Remap { from: Some(from), .. } if from == host))),
        ),
        &remove,
    );
    spoil("no configure", first(plan, |s| matches!(s.action, Action::Configure { .. })), &remove);
    found.extend(misnamed(fleet, plan));
    found.extend(crowd::broken(fleet, plan));
    found
}

/// Plans whose names, numbers or lists are wrong.
fn misnamed(fleet: &Fleet, plan: &Plan) -> Vec<(&'static str, Plan)> {
    let mut found = Vec::new();
    let mut spoil = |name, at: Option<usize>, how: &dyn Fn(&mut Plan, usize)| {
        if let Some(at) = at {
            let mut plan = plan.clone();
            how(&mut plan, at);
            found.push((name, plan));
        }
    };
    spoil("one number twice", (plan.steps.len() > 1).then_some(0), &|plan, at| {
        plan.steps[at].id = plan.steps[at + 1].id
    });
    spoil("a wait for nothing", first(plan, is_start), &|plan, at| plan.steps[at].after.push(StepId(u32::MAX)));
    spoil("left out and started", first(plan, is_start), &|plan, at| {
        if let Some(vm) = plan.steps[at].action.vm().cloned() {
            let reason = lifeboat_model::reason::Reason::NoEligibleHost { requires: None };
            plan.unplaced.push(lifeboat_model::plan::Unplaced::new(vm, reason));
        }
    });
    spoil("no reason", (!plan.unplaced.is_empty()).then_some(0), &|plan, at| plan.unplaced[at].code.clear());
    spoil("left out unsaid", (!plan.unplaced.is_empty()).then_some(0), &|plan, at| {
        plan.unplaced.remove(at);
    });
    if let Some(vm) = started(plan).first() {
        let away = fleet.hosts.iter().find(|host| host.state != lifeboat_model::fleet::HostState::Up);
        found.extend(away.map(|host| ("to a host that is not up", sent(plan, vm, &host.name))));
        let mut lie = plan.clone();
        lie.placements.insert(vm.clone(), HostName::new("nowhere").expect("a name"));
        found.push(("a placement that is not so", lie));
    }
    found.extend(overfull(fleet, plan).map(|plan| ("an overfull host", plan)));
    found
}

/// A VM sent to a host without room for it.
fn overfull(fleet: &Fleet, plan: &Plan) -> Option<Plan> {
    if plan.steps.iter().any(|step| matches!(step.action, Action::Stop { .. } | Action::Migrate { .. })) {
        return None;
    }
    let demand: BTreeMap<&VmName, u64> = fleet.vms.iter().map(|vm| (&vm.name, vm.demand["memory_mib"])).collect();
    for host in fleet
        .hosts
        .iter()
        .filter(|host| host.state == lifeboat_model::fleet::HostState::Up && !plan.failed.contains(&host.name))
    {
        let stays = |vm: &&lifeboat_model::fleet::Vm| vm.host.as_ref() == Some(&host.name);
        let used: u64 = fleet.vms.iter().filter(stays).map(|vm| vm.demand["memory_mib"]).sum();
        let vm = started(plan).into_iter().find(|vm| used + demand[vm] > host.capacity["memory_mib"]);
        if let Some(vm) = vm {
            return Some(sent(plan, &vm, &host.name));
        }
    }
    None
}

/// Plans that may break something or not: what is said about them must agree, whoever says it.
pub fn doubtful(fleet: &Fleet, plan: &Plan, roll: &mut dyn FnMut(usize) -> usize) -> Vec<(&'static str, Plan)> {
    let mut found = Vec::new();
    let vms = started(plan);
    if vms.is_empty() {
        return found;
    }
    for _ in 0..4 {
        let host = &fleet.hosts[roll(fleet.hosts.len())].name;
        found.push(("another host", sent(plan, &vms[roll(vms.len())], host)));
    }
    for _ in 0..4 {
        let mut other = plan.clone();
        let (a, b) = (roll(plan.steps.len()), roll(plan.steps.len()));
        let to = other.steps[b].start_s;
        shift(&mut other.steps[a], to);
        found.push(("another time", other));
    }
    let mut numb = plan.clone();
    for step in &mut numb.steps {
        if let Action::Start { numa, .. } = &mut step.action {
            *numa = None;
        }
    }
    found.push(("no nodes named", numb));
    found.extend(crowd::doubtful(plan));
    found
}
