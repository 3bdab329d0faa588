//! A rules file to begin with, from what a fleet has: its labels, name patterns and sizes, and rules that may fit, for a
//! person to look through. Every rule is commented out: nothing holds before somebody says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use lifeboat_model::fleet::Fleet;

/// Values of a label, and labels, that are told at most.
const TOLD: usize = 8;
/// Words by which one knows what others need first, in names and labels.
const INFRASTRUCTURE: [&str; 10] = ["dns", "ldap", "dhcp", "ntp", "ad", "dc", "auth", "kdc", "radius", "infra"];
/// Labels by which applications are told apart, the likeliest first.
const APPLICATIONS: [&str; 7] = ["app", "application", "service", "project", "stack", "tenant", "owner"];
/// Labels that say what a VM does in its application.
const ROLES: [&str; 4] = ["role", "tier", "component", "function"];
/// What starts before what, by the words of roles.
const LAYERS: [&[&str]; 3] = [
    &["db", "database", "data", "storage", "mysql", "postgres", "mq", "queue", "cache"],
    &["app", "backend", "api", "middleware", "logic", "worker"],
    &["web", "frontend", "proxy", "lb", "www", "edge"],
];

/// Label to its values with how many VMs have each.
type Seen<'a> = BTreeMap<&'a str, BTreeMap<&'a str, u64>>;

/// A rules file for a fleet, with everything in it commented out.
#[must_use]
pub fn discover(fleet: &Fleet) -> String {
    let mut labels = Seen::new();
    for (label, value) in fleet.vms.iter().flat_map(|vm| &vm.labels) {
        *labels.entry(label).or_default().entry(value).or_default() += 1;
    }
    let mut out = format!(
        "# Restart rules, begun from {} VMs. Take the `#` from what fits, and look at what it does:\n\
         #   lifeboat rules test THIS_FILE\n# `lifeboat apply THIS_FILE` makes it hold. docs/rules.md tells all of it.\n#\n",
        fleet.vms.len()
    );
    facts(fleet, &labels, &mut out);
    classes(fleet, &labels, &mut out);
    sizes(fleet, &mut out);
    infrastructure(fleet, &labels, &mut out);
    layers(&labels, &mut out);
    out
}

/// Text in quotes, for an expression within a TOML text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\\\").replace('\'', r"\\'").replace('"', "\\\""))
}

/// A label as an expression names it.
fn label(key: &str) -> String {
    let plain =
        key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.starts_with(|c: char| c.is_ascii_digit());
    if plain { format!("vm.labels.{key}") } else { format!("vm.labels[{}]", quoted(key)) }
}

/// One line of a comment: labels are whatever somebody wrote.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect()
}

fn counted<'a>(rows: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut rows: Vec<(&str, u64)> = rows.collect();
    rows.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let more = rows.len().saturating_sub(TOLD);
    let mut text =
        rows.iter().take(TOLD).map(|(name, count)| format!("{} ({count})", plain(name))).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn facts(fleet: &Fleet, labels: &Seen<'_>, out: &mut String) {
    let mut classes: BTreeMap<&str, u64> = fleet.classes.iter().map(|class| (class.name.as_str(), 0)).collect();
    let mut patterns: BTreeMap<String, u64> = BTreeMap::new();
    for vm in &fleet.vms {
        *classes.entry(vm.class.as_str()).or_default() += 1;
        *patterns.entry(pattern(vm.name.as_str())).or_default() += 1;
    }
    let _ = writeln!(out, "# Classes, as declared: {}", counted(classes.into_iter()));
    let _ = writeln!(out, "# Names: {}", counted(patterns.iter().map(|(name, count)| (name.as_str(), *count))));
    for (key, values) in labels.iter().take(TOLD) {
        let _ =
            writeln!(out, "# Label {}: {}", plain(key), counted(values.iter().map(|(value, count)| (*value, *count))));
    }
    if labels.is_empty() {
        out.push_str("# No VM has labels: give them some, so that rules can speak of more than names.\n");
    }
    let _ = writeln!(out, "# Groups: {}", fleet.groups.len());
    out.push_str("#\n# An expression sees `vm`:");
    for (at, (property, what)) in crate::facts::PROPERTIES.iter().enumerate() {
        let _ = write!(out, "{}vm.{property} ({what})", if at % 3 == 0 { "\n#   " } else { ", " });
    }
    out.push_str("\n# A rule that asks for a label which a VM lacks does not match it.\n");
}

/// A name with `*` for its digits at the end.
fn pattern(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() { name.to_owned() } else { format!("{stem}*") }
}

fn rule(out: &mut String, why: &str, section: &str, fields: &[(&str, String)]) {
    let _ = write!(out, "\n# {why}\n#[[{section}]]\n");
    for (key, value) in fields {
        let _ = writeln!(out, "#{key} = {value}");
    }
}

fn text(text: &str) -> String {
    format!("\"{text}\"")
}

/// Labels whose values are classes say which class a VM has.
fn classes(fleet: &Fleet, labels: &Seen<'_>, out: &mut String) {
    let known: BTreeSet<&str> = fleet.classes.iter().map(|class| class.name.as_str()).collect();
    for (key, values) in labels {
        let names = values.keys().filter(|value| known.contains(**value)).count();
        if names == 0 {
            continue;
        }
        let list = values.keys().filter(|value| known.contains(**value)).map(|value| quoted(value)).collect::<Vec<_>>();
        let name = format!("class-of-{}", word(key));
        rule(
            out,
            &format!("The label {} names a class.", plain(key)),
            "restart",
            &[
                ("name", text(&name)),
                ("when", text(&format!("{} in [{}]", label(key), list.join(", ")))),
                ("class", text(&format!("= {}", label(key)))),
            ],
        );
    }
    let Some(first) = fleet.classes.first() else { return };
    let common = fleet.vms.iter().fold(BTreeMap::<String, u64>::new(), |mut all, vm| {
        *all.entry(pattern(vm.name.as_str())).or_default() += 1;
        all
    });
    let most =
        common.iter().filter(|(pattern, count)| pattern.contains('*') && **count > 1).max_by_key(|(_, count)| **count);
    if let Some((pattern, count)) = most {
        let why = format!("By name: {count} VMs are called so.");
        rule(
            out,
            &why,
            "restart",
            &[
                ("name", text(&format!("class-of-{}", word(pattern)))),
                ("when", text(&format!("vm.name.like('{pattern}')"))),
                ("class", text(first.name.as_str())),
            ],
        );
    }
}

/// Letters, digits and dashes of a text, for a name.
fn word(text: &str) -> String {
    let word: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let word = word.trim_matches('-').to_owned();
    if word.is_empty() { "x".to_owned() } else { word }
}

/// The largest VMs are the hardest to find a place for.
fn sizes(fleet: &Fleet, out: &mut String) {
    let mut sizes: Vec<u64> = fleet.vms.iter().filter_map(|vm| vm.demand.get("memory_mib").copied()).collect();
    sizes.sort_unstable();
    let (Some(least), Some(most)) = (sizes.first(), sizes.last()) else { return };
    if least == most {
        return;
    }
    let at = |percent: usize| sizes[(sizes.len() - 1) * percent / 100];
    let why = format!(
        "Memory: from {least} to {most} MiB, half have at most {}, a tenth {} or more. What is large finds a place last.",
        at(50),
        at(90)
    );
    rule(
        out,
        &why,
        "restart",
        &[
            ("name", text("large")),
            ("when", text(&format!("vm.memory_mib >= {}", at(90)))),
            ("priority", "10".to_owned()),
        ],
    );
}

/// What others need to start at all.
fn infrastructure(fleet: &Fleet, labels: &Seen<'_>, out: &mut String) {
    let is = |text: &str| text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| INFRASTRUCTURE.contains(&word));
    let mut tests: Vec<String> = Vec::new();
    let names: BTreeSet<String> =
        fleet.vms.iter().map(|vm| vm.name.as_str()).filter(|name| is(name)).map(pattern).collect();
    tests.extend(names.iter().take(3).map(|pattern| format!("vm.name.like('{pattern}')")));
    for (key, values) in labels.iter().filter(|(key, _)| ROLES.contains(*key)) {
        tests.extend(
            values.keys().filter(|value| is(value)).take(3).map(|value| format!("{} == {}", label(key), quoted(value))),
        );
    }
    let first = if tests.is_empty() { "vm.name.like('dns*')".to_owned() } else { tests.join(" || ") };
    let why = "What all others need, as name servers and directories. They are ready before anything else starts; all VMs\n\
               # are then one group and wait for it stage by stage, so keep this to what really cannot do without.";
    rule(out, why, "order", &[("name", text("infrastructure-first")), ("first", text(&first)), ("then", text("true"))]);
    rule(
        out,
        "Or only as the first to get room and time, with nothing waiting for them.",
        "restart",
        &[("name", text("infrastructure-matters")), ("when", text(&first)), ("importance", "1000".to_owned())],
    );
}

/// Databases before what uses them, application by application.
fn layers(labels: &Seen<'_>, out: &mut String) {
    let role = ROLES.into_iter().find(|key| labels.contains_key(key));
    let app = APPLICATIONS.into_iter().find(|key| labels.contains_key(key));
    let role_key = label(role.unwrap_or("role"));
    let values: Vec<&str> = role.map_or_else(|| vec!["db", "app", "web"], |key| labels[key].keys().copied().collect());
    let of = |layer: usize| -> Vec<String> {
        values.iter().filter(|value| LAYERS[layer].contains(value)).take(4).map(|value| quoted(value)).collect()
    };
    let there: Vec<Vec<String>> = (0..LAYERS.len()).map(of).filter(|values| !values.is_empty()).collect();
    for pair in there.windows(2) {
        let (first, then) = (&pair[0], &pair[1]);
        let name = format!("{}-before-{}", word(&first[0]), word(&then[0]));
        let why = "Within each application, who serves starts before who asks.";
        rule(
            out,
            why,
            "order",
            &[
                ("name", text(&name)),
                ("first", text(&format!("{role_key} in [{}]", first.join(", ")))),
                ("then", text(&format!("{role_key} in [{}]", then.join(", ")))),
                ("within", text(&label(app.unwrap_or("app")))),
                ("delay_s", "0".to_owned()),
            ],
        );
    }
}
