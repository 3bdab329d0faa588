//! What binds VMs to each other: the stages of groups, and rules.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::fleet::{Group, Rule, RuleKind};
use lifeboat_model::plan::StepId;
use lifeboat_model::{Seconds, VmName};

use crate::Violation;
use crate::ground::Ground;

/// Checks every group and every required rule.
pub(crate) fn check(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    for group in &ground.fleet.groups {
        check_group(ground, group, bad);
    }
    for (at, rule) in ground.fleet.rules.iter().enumerate().filter(|(_, rule)| rule.required) {
        check_rule(ground, at, rule, bad);
    }
}

fn check_group(ground: &Ground<'_>, group: &Group, bad: &mut Vec<Violation>) {
    let number = |vm: &VmName| ground.vms.get(vm.as_str()).copied();
    let stages: Vec<Vec<usize>> = group.stages.iter().map(|stage| stage.iter().filter_map(number).collect()).collect();
    let wanted: Vec<usize> = stages.iter().flatten().copied().filter(|vm| ground.wanted[*vm]).collect();
    if wanted.is_empty() && !stages.iter().flatten().any(|vm| ground.deeds(*vm).is_some()) {
        return;
    }
    let started = wanted.iter().filter(|vm| ground.ready(**vm).is_some()).count();
    if group.all_or_nothing && started > 0 && started < wanted.len() {
        bad.push(Violation::GroupInPart { group: group.name.clone(), started, lost: wanted.len() });
    }
    let mut turn = Seconds::ZERO;
    let mut before: Vec<StepId> = Vec::new();
    let mut missing: Option<usize> = None;
    for stage in &stages {
        let mine: Vec<usize> = stage.iter().copied().filter(|vm| ground.ready(*vm).is_some()).collect();
        for vm in &mine {
            if let Some(missing) = missing {
                let name = |vm: usize| ground.fleet.vms[vm].name.clone();
                let group = group.name.clone();
                bad.push(Violation::StageIncomplete { group, vm: name(*vm), missing: name(missing) });
            }
            takes_its_turn(ground, group, *vm, turn, &before, bad);
        }
        missing = missing.or(stage.iter().copied().find(|vm| ground.wanted[*vm] && ground.ready(*vm).is_none()));
        if let Some(ready) = mine.iter().filter_map(|vm| ground.ready(*vm)).max() {
            turn = ready + group.stage_delay_s;
            before = mine.iter().filter_map(|vm| start_of(ground, *vm)).map(|at| ground.step(at).id).collect();
            before.sort_unstable();
        }
    }
}

fn start_of(ground: &Ground<'_>, vm: usize) -> Option<usize> {
    ground.deeds(vm).and_then(|deeds| deeds.starts.first().copied())
}

fn takes_its_turn(
    ground: &Ground<'_>,
    group: &Group,
    vm: usize,
    turn: Seconds,
    before: &[StepId],
    bad: &mut Vec<Violation>,
) {
    let Some(step) = start_of(ground, vm).map(|at| ground.step(at)) else { return };
    if step.start_s < turn {
        let (group, vm) = (group.name.clone(), ground.fleet.vms[vm].name.clone());
        bad.push(Violation::StageOrder { group, vm, start: step.start_s, turn });
    }
    let mut waits = step.after.clone();
    waits.sort_unstable();
    for after in before.iter().filter(|id| waits.binary_search(id).is_err()) {
        bad.push(Violation::NotAwaited { step: step.id, after: *after });
    }
}

/// A member of a rule: VM, set, and whether the plan starts, stops or moves it.
type Member = (usize, Option<usize>, bool);

fn check_rule(ground: &Ground<'_>, at: usize, rule: &Rule, bad: &mut Vec<Violation>) {
    let mut set_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (set, vms) in rule.sets.iter().enumerate() {
        set_of.extend(vms.iter().map(|vm| (vm.as_str(), set)));
    }
    // Members by place, a host without the label being in the place of all such.
    let mut places: BTreeMap<Option<&str>, Vec<Member>> = BTreeMap::new();
    let mut touched = false;
    let members: BTreeSet<&VmName> = rule.vms.iter().collect();
    for name in members {
        let Some(vm) = ground.vms.get(name.as_str()).copied() else { continue };
        let Some(host) = ground.ends_at(vm) else { continue };
        let row = &ground.fleet.hosts[host];
        let place = if rule.scope == "host" {
            Some(row.name.as_str())
        } else {
            row.labels.get(&rule.scope).map(String::as_str)
        };
        let moved = ground.deeds(vm).is_some_and(|deeds| deeds.ready.is_some() || deeds.left.is_some());
        touched |= moved;
        places.entry(place).or_default().push((vm, set_of.get(name.as_str()).copied(), moved));
    }
    if !touched {
        return;
    }
    let broken = match rule.kind {
        RuleKind::Apart => places.values().find_map(|members| conflict(members)),
        RuleKind::Together => across(&places),
    };
    if let Some((first, second)) = broken {
        let name = |vm: usize| ground.fleet.vms[vm].name.clone();
        bad.push(Violation::Rule { rule: at, first: name(first), second: name(second) });
    }
}

/// Whether two members are bound to each other: not of one set, and one of them touched by the plan.
fn bound(a: &Member, b: &Member) -> bool {
    (a.2 || b.2) && !(a.1.is_some() && a.1 == b.1)
}

/// Two members that are bound. A touched one is in conflict with the first or the last of the others by set, so that
/// looking at every pair is not needed.
fn conflict(members: &[Member]) -> Option<(usize, usize)> {
    let mut by_set: Vec<&Member> = members.iter().collect();
    by_set.sort_unstable_by_key(|member| (member.1, member.0));
    for (at, member) in by_set.iter().enumerate().filter(|(_, member)| member.2) {
        let edges = [Some(0), Some(by_set.len() - 1), at.checked_sub(1), Some(at + 1)];
        for other in edges.into_iter().flatten().filter(|other| *other != at).filter_map(|other| by_set.get(other)) {
            if bound(member, other) {
                return Some((member.0, other.0));
            }
        }
    }
    None
}

/// Two members in different places that are bound. Members that no rule can tell apart are looked at once.
fn across(places: &BTreeMap<Option<&str>, Vec<Member>>) -> Option<(usize, usize)> {
    let mut kinds: BTreeMap<(usize, Option<usize>, bool), Member> = BTreeMap::new();
    for (place, members) in places.values().enumerate() {
        for member in members {
            kinds.entry((place, member.1, member.2)).or_insert(*member);
        }
    }
    let kinds: Vec<(usize, Member)> = kinds.into_iter().map(|(kind, member)| (kind.0, member)).collect();
    kinds.iter().enumerate().find_map(|(at, (place, member))| {
        let other = kinds[at + 1..].iter().find(|(there, other)| place != there && bound(member, other));
        other.map(|(_, other)| (member.0, other.0))
    })
}
