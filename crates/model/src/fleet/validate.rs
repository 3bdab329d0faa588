//! References, names and ranges of a fleet.

use std::collections::{BTreeMap, BTreeSet};

use super::{FORMAT, Fleet, Resources};

/// The most that a host may have, or a VM take, of one resource: enough for an exabyte in MiB, small enough that a sum
/// over any fleet stays exact.
pub const MAX_RESOURCE: u64 = 1 << 40;

/// What is wrong with a fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// It is not JSON of this shape.
    #[error("{0}")]
    Json(String),
    /// It is another format or version.
    #[error("format is {}, not \"{FORMAT}\"", .found.as_ref().map_or("missing".to_owned(), |f| format!("{f:?}")))]
    Format {
        /// What it says it is.
        found: Option<String>,
    },
    /// Two things of one kind have one name.
    #[error("two {kind}s are named `{name}`; names are unique per kind")]
    Duplicate {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Something names what is not there.
    #[error("{from} names {kind} `{to}`, which does not exist")]
    Reference {
        /// What names it.
        from: String,
        /// The kind of what is named.
        kind: &'static str,
        /// What is named.
        to: String,
    },
    /// A volume belongs to one VM.
    #[error("VM `{second}` names volume `{volume}`, which VM `{first}` already has; a volume belongs to one VM")]
    VolumeShared {
        /// The volume.
        volume: String,
        /// Its VM.
        first: String,
        /// The VM that names it too.
        second: String,
    },
    /// A VM may be in one group, once.
    #[error("VM `{vm}` is in group `{second}` and already in `{first}`; a VM is in one stage of one group")]
    GroupShared {
        /// The VM.
        vm: String,
        /// Its group.
        first: String,
        /// The group that names it too.
        second: String,
    },
    /// A VM is in two stages of one group.
    #[error("VM `{vm}` is in two stages of group `{group}`: it would have to be ready before itself")]
    StageCycle {
        /// The VM.
        vm: String,
        /// The group.
        group: String,
    },
    /// A rule's set has a VM that the rule does not bind.
    #[error("rule {rule} has VM `{vm}` in a set, but not among its `vms`; add it there")]
    SetForeign {
        /// The rule's position.
        rule: usize,
        /// The VM.
        vm: String,
    },
    /// A number is out of its range.
    #[error("{what} is {value}; it must be {allowed}")]
    Range {
        /// What.
        what: String,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

type Index<'a> = BTreeMap<&'a str, usize>;

fn index<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Result<Index<'a>, FleetError> {
    let mut seen = Index::new();
    for (at, name) in names.enumerate() {
        if seen.insert(name, at).is_some() {
            return Err(FleetError::Duplicate { kind, name: name.to_owned() });
        }
    }
    Ok(seen)
}

fn look_up(index: &Index<'_>, kind: &'static str, to: &str, from: impl Fn() -> String) -> Result<(), FleetError> {
    if index.contains_key(to) {
        return Ok(());
    }
    Err(FleetError::Reference { from: from(), kind, to: to.to_owned() })
}

fn in_range(resources: &Resources, of: impl Fn() -> String) -> Result<(), FleetError> {
    match resources.iter().find(|(_, amount)| **amount > MAX_RESOURCE) {
        None => Ok(()),
        Some((name, amount)) => Err(FleetError::Range {
            what: format!("{name} of {}", of()),
            value: amount.to_string(),
            allowed: format!("at most {MAX_RESOURCE}"),
        }),
    }
}

fn positive(value: u64, what: impl Fn() -> String) -> Result<(), FleetError> {
    if (1..=MAX_RESOURCE).contains(&value) {
        return Ok(());
    }
    Err(FleetError::Range { what: what(), value: value.to_string(), allowed: format!("from 1 to {MAX_RESOURCE}") })
}

impl Fleet {
    /// Checks names, references and ranges.
    ///
    /// # Errors
    /// [`FleetError`], the first that is found.
    pub fn validate(&self) -> Result<(), FleetError> {
        let hosts = index("host", self.hosts.iter().map(|h| h.name.as_str()))?;
        let vms = index("VM", self.vms.iter().map(|v| v.name.as_str()))?;
        let volumes = index("volume", self.volumes.iter().map(|v| v.name.as_str()))?;
        let arrays = index("array", self.arrays.iter().map(|a| a.name.as_str()))?;
        let classes = index("class", self.classes.iter().map(|c| c.name.as_str()))?;
        index("group", self.groups.iter().map(|g| g.name.as_str()))?;
        self.validate_hosts()?;
        for volume in &self.volumes {
            look_up(&arrays, "array", volume.array.as_str(), || format!("volume `{}`", volume.name))?;
        }
        for array in &self.arrays {
            positive(array.max_ops, || format!("max_ops of array `{}`", array.name))?;
        }
        self.validate_vms(&hosts, &classes, &volumes)?;
        self.validate_groups(&vms)?;
        positive(self.limits.starts_per_host, || "limits.starts_per_host".to_owned())?;
        positive(self.limits.maps_per_host, || "limits.maps_per_host".to_owned())
    }

    fn validate_hosts(&self) -> Result<(), FleetError> {
        for host in &self.hosts {
            in_range(&host.capacity, || format!("host `{}`", host.name))?;
            in_range(&host.reserve, || format!("reserve of host `{}`", host.name))?;
            for node in &host.numa {
                in_range(node, || format!("a NUMA node of host `{}`", host.name))?;
            }
            for (what, limit) in [("starts", host.starts), ("maps", host.maps)] {
                if let Some(limit) = limit {
                    positive(limit, || format!("{what} of host `{}`", host.name))?;
                }
            }
        }
        Ok(())
    }

    fn validate_vms(&self, hosts: &Index<'_>, classes: &Index<'_>, volumes: &Index<'_>) -> Result<(), FleetError> {
        let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
        for vm in &self.vms {
            let from = || format!("VM `{}`", vm.name);
            in_range(&vm.demand, from)?;
            look_up(classes, "class", vm.class.as_str(), from)?;
            if let Some(host) = &vm.host {
                look_up(hosts, "host", host.as_str(), from)?;
            }
            if let Some(numa) = vm.numa {
                positive(u64::from(numa), || format!("numa of VM `{}`", vm.name))?;
            }
            for volume in &vm.volumes {
                look_up(volumes, "volume", volume.as_str(), from)?;
                if let Some(first) = owner.insert(volume.as_str(), vm.name.as_str()) {
                    return Err(FleetError::VolumeShared {
                        volume: volume.to_string(),
                        first: first.to_owned(),
                        second: vm.name.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    fn validate_groups(&self, vms: &Index<'_>) -> Result<(), FleetError> {
        let mut group_of: BTreeMap<&str, &str> = BTreeMap::new();
        for group in &self.groups {
            for vm in group.stages.iter().flatten() {
                look_up(vms, "VM", vm.as_str(), || format!("group `{}`", group.name))?;
                let first = group_of.insert(vm.as_str(), group.name.as_str());
                if first == Some(group.name.as_str()) {
                    return Err(FleetError::StageCycle { vm: vm.to_string(), group: group.name.to_string() });
                }
                if let Some(first) = first {
                    return Err(FleetError::GroupShared {
                        vm: vm.to_string(),
                        first: first.to_owned(),
                        second: group.name.to_string(),
                    });
                }
            }
        }
        self.validate_rules(vms)
    }

    fn validate_rules(&self, vms: &Index<'_>) -> Result<(), FleetError> {
        for (at, rule) in self.rules.iter().enumerate() {
            for vm in rule.vms.iter().chain(rule.sets.iter().flatten()) {
                look_up(vms, "VM", vm.as_str(), || format!("rule {at}"))?;
            }
            if rule.sets.is_empty() {
                continue;
            }
            let bound: BTreeSet<&str> = rule.vms.iter().map(|vm| vm.as_str()).collect();
            if let Some(vm) = rule.sets.iter().flatten().find(|vm| !bound.contains(vm.as_str())) {
                return Err(FleetError::SetForeign { rule: at, vm: vm.to_string() });
            }
        }
        Ok(())
    }
}
