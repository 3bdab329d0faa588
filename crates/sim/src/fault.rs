//! Everything that may go wrong in a world, each on its own.

use lifeboat_model::{ArrayName, FenceName, HostName, Seconds, VmName, VolumeName};

use crate::world::{ArrayFault, Bmc, Mischief, Network, StoreFault, World};

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A host loses its power, or gets it back.
    Power(HostName, bool),
    /// A host stands still, for a time or until [`Fault::GoOn`].
    Hang(HostName, Option<Seconds>),
    /// A host that stood still goes on.
    GoOn(HostName),
    /// A host's agent dies.
    AgentDies(HostName),
    /// A host's agent is stopped and stays so, or is started again.
    Agent(HostName, bool),
    /// A host's port to a network: what goes out, what comes in.
    Port(HostName, Network, Option<bool>, Option<bool>),
    /// The way between a host and a controller is cut, or mended, and no other.
    Way(HostName, usize, bool),
    /// A controller's port to a network: what goes out, what comes in.
    ControllerPort(usize, Network, Option<bool>, Option<bool>),
    /// A host's BMC is so.
    Bmc(HostName, Bmc),
    /// One fence device of a host does not answer, or does again.
    FenceDevice(HostName, FenceName, bool),
    /// The guard beside a host's agent is there, or not.
    Guard(HostName, bool),
    /// Everything takes so many times longer on a host.
    Slow(HostName, u64),
    /// A host's clock counts so many microseconds in a second.
    ClockRate(HostName, u64),
    /// A host's clock jumps ahead.
    ClockJump(HostName, Seconds),
    /// A controller's clock counts so many microseconds in a second.
    ControllerClockRate(usize, u64),
    /// A controller's clock jumps ahead.
    ControllerClockJump(usize, Seconds),
    /// A controller dies.
    ControllerDies(usize),
    /// The controller that leads dies, whichever it is.
    LeaderDies,
    /// A controller dies in the middle of the effects of its so-many-th output from now.
    ControllerDiesIn(usize, u64),
    /// A controller stands still.
    ControllerHangs(usize, Seconds),
    /// The store is so.
    Store(StoreFault),
    /// An array is so.
    Array(ArrayName, ArrayFault),
    /// An array forgets all mappings.
    ArrayForgets(ArrayName),
    /// A volume is gone, or there again.
    VolumeLost(VolumeName, bool),
    /// A VM's process dies.
    VmDies(VmName),
    /// A VM's guest shuts itself down.
    GuestShutsDown(VmName),
    /// A VM's guest hangs until its process ends.
    GuestHangs(VmName),
    /// A VM's kernel panics: its process ends.
    GuestPanics(VmName),
    /// A VM's service fails its health checks, or answers them, however often it is restarted.
    ServiceFails(VmName, bool),
    /// A controller sees none of the VMs that it looks at, or sees them again.
    ControllerBlind(usize, bool),
    /// So many next starts of a VM fail.
    FailStarts(VmName, u32),
    /// A VM's check gets no answer, whether it runs or not; or does again.
    Unseen(VmName, bool),
    /// The management network does so to messages.
    Messages(Mischief),
}

impl World {
    /// Lets something go wrong, now. What names no part of the world does nothing.
    pub fn fault(&mut self, fault: &Fault) {
        match fault {
            Fault::Power(host, _)
            | Fault::Hang(host, _)
            | Fault::GoOn(host)
            | Fault::AgentDies(host)
            | Fault::Agent(host, _)
            | Fault::Port(host, ..)
            | Fault::Way(host, ..)
            | Fault::Bmc(host, _)
            | Fault::FenceDevice(host, ..)
            | Fault::Guard(host, _)
            | Fault::Slow(host, _)
            | Fault::ClockRate(host, _)
            | Fault::ClockJump(host, _) => self.host_fault(host, fault),
            Fault::ControllerPort(at, ..)
            | Fault::ControllerClockRate(at, _)
            | Fault::ControllerClockJump(at, _)
            | Fault::ControllerDies(at)
            | Fault::ControllerDiesIn(at, _)
            | Fault::ControllerHangs(at, _) => self.controller_fault(*at, fault),
            Fault::LeaderDies => {
                if let Some(at) = self.leading() {
                    self.crash_controller(at);
                }
            }
            Fault::Store(fault) => {
                self.note(|| format!("store: {fault:?}"));
                self.store.fault = *fault;
            }
            Fault::Array(name, fault) => {
                self.note(|| format!("array {name}: {fault:?}"));
                if let Some(array) = self.arrays.get_mut(name) {
                    array.fault = *fault;
                }
            }
            Fault::ArrayForgets(name) => self.lose_configuration(name),
            Fault::VolumeLost(name, lost) => self.set_volume_lost(name, *lost),
            Fault::VmDies(vm) => self.kill_vm(vm, false),
            Fault::GuestShutsDown(vm) => self.kill_vm(vm, true),
            Fault::GuestHangs(vm) => self.hang_guest(vm),
            Fault::GuestPanics(vm) => self.end_vm(vm, false, "the guest's kernel panicked"),
            Fault::ServiceFails(vm, fails) => self.set_sick(vm, *fails),
            Fault::ControllerBlind(at, blind) => self.set_blind(*at, *blind),
            Fault::FailStarts(vm, times) => {
                if let Some(vm) = self.vms.get_mut(vm) {
                    vm.fail_starts = *times;
                }
            }
            Fault::Unseen(vm, unseen) => self.set_unseen(vm, *unseen),
            Fault::Messages(mischief) => self.set_mischief(*mischief),
        }
    }

    fn host_fault(&mut self, name: &HostName, fault: &Fault) {
        let now = self.now();
        let Some(ix) = self.ix(name) else { return };
        match fault {
            Fault::Power(_, true) => self.power_on(ix),
            Fault::Power(_, false) => self.power_off(ix),
            Fault::Hang(_, span) => self.hang(ix, *span),
            Fault::GoOn(_) => self.unhang(ix),
            Fault::AgentDies(_) => self.crash_agent(ix),
            Fault::Agent(_, on) => self.set_agent(ix, *on),
            Fault::Way(_, controller, works) => self.set_way(ix, *controller, *works),
            Fault::Port(_, network, out, into) => self.set_port(ix, *network, *out, *into),
            Fault::Bmc(_, bmc) => {
                self.note(|| format!("BMC of {name}: {bmc:?}"));
                self.machines[ix.at()].bmc = *bmc;
            }
            Fault::FenceDevice(_, device, answers) => {
                self.note(|| format!("{device} {}", if *answers { "answers" } else { "does not answer" }));
                let deaf = &mut self.machines[ix.at()].deaf;
                if *answers {
                    deaf.remove(device);
                } else {
                    deaf.insert(device.clone());
                }
            }
            Fault::Guard(_, there) => self.set_guard(ix, *there),
            Fault::Slow(_, times) => {
                self.note(|| format!("{name} is {times} times as slow"));
                self.machines[ix.at()].slow = (*times).max(1);
            }
            Fault::ClockRate(_, rate) => {
                self.machines[ix.at()].clock.set_rate(now, *rate);
                self.wake_guard(ix);
            }
            Fault::ClockJump(_, by) => {
                self.note(|| format!("the clock of {name} jumps ahead by {by}"));
                self.machines[ix.at()].clock.jump(now, *by);
                self.wake_agent(ix);
                self.wake_guard(ix);
            }
            _ => {}
        }
    }

    fn controller_fault(&mut self, at: usize, fault: &Fault) {
        let now = self.now();
        let Some(controller) = self.controllers.get_mut(at) else { return };
        match fault {
            Fault::ControllerPort(_, network, out, into) => controller.ports.set(*network, *out, *into),
            Fault::ControllerClockRate(_, rate) => controller.clock.set_rate(now, *rate),
            Fault::ControllerClockJump(_, by) => {
                controller.clock.jump(now, *by);
                self.note(|| format!("the clock of controller {at} jumps ahead by {by}"));
                self.wake_controller(at);
            }
            Fault::ControllerDies(_) => self.crash_controller(at),
            Fault::ControllerDiesIn(_, outputs) => controller.dies_in = Some(*outputs),
            Fault::ControllerHangs(_, span) => self.hang_controller(at, *span),
            _ => {}
        }
    }
}
