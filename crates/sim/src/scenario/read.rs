//! Reads a scenario file and checks everything that it names.

use std::{path::Path, sync::Arc};

use lifeboat_brain::fleet::Settings;
use lifeboat_model::{
    Seconds,
    declaration::{self, Place, Places, Source},
    spec::Declaration,
};
use serde::Deserialize;
use toml::Spanned;

use super::{
    Command, Problem, Scenario, Step,
    expect::{Expect, ExpectText},
    script::{self, Names},
    sections,
};
use crate::{
    generate::{self, Generate},
    times::{TimesText, WorldTimes},
    world::WorldSettings,
};

/// The longest scenario that is read.
pub const MAX_BYTES: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioText {
    about: String,
    seed: Option<u64>,
    /// A fleet's file, beside this one.
    fleet: Option<Spanned<String>>,
    generate: Option<Spanned<Generate>>,
    #[serde(default)]
    world: WorldText,
    #[serde(default)]
    times: TimesText,
    #[serde(default)]
    settings: Settings,
    script: Spanned<String>,
    #[serde(default)]
    expect: ExpectText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WorldText {
    controllers: usize,
    lease_s: Seconds,
    /// How long the fleet has to come to rest after the script.
    limit_s: Seconds,
    /// Whether hosts without a fence, arrays without a backend and VMs without a check get simulated ones.
    complete: bool,
}

impl Default for WorldText {
    fn default() -> Self {
        Self { controllers: 1, lease_s: Seconds::new(10), limit_s: Seconds::new(1800), complete: true }
    }
}

struct Reader<'a> {
    path: &'a Path,
    file: Arc<str>,
    text: String,
    problems: Vec<Problem>,
}

/// Reads a scenario.
///
/// # Errors
/// Everything that is wrong with it, by file and line.
pub fn read(path: &Path) -> Result<Scenario, Vec<Problem>> {
    let file: Arc<str> = Arc::from(path.display().to_string());
    let whole = |text: String| vec![Problem { place: Place { file: file.clone(), line: None }, text }];
    let size = std::fs::metadata(path).map_err(|error| whole(format!("cannot be read: {error}")))?.len();
    if size > MAX_BYTES {
        return Err(whole(format!("is longer than {} MiB", MAX_BYTES >> 20)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
    let mut reader = Reader { path, file: file.clone(), text, problems: Vec::new() };
    let scenario = reader.scenario();
    match scenario {
        Some(scenario) if reader.problems.is_empty() => Ok(scenario),
        _ => {
            reader.problems.sort_by_key(|problem| problem.place.line);
            Err(reader.problems)
        }
    }
}

impl Reader<'_> {
    fn problem(&mut self, line: Option<usize>, text: String) {
        self.problems.push(Problem { place: Place { file: self.file.clone(), line }, text });
    }

    fn line(&self, byte: usize) -> usize {
        1 + self.text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
    }

    fn scenario(&mut self) -> Option<Scenario> {
        let (declaring, others) = sections::split(&self.text);
        // Both parts have the same lines, so that a place in the rest is told by its line there.
        self.text.clone_from(&others);
        let scenario = match toml::from_str::<ScenarioText>(&others) {
            Ok(scenario) => scenario,
            Err(error) => {
                let line = error.span().map(|span| self.line(span.start));
                self.problem(line, error.message().lines().collect::<Vec<_>>().join(" "));
                return None;
            }
        };
        if let Err(problem) = scenario.settings.validate() {
            self.problem(None, problem);
        }
        if !(1..=9).contains(&scenario.world.controllers) {
            self.problem(None, "[world] controllers is from 1 to 9".to_owned());
            return None;
        }
        let whole = self.declaration(&scenario, &declaring)?;
        let names = Names { declaration: &whole, controllers: scenario.world.controllers };
        let first = self.first_line_of(&scenario.script);
        let (steps, problems) = script::read(scenario.script.get_ref(), first, &names);
        for (line, problem) in problems {
            self.problem(Some(line), problem);
        }
        let expect = self.expectations(scenario.expect, &names);
        self.parts(&scenario.times, &names);
        let (declaration, later) = hold_back(&whole, &steps);
        let mut settings = WorldSettings::new(scenario.seed.unwrap_or(1), declaration);
        settings.controllers = scenario.world.controllers;
        settings.lease = scenario.world.lease_s;
        settings.settings = scenario.settings;
        let all = scenario.times.all().over(&settings.times.all);
        let of = scenario.times.of.iter().map(|(name, times)| (name.get_ref().clone(), times.over(&all))).collect();
        settings.times = WorldTimes { all, of };
        Some(Scenario { about: scenario.about, settings, later, steps, limit: scenario.world.limit_s, expect })
    }

    /// The line of a script's first line: a text that begins with a line break begins on the next line.
    fn first_line_of(&self, script: &Spanned<String>) -> usize {
        let start = script.span().start;
        let quoted = &self.text[start..];
        let opened = quoted.trim_start_matches(['\'', '"']);
        let line = self.line(start);
        if opened.starts_with('\n') || opened.starts_with("\r\n") { line + 1 } else { line }
    }

    /// Times are said of parts that there are.
    fn parts(&mut self, times: &TimesText, names: &Names<'_>) {
        for name in times.of.keys() {
            let there = names.is_part(name.get_ref());
            if !there {
                let line = self.line(name.span().start);
                self.problem(Some(line), format!("there is no host, VM or array `{}` in this fleet", name.get_ref()));
            }
        }
    }

    fn expectations(&mut self, text: ExpectText, names: &Names<'_>) -> Expect {
        let (expect, problems) = Expect::of(text, names);
        for (at, problem) in problems {
            let line = self.line(at);
            self.problem(Some(line), problem);
        }
        expect
    }

    fn declaration(&mut self, scenario: &ScenarioText, declaring: &str) -> Option<Declaration> {
        let mut known = Declaration::default();
        if let Some(generate) = &scenario.generate {
            let line = self.line(generate.span().start);
            let generate = generate.get_ref();
            match generate.validate().map(|()| generate.declaration()) {
                Ok(Ok(generated)) => known = generated,
                Ok(Err(error)) => self.problem(Some(line), format!("[generate]: {error}")),
                Err(problem) => {
                    self.problem(Some(line), problem);
                    return None;
                }
            }
        }
        if let Some(fleet) = &scenario.fleet {
            let read = self.fleet_file(fleet)?;
            known = put_over(known, read);
        }
        let mut places = Places::default();
        if declaring.trim().is_empty() && known.hosts.is_empty() {
            self.problem(
                None,
                "there is no fleet: add [generate], `fleet = \"FILE\"` or [[host]] and [[vm]]".to_owned(),
            );
            return None;
        }
        if !declaring.trim().is_empty() {
            let file = self.file.clone();
            let reading = declaration::read(&[Source { name: &file, bytes: declaring.as_bytes() }]);
            self.take(reading.problems);
            places = reading.places;
            known = put_over(known, reading.declaration);
        }
        if known.classes.is_empty() {
            known.classes = generate::classes();
        }
        if scenario.world.complete {
            complete(&mut known);
        }
        self.take(declaration::check(&known, &Declaration::default(), &places));
        self.problems.is_empty().then_some(known)
    }

    fn take(&mut self, problems: Vec<declaration::Problem>) {
        for problem in problems {
            let place = problem.place.unwrap_or(Place { file: self.file.clone(), line: None });
            self.problems.push(Problem { place, text: problem.text });
        }
    }

    fn fleet_file(&mut self, fleet: &Spanned<String>) -> Option<Declaration> {
        let line = self.line(fleet.span().start);
        let path = self.path.parent().unwrap_or(Path::new(".")).join(fleet.get_ref());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem(Some(line), format!("fleet file {} cannot be read: {error}", path.display()));
                return None;
            }
        };
        let name = path.display().to_string();
        let reading = declaration::read(&[Source { name: &name, bytes: &bytes }]);
        self.take(reading.problems);
        Some(reading.declaration)
    }
}

/// One declaration over another: what both name is as the second says.
fn put_over(mut below: Declaration, above: Declaration) -> Declaration {
    macro_rules! put {
        ($($list:ident)*) => {$(
            for it in above.$list {
                match below.$list.iter_mut().find(|other| other.name == it.name) {
                    Some(other) => *other = it,
                    None => below.$list.push(it),
                }
            }
        )*};
    }
    below.limits = above.limits.or(below.limits);
    if !above.classes.is_empty() {
        below.classes = above.classes;
    }
    put!(hosts arrays volumes vms groups rules checks);
    below
}

/// Gives what a simulated fleet needs and its file leaves out.
fn complete(declaration: &mut Declaration) {
    for host in declaration.hosts.iter_mut().filter(|host| host.fences.is_empty()) {
        host.fences.extend(generate::bmc(&host.name));
    }
    for array in declaration.arrays.iter_mut().filter(|array| array.backend.is_none()) {
        array.backend = Some(generate::backend());
    }
    for vm in declaration.vms.iter_mut().filter(|vm| vm.check.is_none()) {
        vm.check = Some(generate::check());
    }
}

/// What is declared at first, and what only when the script adds it.
fn hold_back(whole: &Declaration, steps: &[Step]) -> (Declaration, Declaration) {
    let (mut first, mut later) = (whole.clone(), Declaration::default());
    let vm_added = |name: &lifeboat_model::VmName| {
        steps.iter().find_map(|step| match &step.command {
            Command::VmAdd(vm) if vm == name => Some(true),
            Command::VmRemove(vm) if vm == name => Some(false),
            _ => None,
        })
    };
    let rule_added = |name: &lifeboat_model::RuleName| {
        steps.iter().find_map(|step| match &step.command {
            Command::RuleAdd(rule) if rule == name => Some(true),
            Command::RuleRemove(rule) if rule == name => Some(false),
            _ => None,
        })
    };
    first.vms.retain(|vm| vm_added(&vm.name) != Some(true));
    first.rules.retain(|rule| rule_added(&rule.name) != Some(true));
    later.vms.extend(whole.vms.iter().filter(|vm| vm_added(&vm.name).is_some()).cloned());
    later.rules.extend(whole.rules.iter().filter(|rule| rule_added(&rule.name).is_some()).cloned());
    (first, later)
}
