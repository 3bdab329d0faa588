//! The fleet by number: what every plan over the same fleet shares.
//!
//! Names become positions once, here. Built in one pass over the VMs, so that a recovery of few VMs in a large fleet
//! costs little more than reading the fleet; a drill builds it once for all its what-ifs.

use std::cell::OnceCell;

use lifeboat_model::fleet::{Fleet, HostState, Vm};

use crate::PlanError;
use crate::names::{Lists, Table};

/// No such thing, where a number is expected.
pub(crate) const NONE: u32 = u32::MAX;

/// Room that is not limited.
pub(crate) const UNLIMITED: i64 = i64::MAX / 4;

/// A fleet by number.
pub(crate) struct Index<'a> {
    pub(crate) fleet: &'a Fleet,
    /// The resources that limit some host, sorted.
    pub(crate) resources: Vec<&'a str>,
    /// Host-major: what a host has of each resource.
    pub(crate) capacity: Vec<i64>,
    /// Host-major: what the VMs that run on it take.
    pub(crate) used: Vec<i64>,
    /// Volumes mapped to each host.
    pub(crate) mapped: Vec<i64>,
    /// The first node of each host in [`Index::node_free`], and one past the last.
    pub(crate) node_start: Vec<u32>,
    /// Node-major: what is free on each NUMA node.
    pub(crate) node_free: Vec<i64>,
    /// Where each VM runs, or [`NONE`].
    pub(crate) vm_host: Vec<u32>,
    /// Each VM's class.
    pub(crate) vm_class: Vec<u32>,
    /// Where each VM's first volume would stand in the fleet, were volumes listed in the order of the VMs.
    volume_hint: Vec<u32>,
    /// The VMs of each host.
    pub(crate) vms_of: Lists,
    /// `(group, stage)` of each VM, the group [`NONE`] where it has none.
    pub(crate) group_of: Vec<(u32, u32)>,
    /// The rules that bind each VM.
    pub(crate) rules_of: Lists,
    pub(crate) hosts: Table<'a>,
    arrays: Table<'a>,
    vms: OnceCell<Table<'a>>,
    volumes: OnceCell<Table<'a>>,
}

impl<'a> Index<'a> {
    /// Numbers a fleet.
    ///
    /// # Errors
    /// [`PlanError::Dangling`] when something names what is not there: such a fleet has not been validated.
    pub(crate) fn new(fleet: &'a Fleet) -> Result<Self, PlanError> {
        let resources = resources_of(fleet);
        let hosts = Table::new(fleet.hosts.iter().map(|host| host.name.as_str()));
        let (node_start, node_free) = nodes_of(fleet, &resources);
        let mut index = Self {
            fleet,
            capacity: capacity_of(fleet, &resources),
            used: vec![0; fleet.hosts.len() * resources.len()],
            mapped: vec![0; fleet.hosts.len()],
            node_start,
            node_free,
            resources,
            vm_host: Vec::with_capacity(fleet.vms.len()),
            vm_class: Vec::with_capacity(fleet.vms.len()),
            volume_hint: Vec::with_capacity(fleet.vms.len()),
            vms_of: Lists::default(),
            group_of: vec![(NONE, 0); fleet.vms.len()],
            rules_of: Lists::default(),
            hosts,
            arrays: Table::new(fleet.arrays.iter().map(|array| array.name.as_str())),
            vms: OnceCell::new(),
            volumes: OnceCell::new(),
        };
        index.read_vms()?;
        index.read_bonds()?;
        Ok(index)
    }

    fn read_vms(&mut self) -> Result<(), PlanError> {
        let fleet = self.fleet;
        let mut pairs = Vec::with_capacity(fleet.vms.len());
        let (mut volumes, mut near) = (0, 0);
        for (at, vm) in fleet.vms.iter().enumerate() {
            let class = fleet.classes.iter().position(|class| class.name == vm.class);
            let class = class.ok_or_else(|| dangling("VM", vm.name.as_str(), "class", vm.class.as_str()))?;
            self.vm_class.push(class as u32);
            self.volume_hint.push(volumes);
            volumes += vm.volumes.len() as u32;
            let Some(host) = &vm.host else {
                self.vm_host.push(NONE);
                continue;
            };
            let host = self
                .host_near(host.as_str(), near)
                .ok_or_else(|| dangling("VM", vm.name.as_str(), "host", host.as_str()))?;
            near = host;
            self.vm_host.push(host);
            pairs.push((host, at as u32));
            self.count(host as usize, vm);
        }
        self.vms_of = Lists::new(fleet.hosts.len(), &pairs);
        Ok(())
    }

    fn count(&mut self, host: usize, vm: &Vm) {
        self.mapped[host] += vm.volumes.len() as i64;
        let base = host * self.resources.len();
        let mut at = 0;
        for (name, amount) in &vm.demand {
            while at < self.resources.len() && self.resources[at] < name.as_str() {
                at += 1;
            }
            if self.resources.get(at) == Some(&name.as_str()) {
                self.used[base + at] += *amount as i64;
            }
        }
        if let (Some(width), Some(nodes)) = (vm.numa, &vm.numa_at) {
            self.count_nodes(host, vm, width, nodes, -1);
        }
    }

    fn count_nodes(&mut self, host: usize, vm: &Vm, width: u32, nodes: &[u32], sign: i64) {
        for node in nodes {
            let node = self.node_start[host] + node;
            if node >= self.node_start[host + 1] {
                continue;
            }
            for (at, name) in self.resources.iter().enumerate() {
                let share = vm.demand.get(*name).map_or(0, |amount| share(*amount, width));
                self.node_free[node as usize * self.resources.len() + at] += sign * share;
            }
        }
    }

    /// Most VMs stand in the list beside others of their host.
    fn host_near(&self, name: &str, near: u32) -> Option<u32> {
        let is = |at: u32| self.fleet.hosts.get(at as usize).is_some_and(|host| host.name.as_str() == name);
        if is(near) {
            return Some(near);
        }
        if is(near + 1) { Some(near + 1) } else { self.hosts.get(name) }
    }

    fn read_bonds(&mut self) -> Result<(), PlanError> {
        let fleet = self.fleet;
        for (group, row) in fleet.groups.iter().enumerate() {
            for (stage, vms) in row.stages.iter().enumerate() {
                for vm in vms {
                    let at = self.vm(vm.as_str());
                    let at = at.ok_or_else(|| dangling("group", row.name.as_str(), "VM", vm.as_str()))?;
                    self.group_of[at as usize] = (group as u32, stage as u32);
                }
            }
        }
        let mut pairs = Vec::new();
        for (rule, row) in fleet.rules.iter().enumerate() {
            for vm in &row.vms {
                let at = self.vm(vm.as_str());
                let at = at.ok_or_else(|| dangling("rule", &rule.to_string(), "VM", vm.as_str()))?;
                pairs.push((at, rule as u32));
            }
        }
        self.rules_of = Lists::new(fleet.vms.len(), &pairs);
        Ok(())
    }

    /// The number of a VM.
    pub(crate) fn vm(&self, name: &str) -> Option<u32> {
        let table = || Table::new(self.fleet.vms.iter().map(|vm| vm.name.as_str()));
        self.vms.get_or_init(table).get(name)
    }

    /// Adds the array of each of a VM's volumes to a list.
    ///
    /// # Errors
    /// [`PlanError::Dangling`] when a volume or its array is not there.
    pub(crate) fn arrays_of(&self, vm: u32, arrays: &mut Vec<u32>) -> Result<(), PlanError> {
        let row = &self.fleet.vms[vm as usize];
        for (k, name) in row.volumes.iter().enumerate() {
            let hint = self.volume_hint[vm as usize] as usize + k;
            let volume = match self.fleet.volumes.get(hint) {
                Some(volume) if volume.name == *name => volume,
                _ => {
                    let table = || Table::new(self.fleet.volumes.iter().map(|volume| volume.name.as_str()));
                    let at = self.volumes.get_or_init(table).get(name.as_str());
                    let at = at.ok_or_else(|| dangling("VM", row.name.as_str(), "volume", name.as_str()))?;
                    &self.fleet.volumes[at as usize]
                }
            };
            let array = self.arrays.get(volume.array.as_str());
            arrays.push(array.ok_or_else(|| dangling("volume", name.as_str(), "array", volume.array.as_str()))?);
        }
        Ok(())
    }

    /// What a VM takes of each resource.
    pub(crate) fn demand(&self, vm: u32) -> impl Iterator<Item = i64> + '_ {
        let row = &self.fleet.vms[vm as usize];
        self.resources.iter().map(|name| row.demand.get(*name).map_or(0, |amount| *amount as i64))
    }

    /// How many hosts there are.
    pub(crate) const fn host_count(&self) -> usize {
        self.fleet.hosts.len()
    }

    /// Whether a host takes new VMs, its own failing aside.
    pub(crate) fn is_up(&self, host: usize) -> bool {
        self.fleet.hosts[host].state == HostState::Up
    }

    /// The volumes that may still be mapped to a host.
    pub(crate) fn volumes_left(&self, host: usize) -> i64 {
        self.fleet.hosts[host].max_volumes.map_or(UNLIMITED, |most| clamp(most) - self.mapped[host])
    }
}

/// A part of an amount that is split evenly over some nodes, rounded up.
pub(crate) const fn share(amount: u64, width: u32) -> i64 {
    amount.div_ceil(if width == 0 { 1 } else { width as u64 }) as i64
}

/// A count from outside, small enough to add and subtract freely.
pub(crate) fn clamp(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(UNLIMITED).min(UNLIMITED)
}

fn dangling(kind: &'static str, name: &str, to_kind: &'static str, to: &str) -> PlanError {
    PlanError::Dangling { kind, name: name.to_owned(), to_kind, to: to.to_owned() }
}

fn resources_of(fleet: &Fleet) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for host in &fleet.hosts {
        for part in std::iter::once(&host.capacity).chain(&host.numa) {
            for name in part.keys() {
                if let Err(at) = names.binary_search(&name.as_str()) {
                    names.insert(at, name);
                }
            }
        }
    }
    names
}

fn capacity_of(fleet: &Fleet, resources: &[&str]) -> Vec<i64> {
    let mut capacity = Vec::with_capacity(fleet.hosts.len() * resources.len());
    for host in &fleet.hosts {
        for name in resources {
            capacity.push(host.capacity.get(*name).map_or(UNLIMITED, |amount| clamp(*amount)));
        }
    }
    capacity
}

fn nodes_of(fleet: &Fleet, resources: &[&str]) -> (Vec<u32>, Vec<i64>) {
    let (mut start, mut free) = (vec![0], Vec::new());
    for host in &fleet.hosts {
        for node in &host.numa {
            free.extend(resources.iter().map(|name| node.get(*name).map_or(UNLIMITED, |amount| clamp(*amount))));
        }
        start.push(start.last().copied().unwrap_or(0) + host.numa.len() as u32);
    }
    (start, free)
}
