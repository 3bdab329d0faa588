//! The plan that is being carried out: which steps are done, which run, which may begin.
//!
//! A step may begin when all steps that it comes after are done; of those that may, the earliest by the plan goes first,
//! within what its host and its array take at once. Whether a step is done is read from the records, never remembered
//! here alone: a new plan over the same VMs finds done what is done.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    ArrayName, HostName, Seconds, Time, VmName, VolumeName,
    plan::{Action, Plan, Step},
};

use super::{
    Brain, PlanId,
    records::{HostCondition, Phase, Severity},
};
use crate::message::Order;

mod slots;
mod stages;

pub use stages::StageHold;

/// Of the steps that one host could begin, so many are looked at when the first wait for a busy array.
const LOOK_AHEAD: usize = 64;

/// The place in its queue of a step that has failed and is tried again: behind those that have not been tried.
const LAST: Seconds = Seconds::from_micros(u64::MAX);

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Steps that it comes after are not done, or its host or array is busy.
    Waiting,
    /// It is being done.
    Running,
    /// It is done.
    Done,
    /// Its VM is no longer the plan's.
    Dropped,
}

#[derive(Clone, Debug)]
struct StepRun {
    step: Step,
    state: StepState,
    /// Steps that it comes after and that are not done.
    open: usize,
}

type Queue = BTreeSet<(Seconds, usize)>;

/// The plan that is being carried out.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its number.
    pub id: PlanId,
    /// The plan that it replaced.
    pub parent: Option<PlanId>,
    /// When it was made.
    pub made: Time,
    steps: Vec<StepRun>,
    dependents: Vec<Vec<usize>>,
    of_vm: BTreeMap<VmName, Vec<usize>>,
    of_volume: BTreeMap<VolumeName, usize>,
    fences: BTreeMap<HostName, usize>,
    /// Steps that may begin as soon as their host takes them, by host.
    maps: BTreeMap<HostName, Queue>,
    others: BTreeMap<HostName, Queue>,
    /// Start steps that have not begun, by host.
    starts: BTreeMap<HostName, Queue>,
    /// Start steps that wait for an earlier stage of their group, or for the fence of a host where their VM was.
    parked: BTreeSet<usize>,
    changed: bool,
}

impl Execution {
    pub(super) fn new(id: PlanId, parent: Option<PlanId>, made: Time, plan: &Plan) -> Self {
        let position: BTreeMap<_, usize> = plan.steps.iter().enumerate().map(|(at, step)| (step.id, at)).collect();
        let mut this = Self {
            id,
            parent,
            made,
            steps: Vec::with_capacity(plan.steps.len()),
            dependents: vec![Vec::new(); plan.steps.len()],
            of_vm: BTreeMap::new(),
            of_volume: BTreeMap::new(),
            fences: BTreeMap::new(),
            maps: BTreeMap::new(),
            others: BTreeMap::new(),
            starts: BTreeMap::new(),
            parked: BTreeSet::new(),
            changed: true,
        };
        for (at, step) in plan.steps.iter().enumerate() {
            let before: Vec<usize> = step.after.iter().filter_map(|id| position.get(id).copied()).collect();
            for earlier in &before {
                this.dependents[*earlier].push(at);
            }
            if let Some(vm) = step.action.vm() {
                this.of_vm.entry(vm.clone()).or_default().push(at);
            }
            match &step.action {
                Action::Remap { volume, .. } => drop(this.of_volume.insert(volume.clone(), at)),
                Action::Fence { host } => drop(this.fences.insert(host.clone(), at)),
                Action::Start { host, .. } => {
                    this.starts.entry(host.clone()).or_default().insert((step.start_s, at));
                }
                _ => {}
            }
            this.steps.push(StepRun { step: step.clone(), state: StepState::Waiting, open: before.len() });
        }
        for at in 0..this.steps.len() {
            if this.steps[at].open == 0 {
                this.enqueue(at);
            }
        }
        this
    }

    fn enqueue(&mut self, at: usize) {
        let step = &self.steps[at].step;
        let queue = match step.action {
            Action::Remap { .. } => &mut self.maps,
            // Fencing begins when a host is declared failed; its step only waits for the proof.
            Action::Fence { .. } => return,
            _ => &mut self.others,
        };
        queue.entry(step.action.host().clone()).or_default().insert((step.start_s, at));
        self.changed = true;
    }

    fn finish(&mut self, at: usize, state: StepState) {
        if matches!(self.steps[at].state, StepState::Done | StepState::Dropped) {
            return;
        }
        self.steps[at].state = state;
        self.changed = true;
        self.start_is_over(at);
        for next in self.dependents[at].clone() {
            self.steps[next].open -= 1;
            if self.steps[next].open == 0 && self.steps[next].state == StepState::Waiting {
                self.enqueue(next);
            }
        }
    }

    /// A step has begun, or will not: if it is a start, no slot is kept for it any more.
    fn start_is_over(&mut self, at: usize) {
        let step = &self.steps[at].step;
        if let Some(starts) = self.starts.get_mut(step.action.host()) {
            starts.remove(&(step.start_s, at));
        }
    }

    /// The steps and how far each is.
    pub fn steps(&self) -> impl Iterator<Item = (&Step, StepState)> {
        self.steps.iter().map(|run| (&run.step, run.state))
    }

    /// How far the steps of a VM are.
    pub fn steps_of(&self, vm: &VmName) -> impl Iterator<Item = (&Step, StepState)> {
        self.of_vm.get(vm).into_iter().flatten().map(|at| (&self.steps[*at].step, self.steps[*at].state))
    }

    fn is_over(&self) -> bool {
        self.steps.iter().all(|run| matches!(run.state, StepState::Done | StepState::Dropped))
    }

    /// The host that a VM is started on.
    fn starts_on(&self, vm: &VmName) -> Option<&HostName> {
        self.find(vm, |action| matches!(action, Action::Start { .. })).map(|at| self.steps[at].step.action.host())
    }

    fn find(&self, vm: &VmName, matches: impl Fn(&Action) -> bool) -> Option<usize> {
        self.of_vm.get(vm)?.iter().copied().find(|at| matches(&self.steps[*at].step.action))
    }
}

impl Brain {
    /// Something changed that may let steps begin.
    pub(super) fn execution_changed(&mut self) {
        if let Some(execution) = &mut self.execution {
            execution.changed = true;
        }
    }

    /// Puts another plan in the place of the current one. What is under way of the old one and not of the new is let go.
    pub(super) fn replace_execution(&mut self, new: Option<Execution>) {
        let goes_on =
            |name: &VmName, host: &HostName| new.as_ref().is_some_and(|new| new.starts_on(name) == Some(host));
        let preparing: Vec<VmName> = self
            .vms
            .iter()
            .filter(|(name, vm)| matches!(&vm.phase, Phase::Preparing { host } if !goes_on(name, host)))
            .map(|(name, _)| name.clone())
            .collect();
        self.execution = new;
        for vm in preparing {
            self.unprepare(&vm);
        }
        let fenced: Vec<HostName> =
            self.execution.iter().flat_map(|execution| execution.fences.keys().cloned()).collect();
        for host in fenced {
            self.fence_step_done(&host);
        }
    }

    /// Lets go of a VM whose preparation has begun.
    pub(super) fn unprepare(&mut self, vm: &VmName) {
        for volume in self.declared.vms.get(vm).map(|spec| spec.volumes.clone()).unwrap_or_default() {
            self.abandon_volume(&volume);
        }
        if self.vms.get(vm).is_some_and(|record| matches!(record.phase, Phase::Preparing { .. })) {
            self.commands.forget_vm(vm);
            self.set_phase(vm, Phase::Stopped);
        }
    }

    /// A VM is no longer the plan's. Steps of other VMs that come after its steps are free as far as it goes; whether
    /// their stage may start is the gate's to say.
    pub(super) fn drop_from_plan(&mut self, vm: &VmName) {
        let occupies = self.vms.get(vm).and_then(|record| record.phase.occupies().cloned());
        let Some(execution) = &mut self.execution else { return };
        let mut stays = false;
        for at in execution.of_vm.get(vm).cloned().unwrap_or_default() {
            match &execution.steps[at].step.action {
                Action::Stop { host: from, .. } | Action::Migrate { from, .. } if occupies.as_ref() == Some(from) => {
                    stays = true;
                }
                _ => execution.finish(at, StepState::Dropped),
            }
        }
        if stays {
            self.want_plan(format!("{vm} does not make room"));
        }
    }

    pub(super) fn fence_step_done(&mut self, host: &HostName) {
        let failed =
            self.hosts.get(host).is_some_and(|host| matches!(host.record.condition, HostCondition::Failed { .. }));
        let Some(execution) = self.execution.as_mut().filter(|_| !failed) else { return };
        let Some(at) = execution.fences.get(host).copied() else { return };
        execution.finish(at, StepState::Done);
        // The plan's times count from the failure being declared and allow for a fence; now it is known how long it took.
        let late = self.now.since(execution.made).saturating_sub(execution.steps[at].step.end_s);
        for recovery in
            self.recoveries.values_mut().filter(|recovery| recovery.closed.is_none() && recovery.host == *host)
        {
            recovery.expected = recovery.expected.map(|expected| expected + late);
        }
    }

    fn vm_step_done(&mut self, vm: &VmName, matches: impl Fn(&Action) -> bool) {
        let Some(execution) = &mut self.execution else { return };
        if let Some(at) = execution.find(vm, matches) {
            execution.finish(at, StepState::Done);
        }
    }

    pub(super) fn remap_step_done(&mut self, volume: &VolumeName) {
        let Some(execution) = &mut self.execution else { return };
        if let Some(at) = execution.of_volume.get(volume).copied()
            && execution.steps[at].state == StepState::Running
        {
            execution.finish(at, StepState::Done);
        }
    }

    /// A volume's pause after a failure is over: its step is tried again when its host and array have room.
    pub(super) fn retry_remap(&mut self, volume: &VolumeName) {
        let Some(execution) = &mut self.execution else { return };
        let Some(at) = execution.of_volume.get(volume).copied() else { return };
        let run = &mut execution.steps[at];
        if run.open > 0 || matches!(run.state, StepState::Done | StepState::Dropped) {
            return;
        }
        run.state = StepState::Waiting;
        let host = run.step.action.host().clone();
        execution.maps.entry(host).or_default().insert((LAST, at));
        execution.changed = true;
    }

    pub(super) fn configure_step_done(&mut self, vm: &VmName) {
        self.vm_step_done(vm, |action| matches!(action, Action::Configure { .. }));
    }

    pub(super) fn start_step_done(&mut self, vm: &VmName) {
        self.vm_step_done(vm, |action| matches!(action, Action::Start { .. }));
    }

    /// Begins every step that may begin now.
    pub(super) fn advance(&mut self) {
        while self.execution.as_ref().is_some_and(|execution| execution.changed) {
            if let Some(execution) = &mut self.execution {
                execution.changed = false;
            }
            self.begin_maps();
            self.begin_others();
        }
        if self.execution.as_ref().is_some_and(Execution::is_over) {
            self.execution = None;
        }
    }

    /// Takes a step off its queue; none when it is no longer waiting, or its VM is no longer where the plan has it.
    fn take_step(&mut self, at: usize, host: &HostName) -> Option<Action> {
        let execution = self.execution.as_mut()?;
        let run = &execution.steps[at];
        if run.state != StepState::Waiting {
            return None;
        }
        let action = run.step.action.clone();
        let vm = action.vm()?.clone();
        let phase = self.vms.get(&vm).map(|record| record.phase.clone())?;
        match phase {
            Phase::Running { host: at, .. } if matches!(action, Action::Stop { .. }) && at == *host => {}
            _ if matches!(action, Action::Stop { .. } | Action::Migrate { .. }) => {
                self.drop_from_plan(&vm);
                return None;
            }
            Phase::Stopped => {
                let record = self.vms.get_mut(&vm)?;
                record.generation = record.generation.next();
                self.set_phase(&vm, Phase::Preparing { host: host.clone() });
            }
            Phase::Preparing { host: at } if at == *host => {}
            _ => {
                self.drop_from_plan(&vm);
                return None;
            }
        }
        if let Some(execution) = &mut self.execution {
            execution.steps[at].state = StepState::Running;
            execution.start_is_over(at);
        }
        Some(action)
    }

    fn begin_maps(&mut self) {
        let Some(execution) = &self.execution else { return };
        let hosts: Vec<HostName> =
            execution.maps.iter().filter(|(_, queue)| !queue.is_empty()).map(|(host, _)| host.clone()).collect();
        if hosts.is_empty() {
            return;
        }
        let (mut on_host, mut on_array) = self.busy_volumes();
        for host in hosts {
            let limit =
                self.declared.hosts.get(&host).and_then(|spec| spec.maps).unwrap_or(self.declared.limits.maps_per_host);
            let waiting: Vec<(Seconds, usize)> = match &self.execution {
                Some(execution) => execution.maps.get(&host).into_iter().flatten().take(LOOK_AHEAD).copied().collect(),
                None => return,
            };
            for entry in waiting {
                let used = on_host.entry(host.clone()).or_default();
                if *used >= limit {
                    break;
                }
                let Some((volume, array)) = self.volume_of_step(entry.1) else { continue };
                if self.pauses(&volume) {
                    self.unqueue(true, &host, entry);
                    self.execution_changed();
                    continue;
                }
                let max = self.declared.arrays.get(&array).map_or(1, |spec| spec.max_ops);
                let ops = on_array.entry(array).or_default();
                if *ops >= max {
                    continue;
                }
                self.unqueue(true, &host, entry);
                if let Some(Action::Remap { volume, .. }) = self.take_step(entry.1, &host) {
                    (*used, *ops) = (*used + 1, *ops + 1);
                    self.remap(&volume, &host);
                }
            }
        }
    }

    fn unqueue(&mut self, map: bool, host: &HostName, entry: (Seconds, usize)) {
        let Some(execution) = &mut self.execution else { return };
        let queues = if map { &mut execution.maps } else { &mut execution.others };
        if let Some(queue) = queues.get_mut(host) {
            queue.remove(&entry);
        }
    }

    fn volume_of_step(&self, at: usize) -> Option<(VolumeName, ArrayName)> {
        let Action::Remap { volume, .. } = &self.execution.as_ref()?.steps[at].step.action else { return None };
        self.declared.volumes.get(volume).map(|spec| (volume.clone(), spec.array.clone()))
    }

    /// How many volumes are under way for each host and at each array.
    fn busy_volumes(&self) -> (BTreeMap<HostName, u64>, BTreeMap<ArrayName, u64>) {
        let (mut on_host, mut on_array) = (BTreeMap::new(), BTreeMap::new());
        for (host, array) in self.busy.iter().filter_map(|name| self.volumes.get(name)?.busy.as_ref()) {
            *on_host.entry(host.clone()).or_default() += 1;
            *on_array.entry(array.clone()).or_default() += 1;
        }
        (on_host, on_array)
    }

    fn begin_others(&mut self) {
        let Some(execution) = &self.execution else { return };
        let waiting: Vec<(HostName, Vec<(Seconds, usize)>)> = execution
            .others
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(host, queue)| (host.clone(), queue.iter().take(LOOK_AHEAD).copied().collect()))
            .collect();
        for (host, entries) in waiting {
            let limit = self
                .declared
                .hosts
                .get(&host)
                .and_then(|spec| spec.starts)
                .unwrap_or(self.declared.limits.starts_per_host);
            let mut starting = self.starting_on(&host);
            for entry in entries {
                let Some(action) =
                    self.execution.as_ref().map(|execution| execution.steps[entry.1].step.action.clone())
                else {
                    return;
                };
                if let Action::Start { vm, .. } = &action {
                    if starting >= limit || starting + self.slots_kept(&host, entry) >= limit {
                        continue;
                    }
                    if self.stage_holds(vm) || self.start_in_doubt(vm) {
                        self.unqueue(false, &host, entry);
                        self.park(entry.1);
                        continue;
                    }
                    starting += 1;
                }
                self.unqueue(false, &host, entry);
                if let Some(action) = self.take_step(entry.1, &host) {
                    self.begin(&action, &host);
                }
            }
        }
    }

    fn begin(&mut self, action: &Action, host: &HostName) {
        match action {
            Action::Configure { vm, .. } => self.order_configure(vm, host),
            Action::Start { vm, .. } => self.order_start(vm, host),
            Action::Stop { vm, .. } => self.preempt(vm, host),
            // Plans that ask for migrations are not made; a remap begins in its own queue, a fence by its own trigger.
            Action::Remap { .. } | Action::Fence { .. } | Action::Migrate { .. } => {}
        }
    }

    /// Stops a VM of a lower class to make room. Once it is gone all is planned anew, this VM among the others.
    fn preempt(&mut self, vm: &VmName, host: &HostName) {
        let text = format!(
            "{vm} is stopped on {host} to make room for VMs of a higher class. It is started again as soon as there is room"
        );
        self.tell(Severity::Warning, text, |event| (event.host, event.vm) = (Some(host.clone()), Some(vm.clone())));
        self.order_stop(vm, true);
    }

    fn order_configure(&mut self, vm: &VmName, host: &HostName) {
        let Some(spec) = self.declared.vms.get(vm).cloned() else { return };
        let mut attachments = Vec::with_capacity(spec.volumes.len());
        for volume in &spec.volumes {
            assert!(self.is_mapped(volume, host), "{vm} is configured on {host} before its volume {volume} is there");
            if let Some(super::records::VolumePlace::Mapped { attachment, .. }) =
                self.volumes.get(volume).map(|volume| &volume.record.place)
            {
                attachments.push(attachment.clone());
            }
        }
        let memory_mib = spec.machine.memory_mib.or(spec.demand.get("memory_mib").copied()).unwrap_or(128);
        let cpus = spec.demand.get("cpu_milli").map_or(1, |milli| milli.div_ceil(1000).clamp(1, 4096));
        let vcpus = spec.machine.vcpus.unwrap_or(u32::try_from(cpus).unwrap_or(1));
        let machine = Box::new(spec.machine.clone());
        let order = Order::Configure { vcpus, memory_mib, machine, attachments };
        // What was ordered under the plan before is answered under this one. Said again with each of many plans it would
        // fill the agent's queue, which would fail the VM and lead to the next plan.
        let ordered = |record: &super::records::VmRecord| self.commands.has_order(vm, record.generation, &order);
        if !self.vms.get(vm).is_some_and(ordered) {
            self.command(vm, host, order);
        }
    }

    /// How many VMs take a start slot of a host.
    fn starting_on(&self, host: &HostName) -> u64 {
        let here = self.starting.get(host).map_or(0, BTreeSet::len);
        u64::try_from(here).unwrap_or(u64::MAX)
    }
}
