//! What the host's side never forgets: the highest epoch, and for each VM the highest generation that it has obeyed.
//!
//! **When a VM may be forgotten.** Its generation guards against late commands for an older intent. A command carries
//! its leader's epoch, so that once a later leader is obeyed every command of the earlier ones is refused by its epoch
//! alone; and a leader knows the generation of each VM from the store before it gives its first command. So a VM with
//! no process and no operation here is forgotten when a leader of a later epoch than that of its last command is
//! welcomed. Within one epoch at most [`MAX_REMEMBERED`] are kept.

use std::collections::BTreeMap;

use lifeboat_model::{Epoch, Generation, VmName};
use serde::{Deserialize, Serialize};

/// The most VMs whose generation is remembered. It bounds the memory of a host through which VMs pass for months under
/// one leader; beyond it the VM least lately commanded, by epoch and name, is forgotten.
pub const MAX_REMEMBERED: usize = 16_384;

/// One thing to be remembered. Records are replayed in the order in which they were written; the last word on a VM, and
/// on the epoch, holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub enum HostRecord {
    /// The highest epoch that was obeyed.
    Epoch {
        /// The epoch.
        epoch: Epoch,
    },
    /// The highest generation of a VM that was obeyed.
    Vm {
        /// The VM.
        vm: VmName,
        /// The epoch of the last command for it.
        epoch: Epoch,
        /// The generation.
        generation: Generation,
    },
    /// A VM need not be remembered any longer.
    Forgotten {
        /// The VM.
        vm: VmName,
    },
}

/// The last word on a VM. Ordered by epoch first: an older leader's word never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Obeyed {
    epoch: Epoch,
    generation: Generation,
}

/// All that was obeyed.
#[derive(Clone, Debug, Default)]
pub struct HostMemory {
    epoch: Epoch,
    vms: BTreeMap<VmName, Obeyed>,
}

impl HostMemory {
    /// Replays records.
    #[must_use]
    pub fn of(records: impl IntoIterator<Item = HostRecord>) -> Self {
        let mut memory = Self::default();
        for record in records {
            memory.replay(record);
        }
        memory
    }

    /// Takes in one more record.
    pub fn replay(&mut self, record: HostRecord) {
        match record {
            HostRecord::Epoch { epoch } => self.epoch = self.epoch.max(epoch),
            HostRecord::Vm { vm, epoch, generation } => {
                self.vms.insert(vm, Obeyed { epoch, generation });
            }
            HostRecord::Forgotten { vm } => {
                self.vms.remove(&vm);
            }
        }
    }

    /// The fewest records that say all of it.
    pub fn records(&self) -> impl Iterator<Item = HostRecord> + '_ {
        let vms = self.vms.iter();
        std::iter::once(HostRecord::Epoch { epoch: self.epoch }).chain(vms.map(|(vm, obeyed)| HostRecord::Vm {
            vm: vm.clone(),
            epoch: obeyed.epoch,
            generation: obeyed.generation,
        }))
    }

    /// How many records [`records`](Self::records) gives.
    #[must_use]
    pub fn record_count(&self) -> usize {
        1 + self.vms.len()
    }

    /// The highest epoch that was obeyed; 0 when none was.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The highest generation of a VM that was obeyed; 0 when none was.
    #[must_use]
    pub fn generation(&self, vm: &VmName) -> Generation {
        self.vms.get(vm).map_or(Generation(0), |obeyed| obeyed.generation)
    }

    /// Raises the epoch.
    pub(super) fn raise_epoch(&mut self, epoch: Epoch, writes: &mut Vec<HostRecord>) {
        if epoch > self.epoch {
            self.epoch = epoch;
            writes.push(HostRecord::Epoch { epoch });
        }
    }

    /// Raises a VM's generation, as of the current epoch.
    pub(super) fn raise(&mut self, vm: &VmName, generation: Generation, writes: &mut Vec<HostRecord>) {
        let generation = generation.max(self.generation(vm));
        let obeyed = Obeyed { epoch: self.epoch, generation };
        if self.vms.get(vm) != Some(&obeyed) {
            self.vms.insert(vm.clone(), obeyed);
            writes.push(HostRecord::Vm { vm: vm.clone(), epoch: obeyed.epoch, generation });
        }
    }

    /// Forgets the VMs of earlier epochs that are not in use.
    pub(super) fn forget_earlier(
        &mut self,
        in_use: impl Fn(&VmName) -> bool,
        writes: &mut Vec<HostRecord>,
    ) -> Vec<VmName> {
        let old = self.vms.iter().filter(|(vm, obeyed)| obeyed.epoch < self.epoch && !in_use(vm));
        let old: Vec<VmName> = old.map(|(vm, _)| vm.clone()).collect();
        for vm in &old {
            self.forget(vm, writes);
        }
        old
    }

    /// Forgets one VM that is not in use when there are more than [`MAX_REMEMBERED`].
    pub(super) fn forget_surplus(
        &mut self,
        in_use: impl Fn(&VmName) -> bool,
        writes: &mut Vec<HostRecord>,
    ) -> Option<VmName> {
        if self.vms.len() <= MAX_REMEMBERED {
            return None;
        }
        let unused = self.vms.iter().filter(|(vm, _)| !in_use(vm));
        let (vm, _) = unused.min_by_key(|(vm, obeyed)| (obeyed.epoch, *vm))?;
        let vm = vm.clone();
        self.forget(&vm, writes);
        Some(vm)
    }

    fn forget(&mut self, vm: &VmName, writes: &mut Vec<HostRecord>) {
        self.vms.remove(vm);
        writes.push(HostRecord::Forgotten { vm: vm.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(name: &str) -> VmName {
        VmName::new(name).expect("a name")
    }

    #[test]
    fn what_was_written_is_what_is_remembered() {
        let mut memory = HostMemory::default();
        let mut writes = Vec::new();
        memory.raise_epoch(Epoch(3), &mut writes);
        memory.raise(&vm("a"), Generation(5), &mut writes);
        memory.raise(&vm("b"), Generation(1), &mut writes);
        memory.raise(&vm("a"), Generation(4), &mut writes);
        memory.raise_epoch(Epoch(2), &mut writes);
        assert_eq!(writes.len(), 3, "what changes nothing is not written: {writes:?}");

        memory.raise_epoch(Epoch(4), &mut writes);
        assert_eq!(memory.forget_earlier(|name| *name == vm("a"), &mut writes), [vm("b")]);
        for memory in [HostMemory::of(writes), HostMemory::of(memory.records())] {
            assert_eq!(memory.epoch(), Epoch(4));
            assert_eq!(memory.generation(&vm("a")), Generation(5));
            assert_eq!(memory.generation(&vm("b")), Generation(0));
        }
    }

    #[test]
    fn memory_has_a_bound_and_gives_up_first_what_is_oldest_and_unused() {
        let mut memory = HostMemory::default();
        let mut writes = Vec::new();
        for n in 0..MAX_REMEMBERED {
            memory.raise(&vm(&format!("vm-{n:05}")), Generation(1), &mut writes);
        }
        assert_eq!(memory.forget_surplus(|_| false, &mut writes), None);
        memory.raise_epoch(Epoch(1), &mut writes);
        memory.raise(&vm("another"), Generation(1), &mut writes);
        let first_is_used = |name: &VmName| *name == vm("vm-00000");
        assert_eq!(memory.forget_surplus(first_is_used, &mut writes), Some(vm("vm-00001")));
        assert_eq!(memory.record_count(), MAX_REMEMBERED + 1);
    }
}
