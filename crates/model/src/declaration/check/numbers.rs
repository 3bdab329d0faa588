//! Numbers: in range, and of resources that there are.

use std::collections::BTreeSet;

use crate::{
    Seconds,
    fleet::{MAX_RESOURCE, Resources},
    spec::{Declaration, HostSpec, VmSpec},
};

use super::{Check, Kind, Object, nearest};

impl Check<'_> {
    pub(super) fn numbers(&mut self, declaration: &Declaration, known: &Declaration) {
        for class in &declaration.classes {
            if class.rto_s == Seconds::ZERO {
                let of = Object::new(Kind::Class, &class.name);
                self.problem(&of, "rto_s", format!("`rto_s` of {of} is 0. Nothing recovers in no time; give seconds."));
            }
        }
        for host in &declaration.hosts {
            self.host_numbers(host);
        }
        for array in &declaration.arrays {
            self.positive(&Object::new(Kind::Array, &array.name), "max_ops", Some(array.max_ops));
        }
        for volume in &declaration.volumes {
            self.at_most(&Object::new(Kind::Volume, &volume.name), "size_gib", volume.size_gib);
        }
        let hosts = || declaration.hosts.iter().chain(&known.hosts);
        let resources: BTreeSet<&str> = hosts().flat_map(|host| host.capacity.keys()).map(String::as_str).collect();
        for vm in &declaration.vms {
            self.vm_numbers(vm, &resources, hosts().next().is_some());
        }
        if let Some(limits) = &declaration.limits {
            for (field, value) in [("starts_per_host", limits.starts_per_host), ("maps_per_host", limits.maps_per_host)]
            {
                if !(1..=MAX_RESOURCE).contains(&value) {
                    let text = format!("`{field}` of [limits] is {value}; it must be from 1 to {MAX_RESOURCE}.");
                    let place = self.places.limit(field);
                    self.problems.push(super::Problem { place, object: None, text });
                }
            }
        }
    }

    fn host_numbers(&mut self, host: &HostSpec) {
        let of = Object::new(Kind::Host, &host.name);
        self.resources(&of, "capacity", &host.capacity);
        self.resources(&of, "reserve", &host.reserve);
        for (at, node) in host.numa.iter().enumerate() {
            self.resources(&of, &format!("numa[{at}]"), node);
        }
        self.positive(&of, "starts", host.starts);
        self.positive(&of, "maps", host.maps);
        for (resource, kept) in &host.reserve {
            let path = format!("reserve.{resource}");
            match host.capacity.get(resource) {
                None => {
                    let text = format!("{of} keeps a reserve of `{resource}`, of which its capacity says nothing.");
                    self.problem(&of, &path, text);
                }
                Some(has) if kept > has => {
                    let text = format!("`{path}` of {of} is {kept}, more than its capacity of {has}.");
                    self.problem(&of, &path, text);
                }
                Some(_) => {}
            }
        }
    }

    fn vm_numbers(&mut self, vm: &VmSpec, resources: &BTreeSet<&str>, hosts_known: bool) {
        let of = Object::new(Kind::Vm, &vm.name);
        self.resources(&of, "demand", &vm.demand);
        self.positive(&of, "numa", vm.numa.map(u64::from));
        for resource in vm.demand.keys() {
            // A resource that no host limits would never be counted: most likely a slip of the pen.
            if hosts_known && !resources.contains(resource.as_str()) {
                let way_out = match nearest(resource, resources.iter().copied()) {
                    Some(meant) => format!("Did you mean `{meant}`?"),
                    None => "Add it to the hosts' `capacity`, or remove it.".to_owned(),
                };
                let text = format!("{of} demands `{resource}`, which no host has. {way_out}");
                self.problem(&of, &format!("demand.{resource}"), text);
            }
        }
    }

    fn resources(&mut self, of: &Object, field: &str, resources: &Resources) {
        for (resource, amount) in resources {
            self.at_most(of, &format!("{field}.{resource}"), *amount);
        }
    }

    fn at_most(&mut self, of: &Object, path: &str, value: u64) {
        if value > MAX_RESOURCE {
            self.problem(of, path, format!("`{path}` of {of} is {value}; it must be at most {MAX_RESOURCE}."));
        }
    }

    fn positive(&mut self, of: &Object, path: &str, value: Option<u64>) {
        let Some(value) = value else { return };
        if !(1..=MAX_RESOURCE).contains(&value) {
            self.problem(of, path, format!("`{path}` of {of} is {value}; it must be from 1 to {MAX_RESOURCE}."));
        }
    }
}
