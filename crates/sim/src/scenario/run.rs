//! Runs a scenario.

use lifeboat_brain::{
    fleet::{Kind, OperatorOrder, RequestId, VmAction},
    message::Going,
};
use lifeboat_model::{HostName, Seconds, Time, VmName, spec::Declaration};
use serde::Serialize;

use super::{Command, Scenario, Step, When};
use crate::{
    fault::Fault,
    panics,
    promises::Violation,
    world::{Line, World},
};

/// The fleet must be up within this, before the script begins.
const COMES_UP: Seconds = Seconds::new(1800);
/// A host that is shut down orderly is powered off after this, empty or not.
const ORDERLY: Seconds = Seconds::new(600);

/// How a scenario went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it shows.
    pub about: String,
    /// The seed that it ran with.
    pub seed: u64,
    /// What does not hold; nothing when all is well.
    pub unmet: Vec<String>,
    /// The promise that was broken.
    pub broken: Option<Violation>,
    /// How long it lasted in the world.
    pub lasted_s: Seconds,
    /// Where each VM is.
    pub hosts: std::collections::BTreeMap<VmName, Vec<HostName>>,
    /// What happened since the script began, for people.
    pub timeline: Vec<TimelineLine>,
    /// What really happened, as trace/v1.
    #[serde(skip)]
    pub trace: String,
}

/// A line of a timeline.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineLine {
    /// Seconds since the script began.
    pub t: f64,
    /// How much it matters; none: a fact of the world, which the controllers may not know.
    pub severity: Option<lifeboat_brain::fleet::records::Severity>,
    /// What happened.
    pub text: String,
}

impl Report {
    /// Whether all expectations and promises hold.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.unmet.is_empty() && self.broken.is_none()
    }
}

struct Running<'a> {
    scenario: &'a Scenario,
    world: World,
    began: Time,
    /// Hosts that are powered off when they may go, at that time at the latest; and on again, or not.
    leaving: Vec<(HostName, Time, bool)>,
    /// Hosts that are booting.
    coming: Vec<HostName>,
    /// VMs that are forgotten when they have stopped.
    removing: Vec<VmName>,
    /// What the script ordered, with its line.
    ordered: Vec<(usize, RequestId)>,
    unmet: Vec<String>,
}

/// Runs a scenario, with its own seed or another.
#[must_use]
pub fn run(scenario: &Scenario, seed: Option<u64>) -> Report {
    let mut settings = scenario.settings.clone();
    settings.seed = seed.unwrap_or(settings.seed);
    let seed = settings.seed;
    let mut running = Running {
        scenario,
        world: World::new(settings),
        began: Time::default(),
        leaving: Vec::new(),
        coming: Vec::new(),
        removing: Vec::new(),
        ordered: Vec::new(),
        unmet: Vec::new(),
    };
    let first_line = panics::caught(|| running.all()).unwrap_or_else(|text| {
        running.unmet.push(format!("an assertion does not hold: {text}"));
        0
    });
    running.report(seed, first_line)
}

impl Running<'_> {
    fn all(&mut self) -> usize {
        if !self.world.run_until(COMES_UP, World::is_stable) {
            self.unmet.push(format!("the fleet does not come to rest within {COMES_UP}, before the script begins"));
        }
        self.began = self.world.now();
        self.world.begin_counting();
        let first_line = self.world.timeline().len();
        for step in &self.scenario.steps {
            self.step(step);
            if self.world.broken().is_some() {
                return first_line;
            }
        }
        let rests = self.rest(self.scenario.limit);
        self.unmet.extend(self.scenario.expect.unmet(&self.world, self.began, first_line, rests));
        self.answers();
        first_line
    }

    fn report(self, seed: u64, first_line: usize) -> Report {
        let line = |line: &Line| TimelineLine {
            t: (crate::world::START + line.at).since(self.began).as_f64(),
            severity: line.severity,
            text: line.text.clone(),
        };
        let place = |vm: &VmName| (vm.clone(), self.world.where_is(vm).into_iter().cloned().collect());
        Report {
            about: self.scenario.about.clone(),
            seed,
            broken: self.world.broken().cloned(),
            lasted_s: self.world.now().since(self.began),
            hosts: self.world.vms().keys().map(place).collect(),
            timeline: self.world.timeline()[first_line..].iter().map(line).collect(),
            trace: self.world.trace_lines(),
            unmet: self.unmet,
        }
    }

    /// Lets time pass, and does what waits for something.
    fn pass(&mut self, span: Seconds) {
        let end = self.world.now() + span;
        loop {
            self.look();
            let rest = end.since(self.world.now());
            if rest == Seconds::ZERO || self.world.broken().is_some() {
                return;
            }
            self.world.run(if self.waits() { rest.min(Seconds::new(1)) } else { rest });
        }
    }

    fn waits(&self) -> bool {
        !(self.leaving.is_empty() && self.coming.is_empty() && self.removing.is_empty())
    }

    /// Lets time pass until nothing happens any more; whether that came within the span.
    fn rest(&mut self, span: Seconds) -> bool {
        let end = self.world.now() + span;
        while self.world.now() < end && self.world.broken().is_none() {
            if self.world.is_stable() && !self.waits() {
                return true;
            }
            self.pass(Seconds::new(1));
        }
        self.world.is_stable() && !self.waits()
    }

    fn look(&mut self) {
        let now = self.world.now();
        for (host, limit, again) in std::mem::take(&mut self.leaving) {
            let may_go = self.world.machine(host.as_str()).is_none_or(crate::world::Machine::may_go);
            if !may_go && now < limit {
                self.leaving.push((host, limit, again));
                continue;
            }
            self.world.fault(&Fault::Power(host.clone(), false));
            if again {
                self.world.fault(&Fault::Power(host.clone(), true));
                self.coming.push(host);
            }
        }
        for host in std::mem::take(&mut self.coming) {
            if !self.world.machine(host.as_str()).is_some_and(crate::world::Machine::runs) {
                self.coming.push(host);
            }
        }
        for vm in std::mem::take(&mut self.removing) {
            if self.world.is_stopped(&vm) {
                self.world.order(OperatorOrder::Delete { kind: Kind::Vm, name: vm.to_string() });
            } else {
                self.removing.push(vm);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step.when {
            When::At(at) => self.pass((self.began + at).since(self.world.now())),
            When::After(span) => self.pass(span),
        }
        let text = step.text.clone();
        self.world.note(|| format!("> {text}"));
        // Whatever comes of it has its time before the fleet counts as at rest.
        self.world.changes();
        let line = step.line;
        match &step.command {
            Command::Faults(faults) => self.faults(line, faults),
            Command::Shutdown(host, again) => {
                let going = if *again { Going::Reboot } else { Going::Shutdown };
                self.world.announce(host, going);
                self.leaving.push((host.clone(), self.world.now() + ORDERLY, *again));
            }
            Command::Vm(vm, action) => self.order(line, OperatorOrder::Vm { vm: vm.clone(), action: *action }),
            Command::VmAdd(vm) => {
                self.add(line, |later| later.vms.retain(|it| it.name == *vm), |later| later.rules.clear())
            }
            Command::VmRemove(vm) => {
                self.order(line, OperatorOrder::Vm { vm: vm.clone(), action: VmAction::Stop });
                self.removing.push(vm.clone());
            }
            Command::VmMigrate(vm, host) => self.order(line, OperatorOrder::Move { vm: vm.clone(), to: host.clone() }),
            Command::Maintenance(host, on) => self.order(line, OperatorOrder::maintenance(host.clone(), *on)),
            Command::Failback(host) => self.order(line, OperatorOrder::Failback { host: host.clone() }),
            Command::Hardware(host, readings) => self.world.reads_hardware(host, readings.clone()),
            Command::Announce(host, going) => self.world.announce(host, *going),
            Command::Drain(host) => self.order(line, OperatorOrder::Drain { host: host.clone() }),
            Command::ConfirmOff(host) => self.order(line, OperatorOrder::ConfirmOff { host: host.clone() }),
            Command::RuleAdd(rule) => {
                self.add(line, |later| later.rules.retain(|it| it.name == *rule), |later| later.vms.clear());
            }
            Command::RuleRemove(rule) => {
                self.order(line, OperatorOrder::Delete { kind: Kind::Rule, name: rule.to_string() });
            }
            Command::Delay(span) => self.pass(*span),
            Command::UntilStable(limit) => {
                let limit = limit.unwrap_or(self.scenario.limit);
                if !self.rest(limit) {
                    self.unmet.push(format!("line {}: the fleet does not come to rest within {limit}", step.line));
                }
            }
        }
    }

    fn order(&mut self, line: usize, order: OperatorOrder) {
        let request = self.world.order(order);
        self.ordered.push((line, request));
    }

    /// Faults of one line; one that nothing comes of was written for another course of things.
    fn faults(&mut self, line: usize, faults: &[Fault]) {
        let idle: Vec<String> = faults.iter().filter_map(|fault| self.idle(fault)).collect();
        if idle.len() == faults.len() {
            self.unmet.extend(idle.first().map(|why| format!("line {line} does nothing: {why}")));
        }
        faults.iter().for_each(|fault| self.world.fault(fault));
    }

    /// Why nothing comes of a fault as the world is; none: something does.
    fn idle(&self, fault: &Fault) -> Option<String> {
        let power = |host: &HostName| self.world.machine(host.as_str()).is_some_and(crate::world::Machine::has_power);
        match fault {
            Fault::Power(host, true) if power(host) => Some(format!("{host} has power")),
            Fault::Power(host, false) | Fault::Hang(host, _) | Fault::AgentDies(host) if !power(host) => {
                Some(format!("{host} has no power"))
            }
            Fault::VmDies(vm) | Fault::GuestShutsDown(vm) if self.world.where_is(vm).is_empty() => {
                Some(format!("{vm} runs nowhere"))
            }
            _ => None,
        }
    }

    /// Orders are answered, and refused only where that is expected.
    fn answers(&mut self) {
        let mut expected: Vec<&str> = self.scenario.expect.refused.iter().map(String::as_str).collect();
        for (line, request) in &self.ordered {
            match self.world.answer(*request) {
                None => self.unmet.push(format!("line {line}: this order was never answered")),
                Some(Ok(_)) => {}
                Some(Err(refusal)) => match expected.iter().position(|text| refusal.message.contains(text)) {
                    Some(at) => drop(expected.remove(at)),
                    None => self.unmet.push(format!("line {line}: this order was refused: {}", refusal.message)),
                },
            }
        }
        self.unmet.extend(expected.iter().map(|text| format!("no order was refused with: {text}")));
    }

    fn add(&mut self, line: usize, keep: impl Fn(&mut Declaration), drop: impl Fn(&mut Declaration)) {
        let mut declaration = self.scenario.later.clone();
        keep(&mut declaration);
        drop(&mut declaration);
        self.order(line, OperatorOrder::Apply(Box::new(declaration)));
    }
}
