//! Trouble of who looks: when many VMs fail at once for one that looks, it is that one.

use std::collections::BTreeMap;

use lifeboat_model::{HostName, Seconds, VmName, spec::CheckFrom};

use super::{Watch, WatchKey, WatchState, fails};
use crate::fleet::{Brain, records::Severity, timers::Timer};

/// How often it is looked whether trouble is over.
const LOOK_AGAIN: Seconds = Seconds::new(5);
/// For so long at most a whole round of looks is waited for.
const LONGEST_ROUND: Seconds = Seconds::new(300);

impl Brain {
    /// VMs that fail now and VMs that were seen within a span, for one who looks. What has failed for longer already was
    /// judged before.
    fn seen_by(&self, by: Option<&HostName>, within: Seconds) -> (usize, usize) {
        let mut vms: BTreeMap<&VmName, bool> = BTreeMap::new();
        for (key, watch) in &self.health.watches {
            let Some((at, report)) = &watch.last else { continue };
            if self.now.since(*at) > within
                || watch.record.state == WatchState::Hard
                || !self.is_seen_by(key, watch, by)
            {
                continue;
            }
            *vms.entry(&key.1).or_default() |= fails(report);
        }
        (vms.values().filter(|failing| **failing).count(), vms.len())
    }

    fn is_seen_by(&self, key: &WatchKey, watch: &Watch, by: Option<&HostName>) -> bool {
        let Some(check) = self.declared.checks.get(&key.0) else { return false };
        if watch.quiet.is_some() {
            return false;
        }
        match (check.from, by) {
            (CheckFrom::Controller, None) => true,
            (CheckFrom::Agent, Some(by)) => {
                self.vms.get(&key.1).and_then(|vm| vm.phase.may_run_on()).is_some_and(|host| host == by)
            }
            _ => false,
        }
    }

    /// Whether so many VMs fail at once that it is who looks that has trouble.
    pub(super) fn is_trouble_of(&self, by: Option<&HostName>, within: Seconds) -> bool {
        let (failing, seen) = self.seen_by(by, within);
        let health = &self.settings.health;
        failing >= health.trouble_vms as usize && failing * 100 >= seen * usize::from(health.trouble_percent)
    }

    pub(super) fn begin_trouble(&mut self, by: Option<&HostName>) {
        if self.health.troubles.insert(by.cloned(), self.now).is_some() {
            return;
        }
        self.timers.set(Timer::Trouble(by.cloned()), self.now + LOOK_AGAIN);
        let (failing, seen) = self.seen_by(by, super::HOUR);
        let who = by.map_or("This controller".to_owned(), |host| format!("The agent of {host}"));
        let text = format!(
            "{who} sees {failing} of {seen} VMs fail their checks at once: it may be in trouble itself (its network, most \
             often). Nothing is done about these VMs until most of them answer again"
        );
        let trouble = Some(trouble_of(by));
        self.tell(Severity::Warning, text, |event| (event.host, event.trouble) = (by.cloned(), trouble));
    }

    /// The longest interval of those that one who looks has been given, within reason.
    fn longest_interval(&self, by: Option<&HostName>) -> Seconds {
        let from = if by.is_some() { CheckFrom::Agent } else { CheckFrom::Controller };
        let intervals = self.declared.checks.values().filter(|check| check.from == from).map(|check| check.interval_s);
        intervals.max().unwrap_or(LOOK_AGAIN).min(LONGEST_ROUND)
    }

    /// Looks whether who looks sees well again.
    pub(in crate::fleet) fn trouble_due(&mut self, by: &Option<HostName>) {
        let Some(since) = self.health.troubles.get(by).copied() else { return };
        let longest = self.longest_interval(by.as_ref());
        // What was seen before the trouble says nothing of its end.
        let within = (longest * 2).min(self.now.since(since));
        let (failing, seen) = self.seen_by(by.as_ref(), within);
        let half = usize::from(self.settings.health.trouble_percent);
        let whole_round = self.now >= since + longest;
        if !whole_round || (seen > 0 && failing * 200 >= seen * half && failing >= 2) {
            self.timers.set(Timer::Trouble(by.clone()), self.now + LOOK_AGAIN);
            return;
        }
        self.health.troubles.remove(by);
        // Each VM that still fails is judged anew.
        for watch in self.health.watches.values_mut() {
            if let WatchState::Soft { .. } = watch.record.state {
                watch.row = 0;
            }
        }
        let who = by.as_ref().map_or("This controller".to_owned(), |host| format!("The agent of {host}"));
        let took = self.now.since(since);
        let text = format!("{who} sees its VMs again, after {took}: their checks count again");
        let trouble = Some(trouble_of(by.as_ref()));
        self.tell(Severity::Info, text, |event| {
            (event.host, event.trouble, event.over) = (by.clone(), trouble, true);
        });
    }
}

/// The name of the trouble of who looks.
fn trouble_of(by: Option<&HostName>) -> String {
    by.map_or("checks of the controller".to_owned(), |host| format!("checks of the agent of {host}"))
}
