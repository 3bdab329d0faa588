//! The body of an agent: runs the real [`HostBrain`], writes its records before its effects go out, and dies.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
};

use lifeboat_brain::{
    host::{Guard, HostBrain, HostEffect, HostInput, HostOutput, HostSettings, LinkId, Notice, Operation},
    message::Going,
};
use lifeboat_model::{BootId, HostName, Seconds, Time, hardware::HardwareReading, running::RunningVm};

use super::{Event, World, machine::HostIx, network::Message};

/// An agent's process.
#[derive(Debug)]
pub(super) struct Agent {
    pub life: u32,
    pub brain: HostBrain,
    tick_at: Option<Time>,
    /// Its links: its own number, and the world's.
    pub links: Vec<(LinkId, u32)>,
    /// Outputs whose records are not durable yet, and what came after them.
    outbox: VecDeque<HostOutput>,
    /// Looks at other hosts that have not ended.
    pub looks: BTreeMap<u64, HostName>,
}

impl World {
    pub(super) fn agent_starts(&mut self, host: HostIx, boot: u32) {
        let life = self.new_life();
        let controllers = NonZeroUsize::new(self.controllers.len()).unwrap_or(NonZeroUsize::MIN);
        let machine = &mut self.machines[host.at()];
        if machine.boot != boot || !machine.up || machine.agent.is_some() || machine.agent_stopped {
            return;
        }
        let settings = HostSettings {
            host: machine.name.clone(),
            boot: BootId(format!("{}-{boot}", machine.name)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            controllers,
            probe_port: Some(7444),
            probe_addresses: Vec::new(),
        };
        let brain = HostBrain::restore(settings, machine.disk.records().collect::<Vec<_>>());
        machine.agent = Some(Agent {
            life,
            brain,
            tick_at: None,
            links: Vec::new(),
            outbox: VecDeque::new(),
            looks: BTreeMap::new(),
        });
        let vms = machine.guests.iter().map(|(vm, guest)| guest.report(vm)).collect::<Vec<RunningVm>>();
        let (lease, guarded) = (machine.lease_until, machine.guarded);
        self.feed(host, HostInput::Found { vms, lease });
        let guard = if guarded { Guard::Process } else { Guard::Absent };
        self.feed(host, HostInput::Guard { guard });
    }

    /// An agent's process dies; its VMs go on, and another one is started.
    pub(crate) fn crash_agent(&mut self, host: HostIx) {
        let name = self.machines[host.at()].name.clone();
        let machine = &mut self.machines[host.at()];
        let Some(mut agent) = machine.agent.take() else { return };
        let boot = machine.boot;
        // Of the record that was being written, some lines may have reached the disk.
        if let Some(output) = agent.outbox.pop_front() {
            let lines = machine.random.below(output.writes.len() as u64 + 1);
            self.write_down(host, output.writes.into_iter().take(usize::try_from(lines).unwrap_or(0)));
        }
        for (_, link) in agent.links {
            self.close_agent_side(link);
        }
        let span = self.takes(host, name.as_str(), |times| times.agent_restart);
        self.after(span, Event::AgentStarts { host, boot });
        self.note(|| format!("the agent of {name} dies"));
        self.changes();
    }

    /// An agent is stopped and stays so, or is started again.
    pub(crate) fn set_agent(&mut self, host: HostIx, on: bool) {
        self.machines[host.at()].agent_stopped = !on;
        if on {
            let boot = self.machines[host.at()].boot;
            self.after(Seconds::ZERO, Event::AgentStarts { host, boot });
        } else {
            self.crash_agent(host);
        }
    }

    pub(super) fn agent_tick(&mut self, host: HostIx, life: u32) {
        let now = self.now;
        let Some(agent) = self.agent(host, life) else { return };
        if agent.tick_at.is_none_or(|at| at > now) {
            return;
        }
        agent.tick_at = None;
        self.feed(host, HostInput::Tick);
    }

    /// A host's agent has read what its sources say of the hardware.
    pub(crate) fn reads_hardware(&mut self, name: &HostName, readings: Vec<HardwareReading>) {
        let Some(host) = self.ix(name) else { return };
        self.feed(host, HostInput::Hardware { readings });
        self.changes();
    }

    /// A host says, by its agent, that it is about to go.
    pub(crate) fn announce(&mut self, name: &HostName, going: Going) {
        let Some(host) = self.ix(name) else { return };
        self.machines[host.at()].may_go = false;
        self.note(|| format!("{name} says: {going:?}"));
        self.feed(host, HostInput::Announce { going });
        self.changes();
    }

    /// A host's clock has changed: its agent's deadline is reckoned anew.
    pub(crate) fn wake_agent(&mut self, host: HostIx) {
        let now = self.now;
        if let Some(agent) = &mut self.machines[host.at()].agent {
            agent.tick_at = Some(now);
            let life = agent.life;
            self.queue.push(now, Event::AgentTick { host, life });
        }
    }

    pub(super) fn tell_agent(&mut self, host: HostIx, life: u32, input: HostInput) {
        if self.agent(host, life).is_some() {
            self.feed(host, input);
        }
    }

    /// The agent that has this life.
    pub(super) fn agent(&mut self, host: HostIx, life: u32) -> Option<&mut Agent> {
        self.machines[host.at()].agent.as_mut().filter(|agent| agent.life == life)
    }

    /// Hands an agent an input and does what comes of it.
    pub(super) fn feed(&mut self, host: HostIx, input: HostInput) {
        let now = self.now;
        let machine = &mut self.machines[host.at()];
        let Some(agent) = &mut machine.agent else { return };
        let mut output = std::mem::take(&mut self.host_output);
        agent.brain.handle_into(machine.clock.read(now), input, &mut output);
        if let Some(deadline) = agent.brain.next_deadline() {
            let at = machine.clock.when(deadline, now);
            if agent.tick_at.is_none_or(|tick| at < tick || tick < now) {
                agent.tick_at = Some(at);
                let life = agent.life;
                self.queue.push(at, Event::AgentTick { host, life });
            }
        }
        if agent.outbox.is_empty() && output.writes.is_empty() {
            for effect in output.effects.drain(..) {
                self.carry_out(host, effect);
            }
            // Its room is used again: most outputs are a heartbeat.
            self.host_output = output;
            return;
        }
        let urgent = |effect: &mut HostEffect| effect.is_urgent();
        let at_once: Vec<HostEffect> = output.effects.extract_if(.., urgent).collect();
        let idle = agent.outbox.is_empty();
        let life = agent.life;
        agent.outbox.push_back(output);
        self.carry_out_all(host, at_once);
        if idle {
            self.begin_writing(host, life);
        }
    }

    fn begin_writing(&mut self, host: HostIx, life: u32) {
        let name = self.machines[host.at()].name.clone();
        let span = self.takes(host, name.as_str(), |times| times.disk);
        self.after(span, Event::AgentDurable { host, life });
    }

    pub(super) fn agent_durable(&mut self, host: HostIx, life: u32) {
        let Some(agent) = self.agent(host, life) else { return };
        let Some(output) = agent.outbox.pop_front() else { return };
        self.write_down(host, output.writes);
        self.carry_out_all(host, output.effects);
        // What needs no writing and waited only for its turn goes out with it.
        while let Some(next) = self.agent(host, life).and_then(|agent| agent.outbox.front()) {
            if !next.writes.is_empty() {
                return self.begin_writing(host, life);
            }
            let Some(next) = self.agent(host, life).and_then(|agent| agent.outbox.pop_front()) else { return };
            self.carry_out_all(host, next.effects);
        }
    }

    fn carry_out_all(&mut self, host: HostIx, effects: Vec<HostEffect>) {
        for effect in effects {
            self.carry_out(host, effect);
        }
    }

    fn carry_out(&mut self, host: HostIx, effect: HostEffect) {
        match effect {
            HostEffect::Connect { link, controller } => self.connect(host, link, controller),
            HostEffect::Disconnect { link } => {
                let Some(agent) = &mut self.machines[host.at()].agent else { return };
                if let Some(at) = agent.links.iter().position(|(own, _)| *own == link) {
                    let (_, link) = agent.links.remove(at);
                    self.close_agent_side(link);
                }
            }
            HostEffect::Send { link, message } => self.agent_sends(host, link, message.into()),
            HostEffect::Guard { until } => self.tell_guard(host, until),
            HostEffect::Kill { vm } => self.kill_on(host, &vm),
            HostEffect::LookAt { host: peer, .. } => self.look_at_peer(host, peer),
            HostEffect::Operate(operation) => self.operate(host, operation),
            HostEffect::Look { sequence, vm, limit, look: _ } => self.agent_begins_look(host, sequence, vm, limit),
            HostEffect::MayGo => {
                self.machines[host.at()].may_go = true;
                self.changes();
            }
            HostEffect::Tell(notice) => self.noticed(host, &notice),
        }
    }

    fn agent_sends(&mut self, host: HostIx, link: LinkId, message: Message) {
        let Some(agent) = &self.machines[host.at()].agent else { return };
        if let Some((_, link)) = agent.links.iter().find(|(own, _)| *own == link).copied() {
            self.agent_says(link, message);
        }
    }

    fn noticed(&mut self, host: HostIx, notice: &Notice) {
        let name = self.machines[host.at()].name.clone();
        if let Notice::Led { epoch, .. } = notice {
            self.promises.obeyed(&name, *epoch, "a Welcome");
        }
        if notice.is_warning() {
            self.note(|| format!("agent of {name}: {notice}"));
        }
    }

    fn operate(&mut self, host: HostIx, operation: Operation) {
        let Some(life) = self.machines[host.at()].agent.as_ref().map(|agent| agent.life) else { return };
        let name = self.machines[host.at()].name.clone();
        self.promises.obeyed(&name, operation.epoch, "an operation");
        let (before, left) = self.operation_times(host, &operation);
        self.after(before, Event::Acts { host, life, operation: Box::new(operation), left });
    }

    /// Tells an agent's brain how an operation ended, after a while.
    pub(super) fn operation_ends(&mut self, host: HostIx, life: u32, after: Seconds, input: HostInput) {
        self.after(after, Event::AgentTold { host, life, input: Box::new(input) });
    }
}
