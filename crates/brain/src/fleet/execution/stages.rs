//! The stages of a group: a VM's start waits until those of the earlier stages are up, and the delay between them is over.

use lifeboat_model::{GroupName, Time, VmName};

use super::StepState;
use crate::fleet::{
    Brain,
    records::{Phase, Wanted},
    timers::Timer,
};

/// What of the earlier stages of its group a VM's start waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageHold {
    /// This VM is not up.
    Vm(VmName),
    /// All are up, and the delay between two stages is not over.
    Delay {
        /// The group.
        group: GroupName,
        /// When it is.
        until: Time,
    },
}

impl Brain {
    /// What of the earlier stages of a VM's group its start waits for; none: nothing.
    #[must_use]
    pub fn stage_hold(&self, name: &VmName) -> Option<StageHold> {
        let (group, stage) = self.declared.stage(name)?;
        let mut latest = None;
        for vm in group.stages[..stage].iter().flatten() {
            let Some(record) = self.vms.get(vm) else { continue };
            if !record.enabled || record.wanted != Wanted::Running {
                continue;
            }
            match record.phase {
                Phase::Running { ready: Some(at), .. } => latest = latest.max(Some(at)),
                _ => return Some(StageHold::Vm(vm.clone())),
            }
        }
        let until = latest.map(|at| at + group.stage_delay_s)?;
        (self.now < until).then(|| StageHold::Delay { group: group.name.clone(), until })
    }

    /// Whether an earlier stage of a VM's group is not up, or its delay not over.
    pub(super) fn stage_holds(&mut self, name: &VmName) -> bool {
        match self.stage_hold(name) {
            None => false,
            Some(StageHold::Vm(_)) => true,
            Some(StageHold::Delay { group, until }) => {
                self.timers.set(Timer::Stage(group), until);
                true
            }
        }
    }

    pub(super) fn park(&mut self, at: usize) {
        if let Some(execution) = &mut self.execution {
            execution.parked.insert(at);
        }
    }

    /// A VM came up, a stage's delay is over, or a host is proven off: starts that waited may go on.
    pub(in crate::fleet) fn unpark_starts(&mut self) {
        let Some(execution) = &mut self.execution else { return };
        for at in std::mem::take(&mut execution.parked) {
            if execution.steps[at].state == StepState::Waiting {
                execution.enqueue(at);
            }
        }
    }
}
