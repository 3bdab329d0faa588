//! Processes of VMs and the guests in them.
//!
//! A process exists from the moment in which its start takes effect until it ends or its host loses power; a host that
//! hangs or is cut off keeps it. A guest answers some time after its process began, if it boots at all and can write to
//! its volumes: a guest whose volumes cannot be reached stands still until they can.

use lifeboat_brain::{
    host::{Act, HostInput, Operation, OperationResult, ProcessNow},
    message::Order,
};
use lifeboat_model::{
    ClassName, Epoch, Generation, Seconds, Time, VmName, VolumeName,
    running::{RunningVm, VmRunState},
    spec::VmSpec,
    trace::What,
};

use super::{Event, World, machine::HostIx};
use crate::random::Random;

/// A guest that is asked to shut down and does not within this is killed by its hypervisor.
const STOP_LIMIT: Seconds = Seconds::new(60);

/// A VM's process on a host.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(super) pid: u32,
    /// The generation that it was started for.
    pub generation: Generation,
    /// Whether its guest has booted.
    pub up: bool,
    /// Whether its guest stands still, since it cannot reach its volumes.
    pub stalled: bool,
    /// Whether its guest hangs, until its process ends.
    pub hung: bool,
    /// Whether it has a watchdog, which sees that.
    pub(super) watchdog: bool,
    pub(super) boots: bool,
    pub(super) ending: bool,
}

impl Guest {
    /// Whether it answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.up && !self.stalled && !self.hung
    }

    pub(super) fn report(&self, vm: &VmName) -> RunningVm {
        let state = match self {
            Self { stalled: true, .. } => VmRunState::IoError,
            Self { hung: true, watchdog: true, .. } => VmRunState::Watchdog,
            _ => VmRunState::Running,
        };
        RunningVm { vm: vm.clone(), generation: self.generation, state }
    }
}

/// A VM as the world sees it.
#[derive(Debug)]
pub struct VmWorld {
    pub(super) spec: VmSpec,
    pub(super) random: Random,
    /// So many next starts fail.
    pub(crate) fail_starts: u32,
    /// Whether its check gets no answer, whatever it does.
    unseen: bool,
    /// Whether its service does not answer its health checks, wherever and however often it is started.
    pub(crate) sick: bool,
    /// Since when it does not answer, though it did once; none: it answers, or never has.
    pub(super) lost_at: Option<Time>,
    /// When it came to answer last.
    pub(super) ready_at: Option<Time>,
    pub(super) ready_pid: Option<u32>,
}

impl VmWorld {
    /// Its class.
    #[must_use]
    pub fn class(&self) -> &ClassName {
        &self.spec.class
    }
}

impl World {
    pub(super) fn add_vm(&mut self, spec: &VmSpec) {
        let seed = self.settings.seed;
        let fresh = || VmWorld {
            spec: spec.clone(),
            random: Random::of(seed, spec.name.as_str()),
            fail_starts: 0,
            unseen: false,
            sick: false,
            lost_at: None,
            ready_at: None,
            ready_pid: None,
        };
        self.vms.entry(spec.name.clone()).or_insert_with(fresh).spec = spec.clone();
    }

    /// How long an operation takes until it has its effect, and from then until it ends.
    pub(super) fn operation_times(&mut self, host: HostIx, operation: &Operation) -> (Seconds, Seconds) {
        let name = operation.vm.to_string();
        match &operation.act {
            Act::Look => (Seconds::from_millis(1), Seconds::from_millis(1)),
            Act::Order(Order::Configure { .. }) => (self.takes(host, &name, |times| times.configure), Seconds::ZERO),
            Act::Order(Order::Start) => {
                let whole = self.takes(host, &name, |times| times.launch);
                let before = Seconds::from_micros(self.machines[host.at()].random.below(whole.micros() + 1));
                (before, whole.saturating_sub(before))
            }
            Act::Order(Order::Stop { .. }) => (Seconds::from_millis(5), Seconds::ZERO),
        }
    }

    /// An operation takes effect, if its agent still lives.
    pub(super) fn acts(&mut self, host: HostIx, life: u32, operation: Operation, left: Seconds) {
        if self.agent(host, life).is_none() {
            return;
        }
        let result = match &operation.act {
            Act::Look => Some((Seconds::ZERO, OperationResult::Seen(self.process_now(host, &operation.vm)))),
            Act::Order(Order::Configure { .. }) => {
                self.machines[host.at()].configured.insert(operation.vm.clone(), operation.generation);
                Some((left, OperationResult::Done))
            }
            Act::Order(Order::Start) => Some((left, self.start_process(host, &operation))),
            Act::Order(Order::Stop { graceful }) => self.stop_process(host, life, &operation, *graceful),
        };
        if let Some((after, result)) = result {
            let input = HostInput::OperationEnded { vm: operation.vm, operation: operation.id, result };
            self.operation_ends(host, life, after, input);
        }
    }

    fn process_now(&self, host: HostIx, vm: &VmName) -> ProcessNow {
        match self.machines[host.at()].guests.get(vm) {
            Some(guest) => ProcessNow::There(guest.report(vm)),
            None => ProcessNow::Gone,
        }
    }

    fn start_process(&mut self, host: HostIx, operation: &Operation) -> OperationResult {
        let (vm, generation) = (&operation.vm, operation.generation);
        let process = self.process_now(host, vm);
        let failed = |problem: &str, process| OperationResult::Failed {
            problem: problem.to_owned(),
            retry_may_help: true,
            process,
        };
        match &process {
            ProcessNow::There(there) if there.generation == generation => return OperationResult::Done,
            ProcessNow::There(_) => return failed("another process of it runs", process),
            ProcessNow::Gone | ProcessNow::Unknown => {}
        }
        if self.machines[host.at()].configured.get(vm) != Some(&generation) {
            return failed("it is not configured here", ProcessNow::Gone);
        }
        if let Some(volume) = self.unreachable_volume(host, vm) {
            return failed(&format!("volume {volume} cannot be opened"), ProcessNow::Gone);
        }
        let Some(world) = self.vms.get_mut(vm) else { return failed("nobody knows it", ProcessNow::Gone) };
        let mut boots = true;
        if world.fail_starts > 0 {
            world.fail_starts -= 1;
            // Half of the starts that fail leave a process whose guest never answers.
            if world.random.below(2) == 0 {
                let at = self.machines[host.at()].name.clone();
                self.note(|| format!("{vm} does not start on {at}"));
                return failed("its hypervisor ended at once", ProcessNow::Gone);
            }
            boots = false;
        }
        self.create_process(host, vm, generation, operation.epoch, boots);
        OperationResult::Done
    }

    /// Begins a VM's process.
    pub(super) fn create_process(
        &mut self,
        host: HostIx,
        vm: &VmName,
        generation: Generation,
        epoch: Epoch,
        boots: bool,
    ) {
        let pid = self.new_life();
        let machine = &mut self.machines[host.at()];
        let name = machine.name.clone();
        let watchdog = self.vms.get(vm).is_some_and(|world| world.spec.machine.watchdog.is_some());
        let (up, stalled, hung, ending) = (false, false, false, false);
        let guest = Guest { pid, generation, up, stalled, hung, watchdog, boots, ending };
        machine.guests.insert(vm.clone(), guest);
        let mut event = self.event(What::VmStarted).host(&name).vm(vm);
        // Obeyed was the order when the operation began; if a later leader was obeyed since, its epoch is not the host's.
        event.epoch = (epoch >= self.promises.highest(&name)).then_some(epoch);
        self.record(event);
        *self.counts.starts.entry(vm.clone()).or_default() += 1;
        self.promises.stage_order(vm);
        let boot = self.takes(host, vm.as_str(), |times| times.guest_boot);
        self.after(boot, Event::GuestBooted { host, vm: vm.clone(), pid });
        self.note(|| format!("{vm} is started on {name}"));
        self.changes();
        // One that comes to run after the end of the lease is seen by the guard's next look.
        self.wake_guard(host);
    }

    /// The first volume of a VM that a host cannot open.
    fn unreachable_volume(&self, host: HostIx, vm: &VmName) -> Option<VolumeName> {
        let volumes = &self.vms.get(vm)?.spec.volumes;
        if volumes.is_empty() {
            return None;
        }
        if !self.reaches_storage(host) {
            return volumes.first().cloned();
        }
        volumes
            .iter()
            .find(|name| self.volumes.get(*name).is_none_or(|volume| volume.lost || !volume.mapped.contains(&host)))
            .cloned()
    }

    pub(super) fn guest_booted(&mut self, host: HostIx, vm: &VmName, pid: u32) {
        let Some(guest) = self.machines[host.at()].guests.get_mut(vm) else { return };
        if guest.pid != pid || !guest.boots || guest.ending {
            return;
        }
        guest.up = true;
        self.is_it_ready(host, vm);
    }

    /// Tells that a guest has come to answer, if it has.
    fn is_it_ready(&mut self, host: HostIx, vm: &VmName) {
        let now = self.now;
        let machine = &self.machines[host.at()];
        let Some(guest) = machine.guests.get(vm).filter(|guest| guest.answers()) else { return };
        let (pid, name) = (guest.pid, machine.name.clone());
        let Some(world) = self.vms.get_mut(vm) else { return };
        if world.ready_pid == Some(pid) && world.lost_at.is_none() {
            return;
        }
        (world.ready_at, world.ready_pid) = (Some(now), Some(pid));
        if let Some(since) = world.lost_at.take() {
            self.counts.outages.push((vm.clone(), now.since(since)));
        }
        self.counts.ready.push((now, vm.clone()));
        self.promises.ready(vm, now);
        let event = self.event(What::VmReady).host(&name).vm(vm);
        self.record(event);
        self.note(|| format!("{vm} answers on {name}"));
        self.changes();
        if self.is_seen(vm) {
            self.answer_checks(vm);
        }
    }

    fn stop_process(
        &mut self,
        host: HostIx,
        life: u32,
        operation: &Operation,
        graceful: bool,
    ) -> Option<(Seconds, OperationResult)> {
        let vm = &operation.vm;
        let machine = &mut self.machines[host.at()];
        let Some(guest) = machine.guests.get_mut(vm) else { return Some((Seconds::ZERO, OperationResult::Done)) };
        guest.ending = true;
        let (pid, deaf) = (guest.pid, !guest.answers());
        self.promises.stopping(vm);
        let span = match (graceful, deaf) {
            (false, _) => Seconds::from_millis(100),
            (true, true) => STOP_LIMIT,
            (true, false) => self.takes(host, vm.as_str(), |times| times.guest_stop),
        };
        self.after(span, Event::ProcessEnds { host, vm: vm.clone(), pid, epoch: operation.epoch });
        let input =
            HostInput::OperationEnded { vm: vm.clone(), operation: operation.id, result: OperationResult::Done };
        // The agent waits for the end of the process, and dies without harm while it does.
        self.operation_ends(host, life, span + Seconds::from_millis(1), input);
        None
    }

    pub(super) fn process_ends(&mut self, host: HostIx, vm: &VmName, pid: u32, epoch: Epoch) {
        if self.machines[host.at()].guests.get(vm).is_some_and(|guest| guest.pid == pid) {
            self.end_process(host, vm, Some(epoch));
        }
    }

    /// A process is gone; by an order of an epoch, or by itself.
    pub(super) fn end_process(&mut self, host: HostIx, vm: &VmName, ordered: Option<Epoch>) {
        let machine = &mut self.machines[host.at()];
        let Some(guest) = machine.guests.remove(vm) else { return };
        let name = machine.name.clone();
        self.promises.process_gone(vm, &name);
        let what = if ordered.is_some() { What::VmStopped } else { What::VmKilled };
        let mut event = self.event(what).host(&name).vm(vm);
        event.epoch = ordered.filter(|epoch| *epoch >= self.promises.highest(&name));
        self.record(event);
        self.vm_lost(vm, guest.pid);
        self.note(|| format!("{vm} {} on {name}", if ordered.is_some() { "is stopped" } else { "dies" }));
        self.changes();
    }

    /// A process that may have answered does so no longer.
    pub(super) fn vm_lost(&mut self, vm: &VmName, pid: u32) {
        // On a host whose fence lied another process of it may have ended than the one that answers.
        if self.vms.get(vm).is_none_or(|world| world.ready_pid == Some(pid)) {
            self.promises.unready(vm, self.now);
        }
        self.stops_answering(vm, pid);
    }

    pub(super) fn stops_answering(&mut self, vm: &VmName, pid: u32) {
        let now = self.now;
        if let Some(world) = self.vms.get_mut(vm)
            && world.ready_pid == Some(pid)
        {
            world.ready_pid = None;
            world.lost_at.get_or_insert(now);
        }
    }

    /// A VM's process dies, or its guest shuts itself down.
    pub(crate) fn kill_vm(&mut self, vm: &VmName, by_guest: bool) {
        self.end_vm(vm, by_guest, if by_guest { "its guest shut down" } else { "killed by signal 9" });
    }

    /// A VM's process ends by itself.
    pub(crate) fn end_vm(&mut self, vm: &VmName, by_guest: bool, detail: &str) {
        let here = |world: &Self| world.machines.iter().position(|machine| machine.guests.contains_key(vm));
        let Some(at) = here(self) else { return };
        if self.machines[at].hung {
            return;
        }
        let Some(host) = self.ix(&self.machines[at].name.clone()) else { return };
        let Some(generation) = self.machines[at].guests.get(vm).map(|guest| guest.generation) else { return };
        self.end_process(host, vm, None);
        if by_guest {
            self.promises.shut_down(vm, self.now);
        }
        let Some(life) = self.machines[at].agent.as_ref().map(|agent| agent.life) else { return };
        let detail = detail.to_owned();
        let input = HostInput::VmExited { vm: vm.clone(), generation, by_guest, detail };
        self.operation_ends(host, life, Seconds::from_millis(2), input);
    }

    /// Looks again which guests of a host can reach their volumes.
    pub(super) fn look_at_storage_of(&mut self, host: HostIx) {
        let names: Vec<VmName> = self.machines[host.at()].guests.keys().cloned().collect();
        for vm in names {
            self.look_at_storage(host, &vm);
        }
    }

    /// Looks again whether a guest can reach its volumes.
    pub(super) fn look_at_storage(&mut self, host: HostIx, vm: &VmName) {
        let stalled = self.unreachable_volume(host, vm).is_some();
        let machine = &mut self.machines[host.at()];
        let Some(guest) = machine.guests.get_mut(vm).filter(|guest| guest.stalled != stalled) else { return };
        guest.stalled = stalled;
        let (pid, name) = (guest.pid, machine.name.clone());
        let life = machine.agent.as_ref().map(|agent| agent.life);
        self.note(|| format!("{vm} on {name} {}", if stalled { "cannot write to its volumes" } else { "goes on" }));
        self.changes();
        if stalled {
            self.stops_answering(vm, pid);
        } else {
            self.is_it_ready(host, vm);
        }
        if let Some(life) = life {
            self.operation_ends(host, life, Seconds::from_millis(2), HostInput::VmChanged { vm: vm.clone() });
        }
    }

    /// A VM answers as the world begins.
    pub(super) fn settle_ready(&mut self, vm: &VmName, host: HostIx) {
        let Some(guest) = self.machines[host.at()].guests.get_mut(vm) else { return };
        guest.up = true;
        let pid = guest.pid;
        if let Some(world) = self.vms.get_mut(vm) {
            (world.ready_at, world.ready_pid) = (Some(self.now), Some(pid));
        }
        self.promises.ready(vm, self.now);
        self.counts.starts.clear();
    }

    /// Whether who looks at a VM sees it answer.
    pub(super) fn is_seen(&self, vm: &VmName) -> bool {
        self.vms.get(vm).is_none_or(|world| !world.unseen) && self.answers(vm)
    }

    /// A VM's check gets no answer, or does again.
    pub(crate) fn set_unseen(&mut self, vm: &VmName, unseen: bool) {
        let Some(world) = self.vms.get_mut(vm) else { return };
        world.unseen = unseen;
        self.note(|| format!("the check of {vm} {}", if unseen { "gets no answer" } else { "can be answered again" }));
        self.changes();
        if self.is_seen(vm) {
            self.answer_checks(vm);
        }
    }

    /// Where a VM's process exists.
    #[must_use]
    pub fn where_is(&self, vm: &VmName) -> Vec<&lifeboat_model::HostName> {
        let here = self.machines.iter().filter(|machine| machine.guests.contains_key(vm));
        here.map(|machine| &machine.name).collect()
    }

    /// Whether a VM answers somewhere.
    #[must_use]
    pub fn answers(&self, vm: &VmName) -> bool {
        let mut here = self.machines.iter().filter(|machine| machine.runs());
        here.any(|machine| machine.guests.get(vm).is_some_and(Guest::answers))
    }
}
