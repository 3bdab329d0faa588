//! A brain in virtual time whose agents, array and fence devices obey at once, but for what a test holds back.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::{
    fleet::{Brain, Effect, Input, LinkId, OperatorOrder, Output, RequestId, Settings, VolumeChange, VolumeOutcome},
    message::{FromAgent, Hello, Order, Outcome, PROTOCOL, ToAgent},
};
use lifeboat_model::{
    BootId, Epoch, HostName, Seconds, Time, VmName,
    attach::{Attachment, VolumePath},
    running::{RunningVm, VmRunState},
    spec::Declaration,
};

/// What does not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    Fence,
    Volume,
    Configure,
    Start,
    Check,
}

pub struct Bench {
    pub brain: Brain,
    pub now: Time,
    pub held: BTreeSet<Held>,
    /// Effects that were held back, in order.
    pub waiting: Vec<Effect>,
    silent: BTreeSet<HostName>,
    /// The newest link of each host; every Hello comes on a newer one.
    links: BTreeMap<HostName, u64>,
}

pub fn host(name: &str) -> HostName {
    HostName::new(name).expect("a host's name")
}

pub fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a VM's name")
}

pub fn declaration(text: &str) -> Declaration {
    toml::from_str(text).expect("a declaration")
}

/// Hosts `h1`… of 4 GiB with a fence each, VMs `v1`… of 1 GiB and one volume, in turn on the hosts, gold and bronze.
pub fn fleet(hosts: usize, vms: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "[limits]\nstarts_per_host = 2\nmaps_per_host = 4\nfence_s = 10\n\
         [[class]]\nname = \"gold\"\nrto_s = 60\n[[class]]\nname = \"bronze\"\nrto_s = 600\n\
         [[array]]\nname = \"a1\"\nmax_ops = 4\nremap_s = 1\nbackend = { kind = \"shared\", directory = \"/volumes\" }\n",
    );
    for h in 1..=hosts {
        writeln!(
            text,
            "[[host]]\nname = \"h{h}\"\ncapacity = {{ cpu_milli = 64000, memory_mib = 4096 }}\n[[host.fence]]\nname = \"bmc-h{h}\"\n\
             kind = \"agent\"\nagent = \"fence_ipmilan\""
        )
        .expect("text");
    }
    for v in 1..=vms {
        let (class, h) = (["gold", "bronze"][(v - 1) % 2], (v - 1) % hosts + 1);
        writeln!(
            text,
            "[[volume]]\nname = \"v{v}-d0\"\narray = \"a1\"\n[[vm]]\nname = \"v{v}\"\nhost = \"h{h}\"\nclass = \"{class}\"\n\
             demand = {{ cpu_milli = 1000, memory_mib = 1024 }}\nvolumes = [\"v{v}-d0\"]\nstart_s = 5\n\
             check = {{ kind = \"tcp\", address = \"192.0.2.1:7\" }}"
        )
        .expect("text");
    }
    text
}

impl Bench {
    /// A fleet that nobody of has joined.
    pub fn declared(text: &str) -> Self {
        let now = Time::from_micros(1_000_000_000_000);
        let brain = Brain::restore(Settings::default(), Epoch(3), now, []).expect("a new brain");
        let mut bench = Self {
            brain,
            now,
            held: BTreeSet::new(),
            waiting: Vec::new(),
            silent: BTreeSet::new(),
            links: BTreeMap::new(),
        };
        bench.order(OperatorOrder::Apply(Box::new(declaration(text))));
        bench
    }

    /// A fleet of which every host has joined and every VM is up.
    pub fn up(text: &str) -> Self {
        let mut bench = Self::declared(text);
        let hosts: Vec<HostName> = bench.brain.hosts().keys().cloned().collect();
        for host in &hosts {
            bench.join(host);
        }
        bench.run(20);
        bench
    }

    pub fn order(&mut self, order: OperatorOrder) {
        self.give(Input::Operator { request: RequestId(1), order });
    }

    pub fn join(&mut self, host: &HostName) {
        let newest = self.links.values().max().copied().unwrap_or(0);
        self.links.insert(host.clone(), newest + 1);
        let hello = Hello {
            protocol: PROTOCOL,
            host: host.clone(),
            boot: BootId("b1".to_owned()),
            version: "0.1.0".to_owned(),
            epoch: Epoch(0),
            vms: Vec::new(),
            pledge: Default::default(),
            probe_port: None,
            probe_addresses: Vec::new(),
        };
        self.said(host, FromAgent::Hello(hello));
    }

    pub fn said(&mut self, host: &HostName, message: FromAgent) {
        let link = LinkId(self.links[host]);
        self.give(Input::AgentSaid { host: host.clone(), link, message });
    }

    pub fn pause_guest(&mut self, name: &str) {
        let record = &self.brain.vms()[name];
        let report = RunningVm { vm: vm(name), generation: record.generation, state: VmRunState::Paused };
        let host = record.phase.may_run_on().expect("it runs").clone();
        self.said(&host, FromAgent::VmChanged(report));
    }

    /// From now on nothing is heard of a host.
    pub fn silence(&mut self, name: &str) {
        self.silent.insert(host(name));
    }

    pub fn give(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut output = Output::default();
            self.brain.handle(self.now, input, &mut output);
            for effect in output.effects {
                if let Some(input) = self.carry_out(effect) {
                    inputs.push_back(input);
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        let kind = kind(&effect)?;
        if self.held.contains(&kind) {
            self.waiting.push(effect);
            return None;
        }
        done(effect)
    }

    /// Lets what was held back of a kind end well, and holds it back no more.
    pub fn release(&mut self, of: Held) {
        self.held.remove(&of);
        let (go, stay) = std::mem::take(&mut self.waiting).into_iter().partition(|it| kind(it) == Some(of));
        self.waiting = stay;
        let go: Vec<Effect> = go;
        for input in go.into_iter().filter_map(done) {
            self.give(input);
        }
    }

    /// Lets time go by, a second at a time, with every host's heartbeats but the silent ones'.
    pub fn run(&mut self, seconds: u64) {
        for sequence in 0..seconds {
            self.now = self.now + Seconds::new(1);
            let heard: Vec<HostName> = self
                .brain
                .hosts()
                .iter()
                .filter(|(name, it)| it.link.is_some() && !self.silent.contains(*name))
                .map(|(name, _)| name.clone())
                .collect();
            for host in heard {
                self.said(&host, FromAgent::Heartbeat { sequence, pledge: Default::default() });
            }
            self.give(Input::Tick);
        }
    }
}

/// What holds an effect back; none: nothing does.
fn kind(effect: &Effect) -> Option<Held> {
    match effect {
        Effect::Fence { .. } => Some(Held::Fence),
        Effect::Volume { .. } => Some(Held::Volume),
        Effect::Check { .. } => Some(Held::Check),
        Effect::Say { message: ToAgent::Command(command), .. } => match command.order {
            Order::Configure { .. } => Some(Held::Configure),
            Order::Start | Order::Stop { .. } => Some(Held::Start),
        },
        _ => None,
    }
}

/// How an effect ends that goes well.
fn done(effect: Effect) -> Option<Input> {
    match effect {
        Effect::Fence { host, attempt, .. } => Some(Input::FenceEnded { host, attempt, result: Ok(()) }),
        Effect::Volume { op, change, volume, .. } => {
            let path = VolumePath::File { path: format!("/volumes/{}", volume.name) };
            let attachment = Attachment { volume: volume.name.clone(), path };
            let outcome = match change {
                VolumeChange::Map => VolumeOutcome::Mapped(attachment),
                VolumeChange::Unmap => VolumeOutcome::Unmapped,
            };
            Some(Input::VolumeEnded { op, outcome })
        }
        Effect::Check { vm, generation, .. } => Some(Input::CheckEnded { vm, generation, result: Ok(()) }),
        Effect::Say { host, link, message: ToAgent::Command(command) } => {
            let message = FromAgent::Done { command: command.id, outcome: Outcome::Done };
            Some(Input::AgentSaid { host, link, message })
        }
        _ => None,
    }
}
