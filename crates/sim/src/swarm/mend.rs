//! When the faults stop: everything is mended, and every VM that fits must come back.

use lifeboat_brain::fleet::{Brain, OperatorOrder, VmAction, records::Wanted};
use lifeboat_model::{HostName, Seconds, VmName, fleet::RuleKind, running::VmRunState};

use crate::{
    fault::Fault,
    promises::Promise,
    world::{ArrayFault, Bmc, Mischief, Network, StoreFault, World},
};

/// All VMs must be back within this.
const ALL_BACK: Seconds = Seconds::new(1800);
/// An operator looks at the VMs that were given up so often.
const OPERATOR_LOOKS: Seconds = Seconds::new(60);

/// Stops all faults, does what an operator would do, and waits for all VMs.
pub(super) fn mend(world: &mut World) {
    if world.broken().is_some() {
        return;
    }
    stop_faults(world);
    let end = world.now() + ALL_BACK;
    while world.now() < end && world.broken().is_none() {
        operate(world);
        if world.run_until(OPERATOR_LOOKS, |world| missing(world).is_empty() && world.is_stable()) {
            return;
        }
    }
    if world.broken().is_some() {
        return;
    }
    let missing = missing(world);
    for vm in &missing {
        if let Some(why) = should_run(world, vm) {
            let at = world.now();
            let text = format!("{vm} is not back {ALL_BACK} after the last fault: {why}");
            world.promises.break_it(at, Promise::ComesBack, || text);
        }
    }
    if missing.is_empty() {
        let at = world.now();
        let why = world.unrest();
        let text = format!("all VMs are back, but the controllers do not come to rest within {ALL_BACK}: {why}");
        world.promises.break_it(at, Promise::ComesBack, || text);
    }
}

fn stop_faults(world: &mut World) {
    let hosts: Vec<HostName> = world.settings.declaration.hosts.iter().map(|host| host.name.clone()).collect();
    let on = Some(true);
    for host in hosts {
        for network in Network::ALL {
            world.fault(&Fault::Port(host.clone(), network, on, on));
        }
        world.fault(&Fault::Bmc(host.clone(), Bmc::Works));
        world.fault(&Fault::Slow(host.clone(), 1));
        world.fault(&Fault::ClockRate(host.clone(), 1_000_000));
        world.fault(&Fault::GoOn(host.clone()));
        world.fault(&Fault::Power(host, true));
    }
    for controller in 0..world.controllers.len() {
        for network in Network::ALL {
            world.fault(&Fault::ControllerPort(controller, network, on, on));
        }
        world.fault(&Fault::ControllerClockRate(controller, 1_000_000));
        world.fault(&Fault::ControllerBlind(controller, false));
    }
    let arrays: Vec<_> = world.arrays.keys().cloned().collect();
    for array in arrays {
        world.fault(&Fault::Array(array, ArrayFault::None));
    }
    let volumes: Vec<_> =
        world.volumes.iter().filter(|(_, volume)| volume.lost).map(|(name, _)| name.clone()).collect();
    for volume in volumes {
        world.fault(&Fault::VolumeLost(volume, false));
    }
    let vms: Vec<VmName> = world.vms.keys().cloned().collect();
    for vm in vms {
        world.fault(&Fault::FailStarts(vm.clone(), 0));
        world.fault(&Fault::ServiceFails(vm.clone(), false));
        world.fault(&Fault::Unseen(vm, false));
    }
    world.fault(&Fault::Store(StoreFault::None));
    world.fault(&Fault::Messages(Mischief::default()));
}

/// What an operator does who reads what Lifeboat tells: starts what was given up or stopped, powers on what was cut.
fn operate(world: &mut World) {
    let hosts: Vec<HostName> = world.settings.declaration.hosts.iter().map(|host| host.name.clone()).collect();
    for host in &hosts {
        world.fault(&Fault::Power(host.clone(), true));
    }
    let Some(brain) = world.leader() else { return };
    let mut orders = Vec::new();
    for host in hosts {
        if brain.hosts().get(&host).is_some_and(|host| host.record.maintenance) {
            orders.push(OperatorOrder::maintenance(host, false));
        }
    }
    for (vm, record) in brain.vms() {
        // What an array forgot is mapped again when its VM is started anew: a guest that saw its disk go is not well. Nor is
        // one that hangs, of which nobody but its users may know.
        let unwell = record.halted == Some(VmRunState::IoError) || world.guest_hangs(vm);
        let action = if record.enabled && unwell {
            Some(VmAction::Restart)
        } else if record.enabled {
            (record.given_up.is_some() || record.wanted != Wanted::Running).then_some(VmAction::Start)
        } else {
            Some(VmAction::Enable)
        };
        orders.extend(action.map(|action| OperatorOrder::Vm { vm: vm.clone(), action }));
    }
    for order in orders {
        world.order(order);
    }
}

/// VMs that do not answer.
fn missing(world: &World) -> Vec<VmName> {
    world.vms.keys().filter(|vm| !world.answers(vm)).cloned().collect()
}

/// Why a VM that does not run should: it would fit. None: it would not.
fn should_run(world: &World, vm: &VmName) -> Option<String> {
    let Some(brain) = world.leader() else { return Some("no controller leads".to_owned()) };
    let record = brain.vms().get(vm).map(|record| format!("{:?}", record.phase)).unwrap_or_default();
    let why = brain.why_not(vm).unwrap_or_else(|| "nobody says why".to_owned());
    if !brain.unplaced().contains_key(vm) {
        let steps = brain.execution().map(|execution| {
            execution.steps_of(vm).map(|(step, state)| format!("{:?} {state:?}", step.action)).collect::<Vec<_>>()
        });
        return Some(format!("it is {record}; steps {:?}; {why}", steps.unwrap_or_default()));
    }
    let host = brain.hosts().keys().find(|host| fits(world, brain, vm, host))?;
    Some(format!("it would fit on {host}, but: {why}"))
}

/// Whether a VM fits on a host, reckoned without the planner.
fn fits(world: &World, brain: &Brain, vm: &VmName, host: &HostName) -> bool {
    let declared = brain.declared();
    let (Some(spec), Some(at)) = (declared.vms.get(vm), declared.hosts.get(host)) else { return false };
    if !brain.takes_vms(host) {
        return false;
    }
    let here = |name: &VmName| brain.vms().get(name).is_some_and(|record| record.phase.occupies() == Some(host));
    let used = |resource: &str| -> u64 {
        let demand = |(_, other): (_, &std::sync::Arc<lifeboat_model::spec::VmSpec>)| {
            if here(&other.name) { other.demand.get(resource).copied().unwrap_or(0) } else { 0 }
        };
        declared.vms.iter().map(demand).sum()
    };
    let room = spec.demand.iter().all(|(resource, amount)| {
        at.capacity.get(resource).is_none_or(|capacity| used(resource) + amount <= *capacity)
    });
    let apart = declared.rules.values().filter(|rule| rule.required && rule.kind == RuleKind::Apart);
    let rules =
        apart.filter(|rule| rule.vms.contains(vm)).all(|rule| !rule.vms.iter().any(|other| other != vm && here(other)));
    let _ = world;
    room && rules
}
