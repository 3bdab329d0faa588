//! Specs: what operators declared, by kind and name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lifeboat_model::{
    ArrayName, ClassName, GroupName, HostName, RuleName, VmName, VolumeName,
    fleet::{self, Class, Fleet, Group, Limits},
    spec::{ArraySpec, Declaration, HostSpec, NamedRule, VmSpec, VolumeSpec},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::journal::{RestoreError, bytes};

/// What operators declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// Limits on what is done at once.
    pub limits: Limits,
    /// SLA classes, the most important first.
    pub classes: Vec<Class>,
    /// Hosts.
    pub hosts: BTreeMap<HostName, Arc<HostSpec>>,
    /// Arrays.
    pub arrays: BTreeMap<ArrayName, Arc<ArraySpec>>,
    /// Volumes.
    pub volumes: BTreeMap<VolumeName, Arc<VolumeSpec>>,
    /// VMs.
    pub vms: BTreeMap<VmName, Arc<VmSpec>>,
    /// Dependency groups.
    pub groups: BTreeMap<GroupName, Arc<Group>>,
    /// Placement rules.
    pub rules: BTreeMap<RuleName, Arc<NamedRule>>,
    /// The VM that each volume belongs to.
    owners: BTreeMap<VolumeName, VmName>,
    /// The group and stage of each VM that has one.
    stages: BTreeMap<VmName, (GroupName, usize)>,
}

#[derive(Serialize, Deserialize)]
struct ClassList {
    classes: Vec<Class>,
}

/// What an applied declaration changes.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) created: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) unchanged: u64,
    /// Specs to store.
    pub(super) writes: Vec<(String, Option<Vec<u8>>)>,
}

impl Difference {
    /// Puts a spec in its place and notes what that changes.
    fn put<K, S>(&mut self, kind: &str, into: &mut BTreeMap<K, Arc<S>>, name: &K, spec: &S)
    where
        K: Ord + Clone + std::fmt::Display,
        S: Clone + PartialEq + Serialize,
    {
        let said = format!("{kind} {name}");
        match into.get(name) {
            Some(old) if **old == *spec => {
                self.unchanged += 1;
                return;
            }
            Some(_) => self.changed.push(said),
            None => self.created.push(said),
        }
        self.writes.push((format!("spec/{}/{name}", kind.to_lowercase()), Some(bytes(spec))));
        into.insert(name.clone(), Arc::new(spec.clone()));
    }
}

impl Declared {
    /// Takes a stored spec; [`index`](Self::index) follows the last of them.
    pub(super) fn restore(&mut self, kind: &str, key: &str, value: &[u8]) -> Result<(), RestoreError> {
        fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, RestoreError> {
            serde_json::from_slice(value).map_err(|source| RestoreError::Record { key: key.to_owned(), source })
        }
        match kind {
            "limits" => self.limits = read(key, value)?,
            "classes" => self.classes = read::<ClassList>(key, value)?.classes,
            "host" => {
                let spec: HostSpec = read(key, value)?;
                self.hosts.insert(spec.name.clone(), Arc::new(spec));
            }
            "array" => {
                let spec: ArraySpec = read(key, value)?;
                self.arrays.insert(spec.name.clone(), Arc::new(spec));
            }
            "volume" => {
                let spec: VolumeSpec = read(key, value)?;
                self.volumes.insert(spec.name.clone(), Arc::new(spec));
            }
            "vm" => {
                let spec: VmSpec = read(key, value)?;
                self.vms.insert(spec.name.clone(), Arc::new(spec));
            }
            "group" => {
                let spec: Group = read(key, value)?;
                self.groups.insert(spec.name.clone(), Arc::new(spec));
            }
            "rule" => {
                let spec: NamedRule = read(key, value)?;
                self.rules.insert(spec.name.clone(), Arc::new(spec));
            }
            _ => return Err(RestoreError::Key { key: key.to_owned() }),
        }
        Ok(())
    }

    /// Rebuilds what is looked up by another key than its own.
    pub(super) fn index(&mut self) {
        self.owners.clear();
        for vm in self.vms.values() {
            self.owners.extend(vm.volumes.iter().map(|volume| (volume.clone(), vm.name.clone())));
        }
        self.stages.clear();
        for group in self.groups.values() {
            for (stage, vm) in group.stages.iter().enumerate().flat_map(|(i, vms)| vms.iter().map(move |vm| (i, vm))) {
                self.stages.insert(vm.clone(), (group.name.clone(), stage));
            }
        }
    }

    /// The VM that a volume belongs to.
    #[must_use]
    pub fn owner(&self, volume: &VolumeName) -> Option<&VmName> {
        self.owners.get(volume)
    }

    /// The group of a VM and the stage that it is in there.
    #[must_use]
    pub fn stage(&self, vm: &VmName) -> Option<(&Group, usize)> {
        let (group, stage) = self.stages.get(vm)?;
        Some((self.groups.get(group)?, *stage))
    }

    /// These specs with a declaration's put among them, and what that changes.
    ///
    /// # Errors
    /// What is wrong with the result, when it is not a fleet.
    pub(super) fn with(&self, declaration: &Declaration) -> Result<(Self, Difference), fleet::FleetError> {
        let mut new = self.clone();
        let mut difference = Difference::default();
        new.put_classes(declaration, &mut difference);
        for host in &declaration.hosts {
            difference.put("host", &mut new.hosts, &host.name, host);
        }
        for array in &declaration.arrays {
            difference.put("array", &mut new.arrays, &array.name, array);
        }
        for volume in &declaration.volumes {
            difference.put("volume", &mut new.volumes, &volume.name, volume);
        }
        for vm in &declaration.vms {
            difference.put("VM", &mut new.vms, &vm.name, vm);
        }
        for group in &declaration.groups {
            difference.put("group", &mut new.groups, &group.name, group);
        }
        for rule in &declaration.rules {
            difference.put("rule", &mut new.rules, &rule.name, rule);
        }
        new.index();
        unique(declaration)?;
        new.as_fleet().validate()?;
        Ok((new, difference))
    }

    fn put_classes(&mut self, declaration: &Declaration, difference: &mut Difference) {
        if let Some(limits) = &declaration.limits {
            if *limits == self.limits {
                difference.unchanged += 1;
            } else {
                self.limits = limits.clone();
                difference.changed.push("limits".to_owned());
                difference.writes.push(("spec/limits/all".to_owned(), Some(bytes(limits))));
            }
        }
        if declaration.classes.is_empty() {
            return;
        }
        // The declared classes come first and in their order; others that are known stay behind them.
        let named: BTreeSet<&ClassName> = declaration.classes.iter().map(|class| &class.name).collect();
        let others = self.classes.iter().filter(|class| !named.contains(&class.name));
        let list: Vec<Class> = declaration.classes.iter().chain(others).cloned().collect();
        for class in &declaration.classes {
            match self.classes.iter().find(|old| old.name == class.name) {
                None => difference.created.push(format!("class {}", class.name)),
                Some(old) if old != class => difference.changed.push(format!("class {}", class.name)),
                Some(_) => difference.unchanged += 1,
            }
        }
        if list != self.classes {
            let same_but_order = difference.created.is_empty() && difference.changed.is_empty();
            if same_but_order && !self.classes.is_empty() {
                difference.changed.push("order of classes".to_owned());
            }
            difference.writes.push(("spec/classes/all".to_owned(), Some(bytes(&ClassList { classes: list.clone() }))));
            self.classes = list;
        }
    }

    /// The specs as a fleet in which nothing runs and every host is up.
    #[must_use]
    pub fn as_fleet(&self) -> Fleet {
        let mut fleet = Fleet::empty();
        fleet.limits = self.limits.clone();
        // How its hosts are judged is the controller's matter, not fleet/v1's.
        fleet.classes = self.classes.iter().cloned().map(|class| Class { liveness: None, ..class }).collect();
        fleet.hosts = self.hosts.values().map(|spec| fleet_host(spec)).collect();
        fleet.vms = self.vms.values().map(|spec| fleet_vm(spec)).collect();
        fleet.volumes = self
            .volumes
            .values()
            .map(|spec| fleet::Volume { name: spec.name.clone(), array: spec.array.clone(), size_gib: spec.size_gib })
            .collect();
        fleet.arrays = self
            .arrays
            .values()
            .map(|spec| fleet::Array { name: spec.name.clone(), max_ops: spec.max_ops, remap_s: spec.remap_s })
            .collect();
        fleet.groups = self.groups.values().map(|group| (**group).clone()).collect();
        fleet.rules = self.rules.values().map(|rule| rule.rule()).collect();
        fleet
    }

    /// The specs as a declaration, as an operator would have written them.
    #[must_use]
    pub fn as_declaration(&self) -> Declaration {
        Declaration {
            limits: Some(self.limits.clone()),
            classes: self.classes.clone(),
            hosts: self.hosts.values().map(|spec| (**spec).clone()).collect(),
            arrays: self.arrays.values().map(|spec| (**spec).clone()).collect(),
            volumes: self.volumes.values().map(|spec| (**spec).clone()).collect(),
            vms: self.vms.values().map(|spec| (**spec).clone()).collect(),
            groups: self.groups.values().map(|spec| (**spec).clone()).collect(),
            rules: self.rules.values().map(|spec| (**spec).clone()).collect(),
        }
    }

    /// Forgets what is named, and with a host that VMs were declared for it at first; the specs to store, none when it is
    /// not there.
    pub(super) fn remove(&mut self, kind: super::ObjectKind, name: &str) -> Vec<(String, Option<Vec<u8>>)> {
        use super::ObjectKind as Kind;
        let mut writes = Vec::new();
        let gone = match kind {
            Kind::Class => {
                let before = self.classes.len();
                self.classes.retain(|class| class.name.as_str() != name);
                let list = ClassList { classes: self.classes.clone() };
                if before != self.classes.len() {
                    writes.push(("spec/classes/all".to_owned(), Some(bytes(&list))));
                }
                return writes;
            }
            Kind::Host => {
                for spec in
                    self.vms.values_mut().filter(|spec| spec.host.as_ref().is_some_and(|it| it.as_str() == name))
                {
                    let spec = Arc::make_mut(spec);
                    spec.host = None;
                    writes.push((format!("spec/vm/{}", spec.name), Some(bytes(spec))));
                }
                self.hosts.remove(name).is_some()
            }
            Kind::Array => self.arrays.remove(name).is_some(),
            Kind::Volume => self.volumes.remove(name).is_some(),
            Kind::Vm => self.vms.remove(name).is_some(),
            Kind::Group => self.groups.remove(name).is_some(),
            Kind::Rule => self.rules.remove(name).is_some(),
        };
        self.index();
        if gone {
            writes.push((format!("spec/{}/{name}", kind.to_string().to_lowercase()), None));
        }
        writes
    }
}

/// Names are unique per kind within a declaration too.
fn unique(declaration: &Declaration) -> Result<(), fleet::FleetError> {
    fn one<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), fleet::FleetError> {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                return Err(fleet::FleetError::Duplicate { kind, name: name.to_owned() });
            }
        }
        Ok(())
    }
    one("class", declaration.classes.iter().map(|x| x.name.as_str()))?;
    one("host", declaration.hosts.iter().map(|x| x.name.as_str()))?;
    one("array", declaration.arrays.iter().map(|x| x.name.as_str()))?;
    one("volume", declaration.volumes.iter().map(|x| x.name.as_str()))?;
    one("VM", declaration.vms.iter().map(|x| x.name.as_str()))?;
    one("group", declaration.groups.iter().map(|x| x.name.as_str()))?;
    one("rule", declaration.rules.iter().map(|x| x.name.as_str()))
}

fn fleet_host(spec: &HostSpec) -> fleet::Host {
    fleet::Host {
        name: spec.name.clone(),
        state: fleet::HostState::Up,
        site: spec.site.clone(),
        labels: spec.labels.clone(),
        capacity: spec.capacity.clone(),
        max_volumes: spec.max_volumes,
        starts: spec.starts,
        maps: spec.maps,
        numa: spec.numa.clone(),
        reserve: spec.reserve.clone(),
        spare: spec.spare,
    }
}

fn fleet_vm(spec: &VmSpec) -> fleet::Vm {
    fleet::Vm {
        name: spec.name.clone(),
        host: spec.host.clone(),
        demand: spec.demand.clone(),
        class: spec.class.clone(),
        volumes: spec.volumes.clone(),
        labels: spec.labels.clone(),
        requires: spec.requires.clone(),
        prefers: spec.prefers.clone(),
        preemptible: spec.preemptible,
        configure_s: spec.configure_s,
        start_s: spec.start_s,
        numa: spec.numa,
        numa_at: None,
    }
}
