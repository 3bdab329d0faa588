//! VM health: looking at VMs that are up, and what follows when they do not answer.
//!
//! A *watch* is one declared check of one VM. It is looked at at its interval, by the controller or by the agent of the VM's
//! host:
//!
//! ```text
//!                    answers                      fails            `failures` in a row
//!   Pending ──────────────────────► Ok ─────────────────► Soft ─────────────────────────► Hard ─► the next action
//!    ▲   ▲      answers              ▲      answers         │                               │
//!    │   └── nothing can be said     ├──────────────────────┘                               │ answers
//!    │       of it now (below)       └──────────────────────────────────────────────────────┘
//!    └── its VM is restarted, for whatever reason
//! ```
//!
//! Nothing is looked at, and nothing is held against a VM ([`Brain::quiet`]), while it is not up, stands still, is not looked
//! after, or its host is failed, silent or in maintenance. A VM that has just come up has its start time before its failures
//! count, unless it has answered.
//!
//! Whoever looks may be in trouble itself. A look that could not be made ([`CheckStatus::Unknown`]) says nothing of the VM and
//! never leads to an action. When many VMs fail at once for one who looks, that one is taken to be in trouble
//! ([`trouble`]): it is told, and nothing is done until most of them answer again. A controller that slept forgets what it had
//! asked before.
//!
//! Actions follow one another: each hard failure within an hour takes the next of the check's list, and the last one again.
//! Restarts are limited per hour; when they are used up people are told and nothing is done any more until the VM answers, an
//! operator acts, or the hour is over. A restart goes the way of every other: the VM is stopped and planned again, and a VM
//! that will not come up is given up by what counts failed starts.
//!
//! What is remembered across restarts is in [`WatchRecord`]: hard failures and actions, not every look.

mod act;
mod looks;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    CheckName, Generation, HostName, Seconds, Time, VmName,
    health::{CheckReport, CheckStatus},
    spec::{CheckFrom, HealthAction, HealthCheck},
};
use serde::{Deserialize, Serialize};

use super::{
    Brain,
    records::{HostCondition, Phase, Severity, VmRecord, Wanted},
    timers::Timer,
};

/// Actions are remembered this long.
pub(super) const HOUR: Seconds = Seconds::new(3600);

/// One check of one VM.
pub type WatchKey = (CheckName, VmName);

/// How a watch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum WatchState {
    /// Nothing is known: its VM is not up, or was not looked at yet.
    #[default]
    Pending,
    /// It answers.
    Ok,
    /// It has failed, not often enough to do something about it.
    Soft {
        /// So often in a row.
        failures: u32,
    },
    /// It has failed so often in a row that something is done about it.
    Hard,
    /// It could not be looked at.
    Unknown,
}

/// What is remembered of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRecord {
    /// How it is.
    pub state: WatchState,
    /// Since when.
    pub since: Time,
    /// What was done within the last hour, and when.
    #[serde(default)]
    pub actions: Vec<(Time, HealthAction)>,
    /// Whether people were told of a hard failure that has not ended.
    #[serde(default)]
    pub failed: bool,
    /// Why nothing more is done although it fails.
    #[serde(default)]
    pub held: Option<String>,
}

/// A watch as it is now.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// What is remembered of it.
    pub record: WatchRecord,
    /// What was seen last, and when.
    pub last: Option<(Time, CheckReport)>,
    /// Why it is not looked at now; none: it is.
    pub quiet: Option<String>,
    /// The look that is under way.
    looking: Option<Looking>,
    /// The intent of the VM for which it has answered.
    answered: Option<Generation>,
    /// Failures in a row, or looks in a row that could not be made.
    row: u32,
}

impl Watch {
    /// Restarts of its VM for it within the hour before a time.
    #[must_use]
    pub fn restarts(&self, now: Time) -> u32 {
        let recent = self.record.actions.iter().filter(|(at, action)| now.since(*at) < HOUR && action.restarts());
        u32::try_from(recent.count()).unwrap_or(u32::MAX)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Looking {
    sequence: u64,
    /// The host whose agent looks; none: the controller.
    by: Option<HostName>,
    generation: Generation,
    since: Time,
}

/// All watches.
#[derive(Debug, Default)]
pub(super) struct Health {
    watches: BTreeMap<WatchKey, Watch>,
    /// Looks that are under way, by number.
    looks: BTreeMap<u64, WatchKey>,
    next_look: u64,
    /// Who cannot see well, and since when; none stands for the controller.
    troubles: BTreeMap<Option<HostName>, Time>,
}

impl Health {
    /// Looks of different leaders have different numbers: an answer that comes late is not taken for another's.
    pub(super) fn new(epoch: lifeboat_model::Epoch) -> Self {
        Self { next_look: epoch.0 << 32, ..Self::default() }
    }

    pub(super) fn restore(&mut self, key: WatchKey, record: WatchRecord) {
        self.watches.insert(key, Watch { record, ..Watch::default() });
    }

    pub(super) fn record(&self, key: &WatchKey) -> Option<&WatchRecord> {
        self.watches.get(key).map(|watch| &watch.record)
    }
}

impl Brain {
    /// All watches, by check and VM.
    #[must_use]
    pub fn watches(&self) -> &BTreeMap<WatchKey, Watch> {
        &self.health.watches
    }

    /// Who cannot see its VMs well, and since when: a host whose agent looks, or the controller (none).
    #[must_use]
    pub fn troubles(&self) -> &BTreeMap<Option<HostName>, Time> {
        &self.health.troubles
    }

    /// Makes the watches those that are declared.
    pub(super) fn sync_watches(&mut self) {
        let mut wanted: BTreeSet<WatchKey> = BTreeSet::new();
        for check in self.declared.checks.values() {
            let vms = self.declared.vms.values().filter(|vm| check.is_for(vm) && self.vms.contains_key(&vm.name));
            wanted.extend(vms.map(|vm| (check.name.clone(), vm.name.clone())));
        }
        let gone: Vec<WatchKey> = self.health.watches.keys().filter(|key| !wanted.contains(*key)).cloned().collect();
        for key in gone {
            self.timers.cancel(&Timer::Look(key.0.clone(), key.1.clone()));
            let Some(watch) = self.health.watches.remove(&key) else { continue };
            if let Some(looking) = watch.looking {
                self.health.looks.remove(&looking.sequence);
            }
            if watch.record.failed || watch.record.state == WatchState::Unknown {
                let text = format!("{} is not looked at by check {} any more", key.1, key.0);
                self.watch_event(Severity::Info, text, &key);
            }
            self.journal.watches.insert(key);
        }
        for key in wanted {
            let timer = Timer::Look(key.0.clone(), key.1.clone());
            if !self.timers.is_set(&timer) {
                let interval = self.declared.checks.get(&key.0).map_or(Seconds::new(1), |check| check.interval_s);
                self.timers.set(timer, self.now + spread(&key, interval));
            }
            let since = self.now;
            let fresh = || Watch { record: WatchRecord { since, ..WatchRecord::default() }, ..Watch::default() };
            self.health.watches.entry(key).or_insert_with(fresh);
        }
    }

    /// Why nothing can be said of a VM's health now, for a person; none: it can be looked at.
    fn quiet(&self, vm: &VmName, check: &HealthCheck) -> Option<String> {
        let Some(record) = self.vms.get(vm) else { return Some("nobody knows the VM".to_owned()) };
        if !record.enabled {
            return Some("the VM is disabled".to_owned());
        }
        if record.wanted != Wanted::Running {
            return Some("the VM is stopped".to_owned());
        }
        let Phase::Running { host, ready: Some(_) } = &record.phase else {
            return Some("the VM is not up".to_owned());
        };
        if let Some(state) = record.halted {
            return Some(format!("the VM is {state}"));
        }
        let state = self.hosts.get(host)?;
        if state.record.condition != HostCondition::Up {
            return Some(format!("{host} is not up"));
        }
        if self.in_maintenance(host) {
            return Some(format!("{host} is in maintenance"));
        }
        if self.is_suspect(host) {
            return Some(format!("{host} is silent"));
        }
        (check.from == CheckFrom::Agent && state.link.is_none()).then(|| format!("the agent of {host} has no link"))
    }

    /// Whether a VM may still be starting, as far as this watch is concerned.
    fn may_be_starting(&self, vm: &VmName, record: &VmRecord, watch: &Watch) -> bool {
        let Phase::Running { ready: Some(ready), .. } = &record.phase else { return true };
        let start = self.declared.vms.get(vm).map_or(Seconds::ZERO, |spec| spec.start_s);
        watch.answered != Some(record.generation) && self.now < *ready + self.start_limit(start)
    }

    fn set_watch_state(&mut self, key: &WatchKey, state: WatchState) {
        let now = self.now;
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        let same = std::mem::discriminant(&watch.record.state) == std::mem::discriminant(&state);
        if !same {
            watch.record.since = now;
        }
        // How often a failure that is still soft was seen may be forgotten with this controller.
        if !same && !matches!(state, WatchState::Soft { .. }) {
            self.journal.watches.insert(key.clone());
        }
        watch.record.state = state;
    }

    /// Forgets what was done about a VM for its checks: an operator takes it in hand.
    pub(super) fn forgive_checks(&mut self, vm: &VmName) {
        for (key, watch) in self.health.watches.iter_mut().filter(|(key, _)| key.1 == *vm) {
            if !watch.record.actions.is_empty() || watch.record.held.is_some() {
                watch.record.actions.clear();
                watch.record.held = None;
                self.journal.watches.insert(key.clone());
            }
        }
    }

    /// Forgets what was asked and seen before a pause of this controller: answers may be older than they look.
    pub(super) fn forget_looks(&mut self) {
        self.health.looks.clear();
        for watch in self.health.watches.values_mut() {
            watch.looking = None;
            if let WatchState::Soft { .. } = watch.record.state {
                watch.record.state = WatchState::Pending;
            }
            watch.row = 0;
        }
    }

    /// Tells of a watch. With what is only good to know, its trouble is over.
    pub(super) fn watch_event(&mut self, severity: Severity, text: String, key: &WatchKey) {
        let host = self.vms.get(&key.1).and_then(|vm| vm.phase.may_run_on().cloned());
        let (trouble, over) = (format!("check {} of {}", key.0, key.1), severity == Severity::Info);
        self.tell(severity, text, |event| {
            (event.host, event.vm, event.trouble, event.over) = (host, Some(key.1.clone()), Some(trouble), over);
        });
    }
}

/// When a watch is looked at first: spread over the interval, so that not all looks fall together.
fn spread(key: &WatchKey, interval: Seconds) -> Seconds {
    let bytes = key.0.as_str().bytes().chain([0]).chain(key.1.as_str().bytes());
    // FNV-1a: the same for the same names, wherever it runs.
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Seconds::from_micros((hash >> 16) % interval.micros().max(1))
}

/// Whether a report says that a VM does not do what it is for.
fn fails(report: &CheckReport) -> bool {
    report.status == CheckStatus::Critical
}
