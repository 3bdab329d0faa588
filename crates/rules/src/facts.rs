//! A VM as expressions see it.

use std::{collections::HashMap, sync::Arc};

use cel::{Context, Value};
use lifeboat_model::fleet::{Fleet, Vm};

/// What `vm.` may be followed by, with what each is.
pub(crate) const PROPERTIES: [(&str, &str); 12] = [
    ("name", "text"),
    ("class", "text, as declared"),
    ("labels", "label to text"),
    ("cpu_milli", "number"),
    ("memory_mib", "number"),
    ("demand", "resource to number"),
    ("volumes", "number of volumes"),
    ("size_gib", "number, all volumes together"),
    ("arrays", "list of the arrays of its volumes"),
    ("group", "text, empty without one"),
    ("requires", "host label to a list of values"),
    ("preemptible", "true or false"),
];

/// What of a fleet the facts of its VMs are looked up in.
pub(crate) struct Facts<'a> {
    volumes: HashMap<&'a str, (&'a str, u64)>,
    groups: HashMap<&'a str, &'a str>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(fleet: &'a Fleet) -> Self {
        let volume = |it: &'a lifeboat_model::fleet::Volume| (it.name.as_str(), (it.array.as_str(), it.size_gib));
        let members = fleet
            .groups
            .iter()
            .flat_map(|group| group.stages.iter().flatten().map(move |vm| (vm.as_str(), group.name.as_str())));
        Self { volumes: fleet.volumes.iter().map(volume).collect(), groups: members.collect() }
    }

    /// Gives a context the variable `vm`.
    pub(crate) fn set(&self, vm: &Vm, context: &mut Context<'_, '_>) {
        let of = |resource: &str| number(vm.demand.get(resource).copied().unwrap_or(0));
        let mine: Vec<(&str, u64)> =
            vm.volumes.iter().filter_map(|volume| self.volumes.get(volume.as_str()).copied()).collect();
        let mut arrays: Vec<&str> = mine.iter().map(|(array, _)| *array).collect();
        arrays.sort_unstable();
        arrays.dedup();
        let size = mine.iter().map(|(_, size)| *size).fold(0, u64::saturating_add);
        let requires: HashMap<String, Value> =
            vm.requires.iter().map(|(label, values)| (label.clone(), texts(values.values()))).collect();
        let demand: HashMap<String, Value> =
            vm.demand.iter().map(|(resource, amount)| (resource.clone(), number(*amount))).collect();
        let labels: HashMap<String, Value> =
            vm.labels.iter().map(|(label, value)| (label.clone(), text(value))).collect();
        let properties: HashMap<&str, Value> = HashMap::from([
            ("name", text(vm.name.as_str())),
            ("class", text(vm.class.as_str())),
            ("labels", labels.into()),
            ("cpu_milli", of("cpu_milli")),
            ("memory_mib", of("memory_mib")),
            ("demand", demand.into()),
            ("volumes", number(vm.volumes.len() as u64)),
            ("size_gib", number(size)),
            ("arrays", texts(&arrays)),
            ("group", text(self.groups.get(vm.name.as_str()).copied().unwrap_or_default())),
            ("requires", requires.into()),
            ("preemptible", Value::Bool(vm.preemptible)),
        ]);
        context.add_variable_from_value("vm", properties);
    }
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn texts<T: AsRef<str>>(all: &[T]) -> Value {
    Value::List(Arc::new(all.iter().map(|one| text(one.as_ref())).collect()))
}

fn number(amount: u64) -> Value {
    Value::Int(i64::try_from(amount).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_that_is_promised_is_there() {
        let fleet = Fleet::empty();
        let vm = Vm {
            name: "a".parse().unwrap(),
            host: None,
            demand: Default::default(),
            class: "gold".parse().unwrap(),
            volumes: Vec::new(),
            labels: Default::default(),
            requires: Default::default(),
            prefers: Vec::new(),
            preemptible: false,
            configure_s: Default::default(),
            start_s: Default::default(),
            numa: None,
            numa_at: None,
        };
        let mut context = Context::default();
        Facts::new(&fleet).set(&vm, &mut context);
        for (property, _) in PROPERTIES {
            let program = cel::Program::compile(&format!("has(vm.{property})")).unwrap();
            assert_eq!(program.execute(&context), Ok(Value::Bool(true)), "{property}");
        }
    }
}
