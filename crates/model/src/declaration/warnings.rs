//! What is taken, and should be looked at.

use std::collections::BTreeSet;

use crate::spec::{ArrayBackend, Declaration, VmSpec};

/// The most warnings that are told at once.
const MAX_WARNINGS: usize = 20;

/// What of a whole declaration will hurt one day, one sentence each with its way out; at most 20.
#[must_use]
pub fn warnings(declaration: &Declaration) -> Vec<String> {
    let mut warnings = Vec::new();
    hosts_without_fence(declaration, &mut warnings);
    arrays_without_backend(declaration, &mut warnings);
    arrays_that_miss_hosts(declaration, &mut warnings);
    rules_over_unknown_labels(declaration, &mut warnings);
    for vm in &declaration.vms {
        if warnings.len() >= MAX_WARNINGS {
            break;
        }
        vm_without_a_possible_host(vm, declaration, &mut warnings);
    }
    warnings.truncate(MAX_WARNINGS);
    warnings
}

/// `h1, h2 and 3 more`.
fn some(names: &[&str]) -> String {
    match names.len() {
        0..=3 => names.join(", "),
        more => format!("{} and {} more", names[..3].join(", "), more - 3),
    }
}

fn hosts_without_fence(declaration: &Declaration, warnings: &mut Vec<String>) {
    let bare = declaration.hosts.iter().filter(|host| host.fences.is_empty());
    let bare: Vec<&str> = bare.map(|host| host.name.as_str()).collect();
    if bare.is_empty() {
        return;
    }
    let has = if bare.len() == 1 { "host has" } else { "hosts have" };
    warnings.push(format!(
        "{} {has} no fence ({}): when one fails, its VMs wait for an operator's `lifeboat recover HOST --confirm-off`. Add \
         [[host.fence]].",
        bare.len(),
        some(&bare)
    ));
}

fn arrays_without_backend(declaration: &Declaration, warnings: &mut Vec<String>) {
    for array in declaration.arrays.iter().filter(|array| array.backend.is_none()) {
        warnings.push(format!(
            "array `{}` has no backend: it can be planned with, but no VM on it can be started. Add `backend`.",
            array.name
        ));
    }
}

fn arrays_that_miss_hosts(declaration: &Declaration, warnings: &mut Vec<String>) {
    for array in &declaration.arrays {
        let Some(ArrayBackend::Nbd { hosts, .. }) = &array.backend else { continue };
        let without = declaration.hosts.iter().filter(|host| !hosts.contains_key(&host.name));
        let without: Vec<&str> = without.map(|host| host.name.as_str()).collect();
        if !without.is_empty() {
            warnings.push(format!(
                "array `{}` has no daemon for {}: VMs with volumes there cannot run on {}. Add it to `backend.hosts`.",
                array.name,
                some(&without),
                if without.len() == 1 { "it" } else { "them" }
            ));
        }
    }
}

fn rules_over_unknown_labels(declaration: &Declaration, warnings: &mut Vec<String>) {
    let labels: BTreeSet<&String> = declaration.hosts.iter().flat_map(|host| host.labels.keys()).collect();
    for rule in &declaration.rules {
        if rule.scope != "host" && !declaration.hosts.is_empty() && !labels.contains(&rule.scope) {
            warnings.push(format!(
                "rule `{}` is about the label `{}`, which no host has: it says nothing until hosts have it.",
                rule.name, rule.scope
            ));
        }
    }
}

fn vm_without_a_possible_host(vm: &VmSpec, declaration: &Declaration, warnings: &mut Vec<String>) {
    if declaration.hosts.is_empty() {
        return;
    }
    let eligible: Vec<_> = declaration
        .hosts
        .iter()
        .filter(|host| {
            vm.requires.iter().all(|(label, values)| match label.as_str() {
                "host" => values.accepts(host.name.as_str()),
                _ => host.labels.get(label).is_some_and(|value| values.accepts(value)),
            })
        })
        .collect();
    if eligible.is_empty() {
        let wanted: Vec<String> =
            vm.requires.iter().map(|(key, it)| format!("{key}={}", it.values().join("|"))).collect();
        warnings.push(format!("VM `{}` requires {}, which no host has: it cannot run.", vm.name, wanted.join(" and ")));
        return;
    }
    let fits = |host: &&&crate::spec::HostSpec| {
        vm.demand.iter().all(|(resource, amount)| host.capacity.get(resource).is_none_or(|has| amount <= has))
    };
    match eligible.iter().filter(fits).count() {
        0 => warnings.push(format!("VM `{}` is larger than any host that it may run on: it cannot run.", vm.name)),
        1 if declaration.hosts.len() > 1 => {
            warnings.push(format!("VM `{}` can run on one host only: when that host fails, it has no place.", vm.name))
        }
        _ => {}
    }
}
