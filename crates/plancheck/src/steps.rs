//! Steps by themselves: numbers, waits, durations.

use lifeboat_model::plan::{Action, StepId};
use lifeboat_model::{HostName, Seconds};

use crate::Violation;
use crate::ground::Ground;

/// The plan's steps by number.
pub(crate) fn check(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    let steps = &ground.plan.steps;
    let mut by_id: Vec<(StepId, usize)> = steps.iter().enumerate().map(|(at, step)| (step.id, at)).collect();
    by_id.sort_unstable();
    for pair in by_id.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        bad.push(Violation::StepTwice { step: pair[0].0 });
    }
    for (at, step) in steps.iter().enumerate() {
        if step.end_s < step.start_s {
            bad.push(Violation::Backwards { step: step.id });
        }
        let given = step.end_s.saturating_sub(step.start_s);
        let needed = needs(ground, at);
        if given < needed {
            bad.push(Violation::TooShort { step: step.id, given, needed });
        }
        for after in &step.after {
            let Ok(found) = by_id.binary_search_by_key(after, |entry| entry.0) else {
                bad.push(Violation::WaitsForUnknown { step: step.id, after: *after });
                continue;
            };
            let end = steps[by_id[found].1].end_s;
            if end > step.start_s {
                bad.push(Violation::TooEarly { step: step.id, after: *after, start: step.start_s, end });
            }
        }
    }
    failures(ground, bad);
}

fn needs(ground: &Ground<'_>, at: usize) -> Seconds {
    let named = ground.named[at];
    let vm = named.vm.map(|vm| &ground.fleet.vms[vm as usize]);
    match &ground.step(at).action {
        Action::Fence { .. } => ground.fleet.limits.fence_s,
        Action::Remap { .. } => named.array.map_or(Seconds::ZERO, |array| ground.fleet.arrays[array as usize].remap_s),
        Action::Configure { .. } => vm.map_or(Seconds::ZERO, |vm| vm.configure_s),
        Action::Start { .. } => vm.map_or(Seconds::ZERO, |vm| vm.start_s),
        Action::Stop { .. } | Action::Migrate { .. } => Seconds::ZERO,
    }
}

fn failures(ground: &Ground<'_>, bad: &mut Vec<Violation>) {
    let sorted = |hosts: &[HostName]| {
        let mut hosts = hosts.to_vec();
        hosts.sort();
        hosts.dedup();
        hosts
    };
    let (planned, asked) = (sorted(&ground.plan.failed), sorted(&ground.request.failed));
    if planned != asked {
        bad.push(Violation::OtherFailure { planned, asked });
    }
}
