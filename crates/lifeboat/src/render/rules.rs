//! What rules give VMs, for a person.

use std::collections::BTreeMap;

use lifeboat_model::{ClassName, GroupName, VmName, declaration::Object, fleet::Fleet};
use lifeboat_rules::{Derived, Gift, Given, Idle, Tie};
use serde::Serialize;

use super::{
    Look, count,
    paint::Tone,
    table::{Cell, Column, Table},
    wrap::hanging,
};

/// VMs that are shown in the table, at most.
const SHOWN: usize = 2000;
/// A tie of so many VMs over several groups is worth a word.
const WIDE: u64 = 50;

/// What rules make of a fleet, VM by VM.
#[derive(Debug, Serialize)]
pub struct Tested {
    /// VMs that a rule matched, in the fleet's order.
    vms: Vec<Row>,
    /// VMs that no rule matched.
    unmatched: u64,
    /// Groups and VMs that start orders tie together.
    ties: Vec<Tie>,
    /// Rules that match nothing.
    idle: Vec<Idle>,
}

#[derive(Debug, Serialize)]
struct Row {
    vm: VmName,
    class: ClassName,
    declared_class: ClassName,
    group: Option<GroupName>,
    /// Counted from 1.
    stage: Option<usize>,
    stages: Option<usize>,
    importance: Option<i64>,
    given: Vec<Given>,
}

impl Tested {
    /// What was derived, beside the fleet as it is declared.
    pub fn new(derived: &Derived, fleet: &Fleet) -> Self {
        let declared: BTreeMap<&VmName, &ClassName> = fleet.vms.iter().map(|vm| (&vm.name, &vm.class)).collect();
        let mut places = BTreeMap::new();
        for group in &derived.groups {
            for (stage, vms) in group.stages.iter().enumerate() {
                places.extend(vms.iter().map(|vm| (vm, (group, stage + 1))));
            }
        }
        let row = |(vm, given): &(VmName, Vec<Given>)| {
            let declared = (*declared.get(vm)?).clone();
            let place = places.get(vm);
            Some(Row {
                vm: vm.clone(),
                class: derived.classes.get(vm).unwrap_or(&declared).clone(),
                declared_class: declared,
                group: place.map(|(group, _)| group.name.clone()),
                stage: place.map(|(_, stage)| *stage),
                stages: place.map(|(group, _)| group.stages.len()),
                importance: place.map(|(group, _)| group.importance),
                given: given.clone(),
            })
        };
        let vms: Vec<Row> = derived.given.iter().filter_map(row).collect();
        let unmatched = (fleet.vms.len() - vms.len()) as u64;
        Self { vms, unmatched, ties: derived.ties.clone(), idle: derived.idle.clone() }
    }
}

/// The table, and what should be looked at.
pub fn text(tested: &Tested, look: &Look) -> String {
    let columns = [
        Column::new("VM"),
        Column::new("CLASS"),
        Column::new("MATTERS").right(),
        Column::new("GROUP").goes(1),
        Column::new("STAGE"),
        Column::new("WHY").cut(),
    ];
    let mut table = Table::new(columns).indent(1);
    for row in tested.vms.iter().take(SHOWN) {
        let changed = row.class != row.declared_class;
        let class = if changed { format!("{} (was {})", row.class, row.declared_class) } else { row.class.to_string() };
        let matters = row.importance.filter(|it| *it != 0).map(|it| it.to_string());
        let stage = row.stage.zip(row.stages).filter(|(_, of)| *of > 1).map(|(at, of)| format!("{at} of {of}"));
        let group = row.group.as_ref().filter(|group| group.as_str() != row.vm.as_str()).map(ToString::to_string);
        table.row([
            Cell::from(row.vm.as_str()),
            class.into(),
            matters.unwrap_or_default().into(),
            group.unwrap_or_default().into(),
            stage.unwrap_or_default().into(),
            row.given.iter().map(why).collect::<Vec<_>>().join("; ").into(),
        ]);
    }
    let mut out = if tested.vms.is_empty() { String::new() } else { table.render(look) };
    if tested.vms.len() > SHOWN {
        out.push_str(&format!(" and {}; -o json has them all\n", count((tested.vms.len() - SHOWN) as u64, "more VM")));
    }
    let matched = tested.vms.len() as u64;
    let matches = if matched == 1 { "is" } else { "are" };
    out.push_str(&hanging(
        " ",
        &format!("{} {matches} matched by rules, {} by none.", count(matched, "VM"), tested.unmatched),
        look,
    ));
    let mut warn =
        |text: &str| out.push_str(&hanging(" ⚠ ", text, look).replacen('⚠', &look.paint(Tone::Busy, "⚠"), 1));
    for idle in &tested.idle {
        warn(&format!("{} {}.", idle.rule, idle.why));
    }
    for tie in tested.ties.iter().filter(|tie| tie.of.len() > 1 || tie.vms > WIDE) {
        let orders: Vec<&str> = tie.orders.iter().map(String::as_str).collect();
        let of = if tie.of.len() > 1 { format!(" of {} groups", tie.of.len()) } else { String::new() };
        warn(&format!(
            "{} tie {}{of} into one group, {}: a stage waits for all of the one before, also for what it has nothing to do \
             with. `within` keeps an order short.",
            orders.join(", "),
            count(tie.vms, "VM"),
            tie.group
        ));
    }
    out
}

fn why(given: &Given) -> String {
    let by = name(&given.rule);
    let among = |within: &Option<String>| within.as_ref().map(|it| format!(" in {it}")).unwrap_or_default();
    let text = match &given.what {
        Gift::Class(class) => format!("{class} by {by}"),
        Gift::Priority(number) => format!("priority {number} by {by}"),
        Gift::Importance(number) => format!("importance {number} by {by}"),
        Gift::First(within) => format!("first in {by}{}", among(within)),
        Gift::Then(within) => format!("waits in {by}{}", among(within)),
    };
    if given.holds { text } else { format!("{text}, which gives way") }
}

fn name(rule: &Object) -> &str {
    &rule.name
}
