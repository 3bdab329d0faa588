//! A world in virtual time.
//!
//! # Theory of operation
//!
//! Everything that happens is an [`Event`] in one queue. An event names the life (of an agent, of a controller) or the
//! process that it is for; what was meant for an earlier one is lost. While a host hangs, what happens on it is put aside
//! and happens when it goes on. Each part of the world is a file beside this one:
//!
//! | part | file |
//! | --- | --- |
//! | a host's power, hangs, boots | `machine` |
//! | the guard beside an agent | `guard` |
//! | the body of an agent | `agent` |
//! | processes of VMs and their guests | `hypervisor` |
//! | links, and networks that cut, lose, delay, repeat and reorder | `network` |
//! | the body of a controller, its store, the lead | `controller`, `store` |
//! | arrays and volumes | `array` |
//! | BMCs | `bmc` |
//! | who is asked whether a host lives | `asking` |

use std::collections::{BTreeMap, VecDeque};

use lifeboat_brain::fleet::{Answer, Brain, OperatorOrder, Refusal, RequestId, Settings, records::Severity};
use lifeboat_model::{
    ArrayName, HostName, Seconds, Time, VmName, VolumeName,
    spec::Declaration,
    trace::{Source, TraceEvent, What},
};

use crate::{promises::Promises, queue::Queue, times::WorldTimes};

mod agent;
mod array;
mod asking;
mod bmc;
mod controller;
mod event;
mod guard;
mod health;
mod hypervisor;
mod machine;
mod network;
mod settled;
mod store;

pub use array::{ArrayFault, ArrayWorld, VolumeWorld};
pub use bmc::Bmc;
pub use controller::Controller;
use event::Event;
pub use hypervisor::{Guest, VmWorld};
pub use machine::{HostIx, Machine};
use network::Link;
pub use network::{Mischief, Network, Ports};
pub use store::{Store, StoreFault};

/// When every world begins.
pub const START: Time = Time::from_micros(1_000_000_000_000);

/// How a world is.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// Its seed.
    pub seed: u64,
    /// What operators declare at its beginning.
    pub declaration: Declaration,
    /// The controllers' settings.
    pub settings: Settings,
    /// How many controllers there are.
    pub controllers: usize,
    /// How long a leader's lease on the store runs, where there are several.
    pub lease: Seconds,
    /// For so long at most a leader may not know that a VM has stopped answering; controllers that stand still, are cut off
    /// or cannot store for long need more.
    pub news: Seconds,
    /// How long things take.
    pub times: WorldTimes,
    /// Whether a timeline for people is kept.
    pub timeline: bool,
    /// Whether a trace is kept.
    pub trace: bool,
    /// Whether all hosts are up and all VMs run already where they are declared, known to the controllers.
    pub settled: bool,
}

impl WorldSettings {
    /// One controller, default times, a timeline and a trace.
    #[must_use]
    pub fn new(seed: u64, declaration: Declaration) -> Self {
        Self {
            seed,
            declaration,
            settings: Settings::default(),
            controllers: 1,
            lease: Seconds::new(10),
            news: Seconds::new(120),
            times: WorldTimes::default(),
            timeline: true,
            trace: true,
            settled: false,
        }
    }
}

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, since the world began.
    pub at: Seconds,
    /// How much it matters; none: it is a fact of the world.
    pub severity: Option<Severity>,
    /// What.
    pub text: String,
}

/// What a test or a scenario may count.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Events so far.
    pub events: u64,
    /// Processes of VMs that were started, by VM.
    pub starts: BTreeMap<VmName, u64>,
    /// Hosts whose power a controller had cut, in order.
    pub fenced: Vec<HostName>,
    /// Controllers' deaths.
    pub crashes: u64,
    /// Spans from the loss of a VM's process to its answering again, in order.
    pub outages: Vec<(VmName, Seconds)>,
    /// The order in which VMs came to answer.
    pub ready: Vec<(Time, VmName)>,
    /// Times that a host was asked whether it lives, since it was silent.
    pub asked: u64,
    /// When hosts were declared failed.
    pub declared: Vec<(Time, HostName)>,
}

/// A world.
#[derive(Debug)]
pub struct World {
    now: Time,
    queue: Queue<Event>,
    pub(crate) settings: WorldSettings,
    pub(crate) machines: Vec<Machine>,
    by_name: BTreeMap<HostName, HostIx>,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) store: Store,
    pub(crate) arrays: BTreeMap<ArrayName, ArrayWorld>,
    pub(crate) volumes: BTreeMap<VolumeName, VolumeWorld>,
    pub(crate) vms: BTreeMap<VmName, VmWorld>,
    links: Vec<Link>,
    /// Empty; its room is used again and again.
    host_output: lifeboat_brain::host::HostOutput,
    /// Likewise.
    fleet_output: lifeboat_brain::fleet::Output,
    network: network::State,
    pub(crate) promises: Promises,
    /// Orders that have had no answer, in order: an operator repeats them to the next leader.
    orders: VecDeque<(RequestId, OperatorOrder)>,
    next_request: u64,
    /// The number of the newest line of the controllers' trace that is in the world's.
    believed: u64,
    answers: BTreeMap<RequestId, Result<Answer, Refusal>>,
    timeline: Vec<Line>,
    trace: Vec<TraceEvent>,
    counts: Counts,
    changed: Time,
    life: u32,
    looks: u64,
}

impl World {
    /// A world at its beginning: every host is powered on with its agent about to start, every controller too, and the
    /// declaration is about to be applied.
    #[must_use]
    pub fn new(settings: WorldSettings) -> Self {
        let mut world = Self {
            now: START,
            queue: Queue::default(),
            machines: Vec::new(),
            by_name: BTreeMap::new(),
            controllers: Vec::new(),
            store: Store::new(settings.seed),
            arrays: BTreeMap::new(),
            volumes: BTreeMap::new(),
            vms: BTreeMap::new(),
            links: Vec::new(),
            host_output: lifeboat_brain::host::HostOutput::default(),
            fleet_output: lifeboat_brain::fleet::Output::default(),
            network: network::State::new(settings.seed),
            promises: Promises::new(settings.news),
            orders: VecDeque::new(),
            next_request: 0,
            believed: 0,
            answers: BTreeMap::new(),
            timeline: Vec::new(),
            trace: Vec::new(),
            counts: Counts::default(),
            changed: START,
            life: 0,
            looks: 0,
            settings,
        };
        world.record(TraceEvent::new(START, What::TraceStarted { source: Source::Simulator }));
        let declaration = world.settings.declaration.clone();
        world.know(&declaration);
        for _ in 0..world.settings.controllers.max(1) {
            world.add_controller();
        }
        if world.settings.settled {
            world.settle(&declaration);
        } else {
            world.order(OperatorOrder::Apply(Box::new(declaration)));
        }
        world
    }

    /// Makes what a declaration names part of the world, where it is not yet.
    fn know(&mut self, declaration: &Declaration) {
        for host in &declaration.hosts {
            self.add_machine(host);
        }
        for array in &declaration.arrays {
            self.add_array(&array.name);
        }
        for volume in &declaration.volumes {
            self.volumes.entry(volume.name.clone()).or_insert_with(|| VolumeWorld::new(volume.array.clone()));
        }
        for vm in &declaration.vms {
            self.add_vm(vm);
        }
        self.promises.know(declaration);
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Seconds {
        self.now.since(START)
    }

    /// Lets the next thing happen; whether there was one.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.counts.events += 1;
        self.happen(event);
        true
    }

    /// Lets all happen that happens within a span, or until a promise is broken.
    pub fn run(&mut self, span: Seconds) {
        let end = self.now + span;
        while self.promises.broken().is_none() && self.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        if self.promises.broken().is_none() {
            self.now = end;
        }
    }

    /// Lets things happen until something holds or the span is over; whether it holds. What is asked is asked each
    /// second of the world, and at the end.
    pub fn run_until(&mut self, span: Seconds, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + span;
        while self.now < end && self.promises.broken().is_none() {
            if holds(self) {
                return true;
            }
            let rest = end.since(self.now);
            self.run(rest.min(Seconds::new(1)));
        }
        holds(self)
    }

    /// Gives the leader an order, now or as soon as there is one.
    pub fn order(&mut self, order: OperatorOrder) -> RequestId {
        if let OperatorOrder::Apply(declaration) = &order {
            let declaration = declaration.clone();
            self.know(&declaration);
        }
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.promises.ordered(request, &order, self.now);
        self.orders.push_back((request, order.clone()));
        self.changed = self.now;
        self.give_order(request, order);
        request
    }

    /// What was answered to an order; none: nothing yet.
    #[must_use]
    pub fn answer(&self, request: RequestId) -> Option<&Result<Answer, Refusal>> {
        self.answers.get(&request)
    }

    /// The brain of the controller that leads: the one whose epoch the store knows.
    #[must_use]
    pub fn leader(&self) -> Option<&Brain> {
        let brains = self.controllers.iter().filter_map(|controller| controller.brain());
        brains.rev().find(|brain| brain.epoch() == self.store.epoch())
    }

    /// Whether nothing that matters has happened for a while and nothing is about to.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        let quiet = self.now.since(self.changed) >= Seconds::new(30);
        let settled = |brain: &Brain| brain.execution().is_none();
        quiet
            && self.orders.is_empty()
            && self.leader().is_some_and(settled)
            && self.machines.iter().all(|machine| !machine.is_booting())
    }

    /// Why the world is not at rest, for who looks into it.
    pub(crate) fn unrest(&self) -> String {
        let booting = self.machines.iter().filter(|machine| machine.is_booting()).count();
        let steps = self.leader().map(|brain| brain.execution().is_some());
        format!(
            "{} orders without an answer, {booting} hosts that boot, a plan under way: {steps:?}, quiet for {}",
            self.orders.len(),
            self.now.since(self.changed)
        )
    }

    /// Notes that something that matters has happened.
    pub(crate) fn changes(&mut self) {
        self.changed = self.now;
    }

    /// The first broken promise.
    #[must_use]
    pub fn broken(&self) -> Option<&crate::Violation> {
        self.promises.broken()
    }

    /// The timeline.
    #[must_use]
    pub fn timeline(&self) -> &[Line] {
        &self.timeline
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The VMs of the world.
    #[must_use]
    pub fn vms(&self) -> &BTreeMap<VmName, VmWorld> {
        &self.vms
    }

    /// The volumes of the world.
    #[must_use]
    pub fn volumes(&self) -> &BTreeMap<VolumeName, VolumeWorld> {
        &self.volumes
    }

    /// The hosts of the world.
    #[must_use]
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// A host, by name.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.by_name.get(name).map(|ix| &self.machines[ix.at()])
    }

    /// What really happened so far.
    #[must_use]
    pub fn trace(&self) -> &[TraceEvent] {
        &self.trace
    }

    /// What really happened so far, one JSON object a line.
    #[must_use]
    pub fn trace_lines(&self) -> String {
        let mut text = String::new();
        for event in &self.trace {
            text.push_str(&serde_json::to_string(event).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// Forgets what was counted so far.
    pub(crate) fn begin_counting(&mut self) {
        self.counts = Counts { events: self.counts.events, ..Counts::default() };
    }

    /// Whether a VM's process exists nowhere and the leader knows it.
    pub(crate) fn is_stopped(&self, vm: &VmName) -> bool {
        let stopped = lifeboat_brain::fleet::records::Phase::Stopped;
        let knows = |brain: &Brain| brain.vms().get(vm).is_none_or(|record| record.phase == stopped);
        self.where_is(vm).is_empty() && self.leader().is_some_and(knows)
    }

    /// Adds an event to the trace, as of now, and holds the promises against it.
    fn record(&mut self, mut event: TraceEvent) {
        event.t = self.elapsed().as_f64();
        self.promises.traced(&event);
        if self.settings.trace {
            self.trace.push(event);
        }
    }

    fn event(&self, what: What) -> TraceEvent {
        TraceEvent::new(self.now, what)
    }

    /// Tells a fact of the world.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.settings.timeline {
            let text = text();
            self.timeline.push(Line { at: self.now.since(START), severity: None, text });
        }
    }

    pub(crate) fn ix(&self, name: &HostName) -> Option<HostIx> {
        self.by_name.get(name).copied()
    }

    fn after(&mut self, span: Seconds, event: Event) {
        self.queue.push(self.now + span, event);
    }

    fn new_life(&mut self) -> u32 {
        self.life += 1;
        self.life
    }
}
