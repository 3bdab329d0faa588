//! Looks: asking, and what comes of the answers.

use lifeboat_model::{
    HostName, Seconds,
    health::{CheckReport, CheckStatus},
    spec::CheckFrom,
};

use super::{Looking, WatchKey, WatchState, fails};
use crate::{
    fleet::{
        Brain, Effect,
        records::{Phase, Severity},
        timers::Timer,
    },
    message::ToAgent,
};

/// How long after its time limit a look without an answer is given up: it may have waited its turn.
const LOST_AFTER: Seconds = Seconds::new(60);

impl Brain {
    /// It is time to look at a VM.
    pub(in crate::fleet) fn look_due(&mut self, key: &WatchKey) {
        let Some(check) = self.declared.checks.get(&key.0).cloned() else { return };
        let interval = check.interval_s.max(Seconds::from_millis(100));
        self.timers.set(Timer::Look(key.0.clone(), key.1.clone()), self.now + interval);
        if let Some(why) = self.quiet(&key.1, &check) {
            self.fall_quiet(key, why);
            return;
        }
        let (now, lost_after) = (self.now, check.timeout_s + LOST_AFTER);
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        watch.quiet = None;
        if watch.looking.as_ref().is_some_and(|looking| now < looking.since + lost_after) {
            return;
        }
        if let Some(lost) = watch.looking.take() {
            self.health.looks.remove(&lost.sequence);
        }
        let (Some(spec), Some(vm)) = (self.declared.vms.get(&key.1), self.vms.get(&key.1)) else { return };
        let generation = vm.generation;
        let look = match check.look.for_vm(spec) {
            Ok(look) => look,
            Err(problem) => {
                self.seen(key, CheckReport::new(CheckStatus::Unknown, &problem), None);
                return;
            }
        };
        let host = vm.phase.may_run_on().cloned();
        let by = host.filter(|_| check.from == CheckFrom::Agent);
        let sequence = self.health.next_look;
        self.health.next_look += 1;
        self.health.looks.insert(sequence, key.clone());
        if let Some(watch) = self.health.watches.get_mut(key) {
            watch.looking = Some(Looking { sequence, by: by.clone(), generation, since: now });
        }
        let limit = check.timeout_s;
        match by {
            Some(host) => self.say(&host, ToAgent::Look { sequence, vm: key.1.clone(), look, limit }),
            None => self.journal.effects.push(Effect::Look { sequence, vm: key.1.clone(), look, limit }),
        }
    }

    /// Nothing can be said of a watch now.
    fn fall_quiet(&mut self, key: &WatchKey, why: String) {
        // What was known of a VM that is still up stays known: that its host is silent for a moment says nothing of it.
        let up = self.vms.get(&key.1).is_some_and(|vm| {
            matches!(vm.phase, Phase::Running { ready: Some(_), .. }) && vm.enabled && vm.halted.is_none()
        });
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        watch.quiet = Some(why);
        watch.row = 0;
        if let Some(looking) = watch.looking.take() {
            self.health.looks.remove(&looking.sequence);
        }
        let keeps = up && !matches!(watch.record.state, WatchState::Soft { .. });
        if !keeps && watch.record.state != WatchState::Pending {
            self.set_watch_state(key, WatchState::Pending);
        }
    }

    /// A look has ended; `by` is the host whose agent says so, none the controller itself.
    pub(in crate::fleet) fn looked(&mut self, by: Option<&HostName>, sequence: u64, report: CheckReport) {
        let Some(key) = self.health.looks.get(&sequence).cloned() else { return };
        let Some(watch) = self.health.watches.get_mut(&key) else { return };
        let Some(looking) = watch.looking.take_if(|looking| looking.sequence == sequence && looking.by.as_ref() == by)
        else {
            return;
        };
        self.health.looks.remove(&sequence);
        let Some(check) = self.declared.checks.get(&key.0).cloned() else { return };
        if let Some(why) = self.quiet(&key.1, &check) {
            self.fall_quiet(&key, why);
            return;
        }
        // It was another process that was looked at.
        if self.vms.get(&key.1).is_none_or(|vm| vm.generation != looking.generation) {
            return;
        }
        self.seen(&key, report.bounded(), by);
    }

    /// Takes in what was seen.
    fn seen(&mut self, key: &WatchKey, report: CheckReport, by: Option<&HostName>) {
        let now = self.now;
        let Some(vm) = self.vms.get(&key.1) else { return };
        let generation = vm.generation;
        let Some(watch) = self.health.watches.get(key) else { return };
        let starting = fails(&report) && self.may_be_starting(&key.1, vm, watch);
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        watch.last = Some((now, report.clone()));
        if starting {
            watch.quiet = Some("the VM may still be starting".to_owned());
            return;
        }
        match report.status {
            CheckStatus::Ok | CheckStatus::Warning => {
                watch.answered = Some(generation);
                self.answers_check(key);
            }
            CheckStatus::Unknown => self.cannot_look(key, &report),
            CheckStatus::Critical => self.fails_check(key, &report, by),
        }
    }

    fn answers_check(&mut self, key: &WatchKey) {
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        watch.row = 0;
        let held = watch.record.held.take().is_some();
        let failed = std::mem::take(&mut watch.record.failed);
        let was_unknown = watch.record.state == WatchState::Unknown;
        self.set_watch_state(key, WatchState::Ok);
        if held || failed {
            self.journal.watches.insert(key.clone());
        }
        if held || failed || was_unknown {
            self.watch_event(Severity::Info, format!("{} answers its check {} again", key.1, key.0), key);
        }
    }

    /// A look could not be made: that says nothing of the VM.
    fn cannot_look(&mut self, key: &WatchKey, report: &CheckReport) {
        let allowed = self.declared.checks.get(&key.0).map_or(1, |check| check.failures.max(1));
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        let told = matches!(watch.record.state, WatchState::Unknown | WatchState::Hard);
        if matches!(watch.record.state, WatchState::Soft { .. }) {
            watch.row = 0;
            self.set_watch_state(key, WatchState::Pending);
        }
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        if told {
            return;
        }
        watch.row += 1;
        if watch.row >= allowed {
            self.set_watch_state(key, WatchState::Unknown);
            let text = format!(
                "Check {} of {} cannot be made: {}. Nothing is done about the VM for that",
                key.0, key.1, report.output
            );
            self.watch_event(Severity::Warning, text, key);
        }
    }

    fn fails_check(&mut self, key: &WatchKey, report: &CheckReport, by: Option<&HostName>) {
        let Some(check) = self.declared.checks.get(&key.0).cloned() else { return };
        let allowed = check.failures.max(1);
        let in_trouble = self.health.troubles.contains_key(&by.cloned());
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        if watch.record.state == WatchState::Unknown {
            watch.row = 0;
        }
        if watch.record.state == WatchState::Hard {
            if in_trouble {
                return;
            }
            watch.row += 1;
            if watch.row >= allowed {
                watch.row = 0;
                self.act_on_failure(key, &check, report);
            }
            return;
        }
        if in_trouble {
            self.set_watch_state(key, WatchState::Soft { failures: 1 });
            return;
        }
        watch.row += 1;
        let failures = watch.row;
        if failures < allowed {
            self.set_watch_state(key, WatchState::Soft { failures });
            return;
        }
        // Before anything is held against the VM: whether it is who looks that has trouble.
        self.set_watch_state(key, WatchState::Soft { failures });
        if self.is_trouble_of(by, check.interval_s * u64::from(allowed)) {
            self.begin_trouble(by);
            return;
        }
        if let Some(watch) = self.health.watches.get_mut(key) {
            watch.row = 0;
            watch.record.failed = true;
        }
        self.set_watch_state(key, WatchState::Hard);
        self.act_on_failure(key, &check, report);
    }
}
