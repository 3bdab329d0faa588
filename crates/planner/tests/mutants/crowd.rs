//! Plans that ask too much at once, or break what binds VMs together.

use std::collections::BTreeMap;

use lifeboat_model::fleet::{Fleet, RuleKind};
use lifeboat_model::plan::{Action, Plan, Step};
use lifeboat_model::{ArrayName, HostName, VmName, VolumeName};

use super::{is_start, sent, shift, started};

type Spoiled = Vec<(&'static str, Plan)>;

/// Plans that break something for certain.
pub fn broken(fleet: &Fleet, plan: &Plan) -> Spoiled {
    let mut found = Vec::new();
    found.extend(stage_at_once(fleet, plan).map(|plan| ("a stage with the one before", plan)));
    found.extend(array_asked_too_much(fleet, plan).map(|plan| ("an array asked too much", plan)));
    found.extend(host_starts_too_much(fleet, plan).map(|plan| ("a host that starts too much", plan)));
    found.extend(rule_broken(fleet, plan).map(|plan| ("a rule broken", plan)));
    found.extend(one_node_twice(plan).map(|plan| ("one NUMA node twice", plan)));
    found
}

/// Plans that may break something or not.
pub fn doubtful(plan: &Plan) -> Spoiled {
    let end = plan.summary.makespan_s;
    let gives_way = |step: &Step| matches!(step.action, Action::Migrate { .. } | Action::Stop { .. });
    let mut found = Vec::new();
    for at in (0..plan.steps.len()).filter(|at| gives_way(&plan.steps[*at])) {
        let id = plan.steps[at].id;
        let mut late = plan.clone();
        shift(&mut late.steps[at], end);
        late.steps.iter_mut().for_each(|step| step.after.retain(|after| *after != id));
        found.push(("a survivor that leaves too late", late));
        let mut never = plan.clone();
        super::remove(&mut never, at);
        found.push(("a survivor that never leaves", never));
    }
    found
}

fn start_of(plan: &Plan, vm: &VmName) -> Option<usize> {
    plan.steps.iter().position(|step| is_start(step) && step.action.vm() == Some(vm))
}

/// A VM started when the first of the stage before it is.
fn stage_at_once(fleet: &Fleet, plan: &Plan) -> Option<Plan> {
    for group in &fleet.groups {
        for pair in group.stages.windows(2) {
            let first = pair[0].iter().filter_map(|vm| start_of(plan, vm)).max_by_key(|at| plan.steps[*at].end_s);
            let second = pair[1].iter().find_map(|vm| start_of(plan, vm));
            if let (Some(first), Some(second)) = (first, second)
                && plan.steps[first].end_s > plan.steps[first].start_s
            {
                let mut plan = plan.clone();
                let to = plan.steps[first].start_s;
                shift(&mut plan.steps[second], to);
                return Some(plan);
            }
        }
    }
    None
}

/// All volumes of one array at once, with all that waits for them moved behind: nothing but the array is asked too much,
/// or a host with it.
fn array_asked_too_much(fleet: &Fleet, plan: &Plan) -> Option<Plan> {
    let array_of: BTreeMap<&VolumeName, &ArrayName> =
        fleet.volumes.iter().map(|volume| (&volume.name, &volume.array)).collect();
    let array = fleet.arrays.iter().find(|array| {
        let mine =
            |step: &&Step| matches!(&step.action, Action::Remap { volume, .. } if array_of[volume] == &array.name);
        array.remap_s > lifeboat_model::Seconds::ZERO && plan.steps.iter().filter(mine).count() as u64 > array.max_ops
    })?;
    let mut plan = plan.clone();
    let to = plan.summary.makespan_s;
    for step in &mut plan.steps {
        if matches!(&step.action, Action::Remap { volume, .. } if array_of[volume] == &array.name) {
            shift(step, to);
        }
    }
    Some(plan)
}

/// All starts of a host at once.
fn host_starts_too_much(fleet: &Fleet, plan: &Plan) -> Option<Plan> {
    let lasts = |step: &Step| is_start(step) && step.end_s > step.start_s;
    let mut starts: BTreeMap<&HostName, u64> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| lasts(step)) {
        if let Action::Start { host, .. } = &step.action {
            *starts.entry(host).or_default() += 1;
        }
    }
    let most = |name: &HostName| {
        let host = fleet.hosts.iter().find(|host| &host.name == name);
        host.and_then(|host| host.starts).unwrap_or(fleet.limits.starts_per_host)
    };
    let crowded = (*starts.iter().find(|(host, count)| **count > most(host))?.0).clone();
    let mut plan = plan.clone();
    let to = plan.summary.makespan_s;
    for step in plan.steps.iter_mut().filter(|step| lasts(step)) {
        if matches!(&step.action, Action::Start { host, .. } if *host == crowded) {
            shift(step, to);
        }
    }
    Some(plan)
}

/// One VM of a rule sent where another is, or away from it.
fn rule_broken(fleet: &Fleet, plan: &Plan) -> Option<Plan> {
    for rule in fleet.rules.iter().filter(|rule| rule.required && rule.scope == "host" && rule.sets.is_empty()) {
        let mine: Vec<VmName> = started(plan).into_iter().filter(|vm| rule.vms.contains(vm)).collect();
        let [first, second, ..] = mine.as_slice() else { continue };
        let to = match rule.kind {
            RuleKind::Apart => Some(&plan.placements[first]),
            RuleKind::Together => {
                fleet.hosts.iter().map(|host| &host.name).find(|host| *host != &plan.placements[first])
            }
        };
        if let Some(to) = to {
            return Some(sent(plan, second, to));
        }
    }
    None
}

fn one_node_twice(plan: &Plan) -> Option<Plan> {
    let mut plan = plan.clone();
    for step in &mut plan.steps {
        if let Action::Start { numa: Some(nodes), .. } = &mut step.action
            && nodes.len() > 1
        {
            nodes[1] = nodes[0];
            return Some(plan);
        }
    }
    None
}
