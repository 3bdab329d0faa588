//! Why a VM is ready when it is, and where, for a person.

use std::collections::BTreeMap;

use lifeboat_model::{
    VmName,
    fleet::Fleet,
    plan::{Action, Plan},
};
use lifeboat_planner::explain::{Bound, ClassBound, Elsewhere, Explanation, Link, Outcome, Wait, WhyNot};

use super::{
    Look,
    paint::Tone,
    plan::some,
    reason,
    table::{Cell, Column, Table},
    when,
    wrap::hanging,
};

/// Hosts whose reason is told one by one, at most.
const TOLD: usize = 6;

/// What becomes of the VM, and why.
pub fn text(why: &Explanation, plan: &Plan, fleet: &Fleet, look: &Look) -> String {
    let group = why.group.as_ref().map(|group| format!(", group {group}")).unwrap_or_default();
    let vm = format!("{} ({}{group})", why.vm, why.class);
    let failed: Vec<&str> = plan.failed.iter().map(|host| host.as_str()).collect();
    let (failed, is) = (some(&failed), if failed.len() == 1 { "is" } else { "are" });
    match &why.outcome {
        Outcome::Ready { host, ready_s, rto_s, bound, path, elsewhere } => {
            let ready = when::span(*ready_s);
            let mut out = hanging(
                " ",
                &format!("{vm} would be ready {ready} after {failed} {is} declared failed, on {host}."),
                look,
            );
            out.push_str(&steps(why, path, plan, fleet, look));
            let (tone, met) = if ready_s <= rto_s { (Tone::Good, "is met") } else { (Tone::Bad, "would be missed") };
            out.push_str(&format!(" The objective of {}, {rto_s}, {}.\n", why.class, look.paint(tone, met)));
            if let Some(bound) = bound.as_ref().filter(|_| ready_s > rto_s) {
                out.push_str(&hanging(" ", &at_best(bound, fleet), look));
            }
            out.push_str(&others(why, elsewhere, plan, fleet, look));
            out
        }
        Outcome::LeftOut { reason } => {
            let text = format!("{vm} would have no place: {}.", reason::words(reason, why.vm.as_str(), fleet));
            hanging(" ", &text, look)
        }
        Outcome::Moved { host } => {
            hanging(" ", &format!("{vm} keeps running, and would move to {host} to make room for others."), look)
        }
        Outcome::Stopped => {
            hanging(" ", &format!("{vm} would be stopped to make room for VMs of a higher class."), look)
        }
        Outcome::Untouched => hanging(" ", &format!("{vm} would not be touched: it is not on {failed}."), look),
    }
}

/// How soon a class that misses its objective could be ready, and what keeps it.
fn at_best(bound: &ClassBound, fleet: &Fleet) -> String {
    let why = match &bound.because {
        Bound::Nothing => return String::new(),
        Bound::Chain { vm } => {
            format!("{vm} alone takes that long, from the fence through the stages before it to its start")
        }
        Bound::Starts => "the hosts together cannot start so many VMs sooner, at so many at once".to_owned(),
        Bound::Maps => "the hosts together cannot map so many volumes sooner, at so many at once".to_owned(),
        Bound::Array { array } => format!("array {array} cannot do so many operations sooner, at so many at once"),
        Bound::FewHosts => "the few hosts that have what some of its VMs require cannot start those sooner".to_owned(),
        Bound::Together { rule } => {
            let vms = fleet.rules.get(*rule).map_or(0, |rule| rule.vms.len());
            format!("one host has to start all {vms} VMs that a rule holds together")
        }
    };
    let (class, at) = (&bound.class, when::span(bound.bound_s));
    if bound.bound_s > bound.rto_s {
        format!("No plan could meet it: {class} and all above it cannot be ready before {at}, for {why}.")
    } else {
        format!("The least that {class} and all above it take is {at}: {why}.")
    }
}

/// What leads up to its being ready.
fn steps(why: &Explanation, path: &[Link], plan: &Plan, fleet: &Fleet, look: &Look) -> String {
    let columns = [Column::new("").right(), Column::new(""), Column::new("").right(), Column::new("").goes(1)];
    let mut table = Table::new(columns).indent(2).without_heading();
    for link in path {
        let waits = link.wait.as_ref().map(|wait| waited(link, wait)).unwrap_or_default();
        table.row([
            Cell::from(when::span(link.start_s)),
            step(why, link, plan, fleet).into(),
            link.end_s.saturating_sub(link.start_s).to_string().into(),
            waits.into(),
        ]);
    }
    table.render(look)
}

fn step(why: &Explanation, link: &Link, plan: &Plan, fleet: &Fleet) -> String {
    // Of a VM that comes first in the group the reader must know whose step it is.
    let whose = |vm: &VmName| if *vm == why.vm { String::new() } else { format!(" {vm}, which comes first,") };
    match &link.action {
        Action::Fence { host } => format!("fence {host}"),
        Action::Remap { vm, volume, .. } => {
            let own = |action: &Action| matches!(action, Action::Remap { vm: other, .. } if other == vm);
            let number = plan.steps.iter().filter(|step| own(&step.action)).count();
            let array =
                fleet.volumes.iter().find(|row| row.name == *volume).map(|row| format!(" of array {}", row.array));
            let last = if number > 1 { format!(", the last of {number}") } else { String::new() };
            let whose = if *vm == why.vm { String::new() } else { format!(" for {vm}, which comes first") };
            format!("volume {volume}{}{last}{whose}", array.unwrap_or_default())
        }
        Action::Configure { vm, host } => format!("configure{} on {host}", whose(vm)),
        Action::Start { vm, host, .. } => format!("start{} on {host}", whose(vm)),
        Action::Stop { vm, host } => format!("stop {vm} on {host}, to make room"),
        Action::Migrate { vm, from, host, .. } => format!("move {vm} from {from} to {host}, to make room"),
    }
}

fn waited(link: &Link, wait: &Wait) -> String {
    let host = link.action.host();
    let what = match wait {
        Wait::Starts { behind } => format!("{behind} starts first on {host}"),
        Wait::Maps => format!("{host} maps as many volumes as it can"),
        Wait::Array { array } => format!("array {array} does as much as it can"),
        Wait::StageDelay => "the delay between stages of its group".to_owned(),
    };
    format!("after a wait of {}: {what}", link.waited_s)
}

/// Why not on other hosts, those that come nearest first.
fn others(why: &Explanation, elsewhere: &[Elsewhere], plan: &Plan, fleet: &Fleet, look: &Look) -> String {
    let mut rows: Vec<&Elsewhere> = elsewhere.iter().filter(|it| !plan.failed.contains(&it.host)).collect();
    rows.sort_by_key(|it| nearness(&it.why));
    let busy = busy(&rows);
    // Hosts that are idle come nearer than those.
    let idle = rows.first().is_some_and(|it| matches!(it.why, WhyNot::Free { .. }) && !is_busy(&it.why));
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    for it in rows.into_iter().filter(|it| !is_busy(&it.why)) {
        let words = why_not(why, &it.why, fleet);
        let place = *at.entry(words.clone()).or_insert_with(|| {
            told.push((words, Vec::new()));
            told.len() - 1
        });
        told[place].1.push(it.host.as_str());
    }
    let more: usize = told.iter().skip(TOLD).map(|(_, hosts)| hosts.len()).sum();
    let mut sentences: Vec<String> =
        told.iter().take(TOLD).map(|(words, hosts)| format!("Not on {}: {words}.", some(hosts))).collect();
    if let Some(busy) = busy {
        sentences.insert(usize::from(idle), busy);
    }
    if more > 0 {
        sentences.push(format!("Nor on {more} more; -o json says why."));
    }
    hanging(" ", &sentences.join(" "), look)
}

const fn is_busy(why: &WhyNot) -> bool {
    matches!(why, WhyNot::Free { busy_until_s } if busy_until_s.micros() > 0)
}

/// Hosts that would do too but are busy with other starts, as one sentence; they are sorted by when they are done.
fn busy(rows: &[&Elsewhere]) -> Option<String> {
    let until = |it: &Elsewhere| match &it.why {
        WhyNot::Free { busy_until_s } if is_busy(&it.why) => Some((it.host.clone(), *busy_until_s)),
        _ => None,
    };
    let busy: Vec<_> = rows.iter().filter_map(|it| until(it)).collect();
    let ((host, first), (_, last)) = (busy.first()?, busy.last()?);
    let until = when::span(*first);
    Some(match busy.len() {
        1 => format!("Not on {host}: it would do too, but starts others until {until}."),
        more if first == last => {
            format!("{more} other hosts would do too ({host} is one), but start others until {until}.")
        }
        more => {
            let last = when::span(*last);
            format!(
                "{more} other hosts would do too, but start others: the first is done at {until} ({host}), the last at {last}."
            )
        }
    })
}

/// What would do comes first, then what is short of least.
fn nearness(why: &WhyNot) -> (u8, u64) {
    match why {
        WhyNot::Free { busy_until_s } => (0, busy_until_s.micros()),
        WhyNot::Short { by, .. } => (1, *by),
        WhyNot::Volumes { by } => (2, *by),
        WhyNot::Numa => (3, 0),
        WhyNot::Rule { .. } => (4, 0),
        WhyNot::NotEligible => (5, 0),
        WhyNot::Closed => (6, 0),
    }
}

fn why_not(why: &Explanation, reason: &WhyNot, fleet: &Fleet) -> String {
    match reason {
        WhyNot::Free { .. } => "it would do as well".to_owned(),
        WhyNot::Short { resource, by } => reason::short(resource, *by),
        WhyNot::Volumes { by } => format!("{by} volumes more than it can map"),
        WhyNot::Numa => "not enough NUMA nodes with room".to_owned(),
        WhyNot::Rule { rule } => reason::rule(*rule, why.vm.as_str(), fleet),
        WhyNot::NotEligible => "it lacks what the VM requires".to_owned(),
        WhyNot::Closed => "it takes no VMs now".to_owned(),
    }
}
