//! Hosts that say that they are about to shut down or reboot.
//!
//! ```text
//!           announced                    silent, nothing runs there (or freeze)        Hello of another boot
//!   Up ────────────────► Up, leaving ───────────────────────────────────► gone ────────────────────────────► Up
//!          called off ◄──────┤                                              │
//!                            │ silent, and something may still run there    │ freeze: its time is over
//!                            ▼                                              ▼
//!                         Failed, as any other: fenced before anything starts elsewhere
//! ```
//!
//! What becomes of its VMs is a policy: `move` (they leave as from a host that is being emptied, as far as there is time),
//! `freeze` (they go down with it and wait for it, for a time), `fail-over` (they are all stopped at once and start
//! elsewhere). A host on which nothing runs any more needs no fence: it is told that it may go, and its silence is no failure.

use std::collections::BTreeSet;

use lifeboat_model::{HostName, Time, VmName};
use serde::{Deserialize, Serialize};

use super::{
    Brain, LeavePolicy,
    records::{HostCondition, Severity, Wanted},
    timers::Timer,
};
use crate::message::{Going, ToAgent};

/// For so long an agent that has connected anew has to say that its host still leaves.
const SAYS_AGAIN: lifeboat_model::Seconds = lifeboat_model::Seconds::new(5);

/// A host has said that it is about to shut down or reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Whether it comes back by itself.
    pub reboot: bool,
    /// What becomes of its VMs.
    pub policy: LeavePolicy,
    /// When it said so.
    pub since: Time,
    /// When it said so last.
    pub heard: Time,
    /// Since when it is silent; none: it is heard.
    #[serde(default)]
    pub gone: Option<Time>,
}

impl Brain {
    /// What becomes of the VMs of a host that leaves.
    fn leave_policy(&self, name: &HostName) -> LeavePolicy {
        let own = self.declared.hosts.get(name).and_then(|spec| spec.on_leave);
        own.unwrap_or(self.settings.leaving.policy)
    }

    /// An agent says that its host is about to go, or stays after all.
    pub(super) fn leaving(&mut self, name: &HostName, going: Going) {
        let (now, policy) = (self.now, self.leave_policy(name));
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.record.condition != HostCondition::Up {
            return;
        }
        let reboot = match going {
            Going::Stays => {
                self.stays(name, "its shutdown was called off");
                return;
            }
            Going::Shutdown => false,
            Going::Reboot => true,
        };
        if let Some(leaving) = &mut host.record.leaving {
            (leaving.heard, leaving.reboot) = (now, reboot);
            host.told_to_go = false;
            self.journal.hosts.insert(name.clone());
            return;
        }
        host.told_to_go = false;
        self.leavers.insert(name.clone());
        host.record.leaving = Some(Leaving { reboot, policy, since: now, heard: now, gone: None });
        self.journal.hosts.insert(name.clone());
        let what = if reboot { "reboot" } else { "shut down" };
        let vms = format!("its {}", lifeboat_model::text::count(self.leaving_vms(name).len(), "VM"));
        let then = match policy {
            LeavePolicy::Move => format!("{vms} move elsewhere before it does, as far as there is time"),
            LeavePolicy::Freeze => {
                format!("{vms} go down with it and wait for it, for {} at most", self.settings.leaving.freeze_s)
            }
            LeavePolicy::FailOver => format!("{vms} are stopped now and start elsewhere"),
        };
        let text = format!("{name} is about to {what}: {then}");
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        self.want_plan(format!("{name} is about to {what}"));
        self.drain_due = true;
        if policy == LeavePolicy::FailOver {
            for vm in self.by_rank(self.leaving_vms(name)) {
                self.remember_home(&vm, name);
                self.order_stop(&vm, true);
            }
        }
    }

    /// VMs of a host that leaves which are to run on.
    fn leaving_vms(&self, name: &HostName) -> Vec<VmName> {
        let wanted =
            |vm: &VmName| self.vms.get(vm).is_some_and(|record| record.enabled && record.wanted == Wanted::Running);
        self.vms_that_may_run_on(name).into_iter().filter(wanted).collect()
    }

    fn stays(&mut self, name: &HostName, why: &str) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.record.leaving.take().is_none() {
            return;
        }
        self.timers.cancel(&Timer::Leaving(name.clone()));
        self.journal.hosts.insert(name.clone());
        let text = format!("{name} stays: {why}. It takes VMs again");
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        self.want_plan(format!("{name} stays"));
        self.await_calm(name);
    }

    /// Takes up again that a host leaves, after a restart of this controller.
    pub(super) fn resume_leaving(&mut self, name: &HostName) {
        if self.hosts.get(name).is_some_and(|host| host.record.leaving.is_some()) {
            self.leavers.insert(name.clone());
        }
    }

    /// Tells hosts that leave that they may, as soon as nothing that matters runs there.
    pub(super) fn let_go(&mut self) {
        // This is asked after every input: it must cost nothing while nobody leaves.
        if self.leavers.is_empty() {
            return;
        }
        let leaves = |name: &HostName| self.hosts.get(name).is_some_and(|host| host.record.leaving.is_some());
        let leavers: BTreeSet<HostName> = self.leavers.iter().filter(|name| leaves(name)).cloned().collect();
        self.leavers = leavers;
        let ready = |name: &&HostName| {
            let Some(host) = self.hosts.get(*name) else { return false };
            let Some(leaving) = host.record.leaving.as_ref().filter(|it| it.gone.is_none()) else { return false };
            let free = leaving.policy == LeavePolicy::Freeze || self.vms_that_may_run_on(name).is_empty();
            free && host.link.is_some() && !host.told_to_go
        };
        let ready: Vec<HostName> = self.leavers.iter().filter(ready).cloned().collect();
        for name in ready {
            if let Some(host) = self.hosts.get_mut(&name) {
                host.told_to_go = true;
            }
            self.say(&name, ToAgent::MayGo);
        }
    }

    /// A host is silent. Whether that is as it announced, so that it is no failure.
    pub(super) fn left_orderly(&mut self, name: &HostName) -> bool {
        let now = self.now;
        let here = self.vms_that_may_run_on(name);
        let (freeze_s, reboot_s) = (self.settings.leaving.freeze_s, self.settings.leaving.reboot_s);
        let Some(host) = self.hosts.get_mut(name) else { return false };
        let silent_since = host.heard;
        let Some(leaving) = &mut host.record.leaving else { return false };
        let freezes = leaving.policy == LeavePolicy::Freeze;
        let first = leaving.gone.is_none();
        let gone = *leaving.gone.get_or_insert(silent_since.min(now));
        if !here.is_empty() && (!freezes || now >= gone + freeze_s) {
            return false;
        }
        let reboot = leaving.reboot;
        if first {
            self.journal.hosts.insert(name.clone());
            let what = if reboot { "reboots" } else { "has shut down" };
            let text = match here.len() {
                0 => format!("{name} {what}, as it said. Nothing runs there, so it is not fenced"),
                1 => format!("{name} {what}, as it said. Its 1 VM waits for it for {freeze_s}"),
                more => format!("{name} {what}, as it said. Its {more} VMs wait for it for {freeze_s}"),
            };
            self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        }
        // What comes back late is told of once; what waits is waited for so long. Set again after a restart of this controller.
        let due = gone + if here.is_empty() { reboot_s } else { freeze_s };
        if (reboot || !here.is_empty()) && due > now {
            self.timers.set(Timer::Leaving(name.clone()), due);
        }
        true
    }

    pub(super) fn leaving_timer(&mut self, name: &HostName) {
        let now = self.now;
        let Some(host) = self.hosts.get(name) else { return };
        let Some(leaving) = host.record.leaving.clone() else { return };
        match leaving.gone {
            // It has connected anew, and does not say any more that it leaves.
            None if host.link.is_some() && leaving.heard < host.link_since => {
                self.stays(name, "it no longer says that it leaves");
            }
            None => {}
            Some(_) if !self.vms_that_may_run_on(name).is_empty() => {
                let text = format!("{name} has not come back in time; what waited for it is recovered now");
                self.tell(Severity::Warning, text, |event| event.host = Some(name.clone()));
                self.judge(name);
            }
            Some(gone) if leaving.reboot => {
                let text = format!("{name} has not come back from its reboot after {}", now.since(gone));
                self.tell(Severity::Warning, text, |event| event.host = Some(name.clone()));
            }
            Some(_) => {}
        }
    }

    /// A host says Hello: it is back, or has only connected anew. Whether it comes back from a leave that it announced.
    pub(super) fn came_back(&mut self, name: &HostName, same_boot: bool) -> bool {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return false };
        host.told_to_go = false;
        let Some(leaving) = &mut host.record.leaving else { return false };
        self.journal.hosts.insert(name.clone());
        if same_boot {
            leaving.gone = None;
            self.timers.set(Timer::Leaving(name.clone()), now + SAYS_AGAIN);
            return false;
        }
        let away = leaving.gone.map(|gone: Time| now.since(gone));
        host.record.leaving = None;
        self.timers.cancel(&Timer::Leaving(name.clone()));
        let after = away.map(|away| format!(" after {away}")).unwrap_or_default();
        let text = format!("{name} is back{after}, as it said; it takes VMs again");
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        true
    }

    /// Whether a host's VMs are to move elsewhere since it leaves.
    pub(super) fn leaves_by_moving(&self, host: &super::HostState) -> bool {
        host.record.leaving.as_ref().is_some_and(|it| it.policy == LeavePolicy::Move && it.gone.is_none())
    }
}
