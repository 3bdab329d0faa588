//! Hosts that fail again and again are held out, and VMs go home to a host that is back.
//!
//! ```text
//!                n failures within m              an operator lets it, or hold_s is over
//!   takes VMs ─────────────────────► held out ───────────────────────────────────────────► takes VMs
//! ```
//!
//! Holding out never takes the fleet its room: more than a quarter of the hosts (one at least) are not held out at once.
//!
//! A VM that a failure, an announced reboot or a drain took from its host remembers it as its home, until it is there again
//! or an operator moves it elsewhere. Going home is a stop and a start, so whether and when is the operator's:
//! `never`, `manual` (`lifeboat failback HOST`), or `when-calm`.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{HostName, Time, VmName, text::counted};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Brain, Failback, Kind, Refusal,
    records::{HostCondition, Phase, Severity},
    timers::Timer,
};

/// One host in so many may be held out at once; one always.
const HELD_SHARE: usize = 4;

/// A host that failed too often is held out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Since when.
    pub since: Time,
    /// When it ends by itself; none: when an operator ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// How often it had failed.
    pub failures: u64,
}

impl Brain {
    /// A host was declared failed: counts it, and holds the host out when it was too often.
    pub(super) fn count_host_failure(&mut self, name: &HostName) {
        let (now, flapping) = (self.now, self.settings.flapping.clone());
        if flapping.failures == 0 {
            return;
        }
        let held = self.hosts.values().filter(|host| host.record.held_out.is_some()).count();
        let room = (self.hosts.len() / HELD_SHARE).max(1);
        let Some(host) = self.hosts.get_mut(name) else { return };
        let failures = &mut host.record.failures;
        failures.retain(|at: &Time| now.since(*at) < flapping.window_s);
        failures.push(now);
        let (count, first) = (failures.len(), failures.first().copied().unwrap_or(now));
        self.journal.hosts.insert(name.clone());
        if count < flapping.failures as usize || host.record.held_out.is_some() {
            return;
        }
        let often =
            format!("{name} has failed {count} times within {}", now.since(first).max(lifeboat_model::Seconds::new(1)));
        if held >= room {
            let text =
                format!("{often}. It is not held out, for {held} hosts are already. Look at what they have in common");
            self.tell(Severity::Critical, text, |event| event.host = Some(name.clone()));
            return;
        }
        let until = flapping.hold_s.map(|span| now + span);
        host.record.held_out = Some(HeldOut { since: now, until, failures: count as u64 });
        host.record.failures.clear();
        if let Some(until) = until {
            self.timers.set(Timer::HeldOut(name.clone()), until);
        }
        let end = match flapping.hold_s {
            Some(span) => format!("for {span}, or until you let it take VMs: lifeboat maintenance {name} off"),
            None => format!("until you let it take VMs: lifeboat maintenance {name} off"),
        };
        let text = format!("{often}: it is held out and takes no VMs {end}");
        self.tell(Severity::Warning, text, |event| {
            (event.host, event.trouble) = (Some(name.clone()), Some(format!("held out {name}")));
        });
    }

    /// Takes up again what ends by itself, after a restart of this controller.
    pub(super) fn resume_held_out(&mut self, name: &HostName) {
        let held = self.hosts.get(name).and_then(|host| host.record.held_out.as_ref());
        if let Some(until) = held.and_then(|held| held.until) {
            self.timers.set(Timer::HeldOut(name.clone()), until);
        }
        if self.settings.flapping.failback == Failback::WhenCalm && self.has_guests_elsewhere(name) {
            self.timers.set(Timer::Failback(name.clone()), self.now + self.settings.flapping.calm_s);
        }
    }

    /// A host's holding out has lasted long enough, or an operator ends it. Whether it was held out.
    pub(super) fn let_in(&mut self, name: &HostName, why: &str) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return false };
        host.record.failures.clear();
        if host.record.held_out.take().is_none() {
            return false;
        }
        self.timers.cancel(&Timer::HeldOut(name.clone()));
        self.journal.hosts.insert(name.clone());
        let text = format!("{name} is no longer held out: {why}");
        self.tell(Severity::Info, text, |event| {
            (event.host, event.trouble, event.over) = (Some(name.clone()), Some(format!("held out {name}")), true);
        });
        self.want_plan(format!("{name} is no longer held out"));
        self.await_calm(name);
        true
    }

    /// Whether a host is kept from VMs by its own doings, not by an operator's order.
    #[must_use]
    pub fn kept_out(&self, name: &HostName) -> bool {
        self.hosts.get(name).is_some_and(|host| {
            let record = &host.record;
            record.held_out.is_some()
                || record.leaving.is_some()
                || record.hardware.suspect.is_some()
                || host.hypervisor_hangs()
        })
    }

    fn has_guests_elsewhere(&self, home: &HostName) -> bool {
        self.vms.values().any(|vm| vm.home.as_ref() == Some(home))
    }

    /// A VM was taken from its host: it remembers where it belongs.
    pub(super) fn remember_home(&mut self, vm: &VmName, home: &HostName) {
        if let Some(record) = self.vms.get_mut(vm)
            && record.home.is_none()
        {
            record.home = Some(home.clone());
            self.journal.vms.insert(vm.clone());
        }
    }

    /// A host is back: its VMs go home when the fleet has been calm for long enough, if that is wanted.
    pub(super) fn await_calm(&mut self, name: &HostName) {
        if self.settings.flapping.failback == Failback::WhenCalm && self.has_guests_elsewhere(name) {
            self.timers.set(Timer::Failback(name.clone()), self.now + self.settings.flapping.calm_s);
        }
    }

    /// Looks whether the fleet is calm enough for a host's VMs to go home.
    pub(super) fn failback_timer(&mut self, name: &HostName) {
        if !self.has_guests_elsewhere(name) || !self.hosts.contains_key(name) {
            return;
        }
        let failed = |host: &super::HostState| matches!(host.record.condition, HostCondition::Failed { .. });
        let calm = self.open_recoveries().next().is_none()
            && self.execution.is_none()
            && self.replan.is_none()
            && !self.hosts.values().any(failed)
            && self.takes_vms(name);
        if calm {
            self.begin_failback(name, "the fleet has been calm");
        } else {
            self.await_calm(name);
        }
    }

    fn begin_failback(&mut self, name: &HostName, why: &str) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        host.record.failing_back = true;
        self.journal.hosts.insert(name.clone());
        let count = self.vms.values().filter(|vm| vm.home.as_ref() == Some(name)).count();
        let vms = counted(count, "VM goes", "VMs go");
        let text = format!("{vms} home to {name}, a few at a time, by a stop and a start: {why}");
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        self.drain_due = true;
    }

    /// An operator wants a host's VMs back on it.
    pub(super) fn failback(&mut self, name: &HostName) -> Result<Answer, Refusal> {
        let Some(host) = self.hosts.get(name) else { return Err(Refusal::not_found(Kind::Host, name.as_str())) };
        if self.settings.flapping.failback == Failback::Never {
            let advice = "set flapping.failback to \"manual\" in the controller's settings, or move VMs one by one";
            return Err(Refusal::conflict("fail-back is set to never".to_owned(), advice));
        }
        if host.record.failing_back || !self.has_guests_elsewhere(name) {
            return Ok(Answer { unchanged: 1, ..Answer::default() });
        }
        if !self.takes_vms(name) {
            let advice = format!("lifeboat get hosts {name} says how it is");
            return Err(Refusal::conflict(format!("host {name} takes no VMs now"), advice));
        }
        self.begin_failback(name, "an operator wants it");
        Ok(Answer { changed: vec![format!("host {name}")], ..Answer::default() })
    }

    /// Moves the next VMs home, when nothing else is under way.
    pub(super) fn failback_some(&mut self) {
        let back: Vec<HostName> =
            self.hosts.iter().filter(|(_, host)| host.record.failing_back).map(|(name, _)| name.clone()).collect();
        for home in back {
            let going: BTreeMap<VmName, Option<HostName>> = self
                .vms
                .iter()
                .filter(|(name, vm)| vm.home.as_ref() == Some(&home) && self.may_move(name))
                .map(|(name, _)| (name.clone(), Some(home.clone())))
                .collect();
            let (places, problems) =
                if self.takes_vms(&home) { self.places(&going) } else { (BTreeMap::new(), BTreeMap::new()) };
            let fit: BTreeSet<VmName> =
                places.iter().filter(|(_, to)| **to == home).map(|(vm, _)| vm.clone()).collect();
            if fit.is_empty() {
                self.end_failback(&home, &problems);
                continue;
            }
            for vm in self.by_rank(fit).into_iter().take(self.starts_of(&home)) {
                self.begin_move(&vm, &home, "it goes home");
            }
        }
    }

    fn end_failback(&mut self, home: &HostName, problems: &BTreeMap<VmName, String>) {
        let Some(host) = self.hosts.get_mut(home) else { return };
        host.record.failing_back = false;
        self.journal.hosts.insert(home.clone());
        let left = self.vms.values().filter(|vm| vm.home.as_ref() == Some(home)).count();
        let text = match (left, problems.iter().next()) {
            (0, _) => format!("All VMs that belong to {home} are home"),
            (left, problem) => {
                let one = format!("VM that belongs to {home} stays where it is");
                let many = format!("VMs that belong to {home} stay where they are");
                let why = problem.map(|(vm, why)| format!("; {vm}: {why}")).unwrap_or_default();
                counted(left, &one, &many) + &why
            }
        };
        self.tell(Severity::Info, text, |event| event.host = Some(home.clone()));
    }

    /// VMs, those of the most important class first.
    pub(super) fn by_rank(&self, vms: impl IntoIterator<Item = VmName>) -> Vec<VmName> {
        let rank = |vm: &VmName| {
            let class = self.declared.vms.get(vm).map(|spec| &spec.class);
            self.declared.classes.iter().position(|known| Some(&known.name) == class).unwrap_or(usize::MAX)
        };
        let mut ranked: Vec<(usize, VmName)> = vms.into_iter().map(|vm| (rank(&vm), vm)).collect();
        ranked.sort();
        ranked.into_iter().map(|(_, vm)| vm).collect()
    }

    /// VMs that may be started on a host at once.
    pub(super) fn starts_of(&self, host: &HostName) -> usize {
        let spec = self.declared.hosts.get(host);
        let limit = spec.and_then(|spec| spec.starts).unwrap_or(self.declared.limits.starts_per_host);
        usize::try_from(limit).unwrap_or(usize::MAX).max(1)
    }

    /// A VM is up on a host: if it belongs there it is home.
    pub(super) fn is_home(&mut self, vm: &VmName, host: &HostName) {
        if let Some(record) = self.vms.get_mut(vm).filter(|record| record.home.as_ref() == Some(host)) {
            record.home = None;
            self.journal.vms.insert(vm.clone());
        }
    }

    /// VMs that a failed host lost remember it.
    pub(super) fn lost_their_home(&mut self, host: &HostName, lost: &BTreeSet<VmName>) {
        let ran = |vm: &&VmName| {
            self.vms.get(*vm).is_some_and(|record| matches!(record.phase, Phase::Running { ready: Some(_), .. }))
        };
        let ran: Vec<VmName> = lost.iter().filter(ran).cloned().collect();
        for vm in ran {
            self.remember_home(&vm, host);
        }
    }
}
