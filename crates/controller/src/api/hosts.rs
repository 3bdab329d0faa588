//! Hosts, as operators see them.

use std::collections::BTreeMap;

use axum::{Json, extract::Path};
use lifeboat_brain::fleet::{
    Brain, HostState, LeavePolicy,
    records::{HostCondition as Brainwise, Upkeep},
};
use lifeboat_client::api::{AgentLink, FenceCheck, FenceRow, HardwareView, HostCondition, HostRow, MaintenanceView};
use lifeboat_model::{
    HostName, Time,
    fleet::Resources,
    liveness::VerdictRule,
    spec::{FenceSpec, HostSpec},
    text::count,
};

use super::{Answer, Failure, State, fences};

/// All hosts.
pub(super) async fn list(state: State) -> Answer<Vec<HostRow>> {
    Ok(Json(state.view(rows).await?))
}

/// What is known of a host's hardware.
pub(super) async fn hardware(state: State, Path(name): Path<String>) -> Answer<HardwareView> {
    let host = HostName::new(&name)?;
    let view = state.view(move |brain, _| {
        let found = brain.hosts().get(&host)?;
        let suspect = found.record.hardware.suspect.as_ref();
        let (why, since_us) = (suspect.map(|it| it.why.clone()), suspect.map(|it| it.since));
        Some(HardwareView { host, suspect: why, since_us, sources: found.hardware.values().cloned().collect() })
    });
    view.await?.map(Json).ok_or_else(|| Failure::not_found(format!("there is no host {name}")))
}

/// All hosts, by name.
pub(super) fn rows(brain: &Brain, now: Time) -> Vec<HostRow> {
    let mut used = used(brain);
    let known = brain.hosts().iter();
    known.filter_map(|(name, host)| one(brain, name, host, used.remove(name).unwrap_or_default(), now)).collect()
}

/// A host; none: it is not declared.
pub(super) fn row(brain: &Brain, name: &HostName, now: Time) -> Option<HostRow> {
    let used = used(brain).remove(name).unwrap_or_default();
    one(brain, name, brain.hosts().get(name)?, used, now)
}

fn one(brain: &Brain, name: &HostName, host: &HostState, (vms, used): (u64, Resources), now: Time) -> Option<HostRow> {
    let spec = brain.declared().hosts.get(name)?;
    let condition = condition(brain, name, host);
    Some(HostRow {
        name: name.clone(),
        condition,
        verdict: brain.judgement(name).map(|it| it.verdict.to_string()),
        since_us: since(host, condition).min(now),
        note: note(brain, name, host, spec, condition, now),
        maintenance: maintenance(host),
        agent: agent(brain, host, now),
        vms,
        used,
        capacity: spec.capacity.clone(),
        fences: spec.fences.iter().map(|spec| fence(spec, host)).collect(),
        // A welcome makes an agent this leader's; what an absent one has obeyed is not known.
        epoch: host.link.is_some().then(|| brain.epoch()),
    })
}

fn maintenance(host: &HostState) -> Option<MaintenanceView> {
    let record = &host.record;
    record.maintenance.then(|| {
        let upkeep = record.upkeep.clone().unwrap_or(Upkeep { since: record.since, ..Upkeep::default() });
        let Upkeep { since: since_us, note, until: until_us } = upkeep;
        MaintenanceView { since_us, note, until_us, draining: record.draining }
    })
}

/// How many VMs each host has, and what they take.
fn used(brain: &Brain) -> BTreeMap<&HostName, (u64, Resources)> {
    let mut used: BTreeMap<&HostName, (u64, Resources)> = BTreeMap::new();
    for (name, vm) in brain.vms() {
        let (Some(host), Some(spec)) = (vm.phase.occupies(), brain.declared().vms.get(name)) else { continue };
        let (vms, taken) = used.entry(host).or_default();
        *vms += 1;
        for (resource, amount) in &spec.demand {
            let sum = taken.entry(resource.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
    used
}

/// How a host is.
pub(super) fn condition(brain: &Brain, name: &HostName, host: &HostState) -> HostCondition {
    match host.record.condition {
        Brainwise::New => HostCondition::New,
        Brainwise::Up if host.record.leaving.is_some() => HostCondition::Leaving,
        Brainwise::Up if brain.is_suspect(name) => HostCondition::Suspect,
        Brainwise::Up if brain.in_maintenance(name) => HostCondition::Maintenance,
        Brainwise::Up if host.record.hardware.suspect.is_some() => HostCondition::Suspicious,
        Brainwise::Up if host.record.held_out.is_some() => HostCondition::HeldOut,
        Brainwise::Up => HostCondition::Up,
        Brainwise::Failed { .. } => HostCondition::Failed,
        Brainwise::Fenced { .. } => HostCondition::Off,
    }
}

/// Since when a host is so.
pub(super) fn since(host: &HostState, condition: HostCondition) -> Time {
    match host.record.condition {
        Brainwise::Failed { since, .. } | Brainwise::Fenced { since, .. } => since,
        Brainwise::Up if condition == HostCondition::Suspect => host.heard,
        Brainwise::Up if condition == HostCondition::Maintenance => {
            host.record.upkeep.as_ref().map_or(host.record.since, |upkeep| upkeep.since)
        }
        Brainwise::Up if condition == HostCondition::Leaving => {
            host.record.leaving.as_ref().map_or(host.record.since, |leaving| leaving.gone.unwrap_or(leaving.since))
        }
        Brainwise::Up if condition == HostCondition::Suspicious => {
            host.record.hardware.suspect.as_ref().map_or(host.record.since, |suspect| suspect.since)
        }
        Brainwise::Up if condition == HostCondition::HeldOut => {
            host.record.held_out.as_ref().map_or(host.record.since, |held| held.since)
        }
        Brainwise::New | Brainwise::Up => host.record.since,
    }
}

/// When a host's maintenance ends by itself.
pub(super) fn until(host: &HostState, condition: HostCondition) -> Option<Time> {
    let upkeep = host.record.upkeep.as_ref().filter(|_| condition == HostCondition::Maintenance);
    upkeep.and_then(|upkeep| upkeep.until)
}

/// What more there is to say of a host's condition.
pub(super) fn note(
    brain: &Brain,
    name: &HostName,
    host: &HostState,
    spec: &HostSpec,
    condition: HostCondition,
    now: Time,
) -> Option<String> {
    match &host.record.condition {
        // That it has never joined is all there is to say.
        Brainwise::New => None,
        Brainwise::Up if condition == HostCondition::Suspect => {
            let silence = now.since(host.heard);
            let more = brain.judgement(name).filter(|it| !matches!(it.rule, VerdictRule::Heard | VerdictRule::Silent));
            Some(more.map_or_else(
                || format!("nothing heard from it for {silence}"),
                |it| format!("{}: {} ({silence})", it.verdict, it.rule),
            ))
        }
        Brainwise::Up if condition == HostCondition::Leaving => leaving(brain, host, spec),
        Brainwise::Up if condition == HostCondition::Suspicious => {
            host.record.hardware.suspect.as_ref().map(|suspect| suspect.why.clone())
        }
        Brainwise::Up if condition == HostCondition::HeldOut => host.record.held_out.as_ref().map(|held| {
            format!("failed {} times; lifeboat maintenance {} off lets it take VMs", held.failures, spec.name)
        }),
        Brainwise::Up => in_maintenance(brain, host, spec),
        Brainwise::Failed { recovery, since } => {
            let recovery = brain.recoveries().get(recovery)?;
            let silence = since.since(recovery.last_heard);
            Some(match recovery.rule {
                None | Some(VerdictRule::NothingHeard) => {
                    format!("nothing was heard from it for {silence}, and it did not answer")
                }
                Some(rule) => format!("{} after {silence} of silence: {rule}", rule.verdict()),
            })
        }
        Brainwise::Fenced { proof, .. } => Some(proof.to_string()),
    }
}

/// `about to reboot, 2 VMs left`.
fn leaving(brain: &Brain, host: &HostState, spec: &HostSpec) -> Option<String> {
    let leaving = host.record.leaving.as_ref()?;
    let left = brain.vms().values().filter(|vm| vm.phase.may_run_on() == Some(&spec.name)).count();
    let vms = count(left, "VM");
    let waits = if left > 0 { format!(", {vms} wait for it") } else { String::new() };
    Some(match (leaving.gone.is_some(), leaving.reboot, leaving.policy) {
        (true, true, _) => format!("reboots{waits}"),
        (true, false, _) => format!("shut down, as it said{waits}"),
        (false, reboot, policy) => {
            let what = if reboot { "about to reboot" } else { "about to shut down" };
            match policy {
                LeavePolicy::Freeze => format!("{what}, {vms} go down with it"),
                _ => format!("{what}, {vms} left"),
            }
        }
    })
}

/// `dimm swap; being emptied, 3 VMs left`.
fn in_maintenance(brain: &Brain, host: &HostState, spec: &HostSpec) -> Option<String> {
    let ordered = host.record.upkeep.as_ref().and_then(|upkeep| upkeep.note.clone());
    let note = ordered.or_else(|| spec.maintenance.clone());
    if !host.record.draining {
        return note;
    }
    let left = brain.vms().values().filter(|vm| vm.phase.may_run_on() == Some(&spec.name)).count();
    let emptied = match left {
        0 => "it is empty".to_owned(),
        _ => format!("being emptied, {} left", count(left, "VM")),
    };
    Some(note.map_or(emptied.clone(), |note| format!("{note}; {emptied}")))
}

fn agent(brain: &Brain, host: &HostState, now: Time) -> Option<AgentLink> {
    if host.record.condition == Brainwise::New {
        return None;
    }
    let heard_before = match &host.record.condition {
        Brainwise::Failed { recovery, .. } | Brainwise::Fenced { recovery, .. } => {
            brain.recoveries().get(recovery).map(|recovery| recovery.last_heard)
        }
        Brainwise::New | Brainwise::Up => None,
    };
    // While it has time to come back to a new controller, its being heard is put ahead of now.
    let heard = if host.heard > now { brain.started() } else { host.heard };
    Some(AgentLink {
        connected: host.link.is_some(),
        since_us: host.link_since,
        heard_us: heard_before.map_or(heard, |before| before.max(heard)),
        version: host.record.version.clone().unwrap_or_default(),
    })
}

fn fence(spec: &FenceSpec, host: &HostState) -> FenceRow {
    let checked = host.record.fence_checks.get(spec.name());
    let checked = checked.map(|checked| FenceCheck { at_us: checked.at, problem: checked.problem.clone() });
    FenceRow { name: spec.name().clone(), kind: fences::kind(spec), checked }
}
