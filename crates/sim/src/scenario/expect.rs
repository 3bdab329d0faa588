//! What must come of a scenario.

use std::collections::BTreeMap;

use lifeboat_model::{HostName, Seconds, VmName};

use super::script::Names;

mod clash;
mod text;
mod unmet;

pub(super) use text::ExpectText;
use text::{AnyOf, Table, Word};

/// Something that is to be told.
#[derive(Clone, Debug)]
struct EventExpected {
    text: String,
    times: Option<u64>,
    from_s: Option<Seconds>,
    to_s: Option<Seconds>,
}

/// What must come of a scenario.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an expectation of its own")]
pub struct Expect {
    places: BTreeMap<VmName, Vec<String>>,
    vm_states: BTreeMap<VmName, String>,
    host_states: BTreeMap<HostName, String>,
    unplaced: BTreeMap<VmName, String>,
    starts: BTreeMap<VmName, u64>,
    started_on: BTreeMap<VmName, Vec<HostName>>,
    untouched: Vec<VmName>,
    all_up: bool,
    apart: Vec<Vec<VmName>>,
    together: Vec<Vec<VmName>>,
    order: Vec<Vec<VmName>>,
    within: BTreeMap<VmName, Seconds>,
    at_least: BTreeMap<VmName, Seconds>,
    recovered_s: Option<Seconds>,
    declared: Option<Vec<HostName>>,
    fenced: Option<Vec<HostName>>,
    fenced_by: BTreeMap<HostName, String>,
    said: Vec<String>,
    not_said: Vec<String>,
    sequence: Vec<String>,
    events: Vec<EventExpected>,
    happened: Vec<String>,
    not_happened: Vec<String>,
    calm: bool,
    /// Parts of the refusals that orders of the script are to get.
    pub(super) refused: Vec<String>,
    /// Whether the fleet is to come to rest in the time that it has after the script.
    pub(super) at_rest: bool,
}

const VM_STATES: [&str; 7] = ["up", "down", "stopped", "shut-down", "given-up", "disabled", "unknown"];
const HOST_STATES: [&str; 5] = ["up", "failed", "fenced", "maintenance", "new"];
/// The codes of [`lifeboat_model::reason::Reason`].
const CODES: [&str; 8] = [
    "no_capacity",
    "no_eligible_host",
    "rule",
    "group_incomplete",
    "stage_blocked",
    "volume_limit",
    "numa",
    "array_unavailable",
];

/// Checks the names of expectations; problems with the place of what is wrong.
struct Checking<'a> {
    names: &'a Names<'a>,
    problems: Vec<(usize, String)>,
}

impl Checking<'_> {
    fn took<T>(&mut self, at: usize, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.problems.push((at, problem))).ok()
    }

    fn host(&mut self, word: &Word) -> Option<HostName> {
        let found = self.names.host(word.get_ref());
        self.took(word.span().start, found)
    }

    fn vm(&mut self, word: &Word) -> Option<VmName> {
        let found = self.names.vm(word.get_ref());
        self.took(word.span().start, found)
    }

    fn table<T, U>(&mut self, table: Table<T>, value: impl Fn(T) -> U) -> BTreeMap<VmName, U> {
        table.into_iter().filter_map(|(name, it)| Some((self.vm(&name)?, value(it)))).collect()
    }

    fn lists(&mut self, lists: Vec<Vec<Word>>) -> Vec<Vec<VmName>> {
        lists.into_iter().map(|list| list.iter().filter_map(|name| self.vm(name)).collect()).collect()
    }

    fn host_list(&mut self, list: &[Word]) -> Vec<HostName> {
        list.iter().filter_map(|name| self.host(name)).collect()
    }

    fn places(&mut self, table: Table<AnyOf>) -> BTreeMap<VmName, Vec<String>> {
        for (name, hosts) in &table {
            for host in hosts.0.iter().filter(|host| *host != "-") {
                if let Err(problem) = self.names.host(host) {
                    self.problems.push((name.span().start, format!("{problem} (`-` stands for no host)")));
                }
            }
        }
        self.table(table, |hosts| hosts.0)
    }

    fn codes(&mut self, table: Table<String>) -> BTreeMap<VmName, String> {
        for (name, code) in &table {
            if !CODES.contains(&code.as_str()) {
                let text = format!("there is no reason `{code}`; a VM is unplaced for one of {}", CODES.join(", "));
                self.problems.push((name.span().start, text));
            }
        }
        self.table(table, |code| code)
    }

    fn states(&mut self, table: Table<String>, expect: &mut Expect) {
        for (name, state) in table {
            let at = name.span().start;
            let (vm, host) = (self.names.vm(name.get_ref()), self.names.host(name.get_ref()));
            if vm.is_err() && host.is_err() {
                self.problems.push((at, format!("there is no VM and no host `{}` in this fleet", name.get_ref())));
                continue;
            }
            let (known, kind) = if vm.is_ok() { (&VM_STATES[..], "VM") } else { (&HOST_STATES[..], "host") };
            if !known.contains(&state.as_str()) {
                self.problems.push((at, format!("a {kind} is never `{state}`; it is one of {}", known.join(", "))));
            } else if let Ok(vm) = vm {
                expect.vm_states.insert(vm, state);
            } else if let Ok(host) = host {
                expect.host_states.insert(host, state);
            }
        }
    }
}

fn strings(words: Vec<Word>) -> Vec<String> {
    words.into_iter().map(Word::into_inner).collect()
}

impl Expect {
    pub(super) fn of(text: ExpectText, names: &Names<'_>) -> (Self, Vec<(usize, String)>) {
        let mut checking = Checking { names, problems: clash::clashes(&text) };
        let mut expect = Self { places: checking.places(text.host), ..Self::default() };
        checking.states(text.state, &mut expect);
        expect.unplaced = checking.codes(text.unplaced);
        expect.starts = checking.table(text.starts, |count| count);
        for (name, hosts) in text.started_on {
            let hosts = checking.host_list(&hosts);
            expect.started_on.extend(checking.vm(&name).map(|vm| (vm, hosts)));
        }
        expect.untouched = text.untouched.iter().filter_map(|name| checking.vm(name)).collect();
        expect.within = checking.table(text.within, |span| span);
        expect.at_least = checking.table(text.at_least, |span| span);
        expect.declared = text.declared.map(|list| checking.host_list(&list));
        expect.fenced = text.fenced.map(|list| checking.host_list(&list));
        for (name, method) in text.fenced_by {
            expect.fenced_by.extend(checking.host(&name).map(|host| (host, method)));
        }
        expect.order = checking.lists(text.order);
        expect.apart = checking.lists(text.apart);
        expect.together = checking.lists(text.together);
        (expect.said, expect.not_said) = (strings(text.said), strings(text.not_said));
        (expect.happened, expect.not_happened) = (strings(text.happened), strings(text.not_happened));
        (expect.sequence, expect.refused) = (text.sequence, text.refused);
        let event = |event: text::EventText| EventExpected {
            text: event.text.into_inner(),
            times: event.times,
            from_s: event.from_s,
            to_s: event.to_s,
        };
        expect.events = text.event.into_iter().map(event).collect();
        expect.recovered_s = text.recovered_s;
        (expect.all_up, expect.calm) = (text.all_up, text.calm);
        expect.at_rest = text.at_rest.unwrap_or(true);
        (expect, checking.problems)
    }
}
