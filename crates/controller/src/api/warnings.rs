//! What should be looked at, the worst first, each with its mend.
//!
//! A failed host whose fence is waited for is not among these: its recovery says so, with what to do.

use lifeboat_brain::fleet::{
    Brain,
    records::{HostCondition, Phase, VmRecord, Wanted},
};
use lifeboat_client::api::{CheckState, VmPhase, VolumeState, Warning};
use lifeboat_model::{HostName, Time, VmName, reason::Reason, running::VmRunState};

use super::{checks, progress, volumes};

/// The most that are told at once.
const MAX: usize = 20;
/// Hosts that one warning names.
const NAMED: usize = 3;

/// All warnings, the worst first.
pub(super) fn all(brain: &Brain, now: Time) -> Vec<Warning> {
    let mut ranked: Vec<(u8, Warning)> = brake(brain).map(|warning| (0, warning)).into_iter().collect();
    for (name, vm) in brain.vms() {
        ranked.extend(of_vm(brain, name, vm));
    }
    ranked.extend(of_who_looks(brain).map(|warning| (3, warning)));
    ranked.extend(of_checks(brain).map(|warning| (3, warning)));
    ranked.extend(of_volumes(brain, now).map(|warning| (4, warning)));
    ranked.extend(of_agents(brain, now).map(|warning| (5, warning)));
    ranked.extend(of_fences(brain, now).map(|warning| (6, warning)));
    ranked.extend(without_fence(brain).map(|warning| (6, warning)));
    ranked.extend(never_joined(brain).map(|warning| (7, warning)));
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(MAX).map(|(_, warning)| warning).collect()
}

fn warning(text: String, mend: String) -> Warning {
    Warning { text, mend: Some(mend), since_us: None, host: None, vm: None }
}

/// A VM that should run and does not, or not well.
fn of_vm(brain: &Brain, name: &VmName, vm: &VmRecord) -> Option<(u8, Warning)> {
    if !vm.enabled || vm.wanted != Wanted::Running {
        return None;
    }
    let class = brain.declared().class(name)?;
    let (rank, text, mend) = if let Some(why) = &vm.given_up {
        let mend = format!("mend the cause, then lifeboat vm start {name}");
        (0, format!("{name} ({class}) was given up: {why}"), mend)
    } else if let (VmPhase::Unplaced, Some(reason)) = (progress::of(brain, name, vm).phase, brain.unplaced().get(name))
    {
        (1, format!("{name} ({class}) has no place: {reason}"), room(name, reason))
    } else if let (Some(_), Some(host)) = (vm.paused, vm.phase.may_run_on()) {
        let text = match vm.halted {
            Some(VmRunState::IoError) => {
                format!("{name} ({class}) is paused on {host} because a volume gave an I/O error")
            }
            Some(VmRunState::Watchdog) => format!("{name} ({class}) hangs on {host}: its watchdog ran out"),
            _ => format!("{name} ({class}) is paused on {host}"),
        };
        let mend = match vm.halted {
            Some(VmRunState::Watchdog) => format!("lifeboat vm restart {name}"),
            _ => format!("see to its storage, then lifeboat vm restart {name}"),
        };
        (2, text, mend)
    } else {
        let (Phase::Stopping { host }, Some(problem)) = (&vm.phase, &vm.problem) else { return None };
        (3, format!("{name} ({class}) does not stop: {problem}"), format!("look at {host}; Lifeboat goes on trying"))
    };
    let since_us = Some(vm.paused.unwrap_or(vm.since));
    Some((rank, Warning { since_us, vm: Some(name.clone()), ..warning(text, mend) }))
}

/// Who sees so many VMs fail at once that it is taken to be in trouble itself.
fn of_who_looks(brain: &Brain) -> impl Iterator<Item = Warning> {
    brain.troubles().iter().map(|(by, since)| {
        let who = by.as_ref().map_or("This controller".to_owned(), |host| format!("The agent of {host}"));
        let text = format!("{who} sees most of its VMs fail their checks at once: nothing is done about these VMs");
        let mend = "look at its own network first; lifeboat get checks says what it sees".to_owned();
        Warning { since_us: Some(*since), host: by.clone(), ..warning(text, mend) }
    })
}

/// VMs that fail a check, one warning a VM and check.
fn of_checks(brain: &Brain) -> impl Iterator<Item = Warning> {
    brain.watches().iter().filter_map(|((check, vm), watch)| {
        let said = watch.last.as_ref().map_or("", |(_, report)| report.output.as_str());
        let (text, mend) = match checks::state_of(watch) {
            CheckState::Held => {
                let why = watch.record.held.as_deref().unwrap_or_default();
                let text = format!("{vm} fails its check {check}: {said}. It is not restarted any more: {why}");
                (text, format!("mend the cause, then lifeboat vm restart {vm}"))
            }
            CheckState::HardFailure => {
                (format!("{vm} fails its check {check}: {said}"), format!("look at {vm}; lifeboat get checks {check}"))
            }
            CheckState::Unknown => {
                let text = format!("check {check} of {vm} cannot be made: {said}");
                (text, "mend the check, not the VM: nothing is known of it".to_owned())
            }
            CheckState::Ok | CheckState::Pending | CheckState::SoftFailure => return None,
        };
        Some(Warning { since_us: Some(watch.record.since), vm: Some(vm.clone()), ..warning(text, mend) })
    })
}

/// What would give a VM a place.
fn room(name: &VmName, reason: &Reason) -> String {
    match reason {
        Reason::NoCapacity { resource, short_by, nearest } => {
            format!("free {short_by} {resource} on {nearest}, or bring up another host")
        }
        Reason::NoEligibleHost { requires: Some(label) } => {
            format!("bring up a host with the {label} that it wants, or change what {name} requires")
        }
        Reason::NoEligibleHost { requires: None } => "bring up a host: lifeboat get hosts".to_owned(),
        Reason::Rule { nearest, .. } => {
            format!("make room on a host that its rules allow, or loosen the rule that keeps it off {nearest}")
        }
        Reason::GroupIncomplete { missing, .. } | Reason::StageBlocked { missing, .. } => {
            format!("find a place for {missing}: lifeboat get vms {missing}")
        }
        Reason::VolumeLimit { nearest, .. } => format!("raise max_volumes of {nearest}, or bring up another host"),
        Reason::Numa { nearest, .. } => format!("make room on the NUMA nodes of {nearest}, or bring up another host"),
        Reason::ArrayUnavailable { array } => format!("raise max_ops of array {array}"),
    }
}

/// Volumes that an array does not give or take.
fn of_volumes(brain: &Brain, now: Time) -> impl Iterator<Item = Warning> {
    brain.volumes().iter().filter_map(move |(name, volume)| {
        let problem = volume.record.problem.as_ref().filter(|_| volumes::state_of(volume) == VolumeState::Failing)?;
        let array = brain.declared().volumes.get(name).map(|spec| &spec.array)?;
        let text = format!("volume {name}: {problem}");
        let mend = format!("look at array {array}; Lifeboat goes on trying");
        let (since_us, vm) = (Some(volume.record.since.min(now)), brain.declared().owner(name).cloned());
        Some(Warning { since_us, vm, ..warning(text, mend) })
    })
}

/// Hosts that are up and whose agent has no link.
fn of_agents(brain: &Brain, now: Time) -> impl Iterator<Item = Warning> {
    brain.hosts().iter().filter_map(move |(name, host)| {
        if host.record.condition != HostCondition::Up || host.link.is_some() {
            return None;
        }
        let back = if host.heard > now { " since this controller started" } else { "" };
        let text = format!(
            "the agent of {name} is not connected{back}: it gets no orders, and counts as failed if it stays so"
        );
        let mend = format!("see whether lifeboat-agent runs on {name}");
        Some(Warning { since_us: Some(host.link_since), host: Some(name.clone()), ..warning(text, mend) })
    })
}

/// The controller suspects itself.
fn brake(brain: &Brain) -> Option<Warning> {
    let brake = brain.brake()?;
    let hosts = lifeboat_model::text::counted(brake.hosts, "host is", "hosts are");
    let text = format!(
        "the controller suspects itself: {}. {hosts} held and not fenced, unless other evidence confirms that they are lost",
        brake.why
    );
    let mend = "see to the network at the controller; it goes on by itself".to_owned();
    Some(Warning { since_us: Some(brake.since), ..warning(text, mend) })
}

/// `h1, h2, h3 and 2 more`, and whether it is one.
fn some(hosts: &[&HostName]) -> String {
    let named: Vec<&str> = hosts.iter().take(NAMED).map(|host| host.as_str()).collect();
    match hosts.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn one(hosts: &[&HostName]) -> Option<HostName> {
    match hosts {
        [host] => Some((*host).clone()),
        _ => None,
    }
}

/// Fence devices that failed their last look.
fn of_fences(brain: &Brain, now: Time) -> impl Iterator<Item = Warning> {
    brain.failing_fences().map(move |(host, device, checked)| {
        let problem = checked.problem.as_deref().unwrap_or_default();
        let what = if checked.misleads() { "is not to be trusted" } else { "did not answer its last check" };
        let text = format!("{device} {what}: {host} could not be fenced by it ({problem})");
        let mend = format!("lifeboat fence test {host}");
        Warning { since_us: Some(checked.since.min(now)), host: Some(host.clone()), ..warning(text, mend) }
    })
}

/// Hosts that cannot be fenced by power.
fn without_fence(brain: &Brain) -> Option<Warning> {
    let bare: Vec<&HostName> =
        brain.declared().hosts.keys().filter(|host| !brain.ladder_now(host).iter().any(could_work)).collect();
    let text = match bare.as_slice() {
        [] => return None,
        [host] => format!("{host} has no fence device: when it fails, its VMs wait for an operator's word"),
        hosts => format!(
            "{} hosts have no fence device ({}): when one fails, its VMs wait for an operator's word",
            hosts.len(),
            some(hosts)
        ),
    };
    let mend = "add [[host.fence]] to the fleet's file and apply it".to_owned();
    Some(Warning { host: one(&bare), ..warning(text, mend) })
}

/// Whether a rung is one for a host that is well: a device, answering or not, or a lease that would be a proof.
fn could_work(rung: &lifeboat_brain::fleet::RungNow) -> bool {
    rung.works || matches!(rung.rung, lifeboat_brain::fleet::Rung::Power { .. })
}

/// Hosts that are declared and were never heard.
fn never_joined(brain: &Brain) -> Option<Warning> {
    let new = brain.hosts().iter().filter(|(_, host)| host.record.condition == HostCondition::New);
    let new: Vec<&HostName> = new.map(|(name, _)| name).collect();
    let first = new.first()?;
    let text = match new.as_slice() {
        [host] => format!("{host} is declared and its agent has never joined"),
        hosts => format!("{} hosts are declared and their agents have never joined ({})", hosts.len(), some(hosts)),
    };
    Some(Warning { host: one(&new), ..warning(text, format!("lifeboat token create --host {first}")) })
}
