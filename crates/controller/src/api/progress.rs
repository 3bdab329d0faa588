//! Where a VM stands: its phase, its host, and what it waits for. The views of VMs and of recoveries are made of it.

use lifeboat_brain::fleet::{
    Brain, StageHold, StepState,
    records::{Phase, VmRecord, VolumePlace, Wanted},
};
use lifeboat_client::api::VmPhase;
use lifeboat_model::{HostName, Time, VmName, plan::Action};

/// What a VM waits for before it can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Its host's being surely off.
    Fence(HostName),
    /// A VM of an earlier stage of its group.
    Stage(VmName),
    /// The delay between two stages of its group.
    Delay(Time),
    /// Its host's or an array's having a hand free.
    Turn,
    /// Something that only the brain's own words say, if anything does.
    Other,
}

/// Where a VM stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) phase: VmPhase,
    /// Where it runs, is being started, or goes.
    pub(super) host: Option<HostName>,
    /// What it waits for, while it waits.
    pub(super) waits: Option<Waits>,
}

impl Progress {
    fn at(phase: VmPhase, host: &HostName) -> Self {
        Self { phase, host: Some(host.clone()), waits: None }
    }

    const fn nowhere(phase: VmPhase) -> Self {
        Self { phase, host: None, waits: None }
    }
}

/// Where a VM stands.
pub(super) fn of(brain: &Brain, name: &VmName, vm: &VmRecord) -> Progress {
    match &vm.phase {
        Phase::Running { host, .. } | Phase::Starting { host } if vm.paused.is_some() => {
            Progress::at(VmPhase::Paused, host)
        }
        Phase::Running { host, ready: Some(_) } => Progress::at(VmPhase::Running, host),
        Phase::Running { host, ready: None } | Phase::Starting { host } => Progress::at(VmPhase::Starting, host),
        Phase::Stopping { host } => Progress::at(VmPhase::Stopping, host),
        Phase::Lost { .. } | Phase::Stopped | Phase::Preparing { .. } if !vm.enabled => {
            Progress::nowhere(VmPhase::Disabled)
        }
        Phase::Lost { host, .. } => {
            Progress { waits: Some(Waits::Fence(host.clone())), ..Progress::at(VmPhase::Lost, host) }
        }
        Phase::Stopped | Phase::Preparing { .. } if vm.wanted != Wanted::Running => Progress::nowhere(VmPhase::Stopped),
        Phase::Stopped | Phase::Preparing { .. } if has_no_place(brain, name, vm) => {
            Progress::nowhere(VmPhase::Unplaced)
        }
        Phase::Preparing { host } => under_way(brain, name, Some(host.clone())),
        Phase::Stopped => {
            let planned = steps(brain, name).next().map(|(action, _)| action.host().clone());
            under_way(brain, name, planned)
        }
    }
}

/// Whether a VM that should run is nowhere on its way to do so.
fn has_no_place(brain: &Brain, name: &VmName, vm: &VmRecord) -> bool {
    vm.given_up.is_some() || brain.unplaced().contains_key(name) || brain.stage_lost(name).is_some()
}

/// The steps of a VM in the current plan that still are the plan's.
pub(super) fn steps<'a>(brain: &'a Brain, name: &VmName) -> impl Iterator<Item = (&'a Action, StepState)> {
    let steps = brain.execution().map(|execution| execution.steps_of(name));
    steps
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state != StepState::Dropped)
        .map(|(step, state)| (&step.action, state))
}

/// A VM whose process is nowhere, on its way to a host by the current plan.
fn under_way(brain: &Brain, name: &VmName, host: Option<HostName>) -> Progress {
    let (mut begun, mut remapping, mut configuring, mut configured, mut planned) = (false, false, false, true, false);
    for (action, state) in steps(brain, name) {
        planned = true;
        match action {
            Action::Remap { .. } => {
                begun |= state != StepState::Waiting;
                remapping |= state != StepState::Done;
            }
            Action::Configure { .. } => {
                configuring |= state == StepState::Running;
                configured &= state == StepState::Done;
            }
            _ => {}
        }
    }
    let (phase, waits) = if remapping && begun {
        (VmPhase::Remapping, None)
    } else if configuring {
        (VmPhase::Configuring, None)
    } else if !planned {
        (VmPhase::Waiting, Some(Waits::Other))
    } else if remapping || !configured {
        (VmPhase::Waiting, Some(Waits::Turn))
    } else {
        let waits = match brain.stage_hold(name) {
            Some(StageHold::Vm(vm)) => Waits::Stage(vm),
            Some(StageHold::Delay { until, .. }) => Waits::Delay(until),
            None => Waits::Turn,
        };
        (VmPhase::Waiting, Some(waits))
    };
    Progress { phase, host, waits }
}

/// What a VM waits for, or how far it is, as a sentence; none when there is nothing to say beside its phase.
pub(super) fn sentence(brain: &Brain, name: &VmName, progress: &Progress, now: Time) -> Option<String> {
    if progress.phase == VmPhase::Remapping {
        return volumes_there(brain, name, progress.host.as_ref());
    }
    match progress.waits.as_ref()? {
        Waits::Fence(host) => {
            let why = brain.fence_waiting(host).map(|wait| format!(": {}", wait.why)).unwrap_or_default();
            Some(format!("waits until {host} is surely off{why}"))
        }
        Waits::Stage(vm) => Some(format!("waits for {vm} of an earlier stage of its group")),
        Waits::Delay(until) => Some(format!("waits {} more, as its group says", until.since(now))),
        Waits::Turn => progress.host.as_ref().map(|host| format!("waits for its turn on {host}")),
        Waits::Other => Some(brain.why_not(name).unwrap_or_else(|| "waits for hosts to appear".to_owned())),
    }
}

/// `2 of 3 volumes mapped`, and what is wrong with one that is not.
fn volumes_there(brain: &Brain, name: &VmName, host: Option<&HostName>) -> Option<String> {
    let volumes = &brain.declared().vms.get(name)?.volumes;
    let is_there = |record: &lifeboat_brain::fleet::records::VolumeRecord| match &record.place {
        VolumePlace::Mapped { host: there, .. } => Some(there) == host,
        _ => false,
    };
    let (mut there, mut problem) = (0, String::new());
    for volume in volumes {
        let Some(state) = brain.volumes().get(volume) else { continue };
        if is_there(&state.record) {
            there += 1;
        } else if let Some(said) = &state.record.problem {
            problem = format!("; {volume}: {said}");
        }
    }
    Some(format!("{there} of {} volumes mapped{problem}", volumes.len()))
}
