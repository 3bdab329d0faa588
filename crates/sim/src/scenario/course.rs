//! What is so after each line of a script, as far as the script alone decides it. A line that makes so what is so already
//! contradicts the lines before it, and so does one that asks something of what is not there.
//!
//! What Lifeboat itself may have changed in the meantime (it fences hosts, which takes their power) is left to the run,
//! which tells of lines that changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::fleet::VmAction;
use lifeboat_model::{HostName, RuleName, VmName};

use super::{Command, Step};
use crate::{
    fault::Fault,
    world::{ArrayFault, Bmc, Mischief, StoreFault},
};

/// Where something was last said.
type Line = usize;

#[derive(Default)]
struct Course {
    /// What each thing is, where that is not as in the beginning, and the line that made it so.
    is: BTreeMap<String, (String, Line)>,
    /// Hosts that may have lost their power by more than the script's own hand.
    maybe_off: BTreeSet<HostName>,
    /// Hosts whose hardware was read by the script.
    sick: BTreeSet<HostName>,
    /// Hosts whose power the script has taken, once at least.
    lost_power: BTreeSet<HostName>,
    /// Whether hosts may have been taken for failed.
    doubt: bool,
    no_vms: BTreeMap<VmName, Line>,
    no_rules: BTreeMap<RuleName, Line>,
    disabled: BTreeMap<VmName, Line>,
    kept_free: BTreeMap<HostName, Line>,
}

/// What contradicts the lines before it, by line.
pub(super) fn contradictions(steps: &[Step]) -> Vec<(Line, String)> {
    let mut course = Course::default();
    for step in steps {
        match &step.command {
            Command::VmAdd(vm) if !course.no_vms.contains_key(vm) && first_is_add(steps, vm) => {
                course.no_vms.insert(vm.clone(), 0);
            }
            Command::RuleAdd(rule) if !course.no_rules.contains_key(rule) && first_rule_is_add(steps, rule) => {
                course.no_rules.insert(rule.clone(), 0);
            }
            _ => {}
        }
    }
    let mut problems = Vec::new();
    for step in steps {
        if let Err(problem) = course.take(step) {
            problems.push((step.line, problem));
        }
    }
    problems
}

fn first_is_add(steps: &[Step], vm: &VmName) -> bool {
    steps.iter().find_map(|step| match &step.command {
        Command::VmAdd(it) if it == vm => Some(true),
        Command::VmRemove(it) if it == vm => Some(false),
        _ => None,
    }) == Some(true)
}

fn first_rule_is_add(steps: &[Step], rule: &RuleName) -> bool {
    steps.iter().find_map(|step| match &step.command {
        Command::RuleAdd(it) if it == rule => Some(true),
        Command::RuleRemove(it) if it == rule => Some(false),
        _ => None,
    }) == Some(true)
}

/// What a fault makes of which things, and whether that is how they are in the beginning.
fn says(fault: &Fault) -> Vec<(String, String, bool)> {
    let on = |works: bool| if works { "on" } else { "off" }.to_owned();
    let port = |whose: String, network: crate::world::Network, out: &Option<bool>, into: &Option<bool>| {
        let ways = [("out of", out), ("into", into)];
        let way = |(way, works): (&str, &Option<bool>)| {
            works.map(|works| (format!("the {} network {way} {whose}", network.name()), on(works), works))
        };
        ways.into_iter().filter_map(way).collect()
    };
    match fault {
        Fault::Bmc(host, bmc) => {
            let is = match bmc {
                Bmc::Works => "on",
                Bmc::Dead => "off",
                Bmc::Slow => "slow",
                Bmc::Lies => "lying",
            };
            vec![(format!("the BMC of {host}"), is.to_owned(), *bmc == Bmc::Works)]
        }
        Fault::Port(host, network, out, into) => port(host.to_string(), *network, out, into),
        Fault::ControllerPort(at, network, out, into) => port(format!("controller {at}"), *network, out, into),
        Fault::Slow(host, times) => vec![(format!("{host}"), format!("{times} times as slow"), *times == 1)],
        Fault::Store(fault) => vec![("the store".to_owned(), format!("{fault:?}"), *fault == StoreFault::None)],
        Fault::Array(array, fault) => {
            vec![(format!("array {array}"), format!("{fault:?}"), *fault == ArrayFault::None)]
        }
        Fault::VolumeLost(volume, lost) => {
            let is = if *lost { "lost" } else { "there" };
            vec![(format!("volume {volume}"), is.to_owned(), !lost)]
        }
        Fault::ServiceFails(vm, fails) => {
            let is = if *fails { "off" } else { "on" };
            vec![(format!("the service of {vm}"), is.to_owned(), !fails)]
        }
        Fault::ControllerBlind(at, blind) => {
            let is = if *blind { "blind" } else { "seeing" };
            vec![(format!("controller {at}"), is.to_owned(), !blind)]
        }
        Fault::Messages(mischief) => {
            vec![("what happens to messages".to_owned(), format!("{mischief:?}"), *mischief == Mischief::default())]
        }
        _ => Vec::new(),
    }
}

impl Course {
    fn take(&mut self, step: &Step) -> Result<(), String> {
        match &step.command {
            Command::Faults(faults) => self.faults(faults, step.line),
            Command::Shutdown(host, _) => {
                self.has_power(host)?;
                self.maybe_off.insert(host.clone());
                Ok(())
            }
            Command::Vm(vm, action) => self.vm(vm, *action, step.line),
            Command::VmAdd(vm) => match self.no_vms.remove(vm) {
                Some(_) => Ok(()),
                None => Err(format!("VM {vm} is declared already")),
            },
            Command::VmRemove(vm) => {
                self.vm_is_there(vm)?;
                self.no_vms.insert(vm.clone(), step.line);
                Ok(())
            }
            Command::VmMigrate(vm, _) => self.vm_is_there(vm),
            Command::Maintenance(host, on) => self.maintenance(host, *on, step.line),
            Command::Drain(host) => {
                self.kept_free.insert(host.clone(), step.line);
                Ok(())
            }
            Command::RuleAdd(rule) => match self.no_rules.remove(rule) {
                Some(_) => Ok(()),
                None => Err(format!("rule {rule} is declared already")),
            },
            Command::RuleRemove(rule) => match self.no_rules.insert(rule.clone(), step.line) {
                Some(line) => Err(format!("rule {rule} is not there{}", since(line))),
                None => Ok(()),
            },
            Command::Hardware(host, _) => {
                self.sick.insert(host.clone());
                self.has_power(host)
            }
            Command::Announce(host, _) => self.has_power(host),
            Command::Failback(_) | Command::ConfirmOff(_) | Command::Delay(_) | Command::UntilStable(_) => Ok(()),
        }
    }

    fn vm_is_there(&self, vm: &VmName) -> Result<(), String> {
        match self.no_vms.get(vm) {
            None => Ok(()),
            Some(0) => Err(format!("VM {vm} is not there before `vm {vm} add`")),
            Some(line) => Err(format!("VM {vm} is not there: line {line} removes it")),
        }
    }

    fn vm(&mut self, vm: &VmName, action: VmAction, line: Line) -> Result<(), String> {
        self.vm_is_there(vm)?;
        match action {
            VmAction::Disable => match self.disabled.insert(vm.clone(), line) {
                Some(line) => Err(format!("VM {vm} is disabled already{}", since(line))),
                None => Ok(()),
            },
            VmAction::Enable => match self.disabled.remove(vm) {
                Some(_) => Ok(()),
                None => Err(format!("VM {vm} is not disabled")),
            },
            _ => Ok(()),
        }
    }

    fn maintenance(&mut self, host: &HostName, on: bool, line: Line) -> Result<(), String> {
        let before = if on { self.kept_free.insert(host.clone(), line) } else { self.kept_free.remove(host) };
        match (before, on) {
            (Some(line), true) => Err(format!("{host} is in maintenance already{}", since(line))),
            // It may be held out since it failed, which this ends too.
            (None, false) if self.doubt || self.sick.contains(host) || self.lost_power.contains(host) => Ok(()),
            (None, false) => Err(format!("{host} is not in maintenance")),
            _ => Ok(()),
        }
    }

    fn has_power(&self, host: &HostName) -> Result<(), String> {
        match self.is.get(&power(host)) {
            Some((is, line)) if is == "off" => Err(format!("{host} has no power{}", since(*line))),
            _ => Ok(()),
        }
    }

    /// Takes the faults of one line; when none of them changes anything the line contradicts those before it.
    fn faults(&mut self, faults: &[Fault], line: Line) -> Result<(), String> {
        let ended: Vec<Result<(), String>> = faults.iter().map(|fault| self.fault(fault, line)).collect();
        let problem = ended.iter().find_map(|ended| ended.as_ref().err()).cloned();
        match problem {
            Some(problem) if ended.iter().all(Result::is_err) => Err(problem),
            _ => Ok(()),
        }
    }

    fn fault(&mut self, fault: &Fault, line: Line) -> Result<(), String> {
        match fault {
            Fault::Power(host, on) => return self.power(host, *on, line),
            Fault::Hang(host, span) => {
                self.has_power(host)?;
                if span.is_none() {
                    self.set(format!("the hang of {host}"), "on".to_owned(), false, line)?;
                }
            }
            Fault::GoOn(host) => self.set(format!("the hang of {host}"), "off".to_owned(), true, line)?,
            Fault::AgentDies(host) => self.has_power(host)?,
            Fault::VmDies(vm) | Fault::GuestShutsDown(vm) | Fault::FailStarts(vm, _) => return self.vm_is_there(vm),
            _ => {}
        }
        self.doubt = true;
        let all = says(fault);
        let count = all.len();
        let ended: Vec<_> = all.into_iter().map(|(what, is, first)| self.set(what, is, first, line)).collect();
        match ended.iter().find_map(|ended| ended.as_ref().err()).cloned() {
            Some(problem) if ended.iter().filter(|ended| ended.is_err()).count() == count => Err(problem),
            _ => Ok(()),
        }
    }

    fn power(&mut self, host: &HostName, on: bool, line: Line) -> Result<(), String> {
        let doubt = self.doubt || self.maybe_off.contains(host);
        let off = self.is.get(&power(host)).is_some_and(|(is, _)| is == "off");
        if on && !off && doubt {
            return Ok(());
        }
        if !on {
            self.lost_power.insert(host.clone());
        }
        self.is.remove(&format!("the hang of {host}"));
        self.set(power(host), if on { "on" } else { "off" }.to_owned(), on, line)
    }

    fn set(&mut self, what: String, is: String, as_in_the_beginning: bool, line: Line) -> Result<(), String> {
        let before = self.is.get(&what);
        match before {
            Some((before, line)) if *before == is => return Err(format!("{what} is {is} already{}", since(*line))),
            None if as_in_the_beginning => return Err(format!("{what} is {is} already, from the beginning")),
            _ => {}
        }
        self.is.insert(what, (is, line));
        Ok(())
    }
}

fn power(host: &HostName) -> String {
    format!("the power of {host}")
}

fn since(line: Line) -> String {
    if line == 0 { String::new() } else { format!(", since line {line}") }
}
