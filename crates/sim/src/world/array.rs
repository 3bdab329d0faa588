//! Arrays: which host can open which volume.
//!
//! They keep the contract of the port: orders are compared per volume by epoch and generation, a volume that another host
//! can open is not mapped, and one that is taken from a host can be written by it no longer.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::fleet::{Input, OpId, VolumeChange, VolumeOutcome};
use lifeboat_model::{
    ArrayName, Epoch, Generation, HostName, Seconds, VmName, VolumeName,
    attach::{Attachment, VolumePath},
    spec::ArraySpec,
    trace::What,
};

use super::{Event, World, event::ArrayOp, machine::HostIx, network::Network};
use crate::random::Random;

/// An array that does not answer is given up after this.
const TIME_OUT: Seconds = Seconds::new(10);

/// What is wrong with an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArrayFault {
    /// Nothing.
    #[default]
    None,
    /// It refuses every operation.
    Refuses,
    /// So many operations in a million fail, half of them although they were done.
    Flaky(u32),
    /// Everything takes so many times longer.
    Slow(u64),
}

/// An array.
#[derive(Debug)]
pub struct ArrayWorld {
    pub(crate) fault: ArrayFault,
    /// Operations that each leader has under way.
    under_way: BTreeMap<Epoch, u64>,
    random: Random,
}

/// A volume as the world sees it.
#[derive(Debug)]
pub struct VolumeWorld {
    pub(super) array: ArrayName,
    pub(super) mapped: BTreeSet<HostIx>,
    newest: (Epoch, Generation),
    pub(crate) lost: bool,
}

impl VolumeWorld {
    pub(super) fn new(array: ArrayName) -> Self {
        Self { array, mapped: BTreeSet::new(), newest: (Epoch(0), Generation(0)), lost: false }
    }
}

impl World {
    pub(super) fn add_array(&mut self, name: &ArrayName) {
        let random = Random::of(self.settings.seed, name.as_str());
        let fresh = || ArrayWorld { fault: ArrayFault::None, under_way: BTreeMap::new(), random };
        self.arrays.entry(name.clone()).or_insert_with(fresh);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one effect, taken apart")]
    pub(super) fn array_op(
        &mut self,
        controller: usize,
        life: u32,
        op: OpId,
        change: VolumeChange,
        spec: &ArraySpec,
        volume: &VolumeName,
        host: HostName,
        order: (Epoch, Generation),
    ) {
        let unreachable = self.controllers[controller].ports.is_cut(Network::Storage);
        let times = self.settings.times.of(spec.name.as_str());
        let span = match change {
            VolumeChange::Map => times.map,
            VolumeChange::Unmap => times.unmap,
        };
        let Some(array) = self.arrays.get_mut(&spec.name) else { return };
        let mut span = span.draw(&mut array.random);
        let mut answer_lost = false;
        match array.fault {
            ArrayFault::Slow(times) => span = span * times,
            ArrayFault::Flaky(rate) if array.random.chance(rate) => {
                answer_lost = array.random.below(2) == 0;
                if !answer_lost {
                    return self.array_fails(controller, life, op, span, "the array is busy");
                }
            }
            ArrayFault::Refuses => return self.array_fails(controller, life, op, span, "the array refuses"),
            ArrayFault::None | ArrayFault::Flaky(_) => {}
        }
        if unreachable {
            return self.array_fails(controller, life, op, TIME_OUT, "the array does not answer");
        }
        let count = array.under_way.entry(order.0).or_default();
        *count += 1;
        let count = *count;
        self.promises.budget(self.now, "operations of array", spec.name.as_str(), count, spec.max_ops);
        let (array, volume) = (spec.name.clone(), volume.clone());
        let op = ArrayOp { controller, life, op, change, array, volume, host, order, answer_lost };
        self.after(span, Event::ArrayActs(Box::new(op)));
    }

    fn array_fails(&mut self, controller: usize, life: u32, op: OpId, after: Seconds, problem: &str) {
        let outcome = VolumeOutcome::Failed { problem: problem.to_owned(), retry_may_help: true };
        let input = Box::new(Input::VolumeEnded { op, outcome });
        self.after(after, Event::ControllerTold { controller, life, input });
    }

    pub(super) fn array_acts(&mut self, op: ArrayOp) {
        if let Some(array) = self.arrays.get_mut(&op.array)
            && let Some(count) = array.under_way.get_mut(&op.order.0)
        {
            *count = count.saturating_sub(1);
        }
        let mut outcome = self.change_mapping(&op);
        if op.answer_lost {
            outcome = VolumeOutcome::Failed { problem: "its answer was lost".to_owned(), retry_may_help: true };
        }
        self.tell_controller(op.controller, op.life, Input::VolumeEnded { op: op.op, outcome });
    }

    fn change_mapping(&mut self, op: &ArrayOp) -> VolumeOutcome {
        let failed =
            |problem: &str, retry_may_help| VolumeOutcome::Failed { problem: problem.to_owned(), retry_may_help };
        let Some(host) = self.ix(&op.host) else { return failed("the array does not know the host", false) };
        if self.arrays.get(&op.array).is_some_and(|array| array.fault == ArrayFault::Refuses) {
            return failed("the array refuses", true);
        }
        let Some(volume) = self.volumes.get_mut(&op.volume) else { return failed("there is no such volume", false) };
        if op.order < volume.newest {
            return failed("a later order was obeyed already", false);
        }
        // What is gone can be taken from a host all the same.
        if volume.lost && op.change == VolumeChange::Map {
            return failed("the volume is gone", false);
        }
        volume.newest = op.order;
        match op.change {
            VolumeChange::Unmap => {
                self.unmap_at_once(&op.volume, host);
                VolumeOutcome::Unmapped
            }
            VolumeChange::Map => {
                if let Some(other) = volume.mapped.iter().find(|other| **other != host) {
                    return VolumeOutcome::MappedElsewhere(self.machines[other.at()].name.clone());
                }
                self.map_at_once(&op.volume, host);
                let path = VolumePath::File { path: format!("/volumes/{}", op.volume) };
                VolumeOutcome::Mapped(Attachment { volume: op.volume.clone(), path })
            }
        }
    }

    /// The hosts that can write to a volume.
    #[must_use]
    pub fn hosts_of(&self, volume: &VolumeWorld) -> Vec<&HostName> {
        volume.mapped.iter().map(|host| &self.machines[host.at()].name).collect()
    }

    /// Lets a host open a volume.
    pub(super) fn map_at_once(&mut self, name: &VolumeName, host: HostIx) {
        let Some(volume) = self.volumes.get_mut(name) else { return };
        if !volume.mapped.insert(host) {
            return;
        }
        let machine = &mut self.machines[host.at()];
        machine.mapped += 1;
        let (count, limit) = (machine.mapped, machine.max_volumes.unwrap_or(u64::MAX));
        let at = machine.name.clone();
        self.promises.budget(self.now, "volumes of host", at.as_str(), count, limit);
        let mut event = self.event(What::VolumeMapped).host(&at).volume(name);
        event.vm = self.promises.owner(name).cloned();
        let vm = event.vm.clone();
        self.record(event);
        self.changes();
        if let Some(vm) = vm {
            self.look_at_storage(host, &vm);
        }
    }

    /// Takes a volume from a host.
    pub(super) fn unmap_at_once(&mut self, name: &VolumeName, host: HostIx) {
        let Some(volume) = self.volumes.get_mut(name) else { return };
        if !volume.mapped.remove(&host) {
            return;
        }
        let machine = &mut self.machines[host.at()];
        machine.mapped -= 1;
        let at = machine.name.clone();
        let mut event = self.event(What::VolumeUnmapped).host(&at).volume(name);
        event.vm = self.promises.owner(name).cloned();
        let vm: Option<VmName> = event.vm.clone();
        self.record(event);
        self.changes();
        if let Some(vm) = vm {
            self.look_at_storage(host, &vm);
        }
    }

    /// An array forgets which host can open which volume.
    pub(crate) fn lose_configuration(&mut self, array: &ArrayName) {
        self.note(|| format!("array {array} has lost its configuration"));
        let of_array = self.volumes.iter().filter(|(_, volume)| volume.array == *array);
        let mapped: Vec<(VolumeName, HostIx)> =
            of_array.flat_map(|(name, volume)| volume.mapped.iter().map(|host| (name.clone(), *host))).collect();
        for (volume, host) in mapped {
            self.unmap_at_once(&volume, host);
        }
    }

    /// A volume is gone, or there again.
    pub(crate) fn set_volume_lost(&mut self, name: &VolumeName, lost: bool) {
        let Some(volume) = self.volumes.get_mut(name) else { return };
        volume.lost = lost;
        let hosts: Vec<HostIx> = volume.mapped.iter().copied().collect();
        self.note(|| format!("volume {name} is {}", if lost { "gone" } else { "there again" }));
        self.changes();
        if let Some(vm) = self.promises.owner(name).cloned() {
            for host in hosts {
                self.look_at_storage(host, &vm);
            }
        }
    }
}
