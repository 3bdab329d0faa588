//! The order of the house: arrows point only up this table.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate by crate, what it may use of the house. The binary, `lifeboat`, may use all of it.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("lifeboat-model", &[]),
    ("lifeboat-rules", &["model"]),
    ("lifeboat-planner", &["model"]),
    ("lifeboat-plancheck", &["model"]),
    ("lifeboat-brain", &["model", "rules", "planner", "plancheck"]),
    ("lifeboat-ports", &["model"]),
    ("lifeboat-transport", &["model"]),
    ("lifeboat-drivers", &["model", "ports", "transport"]),
    ("lifeboat-client", &["model", "transport"]),
    ("lifeboat-agent", &["model", "brain", "ports", "drivers", "transport"]),
    (
        "lifeboat-controller",
        &["model", "rules", "brain", "planner", "plancheck", "ports", "drivers", "transport", "client"],
    ),
    ("lifeboat-sim", &["model", "planner", "brain"]),
    ("lifeboat-lab", &["model", "drivers", "ports", "transport"]),
];
/// Crates of the house that only look on, and may use anything of it but the binary.
const TOOLS: [&str; 2] = ["lifeboat", "xtask"];
/// Decisions are made without clock, entropy and I/O: these crates have none of it at hand.
const PURE: [&str; 6] =
    ["lifeboat-model", "lifeboat-rules", "lifeboat-planner", "lifeboat-plancheck", "lifeboat-brain", "lifeboat-sim"];
const IMPURE: [&str; 9] = ["tokio", "async-std", "smol", "rand", "getrandom", "fastrand", "uuid", "chrono", "jiff"];

/// A crate with what it uses: everything but what only its tests use.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Holds the workspace against the table.
pub fn check() -> Result<String, Vec<String>> {
    let metadata = MetadataCommand::new().no_deps().exec();
    let metadata = metadata.map_err(|error| vec![format!("cannot read the workspace: {error}")])?;
    let mut uses = Uses::new();
    for package in metadata.workspace_packages() {
        let used = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        uses.insert(package.name.to_string(), used.map(|dependency| dependency.name.clone()).collect());
    }
    let problems = judge(&uses);
    if problems.is_empty() { Ok(format!("{} crates keep to their layers", uses.len())) } else { Err(problems) }
}

fn judge(uses: &Uses) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let mut problems = Vec::new();
    for (name, used) in uses {
        if PURE.contains(&name.as_str()) {
            for crate_name in used.iter().filter(|used| IMPURE.contains(&used.as_str())) {
                problems.push(format!("{name} is pure, and uses {crate_name}: hand it the time or the bytes instead"));
            }
        }
        if TOOLS.contains(&name.as_str()) {
            continue;
        }
        let Some(may) = table.get(name.as_str()) else {
            problems.push(format!("{name} has no place in the house: give it one in xtask/src/layers.rs"));
            continue;
        };
        for crate_name in used.iter().filter(|used| uses.contains_key(*used)) {
            let short = crate_name.strip_prefix("lifeboat-").unwrap_or(crate_name);
            if !may.contains(&short) {
                let allowed = if may.is_empty() { "nothing of the house".to_owned() } else { may.join(", ") };
                problems.push(format!("{name} uses {crate_name}, and may use {allowed}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(list: &[(&str, &[&str])]) -> Uses {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        list.iter().map(|(name, used)| ((*name).to_owned(), owned(used))).collect()
    }

    #[test]
    fn what_keeps_to_the_table_passes() {
        let house = [
            ("lifeboat-model", &["serde"][..]),
            ("lifeboat-planner", &["lifeboat-model"]),
            ("lifeboat", &["lifeboat-planner", "tokio"]),
        ];
        assert_eq!(judge(&uses(&house)), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_points_down_a_stranger_and_a_clock_are_told() {
        let house = [
            ("lifeboat-model", &["lifeboat-planner"][..]),
            ("lifeboat-planner", &["tokio"]),
            ("lifeboat-drivers", &["lifeboat-agent"]),
            ("lifeboat-agent", &[]),
            ("lifeboat-extra", &[]),
        ];
        let problems = judge(&uses(&house));
        assert_eq!(problems.len(), 4, "{problems:#?}");
    }

    #[test]
    fn the_workspace_keeps_to_the_table() {
        assert_eq!(check().map(|_| ()), Ok(()));
    }
}
