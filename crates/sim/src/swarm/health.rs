//! Guests that hang and panic, services that fail, and controllers that see nothing: in a half of all worlds, drawn beside
//! all else from generators of their own.

use lifeboat_model::{
    CheckName, Seconds, VmName,
    spec::{CheckFrom, CheckSpec, HealthAction, HealthCheck},
};

use super::{Case, Happening, Mishap};
use crate::{fault::Fault, random::Random, world::WorldSettings};

/// How many times rarer than the first mishaps these are.
const RARER: u64 = 3;

/// Whether a world has checks of health and what they are for.
fn is_watched(case: &Case) -> bool {
    Random::of(case.seed, "is watched").below(2) == 0
}

/// Gives some VMs a watchdog, and some a check or two.
pub(super) fn watch(case: &Case, settings: &mut WorldSettings) {
    if !is_watched(case) {
        return;
    }
    let mut random = Random::of(case.seed, "watches");
    let declaration = &mut settings.declaration;
    let actions = [HealthAction::Restart, HealthAction::RestartElsewhere, HealthAction::Tell];
    for vm in &mut declaration.vms {
        if random.below(3) == 0 {
            vm.machine.watchdog = random.pick(&actions).copied();
        }
    }
    for number in 0..random.below(3) {
        let Ok(name) = CheckName::new(&format!("check-{number}")) else { continue };
        let vms: Vec<VmName> =
            declaration.vms.iter().filter(|_| random.below(2) == 0).map(|vm| vm.name.clone()).collect();
        if vms.is_empty() {
            continue;
        }
        let from = if random.below(2) == 0 { CheckFrom::Controller } else { CheckFrom::Agent };
        let first = random.pick(&actions).copied();
        declaration.checks.push(HealthCheck {
            name,
            look: CheckSpec::Tcp { address: "{vm}:22".to_owned() },
            vms,
            labels: Default::default(),
            from,
            interval_s: Seconds::new(10 + random.below(50)),
            timeout_s: Seconds::new(1 + random.below(5)),
            failures: 1 + u32::try_from(random.below(4)).unwrap_or(0),
            actions: first.into_iter().chain([HealthAction::RestartElsewhere]).collect(),
            restarts_per_hour: u32::try_from(random.below(6)).unwrap_or(0),
        });
    }
}

/// What goes wrong with the health of guests.
pub(super) fn mishaps(case: &Case, settings: &WorldSettings) -> Vec<Mishap> {
    let mut all = Vec::new();
    if !is_watched(case) {
        return all;
    }
    let mut random = Random::of(case.seed, "health");
    let mut at = Seconds::ZERO;
    let pause = Seconds::new(2 * RARER * case.profile.pause_s());
    loop {
        at += random.between(Seconds::from_millis(1), pause);
        let Some(vm) = random.pick(&settings.declaration.vms).map(|vm| vm.name.clone()) else { return all };
        if at >= Seconds::new(case.minutes * 60) {
            return all;
        }
        let end = at + random.between(Seconds::new(1), Seconds::new(2 * case.profile.longest_s()));
        let controller = usize::try_from(random.below(settings.controllers as u64)).unwrap_or(0);
        let (kind, faults) = match random.below(5) {
            0 => ("guest hangs", vec![(at, Fault::GuestHangs(vm))]),
            1 => ("guest panics", vec![(at, Fault::GuestPanics(vm))]),
            2 | 3 => (
                "service fails",
                vec![(at, Fault::ServiceFails(vm.clone(), true)), (end, Fault::ServiceFails(vm, false))],
            ),
            _ => {
                let blind = |blind| Fault::ControllerBlind(controller, blind);
                ("controller sees no VMs", vec![(at, blind(true)), (end, blind(false))])
            }
        };
        let happenings = faults.into_iter().map(|(at, fault)| (at, Happening::Fault(fault))).collect();
        all.push(Mishap { kind, happenings });
    }
}
