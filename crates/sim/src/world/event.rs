//! What can happen.

use lifeboat_brain::{
    fleet::{Input, OpId, VolumeChange},
    host::{HostInput, Operation},
};
use lifeboat_model::{ArrayName, Epoch, FenceName, Generation, HostName, Time, VmName, VolumeName, liveness::Saying};

use super::{
    World,
    machine::HostIx,
    network::{Direction, Message},
};

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// An agent's deadline.
    AgentTick { host: HostIx, life: u32 },
    /// An agent's process starts.
    AgentStarts { host: HostIx, boot: u32 },
    /// An agent's oldest waiting record is durable.
    AgentDurable { host: HostIx, life: u32 },
    /// An agent is told something by its own host.
    AgentTold { host: HostIx, life: u32, input: Box<HostInput> },
    /// A host has booted.
    Booted { host: HostIx, boot: u32 },
    /// An operation on a VM takes effect.
    Acts { host: HostIx, life: u32, operation: Box<Operation>, left: lifeboat_model::Seconds },
    /// A VM's process ends, as it was asked to.
    ProcessEnds { host: HostIx, vm: VmName, pid: u32, epoch: Epoch },
    /// A guest has booted.
    GuestBooted { host: HostIx, vm: VmName, pid: u32 },
    /// A message arrives.
    Arrives { link: u32, to: Direction, message: Message },
    /// What could not be sent is tried again.
    SendAgain { link: u32, to: Direction, turn: u32 },
    /// A connection is made or refused.
    Connects { link: u32 },
    /// Another host's agent looks at one.
    PeerAsked { host: HostIx, from: HostIx, life: u32, look: u64 },
    /// An agent's look at another host's comes to its end.
    PeerLooked { host: HostIx, life: u32, look: u64, says: Saying },
    /// A controller's deadline.
    ControllerTick { controller: usize, life: u32 },
    /// A controller's process starts.
    ControllerStarts { controller: usize },
    /// A controller's transaction reaches the store.
    Commits { controller: usize, life: u32 },
    /// A controller looks after its lease, or at that of another.
    Lease { controller: usize, life: u32 },
    /// A controller is told something by a driver of its own.
    ControllerTold { controller: usize, life: u32, input: Box<Input> },
    /// A BMC acts.
    BmcActs { host: HostIx, controller: usize, life: u32, attempt: u64, device: FenceName, answers: bool },
    /// A guard looks at its host's lease.
    GuardLooks { host: HostIx, boot: u32 },
    /// A VM that was started elsewhere while its host stood still must be gone from it.
    MustBeGone { host: HostIx, boot: u32, vm: VmName },
    /// An array acts.
    ArrayActs(Box<ArrayOp>),
    /// A controller's look at a VM comes to its end.
    CheckEnds { controller: usize, life: u32, vm: VmName, generation: Generation },
    /// A controller's look for a health check ends.
    ControllerLooks { controller: usize, life: u32, sequence: u64, vm: VmName },
    /// An agent's look for a health check ends.
    AgentLooks { host: HostIx, life: u32, sequence: u64, vm: VmName },
    /// A controller still waits for a VM to answer.
    AsksVm { controller: usize, life: u32, host: HostName, vm: VmName, until: Time },
    /// A machine that hung goes on.
    Thaws { host: HostIx, boot: u32 },
    /// A controller that stood still goes on.
    ControllerThaws { controller: usize, life: u32 },
}

/// An operation at an array.
#[derive(Debug)]
pub(super) struct ArrayOp {
    pub controller: usize,
    pub life: u32,
    pub op: OpId,
    pub change: VolumeChange,
    pub array: ArrayName,
    pub volume: VolumeName,
    pub host: HostName,
    pub order: (Epoch, Generation),
    /// Whether its answer says that it failed although it was done.
    pub answer_lost: bool,
}

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        let Some(event) = self.put_aside(event) else { return };
        match event {
            Event::AgentTick { host, life } => self.agent_tick(host, life),
            Event::AgentStarts { host, boot } => self.agent_starts(host, boot),
            Event::AgentDurable { host, life } => self.agent_durable(host, life),
            Event::AgentTold { host, life, input } => self.tell_agent(host, life, *input),
            Event::Booted { host, boot } => self.booted(host, boot),
            Event::Acts { host, life, operation, left } => self.acts(host, life, *operation, left),
            Event::ProcessEnds { host, vm, pid, epoch } => self.process_ends(host, &vm, pid, epoch),
            Event::GuestBooted { host, vm, pid } => self.guest_booted(host, &vm, pid),
            Event::Arrives { link, to, message } => self.arrives(link, to, message),
            Event::SendAgain { link, to, turn } => self.send_again(link, to, turn),
            Event::Connects { link } => self.connects(link),
            Event::PeerAsked { host, from, life, look } => self.peer_asked(host, from, life, look),
            Event::PeerLooked { host, life, look, says } => self.peer_looked(host, life, look, says),
            Event::ControllerTick { controller, life } => self.controller_tick(controller, life),
            Event::ControllerStarts { controller } => self.controller_starts(controller),
            Event::Commits { controller, life } => self.commits(controller, life),
            Event::Lease { controller, life } => self.lease(controller, life),
            Event::ControllerTold { controller, life, input } => self.tell_controller(controller, life, *input),
            Event::BmcActs { host, controller, life, attempt, device, answers } => {
                self.bmc_acts(host, controller, life, attempt, &device, answers);
            }
            Event::GuardLooks { host, boot } => self.guard_looks(host, boot),
            Event::MustBeGone { host, boot, vm } => self.must_be_gone(host, boot, &vm),
            Event::ArrayActs(op) => self.array_acts(*op),
            Event::CheckEnds { controller, life, vm, generation } => {
                self.check_ends(controller, life, &vm, generation);
            }
            Event::ControllerLooks { controller, life, sequence, vm } => {
                self.controller_looks(controller, life, sequence, &vm);
            }
            Event::AgentLooks { host, life, sequence, vm } => self.agent_looks(host, life, sequence, &vm),
            Event::AsksVm { controller, life, host, vm, until } => self.asks_vm(controller, life, host, vm, until),
            Event::Thaws { host, boot } => self.thaws(host, boot),
            Event::ControllerThaws { controller, life } => self.controller_thaws(controller, life),
        }
    }

    /// Keeps an event of a machine or a controller that hangs until it goes on.
    fn put_aside(&mut self, event: Event) -> Option<Event> {
        let host = match &event {
            Event::AgentTick { host, .. }
            | Event::AgentStarts { host, .. }
            | Event::AgentDurable { host, .. }
            | Event::AgentTold { host, .. }
            | Event::AgentLooks { host, .. }
            | Event::Acts { host, .. }
            | Event::Booted { host, .. }
            | Event::PeerAsked { host, .. }
            | Event::PeerLooked { host, .. }
            | Event::ProcessEnds { host, .. }
            | Event::GuardLooks { host, .. }
            | Event::GuestBooted { host, .. } => Some(*host),
            Event::Arrives { link, to: Direction::ToAgent, .. } => Some(self.links[*link as usize].host),
            _ => None,
        };
        if let Some(host) = host {
            let machine = &mut self.machines[host.at()];
            if machine.hung {
                machine.aside.push(event);
                return None;
            }
            return Some(event);
        }
        let controller = match &event {
            Event::ControllerTick { controller, .. }
            | Event::Lease { controller, .. }
            | Event::ControllerTold { controller, .. }
            | Event::ControllerLooks { controller, .. }
            | Event::AsksVm { controller, .. }
            | Event::CheckEnds { controller, .. } => Some(*controller),
            Event::Arrives { link, to: Direction::ToController, .. } => Some(self.links[*link as usize].controller),
            _ => None,
        };
        if let Some(controller) = controller
            && self.controllers[controller].hung
        {
            self.controllers[controller].aside.push(event);
            return None;
        }
        Some(event)
    }
}
