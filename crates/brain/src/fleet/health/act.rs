//! What is done about a VM that fails a check, and about one that hangs.

use lifeboat_model::{
    VmName,
    health::CheckReport,
    spec::{HealthAction, HealthCheck},
};

use super::{HOUR, WatchKey, WatchState};
use crate::fleet::{
    Brain,
    records::{Phase, Severity},
};

impl Brain {
    /// A hard failure: takes the next action of the check's list.
    pub(super) fn act_on_failure(&mut self, key: &WatchKey, check: &HealthCheck, report: &CheckReport) {
        let now = self.now;
        let Some(watch) = self.health.watches.get_mut(key) else { return };
        let held = watch.record.held.is_some();
        watch.record.actions.retain(|(at, _)| now.since(*at) < HOUR);
        let restarts = watch.record.actions.iter().filter(|(_, action)| action.restarts()).count();
        let step = watch.record.actions.len().min(check.actions.len().saturating_sub(1));
        let action = check.actions.get(step).copied().unwrap_or(HealthAction::Tell);
        let (vm, name) = (&key.1, &key.0);
        let seen = format!("{vm} fails its check {name}, {} times in a row: {}", check.failures, report.output);
        if action.restarts() {
            if restarts >= check.restarts_per_hour as usize {
                if !held {
                    self.hold(key, &seen, restarts);
                }
                return;
            }
            self.restart_for_check(key, &seen, action, (restarts + 1, check.restarts_per_hour));
            return;
        }
        let again = watch.record.actions.last().is_some_and(|(at, last)| *last == action && *at >= watch.record.since);
        if again {
            return;
        }
        watch.record.actions.push((now, action));
        self.journal.watches.insert(key.clone());
        let (severity, what) = match action {
            HealthAction::Tell => (Severity::Critical, "Its check wants a person to look at it"),
            _ => (Severity::Warning, "Nothing is done about it, as its check says"),
        };
        self.watch_event(severity, format!("{seen}. {what}"), key);
    }

    /// The restarts of the hour are used up.
    fn hold(&mut self, key: &WatchKey, seen: &str, restarts: usize) {
        let why = match restarts {
            0 => "its check allows no restart".to_owned(),
            1 => "it was restarted once within an hour and fails again".to_owned(),
            _ => format!("it was restarted {restarts} times within an hour and fails again"),
        };
        if let Some(watch) = self.health.watches.get_mut(key) {
            watch.record.held = Some(why.clone());
        }
        self.journal.watches.insert(key.clone());
        let text = format!(
            "{seen}. It is not restarted any more: {why}. When the cause is mended: lifeboat vm restart {}",
            key.1
        );
        self.watch_event(Severity::Critical, text, key);
    }

    fn restart_for_check(&mut self, key: &WatchKey, seen: &str, action: HealthAction, (nth, allowed): (usize, u32)) {
        let (now, vm) = (self.now, &key.1);
        let Some(Phase::Running { host, .. }) = self.vms.get(vm).map(|record| record.phase.clone()) else { return };
        if let Some(watch) = self.health.watches.get_mut(key) {
            watch.record.actions.push((now, action));
            watch.record.held = None;
        }
        self.journal.watches.insert(key.clone());
        let elsewhere = action == HealthAction::RestartElsewhere;
        let next = if elsewhere { "restarted on another host".to_owned() } else { format!("restarted on {host}") };
        self.watch_event(Severity::Warning, format!("{seen}. It is {next} (restart {nth} of {allowed} an hour)"), key);
        if elsewhere {
            self.avoid(vm, &host);
        }
        if let Some(record) = self.vms.get_mut(vm) {
            record.problem = Some(seen.to_owned());
        }
        self.set_watch_state(key, WatchState::Pending);
        self.order_stop(vm, true);
    }

    /// A VM's watchdog ran out: its guest hangs.
    pub(in crate::fleet) fn vm_hangs(&mut self, name: &VmName) {
        let Some(record) = self.vms.get(name) else { return };
        let Phase::Running { host, .. } = record.phase.clone() else { return };
        if !record.enabled || record.given_up.is_some() {
            return;
        }
        let action =
            self.declared.vms.get(name).and_then(|spec| spec.machine.watchdog).unwrap_or(HealthAction::Restart);
        if !action.restarts() {
            return;
        }
        let why = format!("it hangs on {host}: its watchdog ran out");
        if self.count_failure(name, &host, &why, action == HealthAction::Restart) {
            self.order_stop(name, false);
        } else {
            self.give_up(name, &why);
        }
    }
}
