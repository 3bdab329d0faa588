//! Who still needs an object, and how it goes.

use crate::spec::{ArrayBackend, Declaration};

use super::{Kind, Object};

/// The objects that name this one: it cannot be deleted before they are, or before they name another.
#[must_use]
pub fn users(object: &Object, declaration: &Declaration) -> Vec<Object> {
    let name = object.name.as_str();
    let mut users = Vec::new();
    let vms = declaration.vms.iter();
    match object.kind {
        Kind::Class => {
            users.extend(vms.filter(|vm| vm.class.as_str() == name).map(|vm| Object::new(Kind::Vm, &vm.name)));
            let gives = declaration.restarts.iter().filter(|rule| rule.class.as_deref() == Some(name));
            users.extend(gives.map(|rule| Object::new(Kind::Restart, &rule.name)));
        }
        Kind::Array => {
            let there = declaration.volumes.iter().filter(|volume| volume.array.as_str() == name);
            users.extend(there.map(|volume| Object::new(Kind::Volume, &volume.name)));
        }
        Kind::Volume => {
            let owner = vms.filter(|vm| vm.volumes.iter().any(|volume| volume.as_str() == name));
            users.extend(owner.map(|vm| Object::new(Kind::Vm, &vm.name)));
        }
        Kind::Vm => {
            let in_group = |group: &&crate::fleet::Group| group.stages.iter().flatten().any(|vm| vm.as_str() == name);
            let bound = |rule: &&crate::spec::NamedRule| {
                rule.vms.iter().chain(rule.sets.iter().flatten()).any(|vm| vm.as_str() == name)
            };
            users.extend(declaration.groups.iter().filter(in_group).map(|it| Object::new(Kind::Group, &it.name)));
            users.extend(declaration.rules.iter().filter(bound).map(|it| Object::new(Kind::Rule, &it.name)));
            let looks_at = |check: &&crate::spec::HealthCheck| check.vms.iter().any(|vm| vm.as_str() == name);
            users.extend(declaration.checks.iter().filter(looks_at).map(|it| Object::new(Kind::Check, &it.name)));
        }
        // Where a VM first goes and who serves whom are not held by a host: they go with it.
        Kind::Host | Kind::Group | Kind::Rule | Kind::Restart | Kind::Order | Kind::Check => {}
    }
    users
}

/// Takes an object out of a declaration, and with a host what only says something about that host. Whether it was there.
pub fn remove(object: &Object, declaration: &mut Declaration) -> bool {
    fn take<T>(from: &mut Vec<T>, named: impl Fn(&T) -> bool) -> bool {
        let before = from.len();
        from.retain(|it| !named(it));
        from.len() < before
    }
    let name = object.name.as_str();
    match object.kind {
        Kind::Class => take(&mut declaration.classes, |it| it.name.as_str() == name),
        Kind::Array => take(&mut declaration.arrays, |it| it.name.as_str() == name),
        Kind::Volume => take(&mut declaration.volumes, |it| it.name.as_str() == name),
        Kind::Vm => take(&mut declaration.vms, |it| it.name.as_str() == name),
        Kind::Group => take(&mut declaration.groups, |it| it.name.as_str() == name),
        Kind::Rule => take(&mut declaration.rules, |it| it.name.as_str() == name),
        Kind::Restart => take(&mut declaration.restarts, |it| it.name.as_str() == name),
        Kind::Order => take(&mut declaration.orders, |it| it.name.as_str() == name),
        Kind::Check => take(&mut declaration.checks, |it| it.name.as_str() == name),
        Kind::Host => {
            for vm in &mut declaration.vms {
                vm.host.take_if(|host| host.as_str() == name);
            }
            for array in &mut declaration.arrays {
                if let Some(ArrayBackend::Nbd { hosts, .. }) = &mut array.backend {
                    hosts.retain(|host, _| host.as_str() != name);
                }
            }
            take(&mut declaration.hosts, |it| it.name.as_str() == name)
        }
    }
}
