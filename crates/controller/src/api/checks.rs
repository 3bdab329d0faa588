//! Checks of VMs, as operators see them.

use axum::Json;
use lifeboat_brain::fleet::{
    Brain,
    health::{Watch, WatchState},
};
use lifeboat_client::api::{CheckRow, CheckState};
use lifeboat_model::{Time, VmName, spec::HealthCheck};

use super::{Answer, State};

/// All checks.
pub(super) async fn list(state: State) -> Answer<Vec<CheckRow>> {
    Ok(Json(state.view(rows).await?))
}

/// All checks, by name and VM.
pub(super) fn rows(brain: &Brain, now: Time) -> Vec<CheckRow> {
    let declared = &brain.declared().checks;
    let watches = brain.watches().iter();
    watches.filter_map(|((name, vm), watch)| Some(row(declared.get(name)?, vm, watch, now))).collect()
}

fn row(check: &HealthCheck, vm: &VmName, watch: &Watch, now: Time) -> CheckRow {
    let record = &watch.record;
    let failures = match record.state {
        WatchState::Soft { failures } => failures,
        _ => 0,
    };
    CheckRow {
        name: check.name.clone(),
        vm: vm.clone(),
        kind: check.look.kind().to_owned(),
        from: check.from,
        state: state_of(watch),
        since_us: record.since.min(now),
        failures,
        failures_allowed: check.failures,
        restarts: watch.restarts(now),
        restarts_allowed: check.restarts_per_hour,
        looked_us: watch.last.as_ref().map(|(at, _)| *at),
        last: watch.last.as_ref().map(|(_, report)| report.clone()),
        note: record.held.clone().or_else(|| watch.quiet.clone()),
    }
}

/// How a check stands.
pub(super) fn state_of(watch: &Watch) -> CheckState {
    match watch.record.state {
        WatchState::Pending => CheckState::Pending,
        WatchState::Ok => CheckState::Ok,
        WatchState::Soft { .. } => CheckState::SoftFailure,
        WatchState::Hard if watch.record.held.is_some() => CheckState::Held,
        WatchState::Hard => CheckState::HardFailure,
        WatchState::Unknown => CheckState::Unknown,
    }
}
