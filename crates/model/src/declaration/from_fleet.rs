//! A `lifeboat/fleet/v1` as a declaration: what a planner's document lacks (fences, what serves an array) stays open.

use crate::{
    RuleName,
    fleet::{Fleet, Host, HostState, Rule, Vm},
    spec::{ArraySpec, Declaration, HostSpec, NamedRule, VmSpec, VolumeSpec},
};

/// The declaration that a fleet amounts to. Its rules, which have no names in a fleet, are named `rule-1`, `rule-2`, …
#[must_use]
pub fn from_fleet(fleet: &Fleet) -> Declaration {
    let array = |it: &crate::fleet::Array| ArraySpec {
        name: it.name.clone(),
        max_ops: it.max_ops,
        remap_s: it.remap_s,
        backend: None,
    };
    let volume = |it: &crate::fleet::Volume| VolumeSpec {
        name: it.name.clone(),
        array: it.array.clone(),
        size_gib: it.size_gib,
        file: None,
    };
    Declaration {
        limits: Some(fleet.limits.clone()),
        classes: fleet.classes.clone(),
        hosts: fleet.hosts.iter().map(host).collect(),
        arrays: fleet.arrays.iter().map(array).collect(),
        volumes: fleet.volumes.iter().map(volume).collect(),
        vms: fleet.vms.iter().map(vm).collect(),
        groups: fleet.groups.clone(),
        rules: fleet.rules.iter().enumerate().filter_map(|(at, it)| rule(at, it)).collect(),
        restarts: Vec::new(),
        orders: Vec::new(),
        checks: Vec::new(),
    }
}

fn host(it: &Host) -> HostSpec {
    let kept_free = it.state == HostState::Maintenance;
    HostSpec {
        name: it.name.clone(),
        site: it.site.clone(),
        labels: it.labels.clone(),
        capacity: it.capacity.clone(),
        max_volumes: it.max_volumes,
        starts: it.starts,
        maps: it.maps,
        numa: it.numa.clone(),
        reserve: it.reserve.clone(),
        spare: it.spare,
        maintenance: kept_free.then(|| "in maintenance when its fleet was written".to_owned()),
        liveness: None,
        on_leave: None,
        fences: Vec::new(),
        ladder: Vec::new(),
        isolation: None,
    }
}

fn vm(it: &Vm) -> VmSpec {
    VmSpec {
        name: it.name.clone(),
        host: it.host.clone(),
        demand: it.demand.clone(),
        class: it.class.clone(),
        volumes: it.volumes.clone(),
        labels: it.labels.clone(),
        requires: it.requires.clone(),
        prefers: it.prefers.clone(),
        preemptible: it.preemptible,
        configure_s: it.configure_s,
        start_s: it.start_s,
        numa: it.numa,
        machine: crate::spec::MachineSpec::default(),
        check: None,
    }
}

fn rule(at: usize, it: &Rule) -> Option<NamedRule> {
    Some(NamedRule {
        name: RuleName::new(&format!("rule-{}", at + 1)).ok()?,
        kind: it.kind,
        scope: it.scope.clone(),
        vms: it.vms.clone(),
        sets: it.sets.clone(),
        required: it.required,
    })
}
