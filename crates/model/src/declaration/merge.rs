//! The new over the known.

use crate::spec::Declaration;

use super::{Kind, Object};

/// What a declaration becomes when another is laid over it, and what that changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// All together.
    pub declaration: Declaration,
    /// What was not known before.
    pub created: Vec<Object>,
    /// What was known and is different now.
    pub changed: Vec<Object>,
    /// How many are the same.
    pub unchanged: u64,
    /// Whether the limits are different now.
    pub limits_changed: bool,
}

impl Merged {
    /// Whether nothing is different from what was known.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.created.is_empty() && self.changed.is_empty() && !self.limits_changed
    }
}

/// Lays a declaration over what is known: an object of the same kind and name is replaced where it stands, another is
/// added at the end, and none goes away. The order of classes says which matters more: when the new names every known
/// class, its order holds; otherwise the known order stays, and new classes come after.
#[must_use]
pub fn merge(known: &Declaration, new: &Declaration) -> Merged {
    let mut merged = Merged { declaration: known.clone(), ..Merged::default() };
    let mut declaration = std::mem::take(&mut merged.declaration);
    if new.limits.is_some() && new.limits != known.limits {
        declaration.limits.clone_from(&new.limits);
        merged.limits_changed = true;
    }
    merged.lay(Kind::Class, &mut declaration.classes, &new.classes, |it| it.name.as_str());
    merged.lay(Kind::Host, &mut declaration.hosts, &new.hosts, |it| it.name.as_str());
    merged.lay(Kind::Array, &mut declaration.arrays, &new.arrays, |it| it.name.as_str());
    merged.lay(Kind::Volume, &mut declaration.volumes, &new.volumes, |it| it.name.as_str());
    merged.lay(Kind::Vm, &mut declaration.vms, &new.vms, |it| it.name.as_str());
    merged.lay(Kind::Group, &mut declaration.groups, &new.groups, |it| it.name.as_str());
    merged.lay(Kind::Rule, &mut declaration.rules, &new.rules, |it| it.name.as_str());
    merged.lay(Kind::Restart, &mut declaration.restarts, &new.restarts, |it| it.name.as_str());
    merged.lay(Kind::Order, &mut declaration.orders, &new.orders, |it| it.name.as_str());
    merged.lay(Kind::Check, &mut declaration.checks, &new.checks, |it| it.name.as_str());
    if declaration.classes.len() == new.classes.len() && declaration.classes != new.classes {
        declaration.classes.clone_from(&new.classes);
        merged.reordered(known, new);
    }
    merged.declaration = declaration;
    merged
}

impl Merged {
    fn lay<T: Clone + PartialEq>(&mut self, kind: Kind, into: &mut Vec<T>, new: &[T], name: fn(&T) -> &str) {
        let at: std::collections::BTreeMap<String, usize> =
            into.iter().enumerate().map(|(at, it)| (name(it).to_owned(), at)).collect();
        for it in new {
            match at.get(name(it)) {
                None => {
                    self.created.push(Object::new(kind, name(it)));
                    into.push(it.clone());
                }
                Some(at) if into[*at] == *it => self.unchanged += 1,
                Some(at) => {
                    self.changed.push(Object::new(kind, name(it)));
                    into[*at] = it.clone();
                }
            }
        }
    }

    /// Classes whose rank changed among those that were known have changed, even where nothing else did.
    fn reordered(&mut self, known: &Declaration, new: &Declaration) {
        let new_order: Vec<_> =
            new.classes.iter().filter(|class| known.classes.iter().any(|it| it.name == class.name)).collect();
        for (was, is) in known.classes.iter().zip(new_order) {
            let object = Object::new(Kind::Class, &is.name);
            if was.name != is.name && !self.changed.contains(&object) {
                self.changed.push(object);
                self.unchanged -= 1;
            }
        }
    }
}
