//! What is wrong with a declaration, held against what is known already.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::{Declaration, VmSpec};

use super::{Kind, MAX_PROBLEMS, Object, Places, Problem, nearest::nearest, read::objects};

mod boot;
mod checks;
mod fences;
mod groups;
mod numbers;
mod storage;

/// Everything that is wrong with a declaration beside what is known; nothing when it may be taken. At most
/// [`MAX_PROBLEMS`], in the order of the declaration.
#[must_use]
pub fn check(declaration: &Declaration, known: &Declaration, places: &Places) -> Vec<Problem> {
    let mut check = Check { world: World::new(declaration, known, places), places, problems: Vec::new() };
    check.names(declaration);
    check.vms(declaration);
    check.storage(declaration, known);
    check.groups(declaration, known);
    check.fences(declaration);
    check.numbers(declaration, known);
    check.boot(declaration, known);
    check.checks(declaration, known);
    check.problems.truncate(MAX_PROBLEMS);
    check.problems
}

/// Every name that there is: declared, known, or at least spoken of in the files.
struct World {
    names: BTreeMap<Kind, BTreeSet<String>>,
}

impl World {
    fn new(declaration: &Declaration, known: &Declaration, places: &Places) -> Self {
        let mut names: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        for object in objects(declaration).into_iter().chain(objects(known)) {
            names.entry(object.kind).or_default().insert(object.name);
        }
        for kind in Kind::ALL {
            // Also what could not be read: that it is wrong is told once, where it stands.
            names.entry(kind).or_default().extend(places.names(kind).map(str::to_owned));
        }
        Self { names }
    }

    fn has(&self, kind: Kind, name: &str) -> bool {
        self.names.get(&kind).is_some_and(|names| names.contains(name))
    }

    fn nearest(&self, kind: Kind, name: &str) -> Option<&str> {
        // `h9` is no slip for `h1`: names that differ in their numbers only are each other's siblings.
        let stem = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
        let stem_of_name = stem(name);
        let others = self.names.get(&kind)?.iter().map(String::as_str).filter(|it| stem(it) != stem_of_name);
        nearest(name, others)
    }
}

struct Check<'a> {
    world: World,
    places: &'a Places,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Adds a problem with a field of an object.
    fn problem(&mut self, object: &Object, path: &str, text: String) {
        // More than can be told are not kept, so that a hopeless file of any size takes little.
        if self.problems.len() < MAX_PROBLEMS {
            let place = self.places.field(object, path);
            self.problems.push(Problem { place, object: Some(object.clone()), text });
        }
    }

    /// How a problem at one place speaks of another object's field.
    fn elsewhere(&self, other: &Object, path: &str, here: &Object, here_path: &str) -> String {
        let here = self.places.field(here, here_path);
        match self.places.field(other, path) {
            Some(place) => format!(" ({})", place.seen_from(here.as_ref())),
            None if here.is_some() => " (the controller has it so)".to_owned(),
            None => String::new(),
        }
    }

    /// Something names something: it must be there.
    fn reference(&mut self, from: &Object, path: &str, kind: Kind, to: &str) {
        if self.world.has(kind, to) {
            return;
        }
        let way_out = match self.world.nearest(kind, to) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("Declare it with [[{}]], or name another.", kind.key()),
        };
        self.problem(from, path, format!("{from} names {kind} `{to}`, which does not exist. {way_out}"));
    }

    /// Names are unique per kind. Files were looked through when they were read; the API sends lists.
    fn names(&mut self, declaration: &Declaration) {
        let mut seen = BTreeSet::new();
        for object in objects(declaration) {
            if !seen.insert(object.clone()) {
                let text = format!("{object} is declared twice. Remove one of the two.");
                self.problem(&object, "name", text);
            }
        }
    }

    fn vms(&mut self, declaration: &Declaration) {
        for vm in &declaration.vms {
            let from = Object::new(Kind::Vm, &vm.name);
            self.reference(&from, "class", Kind::Class, vm.class.as_str());
            if let Some(host) = &vm.host {
                self.reference(&from, "host", Kind::Host, host.as_str());
            }
            for (at, volume) in vm.volumes.iter().enumerate() {
                self.reference(&from, &format!("volumes[{at}]"), Kind::Volume, volume.as_str());
            }
        }
    }
}

/// The VMs that there are in the end: the declared ones, and the known ones that are not declared anew.
fn all_vms<'a>(declaration: &'a Declaration, known: &'a Declaration) -> impl Iterator<Item = &'a VmSpec> {
    let declared: BTreeSet<_> = declaration.vms.iter().map(|vm| &vm.name).collect();
    let kept = known.vms.iter().filter(move |vm| !declared.contains(&vm.name));
    kept.chain(&declaration.vms)
}
