//! A small world in virtual time: hosts with power, agents that obey, an array, BMCs, a store; and the brain in it.
//!
//! Everything that a body does is done here from a queue of happenings, so that any effect can be failed or repeated and the
//! controller killed at any point, exactly again. After every happening the promises are checked against the world, not
//! against what the brain believes.
#![allow(dead_code, reason = "each test file uses another part of the world")]

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::{
    fleet::{Brain, Effect, Input, LinkId, OperatorOrder, Output, RequestId, Settings, VolumeChange},
    message::{FromAgent, Outcome, ToAgent},
};
use lifeboat_model::{
    Epoch, Generation, HostName, Seconds, Time, VmName, VolumeName,
    health::{CheckReport, CheckStatus},
    liveness::{EvidenceSource, Saying},
    spec::Declaration,
};

mod agent;
mod array;
mod asked;
pub mod fleet;

const MS: u64 = 1000;

/// Where a controller is killed: counted in outputs of the brain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    BeforeWrites(usize),
    AfterWrites(usize),
    AfterEffects(usize),
}

#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub crash: Option<Crash>,
    /// The n-th effect that can fail does, once.
    pub fail_effect: Option<usize>,
    /// The n-th effect that can be repeated is.
    pub repeat_effect: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Machine {
    pub power: bool,
    pub frozen: bool,
    pub cut: bool,
    pub bmc: bool,
    boot: u64,
    link: Option<LinkId>,
    welcomed: Option<LinkId>,
    pub vms: BTreeMap<VmName, Generation>,
    configured: BTreeMap<VmName, Generation>,
    obeyed: BTreeMap<VmName, Generation>,
    epoch: Epoch,
}

#[derive(Clone, Debug)]
enum Happening {
    Tick,
    Connect(HostName),
    Beat(HostName, u64, u64),
    ToAgent(HostName, LinkId, ToAgent),
    FromAgent(HostName, LinkId, FromAgent),
    Closed(HostName, LinkId),
    ToBrain(u64, Input),
    Restart,
    PowerCut(HostName, u64, u64),
    VolumeDone(u64, lifeboat_brain::fleet::OpId, VolumeName, HostName, VolumeChange, bool),
}

pub struct World {
    pub now: Time,
    queue: BTreeMap<(Time, u64), Happening>,
    next: u64,
    tick_at: Option<Time>,
    pub brain: Option<Brain>,
    /// Counts the controller's lives, so that what was meant for an earlier one is lost.
    life: u64,
    pub store: BTreeMap<String, Vec<u8>>,
    epoch: Epoch,
    pub hosts: BTreeMap<HostName, Machine>,
    pub mapped: BTreeMap<VolumeName, BTreeSet<HostName>>,
    pub array_works: bool,
    /// Volumes whose array answers nobody.
    pub dead_volumes: BTreeSet<VolumeName>,
    pub array_ops: BTreeMap<lifeboat_brain::fleet::OpId, HostName>,
    pub most_ops: usize,
    pub guest_answers: bool,
    /// What looks at VMs see; those that are not named are well.
    pub checks: BTreeMap<VmName, CheckStatus>,
    /// Whether VMs answer those who ask about their host.
    pub vms_seen: bool,
    /// How long reading a host's power takes.
    pub power_read_ms: u64,
    /// Whether the controller's references take connections.
    pub references: bool,
    pub faults: Faults,
    outputs: usize,
    pub effects: usize,
    pub log: Vec<String>,
    pub starts: Vec<(Time, VmName, HostName)>,
    pub answers: Vec<Result<lifeboat_brain::fleet::Answer, lifeboat_brain::fleet::Refusal>>,
    next_link: u64,
    settings: Settings,
}

pub fn host(name: &str) -> HostName {
    HostName::new(name).expect("a host's name")
}

pub fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a VM's name")
}

impl World {
    pub fn new(declaration: Declaration, faults: Faults) -> Self {
        Self::with(declaration, faults, Settings::default())
    }

    pub fn with(declaration: Declaration, faults: Faults, settings: Settings) -> Self {
        let mut world = Self {
            now: Time::from_micros(1_000_000_000_000),
            queue: BTreeMap::new(),
            next: 0,
            tick_at: None,
            brain: None,
            life: 0,
            store: BTreeMap::new(),
            epoch: Epoch(0),
            hosts: BTreeMap::new(),
            mapped: BTreeMap::new(),
            array_works: true,
            dead_volumes: BTreeSet::new(),
            array_ops: BTreeMap::new(),
            most_ops: 0,
            guest_answers: true,
            checks: BTreeMap::new(),
            vms_seen: false,
            power_read_ms: 5000,
            references: true,
            faults: Faults::default(),
            outputs: 0,
            effects: 0,
            log: Vec::new(),
            starts: Vec::new(),
            answers: Vec::new(),
            next_link: 0,
            settings,
        };
        for spec in &declaration.hosts {
            let machine = Machine {
                power: true,
                frozen: false,
                cut: false,
                bmc: true,
                boot: 1,
                link: None,
                welcomed: None,
                vms: BTreeMap::new(),
                configured: BTreeMap::new(),
                obeyed: BTreeMap::new(),
                epoch: Epoch(0),
            };
            world.hosts.insert(spec.name.clone(), machine);
            world.at(200, Happening::Connect(spec.name.clone()));
        }
        world.restart();
        world.order(OperatorOrder::Apply(Box::new(declaration)));
        world.faults = faults;
        world
    }

    fn at(&mut self, millis: u64, happening: Happening) {
        self.next += 1;
        self.queue.insert((self.now + Seconds::from_micros(millis * MS), self.next), happening);
    }

    fn restart(&mut self) {
        self.epoch = self.epoch.next();
        self.life += 1;
        let records = self.store.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>();
        let brain =
            Brain::restore(self.settings.clone(), self.epoch, self.now, records).expect("what was stored can be read");
        self.brain = Some(brain);
        self.tick_at = None;
        self.log.push(format!("{} controller starts, epoch {}", self.t(), self.epoch));
        self.give(Input::Tick);
    }

    fn t(&self) -> String {
        format!("{:9.3}", self.now.as_f64() - 1_000_000.0)
    }

    pub fn order(&mut self, order: OperatorOrder) {
        self.give(Input::Operator { request: RequestId(1), order });
    }

    /// What an operator's `lifeboat drill` does.
    pub fn drill_now(&mut self) {
        let fleet = self.brain.as_ref().expect("the controller lives").fleet();
        let result = lifeboat_planner::drill::report(&fleet).map(Box::new).map_err(|error| error.to_string());
        self.give(Input::DrillEnded { result });
    }

    pub fn crash(&mut self) {
        self.log.push(format!("{} controller killed", self.t()));
        self.brain = None;
        self.life += 1;
        self.faults.crash = None;
        for name in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.break_link(&name);
        }
        self.at(1500, Happening::Restart);
    }

    /// Hands the brain an input and does what comes of it.
    pub fn give(&mut self, input: Input) {
        let Some(brain) = &mut self.brain else { return };
        let mut output = Output::default();
        brain.handle(self.now, input, &mut output);
        let deadline = brain.next_deadline();
        if !output.writes.is_empty() || !output.effects.is_empty() {
            self.outputs += 1;
        }
        if self.faults.crash == Some(Crash::BeforeWrites(self.outputs)) {
            return self.crash();
        }
        for (key, value) in output.writes {
            match value {
                Some(value) => drop(self.store.insert(key, value)),
                None => drop(self.store.remove(&key)),
            }
        }
        if self.faults.crash == Some(Crash::AfterWrites(self.outputs)) {
            return self.crash();
        }
        for effect in output.effects {
            self.effect(effect);
        }
        if self.faults.crash == Some(Crash::AfterEffects(self.outputs)) {
            return self.crash();
        }
        if let Some(deadline) = deadline {
            let deadline = deadline.max(self.now);
            if self.tick_at.is_none_or(|at| deadline < at) {
                self.tick_at = Some(deadline);
                self.next += 1;
                self.queue.insert((deadline, self.next), Happening::Tick);
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        let can_fail = matches!(
            effect,
            Effect::Fence { .. }
                | Effect::Volume { .. }
                | Effect::Check { .. }
                | Effect::Say { message: ToAgent::Command(_), .. }
        );
        let (mut fails, mut twice) = (false, false);
        if can_fail {
            self.effects += 1;
            fails = self.faults.fail_effect == Some(self.effects);
            twice = self.faults.repeat_effect == Some(self.effects);
            if fails || twice {
                self.log.push(format!("{} fault: {} {effect:?}", self.t(), if fails { "fails" } else { "twice" }));
            }
        }
        self.carry_out(&effect, fails);
        if twice {
            self.carry_out(&effect, false);
        }
    }

    fn carry_out(&mut self, effect: &Effect, fails: bool) {
        let life = self.life;
        match effect.clone() {
            Effect::Say { host, link, message } => {
                let message = match message {
                    ToAgent::Command(command) if fails => {
                        let outcome = Outcome::Failed { problem: "injected".to_owned(), retry_may_help: true };
                        let done = FromAgent::Done { command: command.id, outcome };
                        return self.at(5, Happening::FromAgent(host, link, done));
                    }
                    other => other,
                };
                self.at(1, Happening::ToAgent(host, link, message));
            }
            Effect::CloseLink { host, link } => {
                if self.hosts[&host].link == Some(link) {
                    self.break_link(&host);
                }
            }
            // The worst that can be: what was sent before still acts.
            Effect::EndFence { .. } => {}
            Effect::Fence { host, attempt, .. } => {
                if fails || !self.hosts[&host].bmc {
                    let result = Err("the BMC does not answer".to_owned());
                    self.at(500, Happening::ToBrain(life, Input::FenceEnded { host, attempt, result }));
                } else {
                    self.at(800, Happening::PowerCut(host, attempt, life));
                }
            }
            Effect::ReadFence { host, look, device } => {
                let machine = &self.hosts[&host];
                let result = if machine.bmc { Ok(machine.power) } else { Err("the BMC does not answer".to_owned()) };
                let device = device.name().clone();
                self.at(100, Happening::ToBrain(life, Input::FenceRead { host, look, device, result }));
            }
            Effect::Volume { op, change, volume, host, .. } => {
                self.array_ops.insert(op, host.clone());
                self.most_ops = self.most_ops.max(self.array_ops.len());
                self.at(50, Happening::VolumeDone(life, op, volume.name.clone(), host, change, fails));
            }
            Effect::Check { vm, generation, .. } => {
                let running = self.hosts.values().any(|host| host.power && !host.frozen && host.vms.contains_key(&vm));
                let ok = running && self.guest_answers && !fails;
                let result = if ok { Ok(()) } else { Err("nothing answers".to_owned()) };
                let after = if ok { 3000 } else { 60_000 };
                self.at(after, Happening::ToBrain(life, Input::CheckEnded { vm, generation, result }));
            }
            Effect::Look { sequence, vm, .. } => {
                let report = self.report(&vm);
                self.at(50, Happening::ToBrain(life, Input::Looked { sequence, report }));
            }
            effect @ (Effect::ReadPower { .. } | Effect::AskVm { .. } | Effect::AskReferences { .. }) => {
                self.asked(effect);
            }
            Effect::Tell(event) => self.log.push(format!("{} {:?}: {}", self.t(), event.severity, event.text)),
            Effect::Drill { fleet } => {
                let result = lifeboat_planner::drill::report(&fleet).map(Box::new).map_err(|error| error.to_string());
                self.at(50, Happening::ToBrain(life, Input::DrillEnded { result }));
            }
            Effect::Trace(_) | Effect::LookAtAgent { .. } | Effect::ReadBlock { .. } => {}
            Effect::Answer { result, .. } => self.answers.push(result),
        }
    }

    /// What a look at a VM sees.
    pub fn report(&self, vm: &VmName) -> CheckReport {
        let status = self.checks.get(vm).copied().unwrap_or(CheckStatus::Ok);
        CheckReport::new(status, &format!("it is {status}"))
    }

    /// Somebody is asked whether a host lives.
    fn asked(&mut self, effect: Effect) {
        let life = self.life;
        match effect {
            Effect::ReadPower { host, device } => {
                let machine = &self.hosts[&host];
                let says = match (machine.bmc, machine.power) {
                    (false, _) => Saying::Unknown,
                    (true, true) => Saying::PowerOn,
                    (true, false) => Saying::PowerOff,
                };
                let source = EvidenceSource::Power { device: device.name().clone() };
                self.at(
                    self.power_read_ms,
                    Happening::ToBrain(life, Input::Evidence { host, source, says, detail: None }),
                );
            }
            Effect::AskVm { host, vm, .. } => {
                let machine = &self.hosts[&host];
                let answers = machine.power && !machine.frozen && self.vms_seen && machine.vms.contains_key(&vm);
                let says = if answers { Saying::Lives } else { Saying::Silent };
                let source = EvidenceSource::Service { vm };
                self.at(100, Happening::ToBrain(life, Input::Evidence { host, source, says, detail: None }));
            }
            Effect::AskReferences { .. } => {
                let reached = u64::from(self.references);
                self.at(100, Happening::ToBrain(life, Input::References { reached }));
            }
            _ => {}
        }
    }

    fn break_link(&mut self, name: &HostName) {
        let Some(machine) = self.hosts.get_mut(name) else { return };
        if let Some(link) = machine.link.take() {
            self.at(1, Happening::Closed(name.clone(), link));
            self.at(300, Happening::Connect(name.clone()));
        }
    }

    pub fn power_off(&mut self, name: &HostName) {
        let machine = self.hosts.get_mut(name).expect("a host");
        machine.power = false;
        machine.frozen = false;
        machine.vms.clear();
        machine.configured.clear();
        machine.link = None;
        self.log.push(format!("{} {name} loses power", self.t()));
    }

    pub fn power_on(&mut self, name: &HostName) {
        let machine = self.hosts.get_mut(name).expect("a host");
        if !machine.power {
            machine.power = true;
            machine.boot += 1;
            self.at(1000, Happening::Connect(name.clone()));
        }
    }

    /// Kills one VM's process.
    pub fn kill_vm(&mut self, name: &VmName, by_guest: bool) {
        let found = self
            .hosts
            .iter_mut()
            .find_map(|(host, machine)| machine.vms.remove(name).map(|g| (host.clone(), g, machine.link)));
        let (host, generation, link) = found.expect("the VM runs");
        if let Some(link) = link {
            let said = FromAgent::VmExited { vm: name.clone(), generation, by_guest, detail: "signal 9".to_owned() };
            self.at(2, Happening::FromAgent(host, link, said));
        }
    }

    pub fn where_is(&self, name: &VmName) -> Vec<HostName> {
        let here = self.hosts.iter().filter(|(_, machine)| machine.power && machine.vms.contains_key(name));
        here.map(|(host, _)| host.clone()).collect()
    }

    fn step(&mut self) -> bool {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return false };
        self.now = self.now.max(at);
        match happening {
            Happening::Tick => {
                self.tick_at = self.tick_at.filter(|due| *due > at);
                self.give(Input::Tick);
            }
            Happening::Restart => self.restart(),
            Happening::ToBrain(life, input) if life == self.life => self.give(input),
            Happening::ToBrain(..) => {}
            Happening::PowerCut(host, attempt, life) => {
                if self.hosts[&host].bmc {
                    self.power_off(&host);
                    self.at(1, Happening::ToBrain(life, Input::FenceEnded { host, attempt, result: Ok(()) }));
                } else {
                    let result = Err("the BMC does not answer".to_owned());
                    self.at(1, Happening::ToBrain(life, Input::FenceEnded { host, attempt, result }));
                }
            }
            Happening::Connect(name) => self.connect(&name),
            Happening::Closed(host, link) => self.give(Input::LinkClosed { host, link }),
            Happening::Beat(name, link, sequence) => self.beat(&name, link, sequence),
            Happening::ToAgent(name, link, message) => self.agent_hears(&name, link, message),
            Happening::FromAgent(host, link, message) => {
                let machine = &self.hosts[&host];
                if machine.link == Some(link) && !machine.cut && !machine.frozen {
                    self.give(Input::AgentSaid { host, link, message });
                }
            }
            Happening::VolumeDone(life, op, volume, host, change, fails) => {
                self.array_ops.remove(&op);
                let outcome = self.array(&volume, &host, change, fails);
                self.at(1, Happening::ToBrain(life, Input::VolumeEnded { op, outcome }));
            }
        }
        self.check();
        true
    }

    /// The promises, held against the world.
    fn check(&self) {
        let mut seen: BTreeMap<&VmName, &HostName> = BTreeMap::new();
        for (host, machine) in &self.hosts {
            for vm in machine.vms.keys() {
                if let Some(other) = seen.insert(vm, host) {
                    panic!("{vm} runs on {other} and on {host}\n{}", self.log.join("\n"));
                }
            }
        }
        for (volume, hosts) in &self.mapped {
            assert!(hosts.len() <= 1, "{volume} is mapped to {hosts:?}");
        }
    }

    pub fn run(&mut self, seconds: u64) {
        self.run_ms(seconds * 1000);
    }

    pub fn run_ms(&mut self, millis: u64) {
        let until = self.now + Seconds::from_millis(millis);
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step();
        }
        self.now = until;
    }
}
