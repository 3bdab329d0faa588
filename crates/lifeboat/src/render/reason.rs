//! Why not, in an operator's words and units.

use lifeboat_model::{
    fleet::{Fleet, RuleKind},
    reason::Reason,
};

/// `memory short by 18 GiB`.
pub fn short(resource: &str, by: u64) -> String {
    match resource {
        "memory_mib" if by >= 1024 => format!("memory short by {} GiB", tenths(by, 1024)),
        "memory_mib" => format!("memory short by {by} MiB"),
        "cpu_milli" => format!("processors short by {}", tenths(by, 1000)),
        other => format!("{other} short by {by}"),
    }
}

/// Rounded up, so that what is said to be short is enough.
fn tenths(amount: u64, unit: u64) -> String {
    let tenths = (u128::from(amount) * 10).div_ceil(u128::from(unit));
    if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

/// What a rule asks of a VM.
pub fn rule(at: usize, vm: &str, fleet: &Fleet) -> String {
    let Some(rule) = fleet.rules.get(at) else { return format!("rule {at} forbids it") };
    let others: Vec<&str> = rule.vms.iter().map(|other| other.as_str()).filter(|other| *other != vm).collect();
    let others = match others.as_slice() {
        [] => "others".to_owned(),
        [rest @ .., last] if !rest.is_empty() && rest.len() < 3 => format!("{} and {last}", rest.join(", ")),
        [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
        [one, ..] => (*one).to_owned(),
    };
    let by = if rule.scope == "host" { String::new() } else { format!(" by {}", rule.scope) };
    match rule.kind {
        RuleKind::Apart => format!("kept apart{by} from {others}"),
        RuleKind::Together => format!("kept together{by} with {others}"),
    }
}

/// Why a VM has no place.
pub fn words(reason: &Reason, vm: &str, fleet: &Fleet) -> String {
    match reason {
        Reason::NoCapacity { resource, short_by, nearest } => {
            format!("no host has room; {nearest} comes nearest, {}", short(resource, *short_by))
        }
        Reason::Rule { rule: at, nearest } => {
            format!("{}; {nearest} would have room", rule(*at, vm, fleet))
        }
        other => other.to_string(),
    }
}
