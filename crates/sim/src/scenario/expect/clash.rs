//! Expectations that exclude each other: no run could meet both.

use std::collections::{BTreeMap, BTreeSet};

use super::text::{ExpectText, Table, Word};

type Problems = Vec<(usize, String)>;

/// Pairs of expectations that no run meets, by the place of one of them.
pub(super) fn clashes(text: &ExpectText) -> Problems {
    let mut problems = Vec::new();
    places(text, &mut problems);
    lists(text, &mut problems);
    orders(text, &mut problems);
    counts(text, &mut problems);
    hosts(text, &mut problems);
    texts(text, &mut problems);
    everybody(text, &mut problems);
    calm(text, &mut problems);
    problems
}

fn at(word: &Word) -> usize {
    word.span().start
}

/// What a table says of a name.
fn of<'a, T>(table: &'a Table<T>, name: &str) -> Option<&'a T> {
    table.iter().find(|(word, _)| word.get_ref() == name).map(|(_, value)| value)
}

fn nowhere(hosts: &[String]) -> bool {
    hosts.iter().all(|host| host == "-")
}

fn somewhere(hosts: &[String]) -> bool {
    !hosts.iter().any(|host| host == "-")
}

fn places(text: &ExpectText, problems: &mut Problems) {
    for (vm, hosts) in &text.host {
        let hosts = &hosts.0;
        if hosts.is_empty() {
            problems.push((
                at(vm),
                format!("`{}` is expected on no host of an empty list; `-` stands for no host", vm.get_ref()),
            ));
        }
        if let Some(state) = of(&text.state, vm.get_ref()) {
            let gone = ["stopped", "shut-down", "unknown"].contains(&state.as_str());
            if gone && somewhere(hosts) || state == "up" && nowhere(hosts) {
                problems
                    .push((at(vm), format!("`{}` cannot be {state} and be on {}", vm.get_ref(), hosts.join(" or "))));
            }
        }
    }
    for (vm, code) in &text.unplaced {
        let on = of(&text.host, vm.get_ref()).is_some_and(|hosts| somewhere(&hosts.0));
        let up = of(&text.state, vm.get_ref()).is_some_and(|state| state == "up");
        if on || up {
            problems.push((at(vm), format!("`{}` cannot be unplaced ({code}) and run", vm.get_ref())));
        }
    }
}

fn lists(text: &ExpectText, problems: &mut Problems) {
    let named = [("apart", &text.apart), ("together", &text.together), ("order", &text.order)];
    for (name, list) in named.iter().flat_map(|(name, lists)| lists.iter().map(move |list| (name, list))) {
        if let [] | [_] = &list[..] {
            let place = list.first().map_or(0, at);
            problems.push((place, format!("`{name}` compares VMs: it needs two at least")));
        }
        for (n, word) in list.iter().enumerate() {
            if list[..n].iter().any(|other| other.get_ref() == word.get_ref()) {
                problems.push((at(word), format!("`{}` is twice in one list of `{name}`", word.get_ref())));
            }
        }
    }
    let pairs = |lists: &[Vec<Word>]| -> Vec<(Word, Word)> {
        let of_list = |list: &Vec<Word>| -> Vec<(Word, Word)> {
            let pair = |n: usize| list[n + 1..].iter().map(move |b| (list[n].clone(), b.clone()));
            (0..list.len()).flat_map(pair).collect()
        };
        lists.iter().flat_map(of_list).collect()
    };
    let together = pairs(&text.together);
    for (a, b) in pairs(&text.apart) {
        let same = |(x, y): &&(Word, Word)| {
            [x.get_ref(), y.get_ref()] == [a.get_ref(), b.get_ref()]
                || [y.get_ref(), x.get_ref()] == [a.get_ref(), b.get_ref()]
        };
        if together.iter().any(|pair| same(&pair)) {
            problems.push((at(&a), format!("`{}` and `{}` cannot be apart and together", a.get_ref(), b.get_ref())));
        }
        if let (Some(on_a), Some(on_b)) = (of(&text.host, a.get_ref()), of(&text.host, b.get_ref()))
            && on_a.0.len() == 1
            && on_a.0 == on_b.0
        {
            problems.push((
                at(&a),
                format!("`{}` and `{}` cannot be apart and both be on {}", a.get_ref(), b.get_ref(), on_a.0[0]),
            ));
        }
    }
    for (a, b) in together {
        if let (Some(on_a), Some(on_b)) = (of(&text.host, a.get_ref()), of(&text.host, b.get_ref()))
            && !on_a.0.iter().any(|host| on_b.0.contains(host))
        {
            problems.push((
                at(&a),
                format!("`{}` and `{}` cannot be together: no host is expected for both", a.get_ref(), b.get_ref()),
            ));
        }
    }
}

/// Whether some list says, by itself or through others, that one VM comes before another.
fn before(next: &BTreeMap<&str, BTreeSet<&str>>, first: &str, then: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![first]);
    while let Some(name) = open.pop() {
        for following in next.get(name).into_iter().flatten() {
            if *following == then {
                return true;
            }
            if seen.insert(*following) {
                open.push(following);
            }
        }
    }
    false
}

fn orders(text: &ExpectText, problems: &mut Problems) {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pair in text.order.iter().flat_map(|list| list.windows(2)) {
        let (a, b) = (pair[0].get_ref().as_str(), pair[1].get_ref().as_str());
        if a != b && before(&next, b, a) {
            problems.push((at(&pair[0]), format!("`{a}` cannot be up before `{b}`: another list says the reverse")));
        }
        next.entry(a).or_default().insert(b);
    }
}

fn counts(text: &ExpectText, problems: &mut Problems) {
    for (vm, least) in &text.at_least {
        if of(&text.within, vm.get_ref()).is_some_and(|most| most < least) {
            problems
                .push((at(vm), format!("`{}` cannot be away for at least {least} and come back sooner", vm.get_ref())));
        }
        if text.recovered_s.is_some_and(|most| most < *least) {
            problems.push((
                at(vm),
                format!(
                    "`{}` cannot be away for at least {least} when all are back sooner (`recovered_s`)",
                    vm.get_ref()
                ),
            ));
        }
    }
    for (vm, hosts) in &text.started_on {
        if of(&text.starts, vm.get_ref()).is_some_and(|count| *count != hosts.len() as u64) {
            problems
                .push((at(vm), format!("`started_on` of `{}` has not as many starts as `starts` says", vm.get_ref())));
        }
    }
    for vm in &text.untouched {
        let name = vm.get_ref();
        let started = of(&text.starts, name).is_some_and(|count| *count > 0)
            || of(&text.started_on, name).is_some_and(|hosts| !hosts.is_empty());
        let away = of(&text.within, name).is_some() || of(&text.at_least, name).is_some();
        let ordered = text.order.iter().flatten().any(|word| word.get_ref() == name);
        let down = of(&text.state, name).is_some_and(|state| state != "up");
        if started || away || ordered || down || of(&text.unplaced, name).is_some() {
            problems.push((at(vm), format!("`{name}` cannot stay untouched and do what is expected of it elsewhere")));
        }
    }
}

fn hosts(text: &ExpectText, problems: &mut Problems) {
    let Some(declared) = &text.declared else { return };
    let is_declared = |host: &str| declared.iter().any(|word| word.get_ref() == host);
    for host in text.fenced.iter().flatten().chain(text.fenced_by.keys()) {
        if !is_declared(host.get_ref()) {
            problems.push((at(host), format!("`{}` cannot be fenced without being declared failed", host.get_ref())));
        }
    }
    for (host, state) in &text.state {
        if ["failed", "fenced"].contains(&state.as_str()) && !is_declared(host.get_ref()) {
            problems.push((at(host), format!("`{}` cannot be {state} without being declared failed", host.get_ref())));
        }
    }
}

fn texts(text: &ExpectText, problems: &mut Problems) {
    let events = text.event.iter().filter(|event| event.times != Some(0)).map(|event| &event.text);
    let said: Vec<&str> = text.said.iter().chain(events).map(|word| word.get_ref().as_str()).collect();
    let said = said.into_iter().chain(text.sequence.iter().map(String::as_str));
    let all: Vec<&str> = said.collect();
    for word in &text.not_said {
        if all.iter().any(|said| said.contains(word.get_ref().as_str())) {
            problems.push((at(word), format!("this cannot be both told and not told: {}", word.get_ref())));
        }
    }
    for word in &text.not_happened {
        if text.happened.iter().any(|other| other.get_ref().contains(word.get_ref().as_str())) {
            problems.push((at(word), format!("this cannot both happen and not happen: {}", word.get_ref())));
        }
    }
    for event in &text.event {
        if let (Some(from), Some(to)) = (event.from_s, event.to_s)
            && from > to
        {
            problems
                .push((at(&event.text), format!("from {} s to {} s is no time at all", from.as_f64(), to.as_f64())));
        }
        if event.times == Some(0) && (event.from_s.is_some() || event.to_s.is_some()) {
            problems.push((at(&event.text), "what is never told has no time".to_owned()));
        }
    }
}

fn everybody(text: &ExpectText, problems: &mut Problems) {
    if !text.all_up {
        return;
    }
    let mut say = |word: &Word, what: &str| {
        problems.push((at(word), format!("`{}` cannot be {what} when `all_up` is expected", word.get_ref())));
    };
    for (vm, state) in &text.state {
        if ["down", "stopped", "shut-down", "given-up", "unknown"].contains(&state.as_str()) {
            say(vm, state);
        }
    }
    text.unplaced.keys().for_each(|vm| say(vm, "unplaced"));
    text.host.iter().filter(|(_, hosts)| nowhere(&hosts.0)).for_each(|(vm, _)| say(vm, "on no host"));
}

/// Nobody is told of a failure without a warning.
fn calm(text: &ExpectText, problems: &mut Problems) {
    if let (true, Some(host)) = (text.calm, text.declared.iter().chain(&text.fenced).flatten().next()) {
        problems.push((at(host), format!("it cannot be calm when `{}` fails", host.get_ref())));
    }
}
