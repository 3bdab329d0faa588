//! The promises of Lifeboat's design, held against the world after every event.
//!
//! | | promise | held |
//! | --- | --- | --- |
//! | 1 | a VM never runs on two hosts | when a process begins; not where a fence has lied about the other host. A process on a host that stands still does not run; when the host goes on it must be gone within a second |
//! | 2 | a volume is writable from one host | when a volume is mapped |
//! | 3 | the fencing gate | when a process begins: its last host is not declared failed and unfenced |
//! | 4 | no host is over its capacity or volume limit | when a process begins, when a volume is mapped |
//! | 5 | start order within a group | when a process begins |
//! | 6 | no parallelism budget is exceeded | when a process begins, when an array is asked; a start is over when its guest hangs, and not counted where the process on a host whose fence lied answers for it |
//! | 7 | an older leader's command is refused | when an agent obeys |
//! | 8 | what was acknowledged is never forgotten | when a controller begins to lead |
//! | 9 | when the faults stop, every VM that fits is running | by who stops the faults: [`Promises::break_it`] |

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::fleet::{Brain, OperatorOrder, RequestId};
use lifeboat_model::{
    Epoch, Generation, HostName, Seconds, Time, VmName, VolumeName,
    fleet::{Group, Limits, Resources},
    spec::Declaration,
    trace::{TraceEvent, What},
};
use serde::Serialize;

use crate::world::START;

mod memory;

use memory::Memory;

/// A promise, by its number in the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// A VM never runs on two hosts.
    OneHost = 1,
    /// A volume is writable from one host.
    OneWriter = 2,
    /// No VM of a host starts elsewhere before that host is known to be unable to run it.
    Gate = 3,
    /// No host is over its capacity or volume limit.
    Capacity = 4,
    /// Start order within a dependency group.
    StartOrder = 5,
    /// No parallelism budget is exceeded.
    Budget = 6,
    /// An older leader's command is refused.
    Epochs = 7,
    /// What was acknowledged is never forgotten.
    Memory = 8,
    /// When the faults stop, every VM that fits is running.
    ComesBack = 9,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// When, since the world began.
    pub at: Seconds,
    /// Which.
    pub promise: Promise,
    /// How.
    pub text: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "promise {} is broken after {:.3} s: {}", self.promise as u8, self.at.as_f64(), self.text)
    }
}

/// What a VM takes, and how it is doing.
#[derive(Debug, Default)]
struct Known {
    demand: Resources,
    group: Option<(usize, usize)>,
    /// The hosts where its process exists, with what it takes there.
    runs: BTreeMap<HostName, Resources>,
    last: Option<HostName>,
    /// The generation whose start was ordered last of an agent, and when that was first done.
    ordered: Option<(Generation, Time)>,
    /// Whether its stop was ordered since: a process that begins all the same is undone, and takes no start slot.
    undone: bool,
    was_ready: bool,
    unready_at: Option<Time>,
}

/// What is known of a host.
#[derive(Debug, Default)]
struct KnownHost {
    capacity: Resources,
    starts: Option<u64>,
    used: Resources,
    starting: BTreeSet<VmName>,
    declared: Option<Time>,
    fenced: bool,
    lied: bool,
    /// Whether nothing on it executes for now.
    stands_still: bool,
    obeyed: Epoch,
}

/// Holds the promises.
#[derive(Debug, Default)]
pub struct Promises {
    broken: Option<Violation>,
    vms: BTreeMap<VmName, Known>,
    hosts: BTreeMap<HostName, KnownHost>,
    groups: Vec<Group>,
    limits: Limits,
    owners: BTreeMap<VolumeName, VmName>,
    mapped: BTreeMap<VolumeName, BTreeSet<HostName>>,
    memory: Memory,
    /// For so long a leader may not know that a VM of an earlier stage has stopped answering: its successor asks the agents
    /// first.
    news: Seconds,
    now: Time,
}

impl Promises {
    /// Promises of a world in which a leader knows after so long at most what has stopped answering.
    pub(crate) fn new(news: Seconds) -> Self {
        Self { news, ..Self::default() }
    }

    /// The first promise that was broken.
    #[must_use]
    pub fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }

    /// Notes that a promise was broken, unless one was before.
    pub(crate) fn break_it(&mut self, now: Time, promise: Promise, text: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(Violation { at: now.since(START), promise, text: text() });
        }
    }

    /// Takes in what operators declare.
    pub(crate) fn know(&mut self, declaration: &Declaration) {
        if let Some(limits) = &declaration.limits {
            self.limits = limits.clone();
        }
        for host in &declaration.hosts {
            let known = self.hosts.entry(host.name.clone()).or_default();
            (known.capacity, known.starts) = (host.capacity.clone(), host.starts);
        }
        for vm in &declaration.vms {
            self.vms.entry(vm.name.clone()).or_default().demand = vm.demand.clone();
            self.owners.extend(vm.volumes.iter().map(|volume| (volume.clone(), vm.name.clone())));
        }
        for group in &declaration.groups {
            self.groups.retain(|other| other.name != group.name);
            self.groups.push(group.clone());
        }
        for vm in self.vms.values_mut() {
            vm.group = None;
        }
        for (at, group) in self.groups.iter().enumerate() {
            for (stage, vms) in group.stages.iter().enumerate() {
                for vm in vms {
                    if let Some(known) = self.vms.get_mut(vm) {
                        known.group = Some((at, stage));
                    }
                }
            }
        }
    }

    /// The VM that a volume belongs to.
    pub(crate) fn owner(&self, volume: &VolumeName) -> Option<&VmName> {
        self.owners.get(volume)
    }

    /// Takes in what has happened.
    pub(crate) fn traced(&mut self, event: &TraceEvent) {
        let host = event.host.as_ref();
        self.now = START + Seconds::from_f64(event.t).unwrap_or_default();
        let now = self.now;
        match (&event.what, host) {
            (What::HostDown, Some(host)) => {
                self.hosts.entry(host.clone()).or_default().lied = false;
            }
            (What::HostDeclared { .. }, Some(host)) => {
                let known = self.hosts.entry(host.clone()).or_default();
                (known.declared, known.fenced) = (Some(now), false);
            }
            (What::Fenced { .. }, Some(host)) => self.hosts.entry(host.clone()).or_default().fenced = true,
            (What::HostUp, Some(host)) => self.hosts.entry(host.clone()).or_default().declared = None,
            (What::VmStarted, Some(host)) => {
                if let Some(vm) = &event.vm {
                    self.starts(vm, host);
                }
            }
            (What::VolumeMapped, Some(host)) => {
                let Some(volume) = &event.volume else { return };
                let on = self.mapped.entry(volume.clone()).or_default();
                on.insert(host.clone());
                if on.len() > 1 {
                    let text = format!("volume {volume} is mapped to {on:?}");
                    self.break_it(self.now, Promise::OneWriter, || text);
                }
            }
            (What::VolumeUnmapped, Some(host)) => {
                if let Some(on) = event.volume.as_ref().and_then(|volume| self.mapped.get_mut(volume)) {
                    on.remove(host);
                }
            }
            _ => {}
        }
    }

    /// A process begins.
    fn starts(&mut self, vm: &VmName, host: &HostName) {
        let now = self.now;
        let Some(known) = self.vms.get_mut(vm) else { return };
        let elsewhere: Vec<HostName> = known.runs.keys().filter(|other| *other != host).cloned().collect();
        let last = known.last.replace(host.clone());
        let ordered = known.ordered;
        let demand = known.demand.clone();
        known.runs.insert(host.clone(), demand.clone());
        known.was_ready = false;
        for other in elsewhere {
            // On a host that stands still it does not run; the world sees to it that it never does again.
            if !self.hosts.get(&other).is_some_and(|known| known.lied || known.stands_still) {
                self.break_it(now, Promise::OneHost, || format!("{vm} starts on {host} while it runs on {other}"));
            }
        }
        // A start that was ordered before the declaration is no breach: the VM had ended there while the host was well.
        let late = |at: Time| ordered.is_none_or(|(_, ordered)| ordered > at);
        let open = |known: &KnownHost| !known.fenced && known.declared.is_some_and(late);
        if let Some(last) = last.filter(|last| last != host)
            && self.hosts.get(&last).is_some_and(open)
        {
            let text = || format!("{vm} starts on {host}; {last}, where it was, is declared failed and not fenced");
            self.break_it(now, Promise::Gate, text);
        }
        self.takes_room(vm, host, &demand);
    }

    fn takes_room(&mut self, vm: &VmName, host: &HostName, demand: &Resources) {
        let now = self.now;
        let limit = self.limits.starts_per_host;
        let undone = self.vms.get(vm).is_some_and(|known| known.undone);
        // Where a fence lied, the process that still runs there answers for this one: to whoever looks its start is over.
        let lied = |other: &HostName| other != host && self.hosts.get(other).is_some_and(|known| known.lied);
        let answered_for = self.vms.get(vm).is_some_and(|known| known.runs.keys().any(lied));
        let Some(known) = self.hosts.get_mut(host) else { return };
        if !undone && !answered_for {
            known.starting.insert(vm.clone());
        }
        let (starting, limit) = (known.starting.len() as u64, known.starts.unwrap_or(limit));
        let mut over = None;
        for (resource, amount) in demand {
            let used = known.used.entry(resource.clone()).or_default();
            *used += amount;
            if let Some(capacity) = known.capacity.get(resource).filter(|capacity| *used > **capacity) {
                over = Some(format!("{host} has {capacity} {resource}, its VMs take {used} with {vm}"));
            }
        }
        if let Some(text) = over {
            self.break_it(now, Promise::Capacity, || text);
        }
        self.budget(now, "starts on", host.as_str(), starting, limit);
    }

    /// A guest hangs: if it was booting, that takes no time of its host any more.
    pub(crate) fn hangs(&mut self, vm: &VmName) {
        for known in self.hosts.values_mut() {
            known.starting.remove(vm);
        }
    }

    /// Holds the order of stages when a VM's process begins.
    pub(crate) fn stage_order(&mut self, vm: &VmName) {
        let now = self.now;
        let Some((group, stage)) = self.vms.get(vm).and_then(|known| known.group) else { return };
        let group = &self.groups[group];
        for earlier in group.stages[..stage].iter().flatten() {
            let Some(known) = self.vms.get(earlier) else { continue };
            let fresh = known.unready_at.is_some_and(|at| now.since(at) <= self.news);
            if known.was_ready || fresh || !self.memory.surely_wanted(earlier, now) {
                continue;
            }
            let text = format!("{vm} of group {} starts while {earlier} of an earlier stage is not up", group.name);
            return self.break_it(now, Promise::StartOrder, || text);
        }
    }

    /// A process is gone.
    pub(crate) fn process_gone(&mut self, vm: &VmName, host: &HostName) {
        let Some(took) = self.vms.get_mut(vm).and_then(|known| known.runs.remove(host)) else { return };
        let Some(known) = self.hosts.get_mut(host) else { return };
        known.starting.remove(vm);
        for (resource, amount) in took {
            if let Some(used) = known.used.get_mut(&resource) {
                *used = used.saturating_sub(amount);
            }
        }
    }

    /// A VM's start is ordered of an agent.
    pub(crate) fn start_ordered(&mut self, vm: &VmName, generation: Generation, now: Time) {
        // An order that is repeated is no new one.
        let newer = |known: &&mut Known| known.ordered.is_none_or(|(before, _)| before < generation);
        if let Some(known) = self.vms.get_mut(vm).filter(newer) {
            (known.ordered, known.undone) = (Some((generation, now)), false);
        }
    }

    /// A VM's stop is ordered of an agent.
    pub(crate) fn stop_ordered(&mut self, vm: &VmName) {
        if let Some(known) = self.vms.get_mut(vm) {
            known.undone = true;
        }
        self.stopping(vm);
    }

    /// A VM is being stopped: it takes no start slot any more.
    pub(crate) fn stopping(&mut self, vm: &VmName) {
        let Some(known) = self.vms.get(vm) else { return };
        for host in known.runs.keys() {
            if let Some(known) = self.hosts.get_mut(host) {
                known.starting.remove(vm);
            }
        }
    }

    /// A VM has come to answer.
    pub(crate) fn ready(&mut self, vm: &VmName, now: Time) {
        self.now = now;
        self.stopping(vm);
        if let Some(known) = self.vms.get_mut(vm) {
            (known.was_ready, known.unready_at) = (true, None);
        }
    }

    /// A VM no longer answers.
    pub(crate) fn unready(&mut self, vm: &VmName, now: Time) {
        if let Some(known) = self.vms.get_mut(vm)
            && std::mem::take(&mut known.was_ready)
        {
            known.unready_at = Some(now);
        }
    }

    /// A BMC has said of a host that it is off, whatever it is.
    pub(crate) fn lied(&mut self, host: &HostName) {
        self.hosts.entry(host.clone()).or_default().lied = true;
    }

    /// A host stands still, or goes on.
    pub(crate) fn stands_still(&mut self, host: &HostName, stands_still: bool) {
        self.hosts.entry(host.clone()).or_default().stands_still = stands_still;
    }

    /// An agent obeys a leader.
    pub(crate) fn obeyed(&mut self, host: &HostName, epoch: Epoch, what: &str) {
        let known = self.hosts.entry(host.clone()).or_default();
        let before = known.obeyed;
        known.obeyed = before.max(epoch);
        if epoch < before {
            let text = || format!("{host} obeys {what} of epoch {epoch} after one of epoch {before}");
            self.break_it(self.now, Promise::Epochs, text);
        }
    }

    /// The highest epoch that a host's agent has obeyed.
    pub(crate) fn highest(&self, host: &HostName) -> Epoch {
        self.hosts.get(host).map_or(Epoch(0), |known| known.obeyed)
    }

    /// Holds a count against its limit.
    pub(crate) fn budget(&mut self, now: Time, what: &str, of: &str, count: u64, limit: u64) {
        if count > limit {
            let promise = if what.starts_with("volumes") { Promise::Capacity } else { Promise::Budget };
            self.break_it(now, promise, || format!("{count} {what} {of}, at most {limit} are allowed"));
        }
    }

    /// An operator gives an order.
    pub(crate) fn ordered(&mut self, request: RequestId, order: &OperatorOrder, now: Time) {
        self.memory.ordered(request, order, now);
    }

    /// An order was answered.
    pub(crate) fn acknowledged(&mut self, request: RequestId, taken: bool, now: Time) {
        self.memory.acknowledged(request, taken, now);
    }

    /// A VM's guest shut itself down.
    pub(crate) fn shut_down(&mut self, vm: &VmName, now: Time) {
        self.memory.shut_down(vm, now);
    }

    /// A controller begins to lead with what the store remembers.
    pub(crate) fn remembers(&mut self, now: Time, brain: &Brain) {
        if let Some(text) = self.memory.forgotten(brain) {
            self.break_it(now, Promise::Memory, || text);
        }
    }

    /// A controller cannot read what the store remembers.
    pub(crate) fn forgot(&mut self, now: Time, problem: &str) {
        self.break_it(now, Promise::Memory, || format!("a controller cannot begin: {problem}"));
    }
}
