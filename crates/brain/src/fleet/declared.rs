//! Specs: what operators declared, by kind and name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lifeboat_model::{
    ArrayName, CheckName, ClassName, GroupName, HostName, RuleName, VmName, VolumeName,
    declaration::Kind,
    fleet::{self, Class, Fleet, Group, Limits},
    spec::{ArraySpec, Declaration, HealthCheck, HostSpec, NamedRule, RestartRule, StartOrder, VmSpec, VolumeSpec},
};
use lifeboat_rules::{Derived, Fault};
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
    /// Restart rules.
    pub restarts: BTreeMap<RuleName, Arc<RestartRule>>,
    /// Start orders.
    pub orders: BTreeMap<RuleName, Arc<StartOrder>>,
    /// What the restart rules and start orders make of it; none: there are none.
    derived: Option<Arc<Derived>>,
    /// All groups as they are by the rules.
    by_rules: BTreeMap<GroupName, Arc<Group>>,
    /// Checks of VMs.
    pub checks: BTreeMap<CheckName, Arc<HealthCheck>>,
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
    /// Whether something changed that rules look at.
    derives: bool,
}

/// Why specs cannot be taken.
#[derive(Debug)]
pub(super) enum Unfit {
    /// They are no fleet.
    Fleet(fleet::FleetError),
    /// Rules fail over them.
    Rules(Vec<Fault>),
}

impl From<fleet::FleetError> for Unfit {
    fn from(error: fleet::FleetError) -> Self {
        Self::Fleet(error)
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet(error) => error.fmt(f),
            Self::Rules(faults) => {
                let texts: Vec<&str> = faults.iter().take(5).map(|fault| fault.text.as_str()).collect();
                f.write_str(&texts.join(" "))
            }
        }
    }
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
        self.derives |= !matches!(kind, "host" | "array" | "rule");
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
            "restart" => {
                let spec: RestartRule = read(key, value)?;
                self.restarts.insert(spec.name.clone(), Arc::new(spec));
            }
            "order" => {
                let spec: StartOrder = read(key, value)?;
                self.orders.insert(spec.name.clone(), Arc::new(spec));
            }
            "check" => {
                let spec: HealthCheck = read(key, value)?;
                self.checks.insert(spec.name.clone(), Arc::new(spec));
            }
            _ => return Err(RestoreError::Key { key: key.to_owned() }),
        }
        Ok(())
    }

    /// Checks the specs, with and without what the rules make of them, and [`index`](Self::index)es them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn indexed(&mut self) -> Result<(), Unfit> {
        self.without_rules().validate()?;
        self.index().map_err(Unfit::Rules)?;
        Ok(self.as_fleet().validate()?)
    }

    /// Rebuilds what is looked up by another key than its own, and what follows from rules.
    ///
    /// # Errors
    /// What is wrong with the rules; then nothing follows from them.
    pub(super) fn index(&mut self) -> Result<(), Vec<Fault>> {
        self.derived = None;
        let derived = self.derive();
        if let Ok(derived) = &derived {
            self.derived.clone_from(derived);
        }
        self.look_up();
        derived.map(drop)
    }

    /// What the rules make of the specs as they are.
    fn derive(&self) -> Result<Option<Arc<Derived>>, Vec<Fault>> {
        if self.restarts.is_empty() && self.orders.is_empty() {
            return Ok(None);
        }
        let restarts: Vec<RestartRule> = self.restarts.values().map(|rule| (**rule).clone()).collect();
        let orders: Vec<StartOrder> = self.orders.values().map(|order| (**order).clone()).collect();
        Ok(Some(Arc::new(lifeboat_rules::derive(&restarts, &orders, &self.without_rules())?)))
    }

    fn look_up(&mut self) {
        self.owners.clear();
        for vm in self.vms.values() {
            self.owners.extend(vm.volumes.iter().map(|volume| (volume.clone(), vm.name.clone())));
        }
        self.by_rules = match &self.derived {
            None => self.groups.clone(),
            Some(derived) => derived.groups.iter().map(|group| (group.name.clone(), Arc::new(group.clone()))).collect(),
        };
        self.stages.clear();
        for group in self.by_rules.values() {
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

    /// The group of a VM, by the rules, and the stage that it is in there.
    #[must_use]
    pub fn stage(&self, vm: &VmName) -> Option<(&Group, usize)> {
        let (group, stage) = self.stages.get(vm)?;
        Some((self.by_rules.get(group)?, *stage))
    }

    /// The class of a VM by the rules, or else as it is declared.
    #[must_use]
    pub fn class(&self, vm: &VmName) -> Option<&ClassName> {
        let by_rules = self.derived.as_ref().and_then(|derived| derived.classes.get(vm));
        by_rules.or_else(|| self.vms.get(vm).map(|spec| &spec.class))
    }

    /// These specs with a declaration's put among them, and what that changes.
    ///
    /// # Errors
    /// What is wrong with the result, when it is not a fleet.
    pub(super) fn with(&self, declaration: &Declaration) -> Result<(Self, Difference), Unfit> {
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
        for rule in &declaration.restarts {
            difference.put("restart", &mut new.restarts, &rule.name, rule);
        }
        for order in &declaration.orders {
            difference.put("order", &mut new.orders, &order.name, order);
        }
        for check in &declaration.checks {
            difference.put("check", &mut new.checks, &check.name, check);
        }
        unique(declaration)?;
        if difference.derives {
            new.indexed()?;
        } else {
            new.look_up();
            new.as_fleet().validate()?;
        }
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
            difference.derives = true;
            let same_but_order = difference.created.is_empty() && difference.changed.is_empty();
            if same_but_order && !self.classes.is_empty() {
                difference.changed.push("ranks of classes".to_owned());
            }
            difference.writes.push(("spec/classes/all".to_owned(), Some(bytes(&ClassList { classes: list.clone() }))));
            self.classes = list;
        }
    }

    /// The specs as a fleet in which nothing runs and every host is up, with what the rules make of it.
    #[must_use]
    pub fn as_fleet(&self) -> Fleet {
        let mut fleet = self.without_rules();
        if let Some(derived) = &self.derived {
            derived.apply_to(&mut fleet);
        }
        fleet
    }

    /// The specs as a fleet, as they were declared.
    fn without_rules(&self) -> Fleet {
        let mut fleet = Fleet::empty();
        fleet.limits = self.limits.clone();
        // How its hosts are judged is the controller's matter, not fleet/v1's.
        fleet.classes = self.classes.iter().cloned().map(|class| Class { liveness: None, ..class }).collect();
        fleet.hosts = self.hosts.values().map(|spec| spec.as_host()).collect();
        fleet.vms = self.vms.values().map(|spec| spec.as_vm()).collect();
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
            restarts: self.restarts.values().map(|spec| (**spec).clone()).collect(),
            orders: self.orders.values().map(|spec| (**spec).clone()).collect(),
            checks: self.checks.values().map(|spec| (**spec).clone()).collect(),
        }
    }

    /// Forgets what is named, and with a host that VMs were declared for it at first; the specs to store, none when it is
    /// not there. [`index`](Self::index) follows.
    pub(super) fn remove(&mut self, kind: Kind, name: &str) -> Vec<(String, Option<Vec<u8>>)> {
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
            Kind::Restart => self.restarts.remove(name).is_some(),
            Kind::Order => self.orders.remove(name).is_some(),
            Kind::Check => self.checks.remove(name).is_some(),
        };
        if gone {
            writes.push((format!("spec/{}/{name}", kind.key()), None));
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
    one("rule", declaration.rules.iter().map(|x| x.name.as_str()))?;
    one("restart rule", declaration.restarts.iter().map(|x| x.name.as_str()))?;
    one("start order", declaration.orders.iter().map(|x| x.name.as_str()))?;
    one("check", declaration.checks.iter().map(|x| x.name.as_str()))
}
