//! Where each object, and each of its fields, stands in the operator's files.

use std::{collections::BTreeMap, sync::Arc};

use toml::{Spanned, de::DeValue};

use super::{Kind, Object, Place};

/// The line starts of a text.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    /// The line of a byte, counted from 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    file: Arc<str>,
    line: Option<usize>,
    /// Line by path below the object: `volumes[2]`.
    fields: BTreeMap<String, usize>,
}

/// An index from objects and their fields to the lines that declare them. Empty where no file is known.
#[derive(Clone, Debug, Default)]
pub struct Places {
    objects: BTreeMap<Object, Entry>,
    limits: Option<Entry>,
}

impl Places {
    /// Whether the files speak of this object, be it rightly or not.
    #[must_use]
    pub fn has(&self, object: &Object) -> bool {
        self.objects.contains_key(object)
    }

    /// Where an object is declared.
    #[must_use]
    pub fn object(&self, object: &Object) -> Option<Place> {
        self.objects.get(object).map(|entry| Place { file: entry.file.clone(), line: entry.line })
    }

    /// Where a field of an object is, by its path (`volumes[2]`), or else the nearest thing around it.
    #[must_use]
    pub fn field(&self, object: &Object, path: &str) -> Option<Place> {
        self.objects.get(object).map(|entry| entry.place(path))
    }

    /// Where a field of the limits is.
    #[must_use]
    pub fn limit(&self, path: &str) -> Option<Place> {
        self.limits.as_ref().map(|entry| entry.place(path))
    }

    /// The names of one kind that the files speak of.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.objects.keys().filter(move |object| object.kind == kind).map(|object| object.name.as_str())
    }

    /// Notes an object of a file without lines.
    pub(super) fn add_unlined(&mut self, object: Object, file: &Arc<str>) {
        self.objects.insert(object, Entry { file: file.clone(), line: None, fields: BTreeMap::new() });
    }

    /// Notes an object and all of its fields.
    pub(super) fn add(&mut self, object: Object, file: &Arc<str>, lines: &Lines, value: &Spanned<DeValue<'_>>) {
        self.objects.insert(object, Entry::of(file, lines, value));
    }

    /// Notes the limits and all of their fields.
    pub(super) fn add_limits(&mut self, file: &Arc<str>, lines: &Lines, value: &Spanned<DeValue<'_>>) {
        self.limits = Some(Entry::of(file, lines, value));
    }
}

impl Entry {
    fn of(file: &Arc<str>, lines: &Lines, value: &Spanned<DeValue<'_>>) -> Self {
        let mut entry =
            Self { file: file.clone(), line: Some(lines.line(value.span().start)), fields: BTreeMap::new() };
        entry.note(lines, "", value);
        entry
    }

    fn note(&mut self, lines: &Lines, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => {
                for (key, value) in table {
                    let dot = if path.is_empty() { "" } else { "." };
                    let below = format!("{path}{dot}{}", key.get_ref());
                    self.fields.insert(below.clone(), lines.line(key.span().start));
                    self.note(lines, &below, value);
                }
            }
            DeValue::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let below = format!("{path}[{at}]");
                    self.fields.insert(below.clone(), lines.line(item.span().start));
                    self.note(lines, &below, item);
                }
            }
            _ => {}
        }
    }

    fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(line) = self.fields.get(path) {
                return Place { file: self.file.clone(), line: Some(*line) };
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => return Place { file: self.file.clone(), line: self.line },
            }
        }
    }
}
