//! A host as its brain sees it: a hypervisor with processes, one controller link, durable records, restarts. Every
//! output is checked against what a host promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use lifeboat_brain::{
    host::{
        Act, HostBrain, HostEffect, HostInput, HostMemory, HostOutput, HostRecord, HostSettings, LinkId, Notice,
        Operation, OperationResult, ProcessNow,
    },
    message::{Command, CommandId, FromAgent, Hello, Order, ToAgent},
};
use lifeboat_model::{
    BootId, Epoch, Generation, HostName, Seconds, Time, VmName,
    running::{RunningVm, VmRunState},
};

pub fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a name")
}

pub fn settings() -> HostSettings {
    HostSettings {
        host: HostName::new("h1").expect("a name"),
        boot: BootId("boot-1".to_owned()),
        version: "0".to_owned(),
        controllers: NonZeroUsize::new(2).expect("not zero"),
        probe_port: Some(7444),
        probe_addresses: Vec::new(),
    }
}

/// How an operation ends in the world.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Done,
    FailedWithoutProcess,
    FailedWithProcess,
    /// Nobody knows; whether the process is there all the same.
    FailedUnknown(bool),
}

/// What a command that was acted upon was for.
type Intent = (Epoch, Generation);

pub struct World {
    pub brain: HostBrain,
    pub now: Time,
    pub records: Vec<HostRecord>,
    pub processes: BTreeMap<VmName, (Generation, VmRunState)>,
    pub running: Vec<Operation>,
    pub connecting: Option<LinkId>,
    pub link: Option<LinkId>,
    pub led: Option<Epoch>,
    pub said: Vec<FromAgent>,
    pub notices: Vec<Notice>,
    /// What the guard was told last.
    pub lease: Option<Time>,
    /// Looks that were begun.
    pub looks: Vec<u64>,
    /// Hosts whose agents are to be looked at.
    pub peers: Vec<HostName>,
    /// The next output is cut short by the agent's death: so many of its records get written, nothing is done.
    pub dies_after_records: Option<usize>,
    /// VMs whose process the agent cannot know to be gone.
    doubtful: BTreeSet<VmName>,
    durable: HostMemory,
    highest: Epoch,
    acted: BTreeMap<VmName, Intent>,
    starts: BTreeSet<(VmName, Intent)>,
    deliveries: BTreeMap<CommandId, usize>,
    answers: BTreeMap<CommandId, usize>,
    unanswered: BTreeMap<CommandId, Epoch>,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            brain: HostBrain::restore(settings(), []),
            now: Time::from_micros(1_000_000),
            records: Vec::new(),
            processes: BTreeMap::new(),
            running: Vec::new(),
            connecting: None,
            link: None,
            led: None,
            said: Vec::new(),
            notices: Vec::new(),
            lease: None,
            looks: Vec::new(),
            peers: Vec::new(),
            dies_after_records: None,
            doubtful: BTreeSet::new(),
            durable: HostMemory::default(),
            highest: Epoch(0),
            acted: BTreeMap::new(),
            starts: BTreeSet::new(),
            deliveries: BTreeMap::new(),
            answers: BTreeMap::new(),
            unanswered: BTreeMap::new(),
        };
        world.restart(&[]);
        world
    }

    /// The agent dies and starts again; for each operation that ran: whether it took effect.
    pub fn restart(&mut self, took_effect: &[bool]) {
        let running = std::mem::take(&mut self.running);
        for (n, operation) in running.into_iter().enumerate() {
            if took_effect.get(n).copied().unwrap_or(false) {
                self.act(&operation);
            }
        }
        (self.connecting, self.link, self.led, self.dies_after_records) = (None, None, None, None);
        self.unanswered.clear();
        self.brain = HostBrain::restore(settings(), self.records.clone());
        assert_eq!(self.brain.next_deadline(), None, "it does nothing before it knows what runs");
        let vms = self.list();
        self.feed(HostInput::Found { vms, lease: self.lease });
    }

    pub fn list(&self) -> Vec<RunningVm> {
        let processes = self.processes.iter();
        processes
            .map(|(vm, (generation, state))| RunningVm { vm: vm.clone(), generation: *generation, state: *state })
            .collect()
    }

    pub fn advance(&mut self, span: Seconds) {
        self.now = self.now + span;
        self.feed(HostInput::Tick);
    }

    /// Lets time pass until the agent does something by itself.
    pub fn advance_to_deadline(&mut self) {
        if let Some(deadline) = self.brain.next_deadline() {
            self.now = self.now.max(deadline);
            self.feed(HostInput::Tick);
        }
    }

    pub fn connect(&mut self) {
        if let Some(link) = self.connecting.take() {
            self.link = Some(link);
            self.feed(HostInput::LinkOpened { link });
        }
    }

    pub fn disconnect(&mut self) {
        if let Some(link) = self.connecting.take().or_else(|| self.link.take()) {
            self.lose_link();
            self.feed(HostInput::LinkClosed { link });
        }
    }

    fn lose_link(&mut self) {
        (self.link, self.led) = (None, None);
        self.unanswered.clear();
    }

    /// The controller says something on the link that is open.
    pub fn say(&mut self, message: ToAgent) {
        let Some(link) = self.link else { return };
        match &message {
            ToAgent::Welcome { epoch, .. } if *epoch < self.durable.epoch() => {
                self.feed(HostInput::Message { link, message });
                assert_ne!(self.link, Some(link), "the link of an older leader stayed open");
                return;
            }
            ToAgent::Welcome { epoch, .. } => self.lead(*epoch),
            ToAgent::Command(command) if self.led.is_some() => self.deliver(command),
            _ => {}
        }
        self.feed(HostInput::Message { link, message });
    }

    fn deliver(&mut self, command: &Command) {
        *self.deliveries.entry(command.id).or_default() += 1;
        if command.order == Order::Start {
            self.starts.insert((command.vm.clone(), (command.epoch, command.generation)));
        }
        self.unanswered.insert(command.id, command.epoch);
        if command.epoch > self.highest {
            self.lead(command.epoch);
        }
    }

    /// From now on earlier leaders get no answers.
    fn lead(&mut self, epoch: Epoch) {
        self.unanswered.retain(|_, of| *of == epoch);
        self.led = Some(epoch);
    }

    /// A message comes late, over a link that is closed.
    pub fn say_late(&mut self, link: LinkId, message: ToAgent) {
        if self.link != Some(link) {
            let before = self.said.len();
            self.feed(HostInput::Message { link, message });
            assert!(self.said[before..].iter().all(|said| matches!(said, FromAgent::Heartbeat { .. })));
        }
    }

    /// One of the running operations ends.
    pub fn end(&mut self, index: usize, end: End) {
        if self.running.is_empty() {
            return;
        }
        let operation = self.running.remove(index % self.running.len());
        let vm = operation.vm.clone();
        let there = |world: &Self| {
            world.processes.get(&vm).map(|(generation, state)| RunningVm {
                vm: vm.clone(),
                generation: *generation,
                state: *state,
            })
        };
        let process = match end {
            End::Done => {
                self.act(&operation);
                there(self).map_or(ProcessNow::Gone, ProcessNow::There)
            }
            End::FailedWithoutProcess if operation.act == Act::Look => ProcessNow::Unknown,
            End::FailedWithoutProcess => {
                self.processes.remove(&vm);
                ProcessNow::Gone
            }
            End::FailedWithProcess => {
                self.start_half(&operation, true);
                there(self).map_or(ProcessNow::Gone, ProcessNow::There)
            }
            End::FailedUnknown(exists) => {
                self.start_half(&operation, exists);
                ProcessNow::Unknown
            }
        };
        if process == ProcessNow::Unknown {
            self.doubtful.insert(vm.clone());
        } else {
            self.doubtful.remove(&vm);
        }
        let result = match (end, &operation.act) {
            (_, Act::Look) => OperationResult::Seen(process),
            (End::Done, _) => OperationResult::Done,
            _ => OperationResult::Failed { problem: "it failed".to_owned(), retry_may_help: true, process },
        };
        self.feed(HostInput::OperationEnded { vm: operation.vm, operation: operation.id, result });
    }

    fn start_half(&mut self, operation: &Operation, exists: bool) {
        if operation.act == Act::Order(Order::Start) && exists {
            self.processes.entry(operation.vm.clone()).or_insert((operation.generation, VmRunState::Paused));
        }
    }

    fn act(&mut self, operation: &Operation) {
        match operation.act {
            Act::Order(Order::Start) => {
                self.processes.insert(operation.vm.clone(), (operation.generation, VmRunState::Running));
            }
            Act::Order(Order::Stop { .. }) => {
                self.processes.remove(&operation.vm);
            }
            Act::Order(Order::Configure { .. }) | Act::Look => {}
        }
    }

    /// A process ends by itself.
    pub fn exit(&mut self, vm: &VmName) {
        if let Some((generation, _)) = self.processes.remove(vm) {
            self.doubtful.insert(vm.clone());
            let detail = "killed by signal 9".to_owned();
            self.feed(HostInput::VmExited { vm: vm.clone(), generation, by_guest: false, detail });
        }
    }

    /// A guest stops executing.
    pub fn pause(&mut self, vm: &VmName) {
        if let Some((_, state)) = self.processes.get_mut(vm) {
            *state = VmRunState::Paused;
            self.feed(HostInput::VmChanged { vm: vm.clone() });
        }
    }

    pub fn feed(&mut self, input: HostInput) {
        let HostOutput { writes, effects } = self.brain.handle(self.now, input);
        if let Some(written) = self.dies_after_records.take() {
            self.write(writes.into_iter().take(written));
            self.restart(&[]);
            return;
        }
        self.write(writes);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn write(&mut self, writes: impl IntoIterator<Item = HostRecord>) {
        for record in writes {
            self.records.push(record.clone());
            self.durable.replay(record);
        }
    }

    fn carry_out(&mut self, effect: HostEffect) {
        match effect {
            HostEffect::Connect { link, controller } => {
                assert!(controller < settings().controllers.get());
                assert!(self.link.is_none() && self.connecting.is_none(), "two links at once");
                self.connecting = Some(link);
            }
            HostEffect::Disconnect { link } => {
                self.connecting.take_if(|connecting| *connecting == link);
                if self.link == Some(link) {
                    self.lose_link();
                }
            }
            HostEffect::Send { link, message } => {
                assert_eq!(self.link, Some(link), "said on a link that is not open: {message:?}");
                self.check_said(&message);
                self.said.push(message);
            }
            HostEffect::Guard { until } => self.lease = until,
            HostEffect::Kill { vm } => drop(self.processes.remove(&vm)),
            HostEffect::LookAt { host, .. } => self.peers.push(host),
            HostEffect::Operate(operation) => {
                self.check_operation(&operation);
                self.running.push(operation);
            }
            HostEffect::Look { sequence, .. } => self.looks.push(sequence),
            // That the host may go is nothing to this world.
            HostEffect::MayGo => {}
            HostEffect::Tell(notice) => {
                if let Notice::Led { epoch, .. } = notice {
                    self.obeyed(epoch);
                }
                self.notices.push(notice);
            }
        }
    }

    fn obeyed(&mut self, epoch: Epoch) {
        assert!(epoch >= self.highest, "obeyed epoch {epoch} after {}", self.highest);
        let durable = self.durable.epoch();
        assert!(durable >= epoch, "epoch {epoch} is obeyed but only {durable} is written");
        self.highest = epoch;
    }

    fn check_operation(&mut self, operation: &Operation) {
        let Operation { vm, epoch, generation, act, .. } = operation;
        assert!(self.running.iter().all(|running| running.vm != *vm), "two operations at once on {vm}");
        self.obeyed(*epoch);
        if matches!(act, Act::Look | Act::Order(Order::Stop { graceful: false })) {
            return; // Perhaps a kill of what may not run here; commands stop gracefully in these tests.
        }
        let intent = (*epoch, *generation);
        let durable = self.durable.generation(vm);
        assert!(durable >= *generation, "generation {generation} of {vm} is obeyed but only {durable} is written");
        let before = self.acted.insert(vm.clone(), intent);
        assert!(before <= Some(intent), "{vm}: {intent:?} after {before:?}");
        if *act == Act::Order(Order::Start) {
            assert!(self.starts.contains(&(vm.clone(), intent)), "{vm} is started with {intent:?} without a command");
            let other = self.processes.get(vm).filter(|(running, _)| running != generation);
            assert_eq!(other, None, "{vm} is started over another generation");
        }
    }

    fn check_said(&mut self, message: &FromAgent) {
        match message {
            FromAgent::Hello(Hello { vms, .. }) => {
                for running in self.list() {
                    assert!(
                        vms.iter().any(|told| told.vm == running.vm),
                        "{} runs but the Hello is silent",
                        running.vm
                    );
                }
                for told in vms {
                    let exists = self.processes.contains_key(&told.vm);
                    let busy = self.running.iter().any(|operation| operation.vm == told.vm);
                    let doubtful = self.doubtful.contains(&told.vm);
                    assert!(exists || busy || doubtful, "{} does not run but the Hello names it", told.vm);
                }
            }
            FromAgent::Done { command, .. } => {
                *self.answers.entry(*command).or_default() += 1;
                let (answers, deliveries) = (self.answers[command], self.deliveries.get(command).copied());
                assert!(
                    Some(answers) <= deliveries,
                    "{command:?} is answered {answers} times, came {deliveries:?} times"
                );
                self.unanswered.remove(command);
            }
            _ => {}
        }
    }

    /// All that runs ends well, until nothing runs.
    pub fn calm_down(&mut self) {
        self.dies_after_records = None;
        for _ in 0..200 {
            if !self.running.is_empty() {
                self.end(0, End::Done);
            } else if self.connecting.is_some() {
                self.connect();
            } else if self.link.is_some() {
                return;
            } else {
                self.advance_to_deadline();
            }
        }
        panic!("it does not calm down: {} operations, link {:?}", self.running.len(), self.link);
    }

    /// Checks that every command that came over the open link has its answer.
    pub fn check_all_answered(&self) {
        assert!(self.unanswered.is_empty(), "never answered: {:?}", self.unanswered);
    }
}
