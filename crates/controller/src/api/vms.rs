//! VMs, as operators see them.

use axum::Json;
use lifeboat_brain::fleet::{
    Brain,
    records::{VmRecord, Wanted},
};
use lifeboat_client::api::{Desired, VmPhase, VmRow};
use lifeboat_model::{Time, VmName, spec::VmSpec};

use super::{Answer, State, progress};

/// All VMs.
pub(super) async fn list(state: State) -> Answer<Vec<VmRow>> {
    Ok(Json(state.view(rows).await?))
}

/// All VMs, by name.
pub(super) fn rows(brain: &Brain, now: Time) -> Vec<VmRow> {
    brain.vms().keys().filter_map(|name| row(brain, name, now)).collect()
}

/// One VM; none when it does not exist.
pub(super) fn row(brain: &Brain, name: &VmName, now: Time) -> Option<VmRow> {
    let (name, vm) = brain.vms().get_key_value(name)?;
    let spec = brain.declared().vms.get(name)?;
    Some(describe(brain, name, vm, spec, now))
}

fn describe(brain: &Brain, name: &VmName, vm: &VmRecord, spec: &VmSpec, now: Time) -> VmRow {
    let progress = progress::of(brain, name, vm);
    let running = progress.phase == VmPhase::Running;
    let why_not = match progress.phase {
        VmPhase::Running | VmPhase::Stopped | VmPhase::Disabled => None,
        // The sentence says more of the way than the last thing that went wrong.
        _ => progress::sentence(brain, name, &progress, now).or_else(|| brain.why_not(name)),
    };
    VmRow {
        name: name.clone(),
        class: brain.declared().class(name).unwrap_or(&spec.class).clone(),
        group: brain.declared().stage(name).map(|(group, _)| group.name.clone()),
        host: progress.host,
        phase: progress.phase,
        since_us: vm.paused.unwrap_or(vm.since).min(now),
        generation: vm.generation,
        desired: if vm.wanted == Wanted::Running { Desired::Running } else { Desired::Stopped },
        enabled: vm.enabled,
        why_not,
        reason: if running { None } else { brain.unplaced().get(name).cloned() },
        volumes: spec.volumes.clone(),
    }
}
