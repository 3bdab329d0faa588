//! A drill, for a person: the answer first, then what is not well, the worst first.

use lifeboat_model::{ClassName, fleet::Fleet, plan::ClassSummary};
use lifeboat_planner::drill::{Drill, WhatIf};

use super::{Look, count, paint::Tone, reason, when, wrap::hanging};

/// What-ifs told one by one, at most.
const TOLD: usize = 10;
/// VMs named of a what-if, at most.
const NAMED: usize = 5;

/// The whole answer; `by` is what fails as one.
pub fn text(answer: &Drill, by: &str, depth: u32, fleet: &Fleet, look: &Look) -> String {
    if answer.what_ifs.is_empty() {
        return format!("There is no {by} that is up: nothing can fail.\n");
    }
    let mut out = String::new();
    for together in 1..=depth as usize {
        let rows: Vec<&WhatIf> = answer.what_ifs.iter().filter(|it| it.name.len() == together).collect();
        if !rows.is_empty() {
            out.push_str(&part(&rows, by, fleet, look));
        }
    }
    let spare = match answer.survives {
        0 => format!("Not every single {by} may fail (N+0)."),
        1 if depth == 1 => format!("N+1: any one {by} may fail."),
        1 => format!("N+1: any one {by} may fail, but not any two together."),
        more => format!("N+{more}: any two {by}s may fail together."),
    };
    out.push_str(&hanging(" ", &spare, look));
    out
}

/// All what-ifs of as many failures.
fn part(rows: &[&WhatIf], by: &str, fleet: &Fleet, look: &Look) -> String {
    let two = rows[0].name.len() > 1;
    let what = if two { format!("Any two {by}s together") } else { format!("Any one {by}") };
    let mut bad: Vec<&&WhatIf> = rows.iter().filter(|it| !it.is_fine()).collect();
    // The sort is stable, so that what is equally bad stays in the fleet's order.
    bad.sort_by_key(|it| std::cmp::Reverse((it.unplaced.len(), it.missed().count())));
    let out_of = rows.iter().filter(|it| !it.unplaced.is_empty()).count();
    let mut line = match out_of {
        0 => "all VMs come back".to_owned(),
        some => format!("in {some} of {} some VMs would stay out", count(rows.len() as u64, "case")),
    };
    let disturbed = rows.iter().filter(|it| it.disturbed > 0).count();
    if disturbed > 0 {
        line.push_str(&format!("; in {} others make room", count(disturbed as u64, "case")));
    }
    if let Some((it, class)) = slowest(rows) {
        let (ready, rto, name) = (when::span(class.ready_s), class.rto_s, &class.name);
        line.push_str(&format!("; nearest to its objective is {name}: {ready} of {rto} ({})", it.name.join(" with ")));
    }
    let tone = if bad.is_empty() { Tone::Good } else { Tone::Bad };
    let mut out = hanging(" ", &format!("{what}: {line}."), look).replacen(&what, &look.paint(tone, &what), 1);
    for it in bad.iter().take(TOLD) {
        out.push_str(&told(it, fleet, look));
    }
    if bad.len() > TOLD {
        out.push_str(&format!("   and {} more; -o json has them all\n", bad.len() - TOLD));
    }
    out
}

/// The class that takes most of its objective.
fn slowest<'a>(rows: &[&'a WhatIf]) -> Option<(&'a WhatIf, &'a ClassSummary)> {
    let classes = rows.iter().flat_map(|it| it.classes.iter().map(move |class| (*it, class)));
    let share = |class: &ClassSummary| class.ready_s.as_f64() / class.rto_s.as_f64().max(1e-6);
    let mut most: Option<(&WhatIf, &ClassSummary)> = None;
    for (it, class) in classes.filter(|(_, class)| class.vms > 0) {
        if most.is_none_or(|(_, other)| share(class) > share(other)) {
            most = Some((it, class));
        }
    }
    most
}

/// What goes wrong when these fail: VMs with the same reason together.
fn told(it: &WhatIf, fleet: &Fleet, look: &Look) -> String {
    let name = it.name.join(" with ");
    let mut out = String::new();
    if !it.unplaced.is_empty() {
        let stay = format!("{name}: {} of {} would stay out", it.unplaced.len(), count(it.lost, "VM"));
        out.push_str(&hanging("   ", &stay, look));
    }
    for out_vm in it.unplaced.iter().take(NAMED) {
        let vm = out_vm.vm.as_str();
        let class = fleet.vms.iter().find(|row| row.name == out_vm.vm).map(|row| format!(" ({})", row.class));
        let why = reason::words(&out_vm.reason, vm, fleet);
        out.push_str(&hanging("     ", &format!("{vm}{}: {why}", class.unwrap_or_default()), look));
    }
    if it.unplaced.len() > NAMED {
        out.push_str(&format!("     and {} more\n", it.unplaced.len() - NAMED));
    }
    let missed: Vec<&ClassName> = it.missed().collect();
    for class in it.classes.iter().filter(|class| missed.contains(&&class.name)) {
        let late = format!("{name}: {} would be late, {} of {}", class.name, when::span(class.ready_s), class.rto_s);
        out.push_str(&hanging("   ", &late, look));
    }
    out
}
