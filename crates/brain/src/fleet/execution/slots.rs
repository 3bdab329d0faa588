//! Whose turn it is at a host's start slots.
//!
//! The plan starts a higher class first, but its volumes and its configuration need not be there first: without more, a VM
//! of a lower class that is ready a moment earlier would have the slot for as long as its guest boots. So a slot is kept
//! for a VM whose start comes earlier in the plan and that is nearly there. It is not kept for one that waits for what
//! may not come: a fence, an earlier stage, an array or a volume that fails.

use lifeboat_model::{HostName, VmName, plan::Action};

use super::{Execution, LOOK_AHEAD, StepState};
use crate::fleet::Brain;

/// A start step in its host's order: when by the plan, and its position.
pub(super) type Turn = (lifeboat_model::Seconds, usize);

impl Brain {
    /// How many of a host's start slots are kept for VMs whose starts come before this one.
    pub(super) fn slots_kept(&self, host: &HostName, turn: Turn) -> u64 {
        let Some(execution) = &self.execution else { return 0 };
        let earlier = execution.starts.get(host).into_iter().flat_map(|starts| starts.range(..turn));
        let kept = earlier.take(LOOK_AHEAD).filter(|(_, at)| self.nearly_there(execution, *at)).count();
        u64::try_from(kept).unwrap_or(u64::MAX)
    }

    /// Whether a start waits for nothing but its own VM's volumes and configuration, and these are on their way.
    fn nearly_there(&self, execution: &Execution, at: usize) -> bool {
        let start = &execution.steps[at];
        if start.state != StepState::Waiting || start.open == 0 {
            return false;
        }
        let Some(vm) = start.step.action.vm() else { return false };
        let (mut remaps, mut configures) = (0, 0);
        for own in execution.of_vm.get(vm).into_iter().flatten() {
            let run = &execution.steps[*own];
            let open = matches!(run.state, StepState::Waiting | StepState::Running);
            match &run.step.action {
                Action::Remap { volume, .. } if open => {
                    if (run.state == StepState::Waiting && run.open > 0) || self.in_trouble(volume) {
                        return false;
                    }
                    remaps += 1;
                }
                Action::Configure { .. } if open => configures += 1,
                _ => {}
            }
        }
        start.open == configures && self.configure_waits_only_for(execution, vm, remaps)
    }

    fn configure_waits_only_for(&self, execution: &Execution, vm: &VmName, remaps: usize) -> bool {
        let configure = execution.find(vm, |action| matches!(action, Action::Configure { .. }));
        configure.is_some_and(|at| execution.steps[at].open == remaps)
    }

    /// Whether a volume or its array has failed last.
    fn in_trouble(&self, volume: &lifeboat_model::VolumeName) -> bool {
        let failed = self.volumes.get(volume).is_none_or(|volume| volume.failures > 0);
        let array = self.declared.volumes.get(volume).map(|spec| &spec.array);
        failed || array.is_none_or(|array| self.failing_arrays.contains(array))
    }
}
