//! Recoveries, as operators see them: how far each is, class by class and VM by VM, and when it is expected to end.

use std::collections::BTreeMap;

use axum::{Json, extract::Path};
use lifeboat_brain::fleet::{
    Brain, FenceProof, RecoveryId,
    records::{EntryState, HostCondition, RecoveryEntry, RecoveryRecord},
};
use lifeboat_client::api::{
    FenceProgress, PlanRef, RecoveryRow, RecoveryState, RecoveryView, RecoveryVm, RecoveryVmState, VmPhase,
};
use lifeboat_model::{HostName, Time, VmName};

use super::{Answer, Failure, State, expected, fences, progress};

mod classes;

/// All recoveries that are remembered.
pub(super) async fn list(state: State) -> Answer<Vec<RecoveryRow>> {
    Ok(Json(state.view(rows).await?))
}

/// One recovery with its VMs.
pub(super) async fn one(state: State, Path(id): Path<String>) -> Answer<RecoveryView> {
    let unknown = || {
        Failure::not_found(format!("there is no recovery {id}"))
            .advice("lifeboat get recoveries lists those that are remembered")
    };
    let number = id.parse().map(RecoveryId).map_err(|_| unknown())?;
    state.view(move |brain, now| view(brain, number, now)).await?.map(Json).ok_or_else(unknown)
}

/// All recoveries, newest first.
pub(super) fn rows(brain: &Brain, now: Time) -> Vec<RecoveryRow> {
    brain.recoveries().values().rev().map(|recovery| row(brain, recovery, now)).collect()
}

/// A recovery with its VMs; none when it is not remembered.
pub(super) fn view(brain: &Brain, id: RecoveryId, now: Time) -> Option<RecoveryView> {
    let recovery = brain.recoveries().get(&id)?;
    let members = members(brain, recovery, now);
    let rank: BTreeMap<_, usize> =
        brain.declared().classes.iter().enumerate().map(|(rank, class)| (&class.name, rank)).collect();
    let row = row_of(brain, recovery, &members, now);
    let mut vms: Vec<RecoveryVm> = members.into_iter().map(|member| member.into_vm(recovery)).collect();
    vms.sort_by_key(|vm| rank.get(&vm.class).copied().unwrap_or(usize::MAX));
    Some(RecoveryView { row, now_us: now, vms })
}

/// A recovery without its single VMs.
pub(super) fn row(brain: &Brain, recovery: &RecoveryRecord, now: Time) -> RecoveryRow {
    row_of(brain, recovery, &members(brain, recovery, now), now)
}

/// A VM of a recovery, as it is now.
struct Member<'a> {
    name: &'a VmName,
    entry: &'a RecoveryEntry,
    state: RecoveryVmState,
    to: Option<HostName>,
    /// When it was ready.
    ready: Option<Time>,
    /// When it is expected to be ready, while it is on its way.
    expected: Option<Time>,
    detail: Option<String>,
    /// What is being done, in words that go after a number.
    doing: Option<String>,
}

impl Member<'_> {
    /// Whether it is the recovery's to bring back.
    fn counts(&self) -> bool {
        self.state != RecoveryVmState::Released
    }

    fn is_open(&self) -> bool {
        self.entry.state == EntryState::Open && self.counts()
    }

    /// Whether it is on its way.
    fn moves(&self) -> bool {
        self.is_open() && self.state != RecoveryVmState::Unplaced
    }

    fn into_vm(self, recovery: &RecoveryRecord) -> RecoveryVm {
        RecoveryVm {
            vm: self.name.clone(),
            class: self.entry.class.clone(),
            from: recovery.host.clone(),
            to: self.to,
            state: self.state,
            detail: self.detail,
            ready_s: self.ready.map(|at| at.since(recovery.declared)),
        }
    }
}

fn members<'a>(brain: &Brain, recovery: &'a RecoveryRecord, now: Time) -> Vec<Member<'a>> {
    let fence = expected::fence_shift(brain, recovery);
    recovery.vms.iter().map(|(name, entry)| member(brain, recovery, name, entry, fence, now)).collect()
}

fn member<'a>(
    brain: &Brain,
    recovery: &RecoveryRecord,
    name: &'a VmName,
    entry: &'a RecoveryEntry,
    fence: Option<i128>,
    now: Time,
) -> Member<'a> {
    let settled = |state, to: Option<&HostName>, ready, detail| Member {
        name,
        entry,
        state,
        to: to.cloned(),
        ready,
        expected: None,
        detail,
        doing: None,
    };
    match &entry.state {
        EntryState::Open => open_member(brain, name, entry, fence, now),
        EntryState::Ready { host, at } => settled(RecoveryVmState::Ready, Some(host), Some(*at), None),
        EntryState::NeverLeft => {
            let host = &recovery.host;
            settled(RecoveryVmState::Ready, Some(host), None, Some(format!("it never left {host}")))
        }
        EntryState::PassedOn { to } => {
            settled(RecoveryVmState::Released, None, None, Some(format!("goes on in recovery {}", to.0)))
        }
        EntryState::Released => settled(RecoveryVmState::Released, None, None, None),
        EntryState::GivenUp { why } => {
            let detail = format!("given up: {why}; when the cause is mended: lifeboat vm start {name}");
            settled(RecoveryVmState::Unplaced, None, None, Some(detail))
        }
    }
}

fn open_member<'a>(
    brain: &Brain,
    name: &'a VmName,
    entry: &'a RecoveryEntry,
    fence: Option<i128>,
    now: Time,
) -> Member<'a> {
    let nothing = Member {
        name,
        entry,
        state: RecoveryVmState::Released,
        to: None,
        ready: None,
        expected: None,
        detail: None,
        doing: None,
    };
    let Some(vm) = brain.vms().get(name) else { return nothing };
    let progress = progress::of(brain, name, vm);
    let state = match progress.phase {
        VmPhase::Stopped | VmPhase::Disabled => return nothing,
        VmPhase::Unplaced => RecoveryVmState::Unplaced,
        VmPhase::Remapping => RecoveryVmState::Remapping,
        VmPhase::Configuring => RecoveryVmState::Configuring,
        VmPhase::Starting | VmPhase::Paused | VmPhase::Running => RecoveryVmState::Starting,
        VmPhase::Waiting | VmPhase::Lost | VmPhase::Stopping => RecoveryVmState::Waiting,
    };
    let to = match progress.phase {
        // Its host is the failed one; where it goes is in the plan.
        VmPhase::Lost => progress::steps(brain, name).next().map(|(action, _)| action.host().clone()),
        _ => progress.host.clone(),
    };
    let detail = progress::sentence(brain, name, &progress, now).or_else(|| brain.why_not(name));
    let doing = classes::doing(&progress);
    let expected = expected::ready_at(brain, name, vm, fence, now);
    Member { state, to, detail, doing, expected, ..nothing }
}

fn row_of(brain: &Brain, recovery: &RecoveryRecord, members: &[Member<'_>], now: Time) -> RecoveryRow {
    let state = state_of(brain, recovery, members);
    let fence = fence(brain, recovery, state);
    let stuck = fence.waits_for.is_some();
    let count = |of: fn(&Member<'_>) -> bool| members.iter().filter(|it| of(it)).map(|_| 1).sum::<u64>();
    let ended = recovery.closed.or_else(|| {
        let settled = members.iter().filter_map(|member| member.ready).chain(recovery.fenced.as_ref().map(|it| it.0));
        state.has_ended().then(|| settled.max().unwrap_or(recovery.declared))
    });
    RecoveryRow {
        id: recovery.id.0,
        host: recovery.host.clone(),
        verdict: recovery.verdict.clone(),
        declared_us: recovery.declared,
        state,
        fence,
        total: count(|it| it.counts()),
        ready: count(|it| it.state == RecoveryVmState::Ready),
        unplaced: count(|it| it.state == RecoveryVmState::Unplaced),
        classes: classes::progress(brain, recovery, members, stuck, now),
        plan: recovery.plan.map(|id| PlanRef {
            id: id.0,
            parent: brain.plans().get(&id).and_then(|plan| plan.parent).map(|parent| parent.0),
        }),
        expected_us: if stuck || ended.is_some() { None } else { last(members.iter()) },
        ended_us: ended,
    }
}

/// When the last of those on their way is expected; none when nobody can say of one of them, or there is none.
fn last<'a>(members: impl Iterator<Item = &'a Member<'a>>) -> Option<Time> {
    let all: Option<Vec<Time>> = members.filter(|it| it.moves()).map(|it| it.expected).collect();
    all?.into_iter().max()
}

fn state_of(brain: &Brain, recovery: &RecoveryRecord, members: &[Member<'_>]) -> RecoveryState {
    if recovery.closed.is_some() {
        let given_up = members.iter().any(|member| member.state == RecoveryVmState::Unplaced);
        return match (&recovery.fenced, given_up) {
            (None, _) => RecoveryState::Withdrawn,
            (Some(_), true) => RecoveryState::Incomplete,
            (Some(_), false) => RecoveryState::Complete,
        };
    }
    let host = brain.hosts().get(&recovery.host).map(|host| &host.record.condition);
    if matches!(host, Some(HostCondition::Failed { recovery: id, .. }) if *id == recovery.id) {
        return RecoveryState::Fencing;
    }
    // What has no place keeps a recovery open in the brain; to people it has ended until there is room.
    if members.iter().any(Member::is_open) && !members.iter().any(Member::moves) {
        return RecoveryState::Incomplete;
    }
    RecoveryState::Recovering
}

fn fence(brain: &Brain, recovery: &RecoveryRecord, state: RecoveryState) -> FenceProgress {
    let rungs = recovery.ladder.iter().map(fences::rung).collect();
    let mut progress = FenceProgress { attempts: recovery.fence_attempts, rungs, ..FenceProgress::default() };
    if let Some((at, proof)) = &recovery.fenced {
        progress.method = Some(proof.method().to_owned());
        progress.after_s = Some(at.since(recovery.declared));
        if let FenceProof::Power { device } = proof {
            progress.device = Some(device.clone());
        }
        return progress;
    }
    if state == RecoveryState::Fencing {
        progress.device = brain.fencing_with(&recovery.host).cloned();
        if let Some(wait) = brain.fence_waiting(&recovery.host).filter(|wait| wait.stuck) {
            (progress.waits_for, progress.mends) = (Some(wait.why), wait.mends);
        }
    }
    progress
}
