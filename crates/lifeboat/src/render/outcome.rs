//! What came of a change.

use lifeboat_client::api::{ApplyOutcome, Deleted};
use lifeboat_model::declaration::{Kind, Object};

use super::{Look, count, paint::Tone, wrap::hanging};

/// Objects of one kind that are named one by one; more are counted.
const NAMED: usize = 8;

/// What an apply did.
pub fn apply(outcome: &ApplyOutcome, look: &Look) -> String {
    let mut out = String::new();
    let same = outcome.created.is_empty() && outcome.changed.is_empty() && !outcome.limits_changed;
    if same {
        let what =
            if outcome.unchanged == 1 { "the 1 object is" } else { &format!("all {} objects are", outcome.unchanged) };
        out.push_str(&format!(" Nothing changed: {what} as declared.\n"));
    }
    if !outcome.created.is_empty() {
        out.push_str(&hanging(" Created   ", &listed(&outcome.created), look));
    }
    if !outcome.changed.is_empty() {
        out.push_str(&hanging(" Changed   ", &listed(&outcome.changed), look));
    }
    if outcome.limits_changed {
        out.push_str(" Changed   the limits\n");
    }
    if !same && outcome.unchanged > 0 {
        out.push_str(&format!(" Unchanged {}\n", count(outcome.unchanged, "object")));
    }
    for warning in &outcome.warnings {
        out.push_str(&hanging(" ⚠ ", warning, look).replacen('⚠', &look.paint(Tone::Busy, "⚠"), 1));
    }
    out
}

fn listed(objects: &[Object]) -> String {
    let mut parts = Vec::new();
    for kind in Kind::ALL {
        let names: Vec<&str> = objects.iter().filter(|it| it.kind == kind).map(|it| it.name.as_str()).collect();
        let word = match (kind, names.len()) {
            (_, 0) => continue,
            (_, 1) => kind.to_string(),
            (Kind::Vm, _) => "VMs".to_owned(),
            _ => kind.plural().to_owned(),
        };
        parts.push(match names.len() {
            1 => format!("{word} {}", names[0]),
            few if few <= NAMED => format!("{few} {word} ({})", names.join(", ")),
            many => format!("{many} {word}"),
        });
    }
    parts.join(" · ")
}

/// What a deletion did.
pub fn deleted(deleted: &Deleted, look: &Look) -> String {
    let mut out = format!(" Deleted {} {}.\n", deleted.object.kind, deleted.object.name);
    for note in &deleted.notes {
        out.push_str(&hanging("   ", note, look));
    }
    out
}
