//! Files into one declaration.

use std::sync::Arc;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Kind, Object, Place, Places, Problem,
    fault::Fault,
    from_fleet::from_fleet,
    nearest::nearest,
    places::Lines,
    tree::{self, type_of},
};
use crate::{
    fleet::{Fleet, FleetError},
    spec::Declaration,
};

/// The largest file that is read: some 100,000 VMs.
const MAX_BYTES: usize = 64 << 20;

/// A file's content.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file, as the operator named it.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Everything that could be read.
    pub declaration: Declaration,
    /// Where it stands.
    pub places: Places,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Reads files into one declaration: each a TOML declaration, or a `lifeboat/fleet/v1` in JSON (it begins with `{`).
/// Never panics, whatever the bytes are.
#[must_use]
pub fn read(sources: &[Source<'_>]) -> Reading {
    let mut reading = Reading::default();
    for source in sources {
        let file: Arc<str> = Arc::from(source.name);
        if source.bytes.len() > MAX_BYTES {
            reading.whole(&file, "is longer than 64 MiB. Split it into several files.");
            continue;
        }
        let Ok(text) = std::str::from_utf8(source.bytes) else {
            reading.not_text(&file, source.bytes);
            continue;
        };
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('{') {
            reading.fleet(&file, text);
        } else {
            reading.toml(&file, text);
        }
    }
    reading
}

impl Reading {
    fn whole(&mut self, file: &Arc<str>, text: &str) {
        let place = Some(Place { file: file.clone(), line: None });
        self.problems.push(Problem { place, object: None, text: format!("the file {text}") });
    }

    fn line(&mut self, file: &Arc<str>, line: usize, object: Option<Object>, text: String) {
        let place = Some(Place { file: file.clone(), line: Some(line) });
        self.problems.push(Problem { place, object, text });
    }

    fn not_text(&mut self, file: &Arc<str>, bytes: &[u8]) {
        let good = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), |text| text.len());
        let line = 1 + bytes[..good].iter().filter(|byte| **byte == b'\n').count();
        let text = "there are bytes here that are not UTF-8 text. Name a TOML or fleet/v1 JSON file.".to_owned();
        self.line(file, line, None, text);
    }

    fn fleet(&mut self, file: &Arc<str>, text: &str) {
        let fleet = match Fleet::from_json(text) {
            Ok(fleet) => fleet,
            Err(FleetError::Json(_)) => return self.not_a_fleet(file, text),
            Err(error) => return self.whole(file, &format!("is not a fleet to be taken: {error}.")),
        };
        let declared = from_fleet(&fleet);
        for object in objects(&declared) {
            if let Some(first) = self.places.object(&object) {
                let text = format!("{object} is declared here and in {first}. Remove one of the two.");
                let place = Some(Place { file: file.clone(), line: None });
                self.problems.push(Problem { place, object: Some(object), text });
            } else {
                self.places.add_unlined(object, file);
            }
        }
        self.take_all(declared);
    }

    /// The fleet's own error has no line of its own: ask the parser once more.
    fn not_a_fleet(&mut self, file: &Arc<str>, text: &str) {
        let Err(error) = serde_json::from_str::<Fleet>(text) else { return };
        let whole = error.to_string();
        let at = format!(" at line {} column {}", error.line(), error.column());
        let said = whole.strip_suffix(&at).unwrap_or(&whole);
        let text = format!("not a fleet/v1 document: {said} (column {}).", error.column());
        self.line(file, error.line().max(1), None, text);
    }

    fn take_all(&mut self, from: Declaration) {
        let into = &mut self.declaration;
        into.limits = from.limits.or(into.limits.take());
        into.classes.extend(from.classes);
        into.hosts.extend(from.hosts);
        into.arrays.extend(from.arrays);
        into.volumes.extend(from.volumes);
        into.vms.extend(from.vms);
        into.groups.extend(from.groups);
        into.rules.extend(from.rules);
        into.restarts.extend(from.restarts);
        into.orders.extend(from.orders);
        into.checks.extend(from.checks);
    }

    fn toml(&mut self, file: &Arc<str>, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        for error in &errors {
            let line = lines.line(error.span().map_or(0, |span| span.start));
            self.line(file, line, None, format!("not TOML: {}.", one_line(error.message())));
        }
        if !errors.is_empty() {
            return;
        }
        if document.get_ref().is_empty() {
            return self.whole(
                file,
                "declares nothing: it is empty, or has only comments. `lifeboat apply --help` shows what goes into it.",
            );
        }
        let mut sections: Vec<_> = document.get_ref().iter().collect();
        sections.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in sections {
            self.section(file, &lines, key, value);
        }
    }

    fn section(&mut self, file: &Arc<str>, lines: &Lines, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Value<'_>) {
        let line = lines.line(key.span().start);
        let word = key.get_ref().as_ref();
        if word == "limits" {
            return self.limits(file, lines, line, value);
        }
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.key() == word) else {
            let words = Kind::ALL.into_iter().map(Kind::key).chain(["limits"]);
            let text = match nearest(word, words) {
                Some("limits") => format!("there is no section `{word}`; did you mean `[limits]`?"),
                Some(meant) => format!("there is no section `{word}`; did you mean `[[{meant}]]`?"),
                None => format!(
                    "there is no section `{}`. The sections are [[class]], [[host]], [[array]], [[volume]], [[vm]], \
                     [[group]], [[rule]], [[restart]], [[order]], [[check]] and [limits].",
                    word.chars().take(60).collect::<String>()
                ),
            };
            return self.line(file, line, None, text);
        };
        let DeValue::Array(items) = value.get_ref() else {
            let text = format!("write `[[{word}]]`, once for each {kind}: here is {}.", type_of(value.get_ref()));
            return self.line(file, line, None, text);
        };
        for item in items {
            self.object(file, lines, kind, item);
        }
    }

    fn limits(&mut self, file: &Arc<str>, lines: &Lines, line: usize, value: &Value<'_>) {
        if let Some(first) = self.places.limit("") {
            let here = Place { file: file.clone(), line: Some(line) };
            let text = format!("`[limits]` stands here and in {}. Remove one.", first.seen_from(Some(&here)));
            return self.line(file, line, None, text);
        }
        self.places.add_limits(file, lines, value);
        match tree::read(value) {
            Ok(limits) => self.declaration.limits = Some(limits),
            Err(fault) => self.fault(file, lines, "[limits]", None, &fault),
        }
    }

    fn fault(&mut self, file: &Arc<str>, lines: &Lines, whose: &str, object: Option<Object>, fault: &Fault) {
        let line = lines.line(fault.span.as_ref().map_or(0, |span| span.start));
        self.line(file, line, object, one_line(&fault.sentence(whose)));
    }

    fn object(&mut self, file: &Arc<str>, lines: &Lines, kind: Kind, value: &Value<'_>) {
        let name =
            value.get_ref().as_table().and_then(|table| table.get("name")).and_then(|name| name.get_ref().as_str());
        let object = name.map(|name| Object::new(kind, name.chars().take(160).collect::<String>()));
        if let Some(object) = &object {
            let line = lines.line(value.span().start);
            if let Some(first) = self.places.object(object) {
                let here = Place { file: file.clone(), line: Some(line) };
                let first = first.seen_from(Some(&here));
                let text = format!("{object} is declared here and in {first}. Remove one of the two.");
                return self.line(file, line, Some(object.clone()), text);
            }
            self.places.add(object.clone(), file, lines, value);
        }
        if let Err(fault) = self.take(kind, value) {
            let whose = object.as_ref().map_or_else(|| format!("this {kind}"), Object::to_string);
            self.fault(file, lines, &whose, object, &fault);
        }
    }

    fn take(&mut self, kind: Kind, value: &Value<'_>) -> Result<(), Fault> {
        let into = &mut self.declaration;
        match kind {
            Kind::Class => push(&mut into.classes, value),
            Kind::Host => push(&mut into.hosts, value),
            Kind::Array => push(&mut into.arrays, value),
            Kind::Volume => push(&mut into.volumes, value),
            Kind::Vm => push(&mut into.vms, value),
            Kind::Group => push(&mut into.groups, value),
            Kind::Rule => push(&mut into.rules, value),
            Kind::Restart => push(&mut into.restarts, value),
            Kind::Order => push(&mut into.orders, value),
            Kind::Check => push(&mut into.checks, value),
        }
    }
}

type Value<'i> = Spanned<DeValue<'i>>;

fn push<'a, T: Deserialize<'a>>(list: &mut Vec<T>, value: &'a Value<'_>) -> Result<(), Fault> {
    list.push(tree::read(value)?);
    Ok(())
}

/// A parser's message may have several lines; a problem is one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Everything in a declaration that has a name.
pub(super) fn objects(declaration: &Declaration) -> Vec<Object> {
    let mut objects = Vec::new();
    let mut add = |kind, name: &dyn std::fmt::Display| objects.push(Object::new(kind, name));
    declaration.classes.iter().for_each(|it| add(Kind::Class, &it.name));
    declaration.hosts.iter().for_each(|it| add(Kind::Host, &it.name));
    declaration.arrays.iter().for_each(|it| add(Kind::Array, &it.name));
    declaration.volumes.iter().for_each(|it| add(Kind::Volume, &it.name));
    declaration.vms.iter().for_each(|it| add(Kind::Vm, &it.name));
    declaration.groups.iter().for_each(|it| add(Kind::Group, &it.name));
    declaration.rules.iter().for_each(|it| add(Kind::Rule, &it.name));
    declaration.restarts.iter().for_each(|it| add(Kind::Restart, &it.name));
    declaration.orders.iter().for_each(|it| add(Kind::Order, &it.name));
    declaration.checks.iter().for_each(|it| add(Kind::Check, &it.name));
    objects
}
