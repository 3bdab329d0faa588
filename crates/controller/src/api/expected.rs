//! When a VM that is on its way is expected to be up: the plan's times, moved by what is known to be early or late.

use lifeboat_brain::fleet::{
    Brain, StepState,
    records::{Phase, RecoveryRecord, VmRecord},
};
use lifeboat_model::{Time, VmName, plan::Action};

/// Microseconds, early below zero.
type Shift = i128;

fn micros(time: Time) -> i128 {
    i128::from(time.micros())
}

/// How much later than planned the current plan goes because of the fence of a recovery's host; below zero: earlier.
pub(super) fn fence_shift(brain: &Brain, recovery: &RecoveryRecord) -> Option<Shift> {
    let execution = brain.execution()?;
    let (fenced, _) = recovery.fenced.as_ref()?;
    let (step, _) =
        execution.steps().find(|(step, _)| matches!(&step.action, Action::Fence { host } if *host == recovery.host))?;
    Some(micros(*fenced) - micros(execution.made + step.end_s))
}

/// When a VM is expected to be up; none when nobody can say.
///
/// The plan says when its start ends. That moves with the fence that all waited for, and with those of the VM's own steps
/// that are overdue.
pub(super) fn ready_at(brain: &Brain, name: &VmName, vm: &VmRecord, fence: Option<Shift>, now: Time) -> Option<Time> {
    match &vm.phase {
        Phase::Running { ready: Some(at), .. } => Some(*at),
        Phase::Running { .. } | Phase::Starting { .. } => {
            let start = brain.declared().vms.get(name)?.start_s;
            Some((vm.since + start).max(now))
        }
        Phase::Stopping { .. } => None,
        Phase::Stopped | Phase::Preparing { .. } | Phase::Lost { .. } => {
            let execution = brain.execution()?;
            let made = micros(execution.made);
            let (mut end, mut shift) = (None, fence);
            for (step, state) in execution.steps_of(name) {
                let due = match state {
                    StepState::Waiting => step.start_s,
                    StepState::Running => step.end_s,
                    StepState::Done => continue,
                    StepState::Dropped => return None,
                };
                if matches!(step.action, Action::Start { .. }) {
                    end = Some(step.end_s);
                }
                let late = micros(now) - made - i128::from(due.micros());
                shift = Some(shift.unwrap_or(0).max(late));
            }
            let at = made + i128::from(end?.micros()) + shift.unwrap_or(0);
            Some(Time::from_micros(u64::try_from(at).unwrap_or(0)).max(now))
        }
    }
}
