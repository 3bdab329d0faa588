//! Events that belong together, and how they are put into a message.

use lifeboat_model::{
    Time,
    notice::{Notice, NoticeEvent, Severity},
};

use crate::fleet::records::EventRecord;

/// Events that a message has at most; of more the number is told.
pub const MAX_EVENTS: usize = 50;
/// Characters of a subject, at most.
const MAX_SUBJECT: usize = 150;
/// Characters of an event's text that are told, at most.
const MAX_TEXT: usize = 2000;

/// Events that belong together and were not told yet.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) events: Vec<NoticeEvent>,
    pub(super) more: u64,
    pub(super) due: Time,
    /// The lowest number among them.
    pub(super) first: u64,
    /// The trouble that is over with them.
    pub(super) over: bool,
}

impl Group {
    pub(super) fn new(due: Time, first: u64) -> Self {
        Self { events: Vec::new(), more: 0, due, first, over: false }
    }

    pub(super) fn severity(&self) -> Severity {
        self.events.iter().map(|event| event.severity).max().unwrap_or_default()
    }

    /// Adds an event. When there are too many, one of those that matter least goes.
    pub(super) fn add(&mut self, event: NoticeEvent) {
        self.events.push(event);
        if self.events.len() <= MAX_EVENTS {
            return;
        }
        self.more += 1;
        // The last one stays: it says how things are now.
        let inner = self.events[..MAX_EVENTS].iter().enumerate();
        if let Some((at, _)) = inner.min_by_key(|(at, event)| (event.severity, *at)) {
            self.events.remove(at);
        }
    }
}

/// What an event belongs to.
pub(super) fn key(event: &EventRecord) -> String {
    match (&event.recovery, &event.trouble, &event.host, &event.vm) {
        (Some(id), ..) => format!("recovery {id}"),
        (_, Some(trouble), ..) => trouble.clone(),
        (_, _, Some(host), _) => format!("host {host}"),
        (_, _, _, Some(vm)) => format!("VM {vm}"),
        _ => "fleet".to_owned(),
    }
}

pub(super) fn told(event: &EventRecord) -> NoticeEvent {
    NoticeEvent {
        sequence: event.sequence,
        time_us: event.time,
        severity: event.severity,
        text: cut(&event.text, MAX_TEXT),
        host: event.host.clone(),
        vm: event.vm.clone(),
        recovery: event.recovery.map(|id| id.0),
        trouble: event.recovery.map(|id| format!("recovery {id}")).or_else(|| event.trouble.clone()),
    }
}

/// The text on one line, of so many characters at most.
pub(super) fn cut(text: &str, characters: usize) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > characters {
        line = line.chars().take(characters.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

/// One message of some groups.
pub(super) fn message(groups: &[Group], lost: u64) -> Notice {
    let mut events: Vec<NoticeEvent> = groups.iter().flat_map(|group| group.events.iter().cloned()).collect();
    events.sort_by_key(|event| event.sequence);
    let mut left_out = lost + groups.iter().map(|group| group.more).sum::<u64>();
    if events.len() > MAX_EVENTS {
        // The least that matters goes first, the oldest of it before the newer.
        let mut order: Vec<(Severity, u64)> = events.iter().map(|event| (event.severity, event.sequence)).collect();
        order.sort_unstable();
        let gone = events.len() - MAX_EVENTS;
        let last = order[gone - 1];
        events.retain(|event| (event.severity, event.sequence) > last);
        left_out += gone as u64;
    }
    let severity = events.iter().map(|event| event.severity).max().unwrap_or_default();
    Notice { severity, subject: subject(&events, groups, left_out), events, left_out, alerts: Vec::new() }
}

fn subject(events: &[NoticeEvent], groups: &[Group], left_out: u64) -> String {
    let severity = events.iter().map(|event| event.severity).max();
    // What is over is the news; otherwise the first of what matters most.
    let ends = groups.iter().any(|group| group.over) && groups.len() == 1;
    let head = if ends { events.last() } else { events.iter().find(|event| Some(event.severity) == severity) };
    let rest = events.len() as u64 + left_out - u64::from(head.is_some());
    let text = head.map_or_else(|| "events were left out".to_owned(), |event| event.text.clone());
    let first = text.split_once(". ").map_or(text.as_str(), |(first, _)| first);
    match (rest, groups.len() > 1) {
        (0, _) => cut(first, MAX_SUBJECT),
        (_, true) => format!("{} events; the first: {}", rest + 1, cut(first, MAX_SUBJECT)),
        (1, false) => format!("{} (and 1 more)", cut(first, MAX_SUBJECT)),
        (more, false) => format!("{} (and {more} more)", cut(first, MAX_SUBJECT)),
    }
}
