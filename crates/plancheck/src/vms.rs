//! Each VM's steps: after the fence, volumes, configure, start, once, where it may go.

use lifeboat_model::plan::{Action, Step, StepId};
use lifeboat_model::{HostName, Seconds};

use crate::Violation;
use crate::ground::{Ground, unknown};

/// Checks the steps of every VM, and notes where it ends and when it is ready.
pub(crate) fn check(ground: &mut Ground<'_>, bad: &mut Vec<Violation>) {
    for slot in 0..ground.deeds.len() {
        leaves(ground, slot, bad);
        let vm = ground.deeds[slot].vm;
        let name = &ground.fleet.vms[vm].name;
        match ground.deeds[slot].starts.as_slice() {
            [] if ground.deeds[slot].remaps.is_empty() && ground.deeds[slot].configures.is_empty() => {}
            [] => bad.push(Violation::NeverStarted { vm: name.clone() }),
            [start] => starts(ground, slot, *start, bad),
            more => bad.push(Violation::Twice { vm: name.clone(), how: format!("it is started {} times", more.len()) }),
        }
    }
    coverage(ground, bad);
    placements(ground, bad);
}

/// Stops and migrations.
fn leaves(ground: &mut Ground<'_>, slot: usize, bad: &mut Vec<Violation>) {
    let deeds = &ground.deeds[slot];
    let (vm, row) = (deeds.vm, &ground.fleet.vms[deeds.vm]);
    let runs_at =
        |host: &HostName| ground.host(host).is_some_and(|host| ground.host_of[vm] == Some(host) && !ground.is_lost(vm));
    let mut left = None;
    let mut placed = None;
    let mut say = |step: StepId, why| bad.push(Violation::NotMovable { step, vm: row.name.clone(), why });
    for step in deeds.stops.iter().map(|at| ground.step(*at)) {
        if !row.preemptible {
            say(step.id, "may not be stopped to make room");
        }
        if !runs_at(step.action.host()) {
            say(step.id, "does not run there");
        }
        left = left.max(Some(step.end_s));
    }
    let mut refused = Vec::new();
    for step in deeds.migrates.iter().map(|at| ground.step(*at)) {
        let Action::Migrate { from, host, .. } = &step.action else { continue };
        if !runs_at(from) {
            say(step.id, "does not run there");
        }
        match ground.host(host) {
            Some(to) if ground.takes(to) => placed = Some(to),
            _ => refused.push(Violation::HostNotUp { vm: row.name.clone(), host: host.clone() }),
        }
        if let Some(to) = ground.host(host) {
            requires(ground, vm, to, &mut refused);
        }
        left = left.max(Some(step.end_s));
    }
    if deeds.stops.len() + deeds.migrates.len() > 1 {
        let how = "it is stopped or moved more than once".to_owned();
        refused.push(Violation::Twice { vm: row.name.clone(), how });
    }
    bad.append(&mut refused);
    let deeds = &mut ground.deeds[slot];
    (deeds.left, deeds.placed) = (left, placed);
}

/// The one start of a VM, and what must be before it.
fn starts(ground: &mut Ground<'_>, slot: usize, start: usize, bad: &mut Vec<Violation>) {
    let step = ground.step(start);
    let vm = ground.deeds[slot].vm;
    let row = &ground.fleet.vms[vm];
    let host_name = step.action.host();
    if !ground.wanted[vm] {
        if let (Some(at), None) = (&row.host, ground.deeds[slot].left) {
            bad.push(Violation::Twice { vm: row.name.clone(), how: format!("it is started although it runs on {at}") });
        } else if row.host.is_none() {
            bad.push(Violation::Unasked { vm: row.name.clone() });
        }
    }
    let Some(host) = ground.host(host_name).filter(|host| ground.takes(*host)) else {
        bad.push(Violation::HostNotUp { vm: row.name.clone(), host: host_name.clone() });
        return;
    };
    asked(ground, vm, host_name, bad);
    let fence = fence_of(ground, vm, bad);
    remaps(ground, slot, host_name, fence, bad);
    configure(ground, slot, step, fence, bad);
    requires(ground, vm, host, bad);
    let deeds = &mut ground.deeds[slot];
    deeds.placed = Some(host);
    deeds.ready = Some(step.end_s);
}

fn asked(ground: &Ground<'_>, vm: usize, host: &HostName, bad: &mut Vec<Violation>) {
    let name = &ground.fleet.vms[vm].name;
    if let Some(Some(asked)) = ground.request.place.get(name)
        && asked != host
    {
        bad.push(Violation::Pinned { vm: name.clone(), asked: asked.clone(), host: host.clone() });
    }
    if ground.request.avoid.get(name).is_some_and(|avoid| avoid.contains(host)) {
        bad.push(Violation::Avoided { vm: name.clone(), host: host.clone() });
    }
}

/// The step that fences a lost VM's host.
fn fence_of(ground: &Ground<'_>, vm: usize, bad: &mut Vec<Violation>) -> Option<usize> {
    let host = ground.host_of[vm].filter(|host| ground.failed[*host])?;
    if ground.fence[host].is_none() {
        let (vm, host) = (ground.fleet.vms[vm].name.clone(), ground.fleet.hosts[host].name.clone());
        bad.push(Violation::NotFenced { vm, host });
    }
    ground.fence[host]
}

/// A step must begin after another has ended, and say that it waits for it.
fn awaits(step: &Step, other: &Step, bad: &mut Vec<Violation>) {
    if step.start_s < other.end_s {
        bad.push(Violation::TooEarly { step: step.id, after: other.id, start: step.start_s, end: other.end_s });
    }
    if !step.after.contains(&other.id) {
        bad.push(Violation::NotAwaited { step: step.id, after: other.id });
    }
}

fn remaps(ground: &Ground<'_>, slot: usize, host: &HostName, fence: Option<usize>, bad: &mut Vec<Violation>) {
    let deeds = &ground.deeds[slot];
    let row = &ground.fleet.vms[deeds.vm];
    let mut seen: Vec<&str> = Vec::with_capacity(deeds.remaps.len());
    for step in deeds.remaps.iter().map(|at| ground.step(*at)) {
        let Action::Remap { volume, host: to, from, .. } = &step.action else { continue };
        let mut say = |how| bad.push(Violation::Volume { vm: row.name.clone(), volume: volume.clone(), how });
        if to != host {
            say("mapped to another host than its VM goes to");
        }
        if from.as_ref() != row.host.as_ref() {
            say("said to come from where it is not");
        }
        seen.push(volume.as_str());
        if let Some(fence) = fence {
            awaits(step, ground.step(fence), bad);
        }
    }
    seen.sort_unstable();
    for volume in &row.volumes {
        let from = seen.partition_point(|name| *name < volume.as_str());
        let how = match seen[from..].iter().take_while(|name| **name == volume.as_str()).count() {
            1 => continue,
            0 => "not mapped",
            _ => "mapped more than once",
        };
        bad.push(Violation::Volume { vm: row.name.clone(), volume: volume.clone(), how });
    }
    if seen.len() > row.volumes.len() {
        let foreign = deeds.remaps.iter().find_map(|at| match &ground.step(*at).action {
            Action::Remap { volume, .. } if !row.volumes.contains(volume) => Some(volume.clone()),
            _ => None,
        });
        if let Some(volume) = foreign {
            bad.push(Violation::Volume { vm: row.name.clone(), volume, how: "not its own" });
        }
    }
}

fn configure(ground: &Ground<'_>, slot: usize, start: &Step, fence: Option<usize>, bad: &mut Vec<Violation>) {
    let deeds = &ground.deeds[slot];
    let host = start.action.host();
    let here = |at: &&usize| ground.step(**at).action.host() == host;
    let (1, Some(at)) = (deeds.configures.len(), deeds.configures.iter().find(here)) else {
        let vm = ground.fleet.vms[deeds.vm].name.clone();
        let times = deeds.configures.iter().filter(here).count();
        bad.push(Violation::Configure { vm, host: host.clone(), times });
        return;
    };
    let step = ground.step(*at);
    awaits(start, step, bad);
    let mut waits: Vec<StepId> = step.after.clone();
    waits.sort_unstable();
    for remap in deeds.remaps.iter().map(|at| ground.step(*at)) {
        if step.start_s < remap.end_s {
            bad.push(Violation::TooEarly { step: step.id, after: remap.id, start: step.start_s, end: remap.end_s });
        }
        if waits.binary_search(&remap.id).is_err() {
            bad.push(Violation::NotAwaited { step: step.id, after: remap.id });
        }
    }
    if let (Some(fence), true) = (fence, deeds.remaps.is_empty()) {
        awaits(step, ground.step(fence), bad);
    }
}

fn requires(ground: &Ground<'_>, vm: usize, host: usize, bad: &mut Vec<Violation>) {
    let (row, host) = (&ground.fleet.vms[vm], &ground.fleet.hosts[host]);
    for (label, values) in &row.requires {
        let has = if label == "host" { Some(host.name.as_str()) } else { host.labels.get(label).map(String::as_str) };
        if !has.is_some_and(|has| values.accepts(has)) {
            let (vm, host) = (row.name.clone(), host.name.clone());
            bad.push(Violation::Requires { vm, label: label.clone(), host });
        }
    }
}

/// Every wanted VM is started once, or left out with a reason.
fn coverage(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    let mut left_out = vec![false; ground.fleet.vms.len()];
    for row in &ground.plan.unplaced {
        if row.code.is_empty() {
            bad.push(Violation::NoReason { vm: row.vm.clone() });
        }
        match ground.vms.get(row.vm.as_str()) {
            Some(vm) => left_out[*vm] = true,
            None => bad.push(unknown("the list of VMs left out", "VM", row.vm.as_str())),
        }
    }
    for (vm, out) in left_out.iter().enumerate().filter(|(vm, _)| ground.wanted[*vm]) {
        if ground.ready(vm).is_some() == *out {
            bad.push(Violation::Coverage { vm: ground.fleet.vms[vm].name.clone(), both: *out });
        }
    }
}

fn placements(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    let name = |host: usize| ground.fleet.hosts[host].name.clone();
    for (vm, said) in &ground.plan.placements {
        let Some(at) = ground.vms.get(vm.as_str()) else {
            bad.push(unknown("the placements", "VM", vm.as_str()));
            continue;
        };
        let done = ground.deeds(*at).and_then(|deeds| deeds.placed).map(name);
        if done.as_ref() != Some(said) {
            bad.push(Violation::Placement { vm: vm.clone(), said: Some(said.clone()), done });
        }
    }
    for deeds in &ground.deeds {
        let vm = &ground.fleet.vms[deeds.vm].name;
        if let Some(done) = deeds.placed.filter(|_| !ground.plan.placements.contains_key(vm)) {
            bad.push(Violation::Placement { vm: vm.clone(), said: None, done: Some(name(done)) });
        }
    }
}

/// The first moment of a VM's steps: from then on it takes room on its new host.
pub(crate) fn first_moment(ground: &Ground<'_>, vm: usize) -> Option<Seconds> {
    let deeds = ground.deeds(vm)?;
    let steps = [&deeds.remaps, &deeds.configures, &deeds.starts, &deeds.migrates];
    steps.into_iter().flatten().map(|at| ground.step(*at).start_s).min()
}
