//! Who is asked whether a host lives: its BMC, its VMs, other hosts' agents, and what is always there for a controller to reach.

use lifeboat_brain::{fleet::Input, host::HostInput};
use lifeboat_model::{
    HostName, Seconds, Time, VmName,
    liveness::{EvidenceSource, Saying},
    spec::FenceSpec,
};

use super::{Bmc, Event, World, machine::HostIx, network::Network};

/// The longest that reading the power may take.
const POWER_LIMIT: Seconds = Seconds::new(10);
/// The longest that a look at a VM takes.
const VM_LIMIT: Seconds = Seconds::from_millis(900);
/// The longest that a look at another host's agent takes.
const PEER_LIMIT: Seconds = Seconds::from_millis(800);
/// How often what is sent to a VM that does not answer is sent again.
const ASKS_AGAIN: Seconds = Seconds::from_millis(100);
/// The longest that a reference may take to accept a connection.
const REFERENCE_LIMIT: Seconds = Seconds::from_millis(500);

impl World {
    /// A controller reads a host's power.
    pub(super) fn read_power(&mut self, controller: usize, life: u32, host: HostName, device: &FenceSpec) {
        let Some(ix) = self.ix(&host) else { return };
        let machine = &self.machines[ix.at()];
        let limit = POWER_LIMIT.min(device.timeout());
        // Reading takes less than cutting, which has to wait for the power to go.
        let mut span = Seconds::from_micros(self.settings.times.of(host.as_str()).fence.least().micros() / 2);
        let (bmc, power) = (machine.bmc, machine.power);
        if bmc == Bmc::Slow {
            span = span * 10;
        }
        let unreachable = bmc == Bmc::Dead || self.controllers[controller].ports.is_cut(Network::Bmc);
        let (says, span) = match (unreachable || span > limit, power) {
            (true, _) => (Saying::Unknown, limit),
            // One that lies says off only after it was told to cut.
            (false, true) => (Saying::PowerOn, span),
            (false, false) => (Saying::PowerOff, span),
        };
        self.evidence_comes(
            controller,
            life,
            host,
            EvidenceSource::Power { device: device.name().clone() },
            says,
            span,
        );
    }

    /// A controller looks at a VM once.
    pub(super) fn ask_vm(&mut self, controller: usize, life: u32, host: HostName, vm: VmName) {
        let until = self.now + VM_LIMIT;
        self.asks_vm(controller, life, host, vm, until);
    }

    /// It waits for an answer: what stood still when it was asked answers when it goes on.
    pub(super) fn asks_vm(&mut self, controller: usize, life: u32, host: HostName, vm: VmName, until: Time) {
        // VMs have a network of their own, which nothing cuts as long as their host runs; the controller has one way out.
        let cut = self.controllers[controller].ports.is_cut(Network::Management);
        let source = EvidenceSource::Service { vm: vm.clone() };
        if !cut && self.answers(&vm) {
            self.evidence_comes(controller, life, host, source, Saying::Lives, Seconds::from_millis(5));
        } else if self.now >= until {
            self.evidence_comes(controller, life, host, source, Saying::Silent, Seconds::ZERO);
        } else {
            let span = ASKS_AGAIN.min(until.since(self.now));
            self.after(span, Event::AsksVm { controller, life, host, vm, until });
        }
    }

    /// A controller looks whether its own network works.
    pub(super) fn ask_references(&mut self, controller: usize, life: u32, references: usize) {
        let cut = self.controllers[controller].ports.is_cut(Network::Management);
        let (reached, span) = if cut { (0, REFERENCE_LIMIT) } else { (references as u64, Seconds::from_millis(5)) };
        let input = Box::new(Input::References { reached });
        self.after(span, Event::ControllerTold { controller, life, input });
    }

    /// A controller looks at a host's agent beside its link.
    pub(super) fn look_at_agent(&mut self, controller: usize, life: u32, host: HostName, address: String) {
        let Some(ix) = self.ix(&host) else { return };
        let machine = &self.machines[ix.at()];
        let connects = machine.power && machine.up && self.reach(ix, controller);
        let works = machine.agent.is_some();
        let hangs = machine.hung;
        let (says, span) = match (connects, hangs, works) {
            (false, ..) => (Saying::Silent, PEER_LIMIT),
            (true, true, _) => (Saying::Hangs, PEER_LIMIT),
            (true, false, false) => (Saying::NoAgent, self.way_between_hosts() * 2),
            (true, false, true) => (Saying::Lives, self.way_between_hosts() * 2),
        };
        self.evidence_comes(controller, life, host, EvidenceSource::Network { address }, says, span.min(PEER_LIMIT));
    }

    /// An agent looks at another host's.
    pub(super) fn look_at_peer(&mut self, from: HostIx, peer: HostName) {
        self.looks += 1;
        let look = self.looks;
        let ix = self.ix(&peer);
        let Some(agent) = &mut self.machines[from.at()].agent else { return };
        agent.looks.insert(look, peer);
        let life = agent.life;
        let end = |span, says| (span, Event::PeerLooked { host: from, life, look, says });
        let Some(host) = ix else {
            let (span, event) = end(Seconds::ZERO, Saying::Unknown);
            return self.after(span, event);
        };
        let machine = &self.machines[host.at()];
        let connects = machine.power && machine.up && self.hosts_reach(from, host);
        // What stands still still takes connections.
        let (span, event) = end(PEER_LIMIT, if connects { Saying::Hangs } else { Saying::Silent });
        self.after(span, event);
        if connects {
            let span = self.way_between_hosts() + self.latency() * 2;
            self.after(span, Event::PeerAsked { host, from, life, look });
        }
    }

    /// Another host's agent looks at this one.
    pub(super) fn peer_asked(&mut self, host: HostIx, from: HostIx, life: u32, look: u64) {
        let machine = &self.machines[host.at()];
        if !machine.power || !machine.up || !self.hosts_reach(from, host) {
            return;
        }
        let says = if machine.agent.is_some() { Saying::Lives } else { Saying::NoAgent };
        let span = self.way_between_hosts();
        self.after(span, Event::PeerLooked { host: from, life, look, says });
    }

    /// A look has ended, by an answer or without one.
    pub(super) fn peer_looked(&mut self, host: HostIx, life: u32, look: u64, says: Saying) {
        let Some(peer) = self.agent(host, life).and_then(|agent| agent.looks.remove(&look)) else { return };
        self.feed(host, HostInput::PeerSeen { host: peer, says, detail: None });
    }

    fn evidence_comes(
        &mut self,
        controller: usize,
        life: u32,
        host: HostName,
        source: EvidenceSource,
        says: Saying,
        span: Seconds,
    ) {
        let input = Box::new(Input::Evidence { host, source, says, detail: None });
        self.after(span, Event::ControllerTold { controller, life, input });
    }
}
