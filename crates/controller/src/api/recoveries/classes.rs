//! How far each class is within a recovery, and how it stands against its recovery time objective.

use std::collections::BTreeMap;

use lifeboat_brain::fleet::{Brain, records::RecoveryRecord};
use lifeboat_client::api::{ClassProgress, RecoveryVmState, Rto, VmPhase};
use lifeboat_model::{Time, fleet::Class};

use super::{Member, last};
use crate::api::progress::{Progress, Waits};

/// What is being done, in so many words at most.
const MAX_DOING: usize = 6;

/// What is being done with a VM, in words that go after a number; none when nothing is.
pub(super) fn doing(progress: &Progress) -> Option<String> {
    let on = |what: &str| match &progress.host {
        Some(host) => format!("{what} on {host}"),
        None => what.to_owned(),
    };
    match (progress.phase, &progress.waits) {
        (VmPhase::Starting | VmPhase::Paused | VmPhase::Running, _) => Some(on("starting")),
        (VmPhase::Configuring, _) => Some(on("being configured")),
        (VmPhase::Remapping, _) => Some(on("waiting for volumes")),
        (VmPhase::Stopping, _) => Some(on("being stopped")),
        (_, Some(Waits::Fence(_))) => Some("waiting for the fence".to_owned()),
        (_, Some(Waits::Stage(vm))) => Some(format!("for {vm} (same group)")),
        (_, Some(Waits::Delay(_))) => Some("for the delay of its group".to_owned()),
        (_, Some(Waits::Turn)) => Some(on("waiting for a turn")),
        (_, Some(Waits::Other)) => Some("waiting".to_owned()),
        _ => None,
    }
}

/// Every class that has VMs in a recovery, the most important first.
pub(super) fn progress(
    brain: &Brain,
    recovery: &RecoveryRecord,
    members: &[Member<'_>],
    stuck: bool,
    now: Time,
) -> Vec<ClassProgress> {
    let mut by_class: BTreeMap<&str, Vec<&Member<'_>>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.counts()) {
        by_class.entry(member.entry.class.as_str()).or_default().push(member);
    }
    let classes = brain.declared().classes.iter();
    classes
        .filter_map(|class| Some((class, by_class.remove(class.name.as_str())?)))
        .map(|(class, members)| of_class(class, recovery, &members, stuck, now))
        .collect()
}

fn of_class(
    class: &Class,
    recovery: &RecoveryRecord,
    members: &[&Member<'_>],
    stuck: bool,
    now: Time,
) -> ClassProgress {
    let count = |state| members.iter().filter(|member| member.state == state).count();
    let (ready, unplaced) = (count(RecoveryVmState::Ready), count(RecoveryVmState::Unplaced));
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    // What never left has been there all the time.
    let ups = members.iter().filter(|member| member.state == RecoveryVmState::Ready);
    let last_up = ups.map(|member| member.ready.unwrap_or(recovery.declared)).max();
    let deadline = recovery.declared + class.rto_s;
    let expected = if stuck { None } else { last(members.iter().copied()) };
    let rto = match last_up {
        Some(at) if ready == members.len() => {
            if at <= deadline {
                Rto::Met
            } else {
                Rto::Missed
            }
        }
        _ if recovery.closed.unwrap_or(now) > deadline => Rto::Missed,
        _ if unplaced == 0 && expected.is_some_and(|at| at <= deadline) => Rto::OnTrack,
        _ => Rto::AtRisk,
    };
    ClassProgress {
        class: class.name.clone(),
        total: number(members.len()),
        ready: number(ready),
        unplaced: number(unplaced),
        rto_s: class.rto_s,
        rto,
        ready_s: last_up.filter(|_| ready + unplaced == members.len()).map(|at| at.since(recovery.declared)),
        doing: all_doing(members),
    }
}

/// `1 starting on h4`, `2 waiting for volumes on h1`: those nearest to being up first.
fn all_doing(members: &[&Member<'_>]) -> Vec<String> {
    let mut counts: BTreeMap<(std::cmp::Reverse<RecoveryVmState>, &str), usize> = BTreeMap::new();
    for member in members.iter().filter(|member| member.moves()) {
        if let Some(doing) = &member.doing {
            *counts.entry((std::cmp::Reverse(member.state), doing)).or_default() += 1;
        }
    }
    let rest: usize = counts.values().skip(MAX_DOING).sum();
    let mut said: Vec<String> =
        counts.iter().take(MAX_DOING).map(|((_, doing), count)| format!("{count} {doing}")).collect();
    if rest > 0 {
        said.push(format!("{rest} more on their way"));
    }
    said
}
