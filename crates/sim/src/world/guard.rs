//! The guard beside each agent: kills what runs on its host when the host's lease has run out, whatever the agent does.
//!
//! It looks at its host's clock, as the real one does: at the end of the lease, and again a moment later while something
//! runs. On a host that hangs it does nothing, and neither do the VMs; when the host goes on it acts within moments.

use lifeboat_brain::host::{Guard, HostInput};
use lifeboat_model::{Seconds, Time, VmName};

use super::{Event, World, machine::HostIx};

/// The longest time between two looks of a guard.
const POLL: Seconds = Seconds::from_millis(250);
/// What a host that goes on may still run, of VMs that were started elsewhere meanwhile, for the guard to be too slow.
const GONE_WITHIN: Seconds = Seconds::new(1);

impl World {
    /// An agent has told its guard when everything is to be killed.
    pub(super) fn tell_guard(&mut self, host: HostIx, until: Option<Time>) {
        self.machines[host.at()].lease_until = until;
        self.wake_guard(host);
    }

    /// The guard of a host dies, or is there again. Its agent sees it.
    pub(crate) fn set_guard(&mut self, host: HostIx, there: bool) {
        let machine = &mut self.machines[host.at()];
        machine.guarded = there;
        let name = machine.name.clone();
        self.note(|| format!("the guard of {name} is {}", if there { "there" } else { "gone" }));
        self.feed(host, HostInput::Guard { guard: if there { Guard::Process } else { Guard::Absent } });
        self.wake_guard(host);
    }

    /// Sets the guard's next look.
    pub(crate) fn wake_guard(&mut self, host: HostIx) {
        let now = self.now;
        let machine = &mut self.machines[host.at()];
        let Some(until) = machine.lease_until else { return };
        let late = Seconds::from_micros(machine.random.below(POLL.micros()));
        let at = machine.clock.when(until, now) + late;
        let boot = machine.boot;
        self.queue.push(at, Event::GuardLooks { host, boot });
    }

    pub(super) fn guard_looks(&mut self, host: HostIx, boot: u32) {
        let now = self.now;
        let machine = &self.machines[host.at()];
        let over = machine.lease_until.is_some_and(|until| machine.clock.read(now) >= until);
        if machine.boot != boot || !machine.guarded || !machine.power || !over {
            return;
        }
        let running: Vec<VmName> = machine.guests.keys().cloned().collect();
        if running.is_empty() {
            return;
        }
        for vm in running {
            self.kill_on(host, &vm);
        }
        self.after(POLL, Event::GuardLooks { host, boot });
    }

    /// A VM's process on a host is killed; the agent is told by its hypervisor.
    pub(super) fn kill_on(&mut self, host: HostIx, vm: &VmName) {
        let machine = &self.machines[host.at()];
        let Some(generation) = machine.guests.get(vm).map(|guest| guest.generation) else { return };
        let life = machine.agent.as_ref().map(|agent| agent.life);
        self.end_process(host, vm, None);
        let Some(life) = life else { return };
        let detail = "killed by signal 9".to_owned();
        let input = HostInput::VmExited { vm: vm.clone(), generation, by_guest: false, detail };
        self.operation_ends(host, life, Seconds::from_millis(2), input);
    }

    /// A host that stood still goes on: what it runs and what was started elsewhere meanwhile must soon be gone from it.
    pub(super) fn goes_on(&mut self, host: HostIx) {
        let boot = self.machines[host.at()].boot;
        self.guard_looks_soon(host);
        let twice = |vm: &&VmName| self.where_is(vm).len() > 1;
        let twice: Vec<VmName> = self.machines[host.at()].guests.keys().filter(twice).cloned().collect();
        for vm in twice {
            self.after(GONE_WITHIN, Event::MustBeGone { host, boot, vm });
        }
    }

    fn guard_looks_soon(&mut self, host: HostIx) {
        let machine = &mut self.machines[host.at()];
        let late = Seconds::from_micros(machine.random.below(POLL.micros()));
        let boot = machine.boot;
        self.after(late, Event::GuardLooks { host, boot });
    }

    pub(super) fn must_be_gone(&mut self, host: HostIx, boot: u32, vm: &VmName) {
        let machine = &self.machines[host.at()];
        let (there, stands) = (machine.guests.contains_key(vm), machine.hung);
        if machine.boot != boot || !there || machine.lied {
            return;
        }
        let name = machine.name.clone();
        if stands {
            return self.after(GONE_WITHIN, Event::MustBeGone { host, boot, vm: vm.clone() });
        }
        self.promises.break_it(self.now, crate::promises::Promise::OneHost, || {
            format!("{vm} still runs on {name}, which has gone on, while it runs elsewhere")
        });
    }
}
