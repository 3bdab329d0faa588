//! The host's side: what an agent obeys, what it refuses, what it tells. [`HostBrain`] is its whole state.
//!
//! # Theory of operation
//!
//! An agent starts nothing by itself, ever: a VM starts only by a leader's command. It knows two things durably
//! ([`HostMemory`]): the highest epoch that it has obeyed, and the highest generation of each VM. A command or a
//! Welcome of an older epoch is refused, and so is a command of an older generation. What raises either is written
//! before anything is done about it, so that a restart at any point forgets nothing that was acted upon.
//!
//! The link, which the agent opens, to one controller after the other:
//!
//! ```text
//!              Found: the hypervisor's list
//!   Asleep ──────────────────────────────────► Down ◄───────────────────────────────────────┐
//!                                              │  ▲                                         │
//!                             back-off is over │  │ closed, not in time:                    │ closed,
//!                                              ▼  │ the next controller                     │ silent for 3
//!                                           Connecting                                      │ heartbeats,
//!                                              │  ▲                                         │ older epoch,
//!                            LinkOpened: Hello │  │                                         │ Rejected
//!                                              ▼  │                                         │
//!                                           Greeting ── Welcome: obey its epoch, kill what ─► Led
//!                                                       it neither keeps nor leaves       heartbeats, commands
//! ```
//!
//! One VM. Operations on different VMs run side by side, on the same one never:
//!
//! ```text
//!            command, or the next that waits
//!     Idle ─────────────────────────────────────► Busy ──► Idle, answered with Done or Failed
//!      ▲ │                                         │
//!      │ │ Welcome does not keep it                │ its start failed and the process may be there, or
//!      │ ▼                                         ▼ a Welcome meanwhile does not keep it
//!      │ Doomed: killed at once, again each second until the process is gone
//!      └────┘ only then answered, or told of
//! ```
//!
//! Repeats. A command that waits or runs is not taken twice: it is answered when it ends. One that is done is done
//! again when nothing was done since (the hypervisor's operations are idempotent, and `Done` means that it is so now),
//! else only its answer is repeated. When a link is lost, commands that have not begun are dropped, for their leader
//! sends them again; what has begun ends, and its answer goes to the same leader's next link. Another leader, to whom
//! the number means nothing, is told of the VM's state instead.
//!
//! What the hypervisor tells unasked is only a hint. An event may come late, when its VM has been stopped or started
//! again, and "it has ended" believed wrongly would let a VM run twice; so the list is read, in the VM's turn, and that
//! is believed and told.
//!
//! Nothing that happens to a VM is lost with a link: what is not told on it is in the next Hello's list. A VM whose
//! start has begun is in that list as not executing, for its process may be there.
//!
//! A host that is cut off keeps its VMs for as long as its [`lease`] runs, and longer only when its terms say so.

mod interface;
mod lease;
mod link;
mod looks;
mod memory;
mod orders;
mod vm;

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{Epoch, Generation, Time, VmName, hardware::HardwareReading, running::RunningVm};

pub use interface::{
    Act, HostEffect, HostInput, HostOutput, HostSettings, LinkId, Notice, Operation, OperationId, OperationResult,
    ProcessNow,
};
pub use lease::Guard;
use lease::Lease;
pub use link::CONNECT_LIMIT;
use link::{Due, Links};
pub use memory::{HostMemory, HostRecord, MAX_REMEMBERED};
use vm::{Doom, Exit, Process, Vm};

use crate::message::{FromAgent, Going, Hello, LeaseTerms, PROTOCOL, ToAgent};

/// The state of a host's side.
#[derive(Clone, Debug)]
pub struct HostBrain {
    settings: HostSettings,
    memory: HostMemory,
    links: Links,
    vms: BTreeMap<VmName, Vm>,
    /// Those of `vms` that may have a deadline.
    timed: BTreeSet<VmName>,
    last_operation: OperationId,
    lease: Lease,
    /// Looks that are under way for the leader of this link.
    looks: BTreeSet<u64>,
    /// What the host is about to do; none: nothing that was announced.
    going: Option<Going>,
    /// What was read last of the hardware.
    hardware: Vec<HardwareReading>,
    /// Why the hypervisor does not answer; none: it does.
    hypervisor: Option<String>,
}

/// A leader's first word on a link.
struct Welcome {
    epoch: Epoch,
    heartbeat_ms: u64,
    keep: BTreeMap<VmName, Generation>,
    leave: BTreeSet<VmName>,
    lease_ms: u64,
    terms: LeaseTerms,
}

impl HostBrain {
    /// The state after a start of the agent, from what earlier ones have written.
    #[must_use]
    pub fn restore(settings: HostSettings, records: impl IntoIterator<Item = HostRecord>) -> Self {
        let links = Links::new(&settings.host, settings.controllers.get());
        let memory = HostMemory::of(records);
        let vms = BTreeMap::new();
        Self {
            settings,
            memory,
            links,
            vms,
            timed: BTreeSet::new(),
            last_operation: OperationId(0),
            lease: Lease::default(),
            looks: BTreeSet::new(),
            going: None,
            hardware: Vec::new(),
            hypervisor: None,
        }
    }

    /// What was obeyed, to be written anew in few records.
    #[must_use]
    pub fn memory(&self) -> &HostMemory {
        &self.memory
    }

    /// Takes in one input at a time that never goes back.
    pub fn handle(&mut self, now: Time, input: HostInput) -> HostOutput {
        let mut out = HostOutput::default();
        self.handle_into(now, input, &mut out);
        out
    }

    /// As [`handle`](Self::handle), and adds what follows to an output that is there: for a body with many agents.
    pub fn handle_into(&mut self, now: Time, input: HostInput, out: &mut HostOutput) {
        match input {
            HostInput::Found { vms, lease } => {
                self.resume_lease(lease);
                self.found(now, vms, out);
            }
            HostInput::Guard { guard } => self.guard_is(guard),
            HostInput::LinkOpened { link } => self.link_opened(now, link, out),
            HostInput::LinkClosed { link } if self.links.current() == Some(link) => self.link_lost(now, false),
            HostInput::LinkClosed { .. } => {}
            HostInput::Message { link, message } => self.message(now, link, message, out),
            HostInput::OperationEnded { vm, operation, result } => {
                self.ended(now, &vm, operation, &result, out);
            }
            HostInput::VmExited { vm, generation, by_guest, detail } => {
                self.hint(now, vm, Some((generation, Exit { by_guest, detail })));
            }
            HostInput::VmChanged { vm } => self.hint(now, vm, None),
            HostInput::Looked { sequence, report } => self.looked(sequence, report, out),
            HostInput::Hardware { readings } => self.hardware(readings, out),
            HostInput::Hypervisor { problem } => self.hypervisor(problem, out),
            HostInput::Announce { going } => self.announce(going, out),
            HostInput::PeerSeen { host, says, detail } => {
                if let Some(link) = self.links.led() {
                    out.effects.push(HostEffect::Send { link, message: FromAgent::PeerSeen { host, says, detail } });
                }
            }
            HostInput::Tick => {}
        }
        self.do_due(now, out);
    }

    /// When the next [`HostInput::Tick`] is needed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let vms = self.timed.iter().filter_map(|name| self.vms.get(name));
        vms.filter_map(Vm::deadline).chain(self.links.next_deadline()).chain(self.lease.deadline()).min()
    }

    /// Tells the leader what was read; whoever leads later is told after its Welcome.
    fn hardware(&mut self, readings: Vec<HardwareReading>, out: &mut HostOutput) {
        self.hardware.clone_from(&readings);
        if let Some(link) = self.links.led() {
            out.effects.push(HostEffect::Send { link, message: FromAgent::Hardware { readings } });
        }
    }

    /// Tells the leader whether the hypervisor answers; whoever leads later is told after its Welcome when it does not.
    fn hypervisor(&mut self, problem: Option<String>, out: &mut HostOutput) {
        self.hypervisor.clone_from(&problem);
        if let Some(link) = self.links.led() {
            out.effects.push(HostEffect::Send { link, message: FromAgent::Hypervisor { problem } });
        }
    }

    /// Tells the leader that the host is about to go; whoever leads later is told after its Welcome.
    fn announce(&mut self, going: Going, out: &mut HostOutput) {
        self.going = Some(going).filter(|going| *going != Going::Stays);
        if let Some(link) = self.links.led() {
            out.effects.push(HostEffect::Send { link, message: FromAgent::Leaving { going } });
        }
    }

    fn found(&mut self, now: Time, found: Vec<RunningVm>, out: &mut HostOutput) {
        for running in found {
            if running.generation > self.memory.generation(&running.vm) {
                self.memory.raise(&running.vm, running.generation, &mut out.writes);
            }
            let process = Process { generation: running.generation, state: running.state };
            self.vms.entry(running.vm).or_default().process = Some(process);
        }
        self.links.wake(now);
    }

    fn link_opened(&mut self, now: Time, link: LinkId, out: &mut HostOutput) {
        if !self.links.opened(now, link) {
            return;
        }
        self.lease.greets(now);
        let hello = Hello {
            protocol: PROTOCOL,
            host: self.settings.host.clone(),
            boot: self.settings.boot.clone(),
            version: self.settings.version.clone(),
            epoch: self.memory.epoch(),
            vms: self.vms.iter().filter_map(|(name, vm)| vm.running(name)).collect(),
            pledge: self.lease.pledge(),
            probe_port: self.settings.probe_port,
            probe_addresses: self.settings.probe_addresses.clone(),
        };
        out.effects.push(HostEffect::Send { link, message: FromAgent::Hello(hello) });
    }

    fn link_lost(&mut self, now: Time, useless: bool) {
        self.links.lost(now, useless);
        self.looks.clear();
        self.drop_waiting();
    }

    /// Gives a link up, saying why.
    fn give_up(&mut self, now: Time, notice: Notice, useless: bool, out: &mut HostOutput) {
        if let Some(link) = self.links.current() {
            out.effects.push(HostEffect::Disconnect { link });
        }
        out.effects.push(HostEffect::Tell(notice));
        self.link_lost(now, useless);
    }

    fn message(&mut self, now: Time, link: LinkId, message: ToAgent, out: &mut HostOutput) {
        if self.links.greeted() != Some(link) {
            return;
        }
        self.links.heard(now);
        let controller = self.links.controller();
        match message {
            ToAgent::Welcome { epoch, heartbeat_ms, keep, leave, lease_ms, terms } => {
                let (keep, leave) = (keep.into_iter().collect(), leave.into_iter().collect());
                self.welcome(now, link, Welcome { epoch, heartbeat_ms, keep, leave, lease_ms, terms }, out);
            }
            ToAgent::Terms(terms) if self.links.led() == Some(link) => self.take_terms(terms, out),
            ToAgent::Terms(_) => self.give_up(now, Notice::CommandBeforeWelcome { controller }, true, out),
            ToAgent::Rejected { why } => self.give_up(now, Notice::Rejected { controller, why }, true, out),
            ToAgent::Heard { sequence, lease_ms } if self.links.led() == Some(link) => {
                self.granted_by_beat(sequence, lease_ms, out);
            }
            ToAgent::Heard { .. } => {}
            ToAgent::Pace { heartbeat_ms } => self.links.pace(now, heartbeat_ms),
            ToAgent::Probe { nonce } => {
                out.effects.push(HostEffect::Send { link, message: FromAgent::Probed { nonce } });
            }
            ToAgent::MayGo => out.effects.push(HostEffect::MayGo),
            ToAgent::LookAt { host, address, boot } if self.links.led() == Some(link) => {
                out.effects.push(HostEffect::LookAt { host, address, boot });
            }
            ToAgent::LookAt { .. } => {}
            ToAgent::Command(command) if self.links.led() == Some(link) => self.command(now, link, command, out),
            ToAgent::Look { sequence, vm, look, limit } => self.look(link, sequence, vm, look, limit, out),
            ToAgent::Command(_) => {
                self.give_up(now, Notice::CommandBeforeWelcome { controller }, true, out);
            }
        }
    }

    fn welcome(&mut self, now: Time, link: LinkId, welcome: Welcome, out: &mut HostOutput) {
        let controller = self.links.controller();
        let (epoch, obeyed) = (welcome.epoch, self.memory.epoch());
        if epoch < obeyed {
            self.give_up(now, Notice::OldLeader { controller, epoch, obeyed }, true, out);
            return;
        }
        self.obey_epoch(epoch, out);
        self.links.welcomed(now, link, welcome.heartbeat_ms);
        self.take_terms(welcome.terms, out);
        self.granted_by_welcome(welcome.lease_ms, out);
        out.effects.push(HostEffect::Tell(Notice::Led { controller, epoch }));
        if !self.hardware.is_empty() {
            let readings = self.hardware.clone();
            out.effects.push(HostEffect::Send { link, message: FromAgent::Hardware { readings } });
        }
        if let Some(problem) = self.hypervisor.clone() {
            let message = FromAgent::Hypervisor { problem: Some(problem) };
            out.effects.push(HostEffect::Send { link, message });
        }
        if let Some(going) = self.going {
            out.effects.push(HostEffect::Send { link, message: FromAgent::Leaving { going } });
        }
        for (name, vm) in &mut self.vms {
            let Some(process) = vm.process else { continue };
            let kept = welcome.leave.contains(name) || welcome.keep.get(name) == Some(&process.generation);
            match vm.doom {
                Some((Doom::NotKept, _)) if kept => {
                    vm.doom = None;
                }
                None if !kept => {
                    vm.doom = Some((Doom::NotKept, now));
                    self.timed.insert(name.clone());
                    let notice = Notice::NotKept { vm: name.clone(), generation: process.generation };
                    out.effects.push(HostEffect::Tell(notice));
                }
                _ => {}
            }
        }
        let in_use = |vm: &VmName| welcome.keep.contains_key(vm) || self.vms.get(vm).is_some_and(Vm::in_use);
        for forgotten in self.memory.forget_earlier(in_use, &mut out.writes) {
            self.vms.remove(&forgotten);
        }
    }

    /// The hypervisor has told something of a VM. What is told of one that was never commanded here is not looked into.
    fn hint(&mut self, now: Time, name: VmName, exit: Option<(Generation, Exit)>) {
        if let Some(vm) = self.vms.get_mut(&name) {
            vm.hint(exit, now);
            self.timed.insert(name);
        }
    }

    fn do_due(&mut self, now: Time, out: &mut HostOutput) {
        while let Some(due) = self.links.due(now) {
            let controller = self.links.controller();
            match due {
                Due::Connect { link, controller } => out.effects.push(HostEffect::Connect { link, controller }),
                Due::GiveUp => self.give_up(now, Notice::NoAnswer { controller }, true, out),
                Due::Silent => self.give_up(now, Notice::Silent { controller }, false, out),
                Due::Beat { link, sequence } => {
                    self.lease.beats(now, sequence);
                    let pledge = self.lease.pledge();
                    out.effects.push(HostEffect::Send { link, message: FromAgent::Heartbeat { sequence, pledge } });
                }
            }
        }
        self.hold_lease(now, out);
        if self.timed.is_empty() {
            return;
        }
        for name in self.timed.clone() {
            self.pump(now, &name, out);
        }
        let vms = &self.vms;
        self.timed.retain(|name| vms.get(name).is_some_and(|vm| vm.doom.is_some() || vm.hint.is_some()));
    }
}
