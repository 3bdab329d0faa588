//! Health: guests that hang, services that fail, and who looks at them.

use lifeboat_brain::{fleet::Input, host::HostInput};
use lifeboat_model::{
    Seconds, VmName,
    health::{CheckReport, CheckStatus},
};

use super::{Event, World, machine::HostIx};

impl World {
    /// A VM's guest hangs until its process ends.
    pub(crate) fn hang_guest(&mut self, vm: &VmName) {
        let Some(at) = self.machines.iter().position(|machine| machine.guests.contains_key(vm)) else { return };
        let Some(host) = self.ix(&self.machines[at].name.clone()) else { return };
        let machine = &mut self.machines[at];
        let Some(guest) = machine.guests.get_mut(vm).filter(|guest| !guest.hung) else { return };
        guest.hung = true;
        let (pid, watchdog) = (guest.pid, guest.watchdog);
        let life = machine.agent.as_ref().map(|agent| agent.life);
        self.stops_answering(vm, pid);
        self.note(|| format!("the guest of {vm} hangs"));
        self.promises.hangs(vm);
        self.changes();
        if let Some(life) = life.filter(|_| watchdog) {
            self.operation_ends(host, life, Seconds::from_millis(2), HostInput::VmChanged { vm: vm.clone() });
        }
    }

    /// A VM's service fails its checks, or answers them.
    pub(crate) fn set_sick(&mut self, vm: &VmName, sick: bool) {
        if let Some(world) = self.vms.get_mut(vm) {
            world.sick = sick;
        }
        self.note(|| format!("the service of {vm} {}", if sick { "fails" } else { "is well" }));
        self.changes();
    }

    /// Whether a VM's guest hangs.
    pub(crate) fn guest_hangs(&self, vm: &VmName) -> bool {
        self.machines.iter().any(|machine| machine.guests.get(vm).is_some_and(|guest| guest.hung))
    }

    fn is_well(&self, vm: &VmName) -> bool {
        self.answers(vm) && self.vms.get(vm).is_some_and(|world| !world.sick)
    }

    fn report(&self, vm: &VmName, blind: bool) -> CheckReport {
        if self.is_well(vm) && !blind {
            CheckReport::new(CheckStatus::Ok, "it answers")
        } else {
            CheckReport::new(CheckStatus::Critical, "no answer")
        }
    }

    pub(super) fn controller_begins_look(
        &mut self,
        controller: usize,
        life: u32,
        sequence: u64,
        vm: VmName,
        limit: Seconds,
    ) {
        let well = self.is_well(&vm) && !self.controllers[controller].blind;
        let random = &mut self.controllers[controller].random;
        let span = if well { random.between(Seconds::from_millis(1), Seconds::from_millis(100)) } else { limit };
        self.after(span, Event::ControllerLooks { controller, life, sequence, vm });
    }

    pub(super) fn controller_looks(&mut self, controller: usize, life: u32, sequence: u64, vm: &VmName) {
        let report = self.report(vm, self.controllers[controller].blind);
        self.tell_controller(controller, life, Input::Looked { sequence, report });
    }

    pub(super) fn agent_begins_look(&mut self, host: HostIx, sequence: u64, vm: VmName, limit: Seconds) {
        let Some(life) = self.machines[host.at()].agent.as_ref().map(|agent| agent.life) else { return };
        let span = if self.is_well(&vm) { Seconds::from_millis(20) } else { limit };
        self.after(span, Event::AgentLooks { host, life, sequence, vm });
    }

    pub(super) fn agent_looks(&mut self, host: HostIx, life: u32, sequence: u64, vm: &VmName) {
        let report = self.report(vm, false);
        self.tell_agent(host, life, HostInput::Looked { sequence, report });
    }

    /// A controller sees no VM any more, or sees them again.
    pub(crate) fn set_blind(&mut self, controller: usize, blind: bool) {
        if let Some(this) = self.controllers.get_mut(controller) {
            this.blind = blind;
        }
        self.note(|| format!("controller {controller} {} VMs", if blind { "sees no" } else { "sees its" }));
        self.changes();
    }
}
