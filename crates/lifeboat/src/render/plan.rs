//! A plan, for a person.

use std::collections::BTreeMap;

use lifeboat_model::{
    Seconds, VmName,
    fleet::Fleet,
    plan::{Action, Plan},
};

use super::{
    Look, count,
    paint::Tone,
    table::{Cell, Column, Table},
    when,
    wrap::hanging,
};

/// The plan in short: what comes back when, class by class and VM by VM, and what does not and why.
pub fn summary(plan: &Plan, fleet: &Fleet, look: &Look) -> String {
    let failed: Vec<&str> = plan.failed.iter().map(|host| host.as_str()).collect();
    let placed = plan.placements.len() as u64;
    let total = placed + plan.unplaced.len() as u64;
    let fails = if failed.len() == 1 { "fails" } else { "fail together" };
    let mut text = format!("If {} {fails}: ", some(&failed));
    match (total, placed) {
        (0, _) => text.push_str("no VM is lost."),
        (1, 1) => text.push_str("the one VM comes back"),
        (total, placed) if placed == total => text.push_str(&format!("all {} come back", count(total, "VM"))),
        (total, placed) => text.push_str(&format!("{placed} of {} come back", count(total, "VM"))),
    }
    if placed > 0 {
        text.push_str(&format!(", the last {} after the failure is declared.", when::span(plan.summary.makespan_s)));
    } else if total > 0 {
        text.push('.');
    }
    let mut out = hanging(" ", &text, look);
    if !plan.summary.classes.is_empty() && placed > 0 {
        out.push('\n');
        out.push_str(&classes(plan, look));
        out.push('\n');
        out.push_str(&vms(plan, fleet, look));
    }
    if !plan.unplaced.is_empty() {
        out.push('\n');
        out.push_str(&unplaced(plan, fleet, look));
    }
    out
}

/// `h1, h2 and h3`, or the first five and how many more.
pub fn some(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [rest @ .., last] if names.len() <= 6 => format!("{} and {last}", rest.join(", ")),
        _ => format!("{} and {} more", names[..5].join(", "), names.len() - 5),
    }
}

fn classes(plan: &Plan, look: &Look) -> String {
    let columns = [
        Column::new("CLASS"),
        Column::new("VMS").right(),
        Column::new("READY AFTER").right(),
        Column::new("RTO").right(),
        Column::new(""),
    ];
    let mut table = Table::new(columns).indent(1);
    for class in plan.summary.classes.iter().filter(|class| class.vms > 0) {
        let met = if class.met {
            Cell::toned(Tone::Good, "met")
        } else if class.lower_bound_s > class.rto_s {
            let best = when::span(class.lower_bound_s);
            Cell::toned(Tone::Bad, format!("missed: no plan could be sooner than {best}"))
        } else {
            Cell::toned(Tone::Bad, "missed")
        };
        table.row([
            Cell::from(class.name.as_str()),
            class.vms.to_string().into(),
            when::span(class.ready_s).into(),
            class.rto_s.to_string().into(),
            met,
        ]);
    }
    table.render(look)
}

/// In the order in which they are ready.
fn vms(plan: &Plan, fleet: &Fleet, look: &Look) -> String {
    let known: BTreeMap<_, _> = fleet.vms.iter().map(|vm| (&vm.name, vm)).collect();
    let mut ready: BTreeMap<&VmName, Seconds> = BTreeMap::new();
    let mut moved = std::collections::BTreeSet::new();
    for step in &plan.steps {
        if let Action::Start { vm, .. } | Action::Migrate { vm, .. } = &step.action {
            ready.insert(vm, step.end_s);
        }
        if let Action::Migrate { vm, .. } = &step.action {
            moved.insert(vm);
        }
    }
    let mut order: Vec<_> = plan.placements.iter().collect();
    order.sort_by_key(|(vm, _)| (ready.get(vm).copied().unwrap_or_default(), (*vm).clone()));
    let columns = [
        Column::new("VM"),
        Column::new("CLASS").goes(2),
        Column::new("FROM").goes(3),
        Column::new("TO"),
        Column::new("READY AFTER").right(),
        Column::new("").goes(1),
    ];
    let mut table = Table::new(columns).indent(1);
    for (vm, to) in order {
        let spec = known.get(vm);
        table.row([
            Cell::from(vm.as_str()),
            spec.map_or("", |spec| spec.class.as_str()).into(),
            spec.and_then(|spec| spec.host.as_ref()).map_or("-", |host| host.as_str()).into(),
            to.as_str().into(),
            ready.get(vm).map(|at| when::span(*at)).unwrap_or_default().into(),
            if moved.contains(vm) { "moves to make room" } else { "" }.into(),
        ]);
    }
    table.render(look)
}

fn unplaced(plan: &Plan, fleet: &Fleet, look: &Look) -> String {
    let class = |name: &VmName| fleet.vms.iter().find(|vm| vm.name == *name).map(|vm| format!(" ({})", vm.class));
    let number = plan.unplaced.len() as u64;
    let would = if number == 1 { "VM would have no place:" } else { "VMs would have no place:" };
    let mut out = format!(" {}\n", look.paint(Tone::Bad, &format!("{number} {would}")));
    for it in &plan.unplaced {
        let text = format!("{}{}: {}", it.vm, class(&it.vm).unwrap_or_default(), it.detail);
        out.push_str(&hanging("   ", &text, look));
    }
    out
}
