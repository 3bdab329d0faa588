//! One receiver.

use std::collections::BTreeMap;

use lifeboat_model::{
    HostName, Seconds, Time, VmName,
    notice::{Alert, Notice, Severity},
};
use serde::{Deserialize, Serialize};

use super::{
    NotifyEffect, ReceiverSettings, Style,
    bucket::Bucket,
    group::{self, Group},
};
use crate::fleet::records::EventRecord;

/// Groups that wait at most; what belongs to others is told by its number only.
const MAX_GROUPS: usize = 200;
/// Troubles that are kept track of, at most.
const MAX_LASTING: usize = 1000;
/// The pause after the first failure; it doubles.
const PAUSE: Seconds = Seconds::new(5);
/// The longest pause.
const LONGEST_PAUSE: Seconds = Seconds::new(300);
/// An alert of an event that does not last ends by itself after this.
const PASSES: Seconds = Seconds::new(300);

/// A trouble that lasts and was told, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lasting {
    /// When it began.
    pub since: Time,
    /// How much it mattered then.
    pub severity: Severity,
    /// What was said of it last.
    pub text: String,
    /// Whether it was told, or is being told.
    pub told: bool,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// The VM that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
}

/// What is remembered of a receiver across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The number of the last event before which all is told, or need not be.
    pub told: u64,
    /// Troubles of which it was told that they began, and not that they are over.
    #[serde(default)]
    pub lasting: BTreeMap<String, Lasting>,
    /// Events that it could not be told.
    #[serde(default)]
    pub lost: u64,
}

/// How a receiver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverView {
    /// Its name.
    pub name: String,
    /// When it took a message last; none: not since this controller began.
    pub delivered: Option<Time>,
    /// Events that wait to be told.
    pub waiting: u64,
    /// Events that it could not be told and will be told the number of.
    pub lost: u64,
    /// Whether what waits is held back by its rate.
    pub held_back: bool,
    /// What went wrong last; none: it takes messages, as far as is known.
    pub problem: Option<String>,
}

/// A message under way, or waiting to be tried again.
#[derive(Debug)]
struct Flight {
    notice: Notice,
    tries: u32,
    /// When it is tried again; none: it is under way.
    again: Option<Time>,
    /// The lowest number among its events; none: it only repeats alerts.
    first: Option<u64>,
    /// Troubles that are over when it has arrived.
    over: Vec<String>,
    lost: u64,
}

#[derive(Debug)]
pub(super) struct Receiver {
    settings: ReceiverSettings,
    memory: Memory,
    groups: BTreeMap<String, Group>,
    /// When a group was told of last, as long as its pause runs.
    told_at: BTreeMap<String, Time>,
    bucket: Bucket,
    flight: Option<Flight>,
    attempt: u64,
    /// The last event that it was handed.
    taken: u64,
    sent: Time,
    delivered: Option<Time>,
    problem: Option<String>,
    /// Whether the problem was told.
    complained: bool,
}

impl Receiver {
    pub(super) fn new(settings: ReceiverSettings, memory: Memory, now: Time) -> Self {
        let bucket = Bucket::new(settings.per_hour, settings.burst, now);
        Self {
            taken: memory.told,
            bucket,
            settings,
            memory,
            groups: BTreeMap::new(),
            told_at: BTreeMap::new(),
            flight: None,
            attempt: 0,
            sent: now,
            delivered: None,
            problem: None,
            complained: false,
        }
    }

    pub(super) fn told(&self) -> u64 {
        self.memory.told
    }

    /// Events were missed: what was the matter may be over by one of them.
    pub(super) fn missed(&mut self, count: u64) {
        self.memory.lost = self.memory.lost.saturating_add(count);
        self.memory.lasting.clear();
    }

    /// Takes an event, if it is one for this receiver.
    pub(super) fn take(&mut self, now: Time, event: &EventRecord) {
        if event.sequence <= self.taken {
            return;
        }
        self.taken = event.sequence;
        let key = group::key(event);
        let known = self.memory.lasting.contains_key(&key);
        if event.severity < self.settings.severity && !(event.over && known) {
            return;
        }
        let told = group::told(event);
        self.note_lasting(&key, event, known);
        let quiet = self.told_at.get(&key).map_or(now, |at| *at + self.settings.pause_s);
        let soon = now + self.settings.wait_s;
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            self.memory.lost += 1;
            return;
        }
        let group = self.groups.entry(key).or_insert_with(|| Group::new(soon.max(quiet), event.sequence));
        if event.severity == Severity::Critical {
            group.due = group.due.min(soon);
        }
        if event.over {
            group.due = now;
        }
        group.over |= event.over;
        group.add(told);
    }

    /// Keeps track of troubles that last: recoveries, and what is named as one.
    fn note_lasting(&mut self, key: &str, event: &EventRecord, known: bool) {
        if event.recovery.is_none() && event.trouble.is_none() {
            return;
        }
        if let Some(lasting) = self.memory.lasting.get_mut(key) {
            lasting.text = group::cut(&event.text, 500);
        } else if !known && !event.over && self.memory.lasting.len() < MAX_LASTING {
            let lasting = Lasting {
                since: event.time,
                severity: event.severity,
                text: group::cut(&event.text, 500),
                told: false,
                host: event.host.clone(),
                vm: event.vm.clone().filter(|_| event.recovery.is_none()),
            };
            self.memory.lasting.insert(key.to_owned(), lasting);
        }
    }

    /// Sends what is due, if it may.
    pub(super) fn advance(&mut self, now: Time, effects: &mut Vec<NotifyEffect>) {
        let pause = self.settings.pause_s;
        self.told_at.retain(|_, at| *at + pause > now);
        if let Some(flight) = &mut self.flight {
            if flight.again.is_some_and(|at| at <= now) {
                flight.again = None;
                flight.tries += 1;
                self.send(now, effects);
            }
            return;
        }
        let mut due: Vec<_> = self.groups.iter().filter(|(_, group)| group.due <= now).collect();
        due.sort_by_key(|(key, group)| (std::cmp::Reverse(group.severity()), group.due, *key));
        let due: Vec<String> = due.into_iter().map(|(key, _)| key.clone()).collect();
        let tokens = self.bucket.tokens(now);
        if due.is_empty() || tokens == 0 {
            self.repeat_alerts(now, effects);
            return;
        }
        self.bucket.take(now);
        // While there are tokens for all, each group has a message of its own; what was held back goes out together.
        let count = if tokens >= due.len() as u64 { 1 } else { due.len() };
        let mut groups = Vec::new();
        let mut over = Vec::new();
        for key in due.into_iter().take(count) {
            let Some(group) = self.groups.remove(&key) else { continue };
            if group.over {
                over.push(key.clone());
            }
            if let Some(lasting) = self.memory.lasting.get_mut(&key) {
                lasting.told = true;
            }
            self.told_at.insert(key, now);
            groups.push(group);
        }
        let lost = std::mem::take(&mut self.memory.lost);
        let mut notice = group::message(&groups, lost);
        if self.settings.style == Style::Alerts {
            notice.alerts = self.alerts(&notice, &over, now);
        }
        let first = groups.iter().map(|group| group.first).min();
        self.flight = Some(Flight { notice, tries: 1, again: None, first, over, lost });
        self.send(now, effects);
    }

    /// Says alerts that last again.
    fn repeat_alerts(&mut self, now: Time, effects: &mut Vec<NotifyEffect>) {
        let due = self.sent + self.settings.repeat_s <= now;
        if !due || !self.alerts_last() {
            return;
        }
        let mut notice = Notice::default();
        notice.alerts = self.alerts(&notice, &[], now);
        notice.severity = notice.alerts.iter().map(|alert| alert.severity).max().unwrap_or_default();
        notice.subject = format!("{} alerts last", notice.alerts.len());
        self.flight = Some(Flight { notice, tries: 1, again: None, first: None, over: Vec::new(), lost: 0 });
        self.send(now, effects);
    }

    fn alerts_last(&self) -> bool {
        self.settings.style == Style::Alerts && self.memory.lasting.values().any(|it| it.told)
    }

    /// Everything that is the matter, and what is over with a message; events that do not last as alerts that pass.
    fn alerts(&self, notice: &Notice, over: &[String], now: Time) -> Vec<Alert> {
        let lasting = self.memory.lasting.iter().filter(|(_, it)| it.told).map(|(trouble, it)| Alert {
            trouble: trouble.clone(),
            severity: it.severity,
            text: it.text.clone(),
            host: it.host.clone(),
            vm: it.vm.clone(),
            since_us: it.since,
            ended_us: over.contains(trouble).then_some(now),
        });
        let mut alerts: Vec<Alert> = lasting.collect();
        for event in notice.events.iter().filter(|event| event.trouble.is_none()) {
            let named = |alert: &Alert| alert.host == event.host && alert.vm == event.vm;
            // One of a kind: Alertmanager would take a second one of the same labels for the first.
            alerts.retain(|alert| !(alert.trouble == "event" && named(alert) && alert.severity == event.severity));
            alerts.push(Alert {
                trouble: "event".to_owned(),
                severity: event.severity,
                text: group::cut(&event.text, 500),
                host: event.host.clone(),
                vm: event.vm.clone(),
                since_us: event.time_us,
                ended_us: Some(event.time_us + PASSES),
            });
        }
        alerts
    }

    fn send(&mut self, now: Time, effects: &mut Vec<NotifyEffect>) {
        let Some(flight) = &self.flight else { return };
        self.attempt += 1;
        self.sent = now;
        let (receiver, notice) = (self.settings.name.clone(), flight.notice.clone());
        effects.push(NotifyEffect::Deliver { receiver, attempt: self.attempt, notice });
    }

    /// An attempt has ended.
    pub(super) fn ended(
        &mut self,
        now: Time,
        attempt: u64,
        result: Result<(), (String, bool)>,
        effects: &mut Vec<NotifyEffect>,
    ) {
        if attempt != self.attempt || self.flight.as_ref().is_none_or(|flight| flight.again.is_some()) {
            return;
        }
        let Some(mut flight) = self.flight.take() else { return };
        match result {
            Ok(()) => {
                self.delivered = Some(now);
                self.problem = None;
                if std::mem::take(&mut self.complained) {
                    self.note(
                        Severity::Info,
                        format!("Receiver {} takes messages again", self.settings.name),
                        true,
                        effects,
                    );
                }
            }
            Err((problem, retry_may_help)) => {
                self.problem = Some(group::cut(&problem, 500));
                if retry_may_help && flight.tries < self.settings.attempts {
                    let pause = (PAUSE * (1 << (flight.tries - 1).min(16))).min(LONGEST_PAUSE);
                    flight.again = Some(now + pause);
                    self.flight = Some(flight);
                    return;
                }
                self.memory.lost += flight.lost.max(flight.notice.left_out) + flight.notice.events.len() as u64;
                if !std::mem::replace(&mut self.complained, true) {
                    let text = format!(
                        "Receiver {} takes no messages: {}. What it is not told is in lifeboat events; when it is mended: lifeboat notify test {}",
                        self.settings.name,
                        group::cut(&problem, 500),
                        self.settings.name
                    );
                    self.note(Severity::Warning, text, false, effects);
                }
            }
        }
        for trouble in &flight.over {
            self.memory.lasting.remove(trouble);
        }
        let waiting = self.groups.values().map(|group| group.first).min();
        self.memory.told = waiting.map_or(self.taken, |first| first.saturating_sub(1)).max(self.memory.told);
        if flight.first.is_some() {
            let (receiver, memory) = (self.settings.name.clone(), self.memory.clone());
            effects.push(NotifyEffect::Remember { receiver, memory });
        }
    }

    fn note(&self, severity: Severity, text: String, over: bool, effects: &mut Vec<NotifyEffect>) {
        let trouble = format!("receiver {}", self.settings.name);
        effects.push(NotifyEffect::Note { severity, text, trouble, over });
    }

    /// When something is due.
    pub(super) fn next_deadline(&self, now: Time) -> Option<Time> {
        if let Some(flight) = &self.flight {
            return flight.again;
        }
        let message = self.groups.values().map(|group| group.due).min().map(|due| due.max(self.bucket.next(now)));
        let repeat = self.alerts_last().then(|| self.sent + self.settings.repeat_s);
        [message, repeat].into_iter().flatten().min()
    }

    pub(super) fn view(&self, now: Time) -> ReceiverView {
        let waiting: u64 = self.groups.values().map(|group| group.events.len() as u64 + group.more).sum();
        let under_way = self.flight.as_ref().map_or(0, |flight| flight.notice.events.len() as u64);
        let due = self.groups.values().any(|group| group.due <= now);
        ReceiverView {
            name: self.settings.name.clone(),
            delivered: self.delivered,
            waiting: waiting + under_way,
            lost: self.memory.lost,
            held_back: due && self.flight.is_none() && self.bucket.tokens(now) == 0,
            problem: self.problem.clone(),
        }
    }
}
