//! A host: its power, its hangs, its boots.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::host::{HostMemory, HostRecord};
use lifeboat_model::{
    FenceName, Generation, HostName, Seconds, Time, VmName, fleet::Resources, spec::HostSpec, trace::What,
};

use super::{Bmc, Event, Guest, Ports, World, agent::Agent, network::Network};
use crate::{clock::Clock, random::Random, times::Times};

/// A host's place in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostIx(u32);

impl HostIx {
    pub(crate) const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A host.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: HostName,
    pub(super) power: bool,
    pub(super) up: bool,
    pub(crate) hung: bool,
    /// Counts its boots.
    pub(super) boot: u32,
    pub(super) agent: Option<Agent>,
    /// Whether its agent is kept from starting.
    pub(super) agent_stopped: bool,
    /// What its agents have written.
    pub(super) disk: HostMemory,
    pub(crate) guests: BTreeMap<VmName, Guest>,
    pub(super) configured: BTreeMap<VmName, Generation>,
    /// What happens when it no longer hangs.
    pub(super) aside: Vec<Event>,
    pub(crate) bmc: Bmc,
    pub(crate) ports: Ports,
    /// How many times longer than normal everything takes on it.
    pub(crate) slow: u64,
    pub(crate) clock: Clock,
    pub(super) random: Random,
    pub(super) capacity: Resources,
    pub(super) max_volumes: Option<u64>,
    /// Volumes that are mapped to it.
    pub(super) mapped: u64,
    /// Whether the host was told that it may shut down, after it said that it would.
    pub(super) may_go: bool,
    /// Whether a BMC said of its present boot that it was off.
    pub(crate) lied: bool,
    /// Whether a guard runs beside its agent.
    pub(super) guarded: bool,
    /// When, by its clock, its guard kills everything.
    pub(super) lease_until: Option<Time>,
    /// Of a host that is fed by several devices together: those that are switched off.
    pub(super) off: BTreeSet<FenceName>,
    /// Fence devices that do not answer, beside all of them ([`Bmc::Dead`]).
    pub(crate) deaf: BTreeSet<FenceName>,
}

impl Machine {
    /// Whether it has power.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.power
    }

    /// Whether it has power and its system is not up yet.
    #[must_use]
    pub fn is_booting(&self) -> bool {
        self.power && !self.up && !self.hung
    }

    /// Whether it runs: powered, booted and not hanging.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.power && self.up && !self.hung
    }

    /// Whether it was told that it may shut down, after it said that it would.
    #[must_use]
    pub fn may_go(&self) -> bool {
        self.may_go
    }

    /// The VMs whose process exists on it.
    #[must_use]
    pub fn guests(&self) -> &BTreeMap<VmName, Guest> {
        &self.guests
    }
}

impl World {
    pub(super) fn add_machine(&mut self, spec: &HostSpec) {
        if let Some(ix) = self.ix(&spec.name) {
            let machine = &mut self.machines[ix.at()];
            machine.capacity = spec.capacity.clone();
            machine.max_volumes = spec.max_volumes;
            return;
        }
        let ix = HostIx(u32::try_from(self.machines.len()).unwrap_or(u32::MAX));
        self.by_name.insert(spec.name.clone(), ix);
        self.machines.push(Machine {
            name: spec.name.clone(),
            power: true,
            up: true,
            hung: false,
            boot: 1,
            agent: None,
            agent_stopped: false,
            disk: HostMemory::default(),
            guests: BTreeMap::new(),
            configured: BTreeMap::new(),
            aside: Vec::new(),
            bmc: Bmc::default(),
            ports: Ports::default(),
            slow: 1,
            clock: Clock::default(),
            random: Random::of(self.settings.seed, spec.name.as_str()),
            capacity: spec.capacity.clone(),
            max_volumes: spec.max_volumes,
            mapped: 0,
            may_go: false,
            lied: false,
            guarded: true,
            lease_until: None,
            off: BTreeSet::new(),
            deaf: BTreeSet::new(),
        });
        self.after(Seconds::from_millis(100), Event::AgentStarts { host: ix, boot: 1 });
    }

    /// Draws how long something takes on a host.
    pub(super) fn takes(
        &mut self,
        host: HostIx,
        name: &str,
        pick: impl FnOnce(&Times) -> crate::times::Span,
    ) -> Seconds {
        let span = pick(self.settings.times.of(name));
        let machine = &mut self.machines[host.at()];
        span.draw(&mut machine.random) * machine.slow
    }

    /// A host's power goes, and with it everything that ran on it.
    pub(crate) fn power_off(&mut self, host: HostIx) {
        let machine = &mut self.machines[host.at()];
        if !machine.power {
            return;
        }
        (machine.power, machine.up, machine.hung, machine.lied) = (false, false, false, false);
        machine.boot += 1;
        machine.may_go = false;
        machine.aside.clear();
        machine.configured.clear();
        machine.agent = None;
        machine.lease_until = None;
        let name = machine.name.clone();
        self.promises.stands_still(&name, false);
        let machine = &mut self.machines[host.at()];
        let guests = std::mem::take(&mut machine.guests);
        let event = self.event(What::HostDown).host(&name);
        self.record(event);
        for (vm, guest) in guests {
            self.promises.process_gone(&vm, &name);
            self.vm_lost(&vm, guest.pid);
        }
        self.note(|| format!("{name} has lost its power"));
        self.changes();
    }

    /// A host's power comes on, and it boots.
    pub(crate) fn power_on(&mut self, host: HostIx) {
        let name = self.machines[host.at()].name.clone();
        let machine = &mut self.machines[host.at()];
        if machine.power {
            return;
        }
        machine.power = true;
        (machine.guarded, machine.off) = (true, BTreeSet::new());
        let boot = machine.boot;
        let span = self.takes(host, name.as_str(), |times| times.host_boot);
        self.after(span, Event::Booted { host, boot });
        self.note(|| format!("{name} is powered on"));
        self.changes();
    }

    pub(super) fn booted(&mut self, host: HostIx, boot: u32) {
        let machine = &mut self.machines[host.at()];
        if machine.boot != boot || !machine.power || machine.up {
            return;
        }
        machine.up = true;
        self.changes();
        self.after(Seconds::from_millis(200), Event::AgentStarts { host, boot });
    }

    /// A host stands still, for a time or until something else happens to it.
    pub(crate) fn hang(&mut self, host: HostIx, span: Option<Seconds>) {
        let machine = &mut self.machines[host.at()];
        if !machine.power || machine.hung {
            return;
        }
        machine.hung = true;
        let (boot, name) = (machine.boot, machine.name.clone());
        self.promises.stands_still(&name, true);
        if let Some(span) = span {
            self.after(span, Event::Thaws { host, boot });
        }
        self.note(|| format!("{name} hangs"));
        self.changes();
    }

    pub(super) fn thaws(&mut self, host: HostIx, boot: u32) {
        if self.machines[host.at()].boot == boot {
            self.unhang(host);
        }
    }

    /// A host that hung goes on: everything that was due happens now, in its order.
    pub(crate) fn unhang(&mut self, host: HostIx) {
        let machine = &mut self.machines[host.at()];
        if !machine.hung {
            return;
        }
        machine.hung = false;
        let name = machine.name.clone();
        for event in std::mem::take(&mut machine.aside) {
            self.after(Seconds::ZERO, event);
        }
        self.promises.stands_still(&name, false);
        self.note(|| format!("{name} goes on"));
        self.goes_on(host);
        self.changes();
    }

    /// Whether a host's path to the storage works.
    pub(super) fn reaches_storage(&self, host: HostIx) -> bool {
        !self.machines[host.at()].ports.is_cut(Network::Storage)
    }

    /// Writes an agent's record down.
    pub(super) fn write_down(&mut self, host: HostIx, records: impl IntoIterator<Item = HostRecord>) {
        let disk = &mut self.machines[host.at()].disk;
        for record in records {
            disk.replay(record);
        }
    }
}
