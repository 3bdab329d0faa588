//! What must come of a scenario.

use std::collections::BTreeMap;

use lifeboat_brain::fleet::records::{HostCondition, Wanted};
use lifeboat_model::{HostName, Seconds, Time, VmName};
use serde::Deserialize;
use toml::Spanned;

use super::script::Names;
use crate::world::World;

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

type Table<T> = BTreeMap<Spanned<String>, T>;

/// The expectations as they are written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectText {
    host: Table<OneOrMore>,
    state: Table<String>,
    unplaced: Table<String>,
    starts: Table<u64>,
    within: Table<Seconds>,
    at_least: Table<Seconds>,
    fenced: Option<Vec<Spanned<String>>>,
    declared: Option<Vec<Spanned<String>>>,
    order: Vec<Vec<Spanned<String>>>,
    apart: Vec<Vec<Spanned<String>>>,
    together: Vec<Vec<Spanned<String>>>,
    said: Vec<String>,
    not_said: Vec<String>,
    recovered_s: Option<Seconds>,
}

/// What must come of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    hosts: BTreeMap<VmName, Vec<String>>,
    vm_states: BTreeMap<VmName, String>,
    host_states: BTreeMap<HostName, String>,
    unplaced: BTreeMap<VmName, String>,
    starts: BTreeMap<VmName, u64>,
    within: BTreeMap<VmName, Seconds>,
    at_least: BTreeMap<VmName, Seconds>,
    fenced: Option<Vec<HostName>>,
    declared: Option<Vec<HostName>>,
    order: Vec<Vec<VmName>>,
    apart: Vec<Vec<VmName>>,
    together: Vec<Vec<VmName>>,
    said: Vec<String>,
    not_said: Vec<String>,
    recovered_s: Option<Seconds>,
}

const VM_STATES: [&str; 7] = ["up", "down", "stopped", "shut-down", "given-up", "disabled", "unknown"];
const HOST_STATES: [&str; 5] = ["up", "failed", "fenced", "maintenance", "new"];

/// Checks the names of expectations; problems with the place of what is wrong.
struct Checking<'a> {
    names: &'a Names<'a>,
    problems: Vec<(usize, String)>,
}

impl Checking<'_> {
    fn took<T>(&mut self, at: usize, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.problems.push((at, problem))).ok()
    }

    fn host(&mut self, word: &Spanned<String>) -> Option<HostName> {
        let found = self.names.declaration.hosts.iter().find(|host| host.name.as_str() == word.get_ref());
        let found = found.map(|host| host.name.clone());
        self.took(
            word.span().start,
            found.ok_or_else(|| format!("there is no host `{}` in this fleet", word.get_ref())),
        )
    }

    fn vm(&mut self, word: &Spanned<String>) -> Option<VmName> {
        let found = self.names.vm(word.get_ref());
        self.took(word.span().start, found)
    }

    fn table<T, U>(&mut self, table: Table<T>, value: impl Fn(T) -> U) -> BTreeMap<VmName, U> {
        table.into_iter().filter_map(|(name, it)| Some((self.vm(&name)?, value(it)))).collect()
    }

    fn lists(&mut self, lists: Vec<Vec<Spanned<String>>>) -> Vec<Vec<VmName>> {
        lists.into_iter().map(|list| list.iter().filter_map(|name| self.vm(name)).collect()).collect()
    }

    fn host_list(&mut self, list: Option<Vec<Spanned<String>>>) -> Option<Vec<HostName>> {
        list.map(|list| list.iter().filter_map(|name| self.host(name)).collect())
    }

    fn final_host(&mut self, name: &Spanned<String>, hosts: &[String]) {
        for host in hosts.iter().filter(|host| *host != "-") {
            if !self.names.declaration.hosts.iter().any(|known| known.name.as_str() == host) {
                let text = format!("there is no host `{host}` in this fleet (`-` stands for no host)");
                self.problems.push((name.span().start, text));
            }
        }
    }

    fn states(&mut self, table: Table<String>, expect: &mut Expect) {
        for (name, state) in table {
            let at = name.span().start;
            let is_vm = self.names.vm(name.get_ref()).is_ok();
            let (known, kind) = if is_vm { (&VM_STATES[..], "VM") } else { (&HOST_STATES[..], "host") };
            if !known.contains(&state.as_str()) {
                self.problems.push((at, format!("a {kind} is never `{state}`; it is one of {}", known.join(", "))));
            } else if is_vm {
                expect.vm_states.extend(self.vm(&name).map(|vm| (vm, state)));
            } else {
                expect.host_states.extend(self.host(&name).map(|host| (host, state)));
            }
        }
    }
}

impl Expect {
    pub(super) fn of(text: ExpectText, names: &Names<'_>) -> (Self, Vec<(usize, String)>) {
        let mut checking = Checking { names, problems: Vec::new() };
        let mut expect = Self::default();
        for (name, hosts) in text.host {
            let hosts = hosts.into_list();
            checking.final_host(&name, &hosts);
            expect.hosts.extend(checking.vm(&name).map(|vm| (vm, hosts)));
        }
        checking.states(text.state, &mut expect);
        expect.unplaced = checking.table(text.unplaced, |code| code);
        expect.starts = checking.table(text.starts, |count| count);
        expect.within = checking.table(text.within, |span| span);
        expect.at_least = checking.table(text.at_least, |span| span);
        expect.fenced = checking.host_list(text.fenced);
        expect.declared = checking.host_list(text.declared);
        expect.order = checking.lists(text.order);
        expect.apart = checking.lists(text.apart);
        expect.together = checking.lists(text.together);
        (expect.said, expect.not_said) = (text.said, text.not_said);
        expect.recovered_s = text.recovered_s;
        (expect, checking.problems)
    }

    /// What does not hold. `began` is when the script began, `first_line` where the timeline was then.
    pub(super) fn unmet(&self, world: &World, began: Time, first_line: usize) -> Vec<String> {
        let mut unmet = Vec::new();
        self.places(world, &mut unmet);
        self.states(world, &mut unmet);
        self.times(world, began, &mut unmet);
        self.counts(world, began, &mut unmet);
        let told: Vec<&str> = world.timeline()[first_line..].iter().map(|line| line.text.as_str()).collect();
        for text in self.said.iter().filter(|text| !told.iter().any(|line| line.contains(text.as_str()))) {
            unmet.push(format!("nobody was told: {text}"));
        }
        for text in self.not_said.iter().filter(|text| told.iter().any(|line| line.contains(text.as_str()))) {
            unmet.push(format!("it was told, and should not have been: {text}"));
        }
        unmet
    }

    fn places(&self, world: &World, unmet: &mut Vec<String>) {
        let place = |vm: &VmName| world.where_is(vm).first().map_or("-".to_owned(), ToString::to_string);
        for (vm, hosts) in &self.hosts {
            let is = place(vm);
            if !hosts.contains(&is) {
                unmet.push(format!("{vm} is on {is}, expected was {}", hosts.join(" or ")));
            }
        }
        for vms in &self.apart {
            let mut places: Vec<String> = vms.iter().map(place).collect();
            places.sort();
            let count = places.len();
            places.dedup();
            if places.len() != count || places.contains(&"-".to_owned()) {
                unmet.push(format!("{vms:?} are on {places:?}, expected was one host each"));
            }
        }
        for vms in &self.together {
            let mut places: Vec<String> = vms.iter().map(place).collect();
            places.sort();
            places.dedup();
            if places.len() != 1 || places.contains(&"-".to_owned()) {
                unmet.push(format!("{vms:?} are on {places:?}, expected was one host for all"));
            }
        }
    }

    fn states(&self, world: &World, unmet: &mut Vec<String>) {
        let Some(brain) = world.leader() else { return unmet.push("no controller leads".to_owned()) };
        for (vm, state) in &self.vm_states {
            let record = brain.vms().get(vm);
            let holds = match state.as_str() {
                "up" => world.answers(vm),
                "down" => !world.answers(vm),
                "stopped" => record.is_some_and(|record| record.wanted == Wanted::Stopped) && !world.answers(vm),
                "shut-down" => record.is_some_and(|record| record.wanted == Wanted::ShutDown) && !world.answers(vm),
                "given-up" => record.is_some_and(|record| record.given_up.is_some()),
                "disabled" => record.is_some_and(|record| !record.enabled),
                _ => record.is_none(),
            };
            if !holds {
                let is =
                    record.map_or("not known".to_owned(), |record| format!("{:?}, {:?}", record.wanted, record.phase));
                let why = brain.why_not(vm).map(|why| format!("; {why}")).unwrap_or_default();
                unmet.push(format!("{vm} is not {state}: it is {is}{why}"));
            }
        }
        for (host, state) in &self.host_states {
            let condition = brain.hosts().get(host).map(|host| &host.record.condition);
            let is = match condition {
                Some(HostCondition::Up) if brain.in_maintenance(host) => "maintenance",
                Some(HostCondition::Up) => "up",
                Some(HostCondition::Failed { .. }) => "failed",
                Some(HostCondition::Fenced { .. }) => "fenced",
                Some(HostCondition::New) => "new",
                None => "not known",
            };
            if is != state {
                unmet.push(format!("{host} is {is}, expected was {state}"));
            }
        }
        for (vm, code) in &self.unplaced {
            let is = brain.unplaced().get(vm).map_or("placed", |reason| reason.code());
            if is != code {
                unmet.push(format!("{vm} is {is}, expected was that it has no place for reason {code}"));
            }
        }
    }

    fn times(&self, world: &World, began: Time, unmet: &mut Vec<String>) {
        let longest = |vm: &VmName| {
            let outages = world.counts().outages.iter().filter(|(name, _)| name == vm);
            outages.map(|(_, span)| *span).max()
        };
        for (vm, limit) in &self.within {
            match longest(vm) {
                None => unmet.push(format!("{vm} was never lost and back, expected was within {limit}")),
                Some(span) if span > *limit => {
                    unmet.push(format!("{vm} was away for {:.1} s, expected was {limit} at most", span.as_f64()));
                }
                Some(_) => {}
            }
        }
        for (vm, least) in &self.at_least {
            if longest(vm).is_none_or(|span| span < *least) {
                unmet.push(format!("{vm} was away for {:?}, expected was {least} at least", longest(vm)));
            }
        }
        let ready =
            |vm: &VmName| world.counts().ready.iter().rfind(|(at, name)| name == vm && *at >= began).map(|it| it.0);
        for order in &self.order {
            for pair in order.windows(2) {
                if ready(&pair[0]).is_none() || ready(&pair[1]).is_none() || ready(&pair[0]) >= ready(&pair[1]) {
                    unmet.push(format!("{} was not up before {}", pair[0], pair[1]));
                }
            }
        }
        if let Some(limit) = self.recovered_s {
            let lost = world.counts().outages.iter().filter(|(_, span)| *span > limit);
            unmet.extend(
                lost.map(|(vm, span)| format!("{vm} was away for {:.1} s, {limit} at most for all", span.as_f64())),
            );
        }
    }

    fn counts(&self, world: &World, began: Time, unmet: &mut Vec<String>) {
        for (vm, count) in &self.starts {
            let is = world.counts().starts.get(vm).copied().unwrap_or(0);
            if is != *count {
                unmet.push(format!("{vm} was started {is} times, expected was {count}"));
            }
        }
        let names = |list: &[HostName]| {
            let mut names: Vec<String> = list.iter().map(ToString::to_string).collect();
            names.sort();
            names.dedup();
            names.join(", ")
        };
        let fenced = &world.counts().fenced;
        if let Some(expected) = self.fenced.as_ref().filter(|expected| names(expected) != names(fenced)) {
            unmet.push(format!("fenced were [{}], expected was [{}]", names(fenced), names(expected)));
        }
        let declared: Vec<HostName> =
            world.counts().declared.iter().filter(|(at, _)| *at >= began).map(|(_, host)| host.clone()).collect();
        if let Some(expected) = self.declared.as_ref().filter(|expected| names(expected) != names(&declared)) {
            unmet.push(format!("declared failed were [{}], expected was [{}]", names(&declared), names(expected)));
        }
    }
}
