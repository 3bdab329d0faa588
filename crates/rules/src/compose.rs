//! One partial order of all start orders and groups, and the groups that keep it.
//!
//! Every order, within each of its texts, and every step from one stage of a group to the next is a *gate*: it opens when
//! all VMs on its one side are ready, and only then do those on its other side start. A VM's level is the largest number
//! of gates on any way to it. What gates tie together is one group whose stages are the levels; a group that no order
//! touches stays as it is.
//!
//! Levels ask for more than the order does: a VM waits for all of the level before, also for those that it has nothing to
//! do with. Ties are told with the result, so that a person sees how far an order reaches; `within` keeps it short.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    GroupName, Seconds, VmName,
    declaration::{Kind, Object},
    fleet::{Fleet, Group},
    spec::StartOrder,
};
use serde::Serialize;

use crate::{
    fault::{Fault, MAX_FAULTS},
    judge::Judgement,
};

/// VMs and groups that start orders tie together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tie {
    /// The group that they are now.
    pub group: GroupName,
    /// The declared groups in it.
    pub of: Vec<GroupName>,
    /// How many VMs it has.
    pub vms: u64,
    /// The orders that tie it.
    pub orders: BTreeSet<String>,
}

/// The groups of a fleet by its orders.
pub(crate) struct Composed {
    pub(crate) groups: Vec<Group>,
    pub(crate) ties: Vec<Tie>,
}

/// Why a gate is there.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Order(usize),
    Group(usize),
}

/// All of `first` are ready before any of `then` starts.
#[derive(Debug)]
struct Gate {
    cause: Cause,
    first: Vec<usize>,
    then: Vec<usize>,
    within: Option<String>,
}

/// Composes orders and groups.
pub(crate) fn compose(orders: &[StartOrder], fleet: &Fleet, judged: &[Judgement]) -> Result<Composed, Vec<Fault>> {
    let web = Web::new(orders, fleet, judged);
    let levels = web.levels().map_err(|fault| vec![fault])?;
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let touched = web.touched();
    for vm in 0..fleet.vms.len() {
        if touched.contains_key(&web.root[vm]) {
            parts.entry(web.root[vm]).or_default().push(vm);
        }
    }
    let mut composer = Composer::new(&web, judged, &touched);
    let (mut ties, mut faults) = (Vec::new(), Vec::new());
    // By the first VM of each, so that the result follows the fleet's order.
    let mut parts: Vec<Vec<usize>> = parts.into_values().collect();
    parts.sort_unstable_by_key(|vms| vms[0]);
    for vms in parts {
        match composer.tie(&vms, &levels, &touched[&web.root[vms[0]]]) {
            Ok(tie) => ties.push(tie),
            Err(fault) => faults.push(fault),
        }
    }
    faults.truncate(MAX_FAULTS);
    if !faults.is_empty() {
        return Err(faults);
    }
    composer.lone();
    Ok(Composed { groups: composer.groups, ties })
}

/// The VMs on both sides of each order, for each of its texts.
type Sides<'a> = BTreeMap<(usize, &'a Option<String>), (Vec<usize>, Vec<usize>)>;

/// What orders tie together: the orders, and the text of the first.
type Bond = (BTreeSet<usize>, Option<String>);

/// All gates, and what they tie together.
struct Web<'a> {
    orders: &'a [StartOrder],
    fleet: &'a Fleet,
    gates: Vec<Gate>,
    /// The first VM of all that each is tied to.
    root: Vec<usize>,
    /// The group of each VM.
    group_of: Vec<Option<usize>>,
}

impl<'a> Web<'a> {
    fn new(orders: &'a [StartOrder], fleet: &'a Fleet, judged: &[Judgement]) -> Self {
        let number: BTreeMap<&VmName, usize> = fleet.vms.iter().enumerate().map(|(at, vm)| (&vm.name, at)).collect();
        let mut web =
            Self { orders, fleet, gates: Vec::new(), root: Vec::new(), group_of: vec![None; fleet.vms.len()] };
        let mut ties: Vec<Vec<usize>> = Vec::new();
        for (at, group) in fleet.groups.iter().enumerate() {
            let stages: Vec<Vec<usize>> = group
                .stages
                .iter()
                .map(|stage| stage.iter().filter_map(|vm| number.get(vm).copied()).collect())
                .filter(|stage: &Vec<usize>| !stage.is_empty())
                .collect();
            stages.iter().flatten().for_each(|vm| web.group_of[*vm] = Some(at));
            let gate = |pair: &[Vec<usize>]| Gate {
                cause: Cause::Group(at),
                first: pair[0].clone(),
                then: pair[1].clone(),
                within: None,
            };
            web.gates.extend(stages.windows(2).map(gate));
            ties.push(stages.concat());
        }
        let mut sides: Sides<'_> = BTreeMap::new();
        for (vm, judgement) in judged.iter().enumerate() {
            for part in &judgement.orders {
                let (first, then) = sides.entry((part.order, &part.within)).or_default();
                first.extend(part.first.then_some(vm));
                then.extend(part.then.then_some(vm));
            }
        }
        for ((order, within), (first, then)) in sides {
            if !first.is_empty() && !then.is_empty() {
                ties.push(first.iter().chain(&then).copied().collect());
                web.gates.push(Gate { cause: Cause::Order(order), first, then, within: within.clone() });
            }
        }
        web.root = roots(fleet.vms.len(), &ties);
        web
    }

    /// What orders tie together, by its first VM: the orders.
    fn touched(&self) -> BTreeMap<usize, Bond> {
        let mut touched: BTreeMap<usize, Bond> = BTreeMap::new();
        for gate in &self.gates {
            if let Cause::Order(order) = gate.cause {
                let bond =
                    touched.entry(self.root[gate.first[0]]).or_insert_with(|| (BTreeSet::new(), gate.within.clone()));
                bond.0.insert(order);
            }
        }
        touched
    }

    /// The level of each VM.
    fn levels(&self) -> Result<Vec<u32>, Fault> {
        let count = self.fleet.vms.len();
        // VMs first, then gates: an edge from each VM to the gates that wait for it, from each gate to those behind it.
        let (mut waits, mut next) = (vec![0_usize; count + self.gates.len()], vec![Vec::new(); count]);
        for (at, gate) in self.gates.iter().enumerate() {
            gate.first.iter().for_each(|vm| next[*vm].push(at));
            waits[count + at] = gate.first.len();
            gate.then.iter().for_each(|vm| waits[*vm] += 1);
        }
        let mut level = vec![0_u32; count];
        let mut gate_level = vec![0_u32; self.gates.len()];
        let mut free: Vec<usize> = (0..count).filter(|vm| waits[*vm] == 0).collect();
        let mut done = 0;
        while let Some(vm) = free.pop() {
            done += 1;
            for gate in &next[vm] {
                gate_level[*gate] = gate_level[*gate].max(level[vm] + 1);
                waits[count + gate] -= 1;
                if waits[count + gate] > 0 {
                    continue;
                }
                for behind in &self.gates[*gate].then {
                    level[*behind] = level[*behind].max(gate_level[*gate]);
                    waits[*behind] -= 1;
                    if waits[*behind] == 0 {
                        free.push(*behind);
                    }
                }
            }
        }
        if done == count { Ok(level) } else { Err(self.cycle(&waits[..count])) }
    }

    /// A cycle among the VMs that wait for something, as a fault of an order in it.
    fn cycle(&self, waits: &[usize]) -> Fault {
        let mut before: BTreeMap<usize, (usize, Cause)> = BTreeMap::new();
        for gate in &self.gates {
            // A VM that waits, and one that it waits for and that waits too: there is one behind every gate that is shut.
            let Some(first) = gate.first.iter().copied().find(|vm| waits[*vm] > 0) else { continue };
            for vm in &gate.then {
                before.entry(*vm).or_insert((first, gate.cause));
            }
        }
        let mut seen: Vec<usize> = Vec::new();
        let mut at = before.keys().next().copied().unwrap_or(0);
        while !seen.contains(&at) {
            seen.push(at);
            at = before.get(&at).map_or(at, |(earlier, _)| *earlier);
        }
        let start = seen.iter().position(|vm| *vm == at).unwrap_or(0);
        let ring = &seen[start..];
        let name = |vm: usize| self.fleet.vms[vm].name.to_string();
        let because = |cause: Cause| match cause {
            Cause::Order(order) => format!("start order `{}`", self.orders[order].name),
            Cause::Group(group) => format!("stages of group `{}`", self.fleet.groups[group].name),
        };
        let mut orders = ring.iter().filter_map(|vm| match before.get(vm) {
            Some((_, Cause::Order(order))) => Some(*order),
            _ => None,
        });
        let order = orders.next().unwrap_or(0);
        // Backwards through the ring is forwards in time.
        let mut text = name(at);
        for vm in ring.iter().rev() {
            let cause = before.get(vm).map_or_else(String::new, |(_, cause)| because(*cause));
            text.push_str(&format!(" before {} ({cause})", name(*vm)));
        }
        let text = format!("the start order goes round in a circle: {text}. Nothing of it could ever start.");
        Fault { rule: Object::new(Kind::Order, &self.orders[order].name), field: "first", text }
    }
}

/// The first of all that each is tied to.
fn roots(count: usize, ties: &[Vec<usize>]) -> Vec<usize> {
    fn find(root: &mut [usize], mut at: usize) -> usize {
        while root[at] != at {
            root[at] = root[root[at]];
            at = root[at];
        }
        at
    }
    let mut root: Vec<usize> = (0..count).collect();
    for tie in ties {
        for pair in tie.windows(2) {
            let (a, b) = (find(&mut root, pair[0]), find(&mut root, pair[1]));
            root[a.max(b)] = a.min(b);
        }
    }
    (0..count).map(|at| find(&mut root, at)).collect()
}

/// Groups as they come to be.
struct Composer<'a> {
    web: &'a Web<'a>,
    judged: &'a [Judgement],
    groups: Vec<Group>,
    names: BTreeSet<GroupName>,
    /// VMs that are in a group in the end.
    grouped: Vec<bool>,
}

impl<'a> Composer<'a> {
    /// With the declared groups that no order touches, but for what rules say of their importance.
    fn new(web: &'a Web<'a>, judged: &'a [Judgement], touched: &BTreeMap<usize, Bond>) -> Self {
        let fleet = web.fleet;
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); fleet.groups.len()];
        for (vm, group) in web.group_of.iter().enumerate() {
            if let Some(group) = group {
                members[*group].push(vm);
            }
        }
        let mut composer = Self {
            web,
            judged,
            groups: Vec::new(),
            names: fleet.groups.iter().map(|group| group.name.clone()).collect(),
            grouped: web.group_of.iter().map(Option::is_some).collect(),
        };
        for (group, members) in fleet.groups.iter().zip(members) {
            if members.first().is_some_and(|vm| touched.contains_key(&web.root[*vm])) {
                continue;
            }
            let importance = composer.importance(&members).unwrap_or(group.importance);
            composer.groups.push(Group { importance, ..group.clone() });
        }
        composer
    }

    fn importance(&self, vms: &[usize]) -> Option<i64> {
        vms.iter().filter_map(|vm| self.judged[*vm].importance).max()
    }

    /// Makes one group of VMs that are tied together.
    fn tie(&mut self, vms: &[usize], levels: &[u32], bond: &Bond) -> Result<Tie, Fault> {
        let (mine, within) = bond;
        let fleet = self.web.fleet;
        let of: BTreeSet<usize> = vms.iter().filter_map(|vm| self.web.group_of[*vm]).collect();
        let sized = |at: &usize| fleet.groups[*at].stages.iter().map(Vec::len).sum::<usize>();
        let alone = of.len() == 1 && of.iter().all(|group| sized(group) == vms.len());
        let whole = of.iter().find(|at| fleet.groups[**at].all_or_nothing);
        if let (Some(group), false) = (whole, alone) {
            let order = &self.web.orders[mine.first().copied().unwrap_or(0)].name;
            let text = format!(
                "start order `{order}` ties group `{}`, which is all or nothing, to other VMs: it would be so for all of \
                 them. Take `all_or_nothing` from the group, or leave its VMs out of the order.",
                fleet.groups[*group].name
            );
            return Err(Fault { rule: Object::new(Kind::Order, order), field: "first", text });
        }
        let mut stages: Vec<Vec<VmName>> = Vec::new();
        for vm in vms {
            let level = levels[*vm] as usize;
            stages.resize(stages.len().max(level + 1), Vec::new());
            stages[level].push(fleet.vms[*vm].name.clone());
        }
        let declared = of.iter().map(|at| &fleet.groups[*at]);
        let delays = declared.clone().map(|group| group.stage_delay_s);
        let delays = delays.chain(mine.iter().map(|order| self.web.orders[*order].delay_s));
        let importance = self.importance(vms).or_else(|| declared.clone().map(|group| group.importance).max());
        let group = Group {
            name: self.name(&of, mine, within.as_deref().unwrap_or(fleet.vms[vms[0]].name.as_str())),
            importance: importance.unwrap_or(0),
            stages,
            stage_delay_s: delays.max().unwrap_or(Seconds::ZERO),
            all_or_nothing: whole.is_some(),
        };
        vms.iter().for_each(|vm| self.grouped[*vm] = true);
        let tie = Tie {
            group: group.name.clone(),
            of: declared.map(|group| group.name.clone()).collect(),
            vms: vms.len() as u64,
            orders: mine.iter().map(|order| self.web.orders[*order].name.to_string()).collect(),
        };
        self.groups.push(group);
        Ok(tie)
    }

    /// The name of the one declared group in it, or else the first order's with the text that it is within, or its first VM.
    fn name(&mut self, of: &BTreeSet<usize>, orders: &BTreeSet<usize>, of_what: &str) -> GroupName {
        let fleet = self.web.fleet;
        if let (1, Some(group)) = (of.len(), of.first()) {
            return fleet.groups[*group].name.clone();
        }
        let base = match of.first() {
            Some(group) => format!("{}.and-{}-more", fleet.groups[*group].name, of.len() - 1),
            None => {
                let order = orders.first().map_or("order", |order| self.web.orders[*order].name.as_str());
                let good = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
                format!("{order}.{}", of_what.chars().map(good).collect::<String>())
            }
        };
        self.free(&base)
    }

    /// A name that no group has, like this one.
    fn free(&mut self, base: &str) -> GroupName {
        let short: String = base.chars().take(100).collect();
        let tried = std::iter::once(short.clone()).chain((2_u64..).map(|number| format!("{short}.{number}")));
        let name = tried
            .filter_map(|name| GroupName::new(&name).ok())
            .find(|name| !self.names.contains(name))
            .expect("numbers do not run out, and the names of groups and VMs are good for names");
        self.names.insert(name.clone());
        name
    }

    /// A VM of no group that matters more or less than others is a group of its own.
    fn lone(&mut self) {
        for (vm, judgement) in self.judged.iter().enumerate() {
            let Some(importance) = judgement.importance.filter(|it| *it != 0 && !self.grouped[vm]) else { continue };
            let row = &self.web.fleet.vms[vm];
            let stages = vec![vec![row.name.clone()]];
            let name = self.free(row.name.as_str());
            self.groups.push(Group { name, importance, stages, stage_delay_s: Seconds::ZERO, all_or_nothing: false });
        }
    }
}
