//! Groups and rules: whom they bind.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    fleet::Group,
    spec::{Declaration, NamedRule},
};

use super::{Check, Kind, Object};

impl Check<'_> {
    pub(super) fn groups(&mut self, declaration: &Declaration, known: &Declaration) {
        let declared: BTreeSet<_> = declaration.groups.iter().map(|group| &group.name).collect();
        let mut members = BTreeMap::new();
        for group in known.groups.iter().filter(|group| !declared.contains(&group.name)) {
            self.members(group, &mut members);
        }
        for group in &declaration.groups {
            let from = Object::new(Kind::Group, &group.name);
            for (stage, at, vm) in places_in(group) {
                self.reference(&from, &format!("stages[{stage}][{at}]"), Kind::Vm, vm);
            }
            self.members(group, &mut members);
        }
        for rule in &declaration.rules {
            self.rule(rule);
        }
    }

    /// A VM is in one stage of one group: in two stages it would wait for itself.
    fn members<'g>(&mut self, group: &'g Group, members: &mut BTreeMap<&'g str, (Object, String)>) {
        let here = Object::new(Kind::Group, &group.name);
        for (stage, at, vm) in places_in(group) {
            let path = format!("stages[{stage}][{at}]");
            let Some((first, first_path)) = members.get(vm).cloned() else {
                members.insert(vm, (here.clone(), path));
                continue;
            };
            let line = self.elsewhere(&first, &first_path, &here, &path);
            let text = if first == here {
                format!(
                    "{here} names VM `{vm}` again{line}. A VM stands in one stage: in two it would wait for itself."
                )
            } else {
                format!("{here} names VM `{vm}`, which is in {first} already{line}. A VM belongs to one group.")
            };
            self.problem(&here, &path, text);
        }
    }

    fn rule(&mut self, rule: &NamedRule) {
        let from = Object::new(Kind::Rule, &rule.name);
        let mut bound = BTreeSet::new();
        for (at, vm) in rule.vms.iter().enumerate() {
            let path = format!("vms[{at}]");
            self.reference(&from, &path, Kind::Vm, vm.as_str());
            if !bound.insert(vm) {
                self.problem(&from, &path, format!("{from} names VM `{vm}` twice. Once is enough."));
            }
        }
        if rule.scope.is_empty() {
            let text = format!("`scope` of {from} is empty. Give `host`, or a host label such as `rack`.");
            self.problem(&from, "scope", text);
        }
        let mut in_a_set = BTreeSet::new();
        for (set, vms) in rule.sets.iter().enumerate() {
            for (at, vm) in vms.iter().enumerate() {
                let path = format!("sets[{set}][{at}]");
                if !bound.contains(vm) {
                    let text = format!("{from} has VM `{vm}` in a set, but not among its `vms`. Add it there.");
                    self.problem(&from, &path, text);
                } else if !in_a_set.insert(vm) {
                    let text = format!("{from} has VM `{vm}` in two sets. A VM is in one set at most.");
                    self.problem(&from, &path, text);
                }
            }
        }
    }
}

/// Every VM of a group with its stage and its place there.
fn places_in(group: &Group) -> impl Iterator<Item = (usize, usize, &str)> {
    group
        .stages
        .iter()
        .enumerate()
        .flat_map(|(stage, vms)| vms.iter().enumerate().map(move |(at, vm)| (stage, at, vm.as_str())))
}
