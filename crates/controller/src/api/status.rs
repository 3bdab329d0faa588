//! The whole fleet at a glance.

use std::collections::BTreeMap;

use axum::Json;
use lifeboat_brain::fleet::Brain;
use lifeboat_client::api::{
    ControllerView, HostCondition, HostCount, HostNote, Overall, RecoveryRow, StatusView, VmCount, VmPhase,
};
use lifeboat_model::{Seconds, Time};

use super::{Answer, State, hosts, progress, recoveries, warnings};

/// Hosts that are named of one condition, at most.
const MAX_NAMED: usize = 20;
/// Recoveries that ended, at most.
const MAX_RECENT: usize = 3;
/// A recovery that ended is told of for so long.
const RECENT: Seconds = Seconds::new(24 * 3600);

/// The status.
pub(super) async fn get(state: State) -> Answer<StatusView> {
    Ok(Json(state.view(view).await?))
}

/// The status.
pub(super) fn view(brain: &Brain, now: Time) -> StatusView {
    let (mut recent, mut running): (Vec<RecoveryRow>, Vec<RecoveryRow>) =
        recoveries::rows(brain, now).into_iter().partition(|row| row.state.has_ended());
    running.reverse();
    recent.retain(|row| row.ended_us.is_some_and(|at| now.since(at) < RECENT));
    recent.sort_by_key(|row| std::cmp::Reverse(row.ended_us));
    recent.truncate(MAX_RECENT);
    let mut view = StatusView {
        overall: Overall::Calm,
        now_us: now,
        controller: ControllerView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: brain.epoch(),
            since_us: brain.started(),
        },
        hosts: host_counts(brain, now),
        vms: vm_counts(brain),
        recoveries: running,
        recent,
        warnings: warnings::all(brain, now),
    };
    view.overall = view.judge();
    view
}

fn host_counts(brain: &Brain, now: Time) -> Vec<HostCount> {
    let mut counts: BTreeMap<HostCondition, HostCount> = BTreeMap::new();
    for (name, host) in brain.hosts() {
        let Some(spec) = brain.declared().hosts.get(name) else { continue };
        let condition = hosts::condition(brain, name, host);
        let entry = counts.entry(condition).or_insert(HostCount { condition, count: 0, named: Vec::new() });
        entry.count += 1;
        if condition != HostCondition::Up && entry.named.len() < MAX_NAMED {
            entry.named.push(HostNote {
                host: name.clone(),
                since_us: hosts::since(host, condition).min(now),
                note: hosts::note(brain, name, host, spec, condition, now),
                until_us: hosts::until(host, condition),
            });
        }
    }
    counts.into_values().collect()
}

fn vm_counts(brain: &Brain) -> Vec<VmCount> {
    let mut counts: BTreeMap<VmPhase, u64> = BTreeMap::new();
    for (name, vm) in brain.vms() {
        *counts.entry(progress::of(brain, name, vm).phase).or_default() += 1;
    }
    counts.into_iter().map(|(phase, count)| VmCount { phase, count }).collect()
}
