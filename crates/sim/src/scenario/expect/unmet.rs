//! What of the expectations does not hold.

use lifeboat_brain::fleet::records::{HostCondition, Severity, Wanted};
use lifeboat_model::{HostName, Seconds, Time, VmName, trace::What};

use super::Expect;
use crate::world::{Line, START, World};

impl Expect {
    /// What does not hold. `began` is when the script began, `first_line` where the timeline was then, `rests` whether
    /// the fleet has come to rest.
    pub(in crate::scenario) fn unmet(&self, world: &World, began: Time, first_line: usize, rests: bool) -> Vec<String> {
        let mut unmet = Vec::new();
        self.places(world, &mut unmet);
        self.vm_states(world, &mut unmet);
        self.host_states(world, &mut unmet);
        self.times(world, &mut unmet);
        self.orders(world, began, &mut unmet);
        self.starts(world, began, &mut unmet);
        self.hosts(world, began, &mut unmet);
        self.told(&world.timeline()[first_line..], began, &mut unmet);
        match (self.at_rest, rests) {
            (true, false) => unmet.push("the fleet does not come to rest in the time after the script".to_owned()),
            (false, true) => unmet.push("the fleet comes to rest, expected was that it waits for something".to_owned()),
            _ => {}
        }
        unmet
    }

    fn places(&self, world: &World, unmet: &mut Vec<String>) {
        let place = |vm: &VmName| world.where_is(vm).first().map_or("-".to_owned(), ToString::to_string);
        for (vm, hosts) in &self.places {
            let is = place(vm);
            if !hosts.contains(&is) {
                unmet.push(format!("{vm} is on {is}, expected was {}", hosts.join(" or ")));
            }
        }
        let sorted = |vms: &[VmName]| {
            let mut places: Vec<String> = vms.iter().map(place).collect();
            places.sort();
            places.dedup();
            places
        };
        for vms in &self.apart {
            let places = sorted(vms);
            if places.len() != vms.len() || places.contains(&"-".to_owned()) {
                unmet.push(format!("{} are on {}, expected was one host each", names(vms), places.join(", ")));
            }
        }
        for vms in &self.together {
            let places = sorted(vms);
            if places.len() != 1 || places.contains(&"-".to_owned()) {
                unmet.push(format!("{} are on {}, expected was one host for all", names(vms), places.join(", ")));
            }
        }
    }

    fn vm_states(&self, world: &World, unmet: &mut Vec<String>) {
        let Some(brain) = world.leader() else { return unmet.push("no controller leads".to_owned()) };
        if self.all_up {
            let down: Vec<VmName> = world.vms().keys().filter(|vm| !world.answers(vm)).cloned().collect();
            if !down.is_empty() {
                unmet.push(format!("{} do not answer, expected was that all VMs are up", names(&down)));
            }
        }
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
        for (vm, code) in &self.unplaced {
            let is = brain.unplaced().get(vm).map_or("placed", |reason| reason.code());
            if is != code {
                unmet.push(format!("{vm} is {is}, expected was that it has no place for reason {code}"));
            }
        }
    }

    fn host_states(&self, world: &World, unmet: &mut Vec<String>) {
        let Some(brain) = world.leader() else { return };
        for (host, state) in &self.host_states {
            let condition = brain.hosts().get(host).map(|host| &host.record.condition);
            let is = match condition {
                Some(HostCondition::Up) if brain.in_maintenance(host) || brain.kept_out(host) => "maintenance",
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
    }

    fn times(&self, world: &World, unmet: &mut Vec<String>) {
        let longest = |vm: &VmName| {
            let outages = world.counts().outages.iter().filter(|(name, _)| name == vm);
            outages.map(|(_, span)| *span).max()
        };
        for (vm, limit) in &self.within {
            match longest(vm) {
                _ if !world.answers(vm) => unmet.push(format!("{vm} is not back, expected was within {limit}")),
                None => unmet.push(format!("{vm} was never lost and back, expected was within {limit}")),
                Some(span) if span > *limit => {
                    unmet.push(format!("{vm} was away for {:.1} s, expected was {limit} at most", span.as_f64()));
                }
                Some(_) => {}
            }
        }
        for (vm, least) in &self.at_least {
            match longest(vm) {
                Some(span) if span >= *least => {}
                Some(span) => {
                    unmet.push(format!("{vm} was away for {:.1} s, expected was {least} at least", span.as_f64()));
                }
                None => unmet.push(format!("{vm} was never lost and back, expected was {least} at least")),
            }
        }
        if let Some(limit) = self.recovered_s {
            let lost = world.counts().outages.iter().filter(|(_, span)| *span > limit);
            unmet.extend(
                lost.map(|(vm, span)| format!("{vm} was away for {:.1} s, {limit} at most for all", span.as_f64())),
            );
        }
    }

    fn orders(&self, world: &World, began: Time, unmet: &mut Vec<String>) {
        let ready =
            |vm: &VmName| world.counts().ready.iter().rfind(|(at, name)| name == vm && *at >= began).map(|it| it.0);
        for pair in self.order.iter().flat_map(|order| order.windows(2)) {
            if ready(&pair[0]).is_none() || ready(&pair[1]).is_none() || ready(&pair[0]) >= ready(&pair[1]) {
                unmet.push(format!("{} was not up before {}", pair[0], pair[1]));
            }
        }
    }

    fn starts(&self, world: &World, began: Time, unmet: &mut Vec<String>) {
        let starts = |vm: &VmName| world.counts().starts.get(vm).copied().unwrap_or(0);
        for (vm, count) in &self.starts {
            if starts(vm) != *count {
                unmet.push(format!("{vm} was started {} times, expected was {count}", starts(vm)));
            }
        }
        let since = began.since(START).as_f64();
        for (vm, hosts) in &self.started_on {
            let of_vm = world
                .trace()
                .iter()
                .filter(|event| event.what == What::VmStarted && event.t >= since && event.vm.as_ref() == Some(vm));
            let is: Vec<HostName> = of_vm.filter_map(|event| event.host.clone()).collect();
            if is != *hosts {
                unmet.push(format!("{vm} was started on [{}], expected was [{}]", names(&is), names(hosts)));
            }
        }
        for vm in &self.untouched {
            let lost = world.counts().outages.iter().filter(|(name, _)| name == vm).count();
            if starts(vm) > 0 || lost > 0 || !world.answers(vm) {
                unmet.push(format!(
                    "{vm} was started {} times and away {lost} times{}, expected was that nothing happens to it",
                    starts(vm),
                    if world.answers(vm) { "" } else { ", and does not answer" }
                ));
            }
        }
    }

    fn hosts(&self, world: &World, began: Time, unmet: &mut Vec<String>) {
        let sorted = |list: &[HostName]| {
            let mut list = list.to_vec();
            list.sort();
            list.dedup();
            names(&list)
        };
        let fenced = &world.counts().fenced;
        if let Some(expected) = self.fenced.as_ref().filter(|expected| sorted(expected) != sorted(fenced)) {
            unmet.push(format!("fenced were [{}], expected was [{}]", sorted(fenced), sorted(expected)));
        }
        let declared: Vec<HostName> =
            world.counts().declared.iter().filter(|(at, _)| *at >= began).map(|(_, host)| host.clone()).collect();
        if let Some(expected) = self.declared.as_ref().filter(|expected| sorted(expected) != sorted(&declared)) {
            unmet.push(format!("declared failed were [{}], expected was [{}]", sorted(&declared), sorted(expected)));
        }
        for (host, expected) in &self.fenced_by {
            let method = world.trace().iter().rev().find_map(|event| match &event.what {
                What::Fenced { method } if event.host.as_ref() == Some(host) => Some(method.as_str()),
                _ => None,
            });
            if method != Some(expected) {
                let is = method.unwrap_or("nothing");
                unmet.push(format!("{host} was proven off by {is}, expected was {expected}"));
            }
        }
    }

    fn told(&self, timeline: &[Line], began: Time, unmet: &mut Vec<String>) {
        let told: Vec<&Line> = timeline.iter().filter(|line| line.severity.is_some()).collect();
        let facts: Vec<&Line> =
            timeline.iter().filter(|line| line.severity.is_none() && !line.text.starts_with("> ")).collect();
        let among = |lines: &[&Line], text: &str| lines.iter().any(|line| line.text.contains(text));
        for text in self.said.iter().filter(|text| !among(&told, text)) {
            unmet.push(format!("nobody was told: {text}"));
        }
        for text in self.not_said.iter().filter(|text| among(&told, text)) {
            unmet.push(format!("it was told, and should not have been: {text}"));
        }
        for text in self.happened.iter().filter(|text| !among(&facts, text)) {
            unmet.push(format!("it did not happen: {text}"));
        }
        for text in self.not_happened.iter().filter(|text| among(&facts, text)) {
            unmet.push(format!("it happened, and should not have: {text}"));
        }
        let mut rest = told.iter();
        if let Some(text) = self.sequence.iter().find(|text| !rest.any(|line| line.text.contains(text.as_str()))) {
            unmet.push(format!("nobody was told after what comes before it in `sequence`: {text}"));
        }
        for event in &self.events {
            let lines: Vec<&&Line> = told.iter().filter(|line| line.text.contains(&event.text)).collect();
            if event.times.map_or(lines.is_empty(), |times| times != lines.len() as u64) {
                let expected = event.times.map_or("once at least".to_owned(), |times| format!("{times} times"));
                unmet.push(format!("it was told {} times, expected was {expected}: {}", lines.len(), event.text));
            }
            let Some(first) = lines.first() else { continue };
            let at = (START + first.at).since(began);
            if event.from_s.is_some_and(|from| at < from) || event.to_s.is_some_and(|to| at > to) {
                let bound = |span: Option<Seconds>| span.map_or(String::new(), |span| span.as_f64().to_string());
                let (from, to) = (bound(event.from_s), bound(event.to_s));
                unmet.push(format!(
                    "it was told after {:.1} s, expected was {from}..{to}: {}",
                    at.as_f64(),
                    event.text
                ));
            }
        }
        if self.calm
            && let Some(line) = told.iter().find(|line| line.severity > Some(Severity::Info))
        {
            unmet.push(format!("people were warned, expected was that nobody is: {}", line.text));
        }
    }
}

fn names(list: &[impl ToString]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
