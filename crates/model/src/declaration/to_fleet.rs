//! A declaration as a fleet in which nothing runs and every host is up.

use crate::{
    fleet::{self, Fleet},
    spec::{Declaration, HostSpec, VmSpec},
};

/// The fleet that a declaration amounts to: every host up or in maintenance, every VM where it is declared.
#[must_use]
pub fn to_fleet(declaration: &Declaration) -> Fleet {
    let volume = |it: &crate::spec::VolumeSpec| fleet::Volume {
        name: it.name.clone(),
        array: it.array.clone(),
        size_gib: it.size_gib,
    };
    let array =
        |it: &crate::spec::ArraySpec| fleet::Array { name: it.name.clone(), max_ops: it.max_ops, remap_s: it.remap_s };
    Fleet {
        limits: declaration.limits.clone().unwrap_or_default(),
        classes: declaration.classes.clone(),
        hosts: declaration.hosts.iter().map(HostSpec::as_host).collect(),
        vms: declaration.vms.iter().map(VmSpec::as_vm).collect(),
        volumes: declaration.volumes.iter().map(volume).collect(),
        arrays: declaration.arrays.iter().map(array).collect(),
        groups: declaration.groups.clone(),
        rules: declaration.rules.iter().map(crate::spec::NamedRule::rule).collect(),
        ..Fleet::empty()
    }
}

impl HostSpec {
    /// The host as a fleet has it, up or in maintenance.
    #[must_use]
    pub fn as_host(&self) -> fleet::Host {
        fleet::Host {
            name: self.name.clone(),
            state: if self.maintenance.is_some() { fleet::HostState::Maintenance } else { fleet::HostState::Up },
            site: self.site.clone(),
            labels: self.labels.clone(),
            capacity: self.capacity.clone(),
            max_volumes: self.max_volumes,
            starts: self.starts,
            maps: self.maps,
            numa: self.numa.clone(),
            reserve: self.reserve.clone(),
            spare: self.spare,
        }
    }
}

impl VmSpec {
    /// The VM as a fleet has it, where it is declared.
    #[must_use]
    pub fn as_vm(&self) -> fleet::Vm {
        fleet::Vm {
            name: self.name.clone(),
            host: self.host.clone(),
            demand: self.demand.clone(),
            class: self.class.clone(),
            volumes: self.volumes.clone(),
            labels: self.labels.clone(),
            requires: self.requires.clone(),
            prefers: self.prefers.clone(),
            preemptible: self.preemptible,
            configure_s: self.configure_s,
            start_s: self.start_s,
            numa: self.numa,
            numa_at: None,
        }
    }
}
