//! The fencing ladder: makes sure that a failed host is unable to run its VMs.
//!
//! A host's fence devices are tried in their declared order, each until it was read back as off or its time is over; after
//! the last comes a pause and the first again, for ever: when a BMC comes back the recovery goes on by itself. An
//! operator's word is the last rung and may come at any time.

use lifeboat_model::{FenceName, HostName, Seconds, trace::What};

use super::{
    Brain, Effect, FenceProof,
    hosts::Trying,
    records::{HostCondition, Phase, Severity},
    timers::Timer,
};

/// What is waited for while a failed host is not fenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceWait {
    /// Why it is not fenced, as a sentence without a full stop.
    pub why: String,
    /// Whether somebody should do something: a whole round through its devices has failed, or it has none.
    pub stuck: bool,
    /// How many VMs wait for it.
    pub waiting: usize,
    /// What an operator can do, one sentence each, without a full stop.
    pub mends: Vec<String>,
}

impl Brain {
    /// The pause after the n-th failure in a row.
    pub(super) fn pause(&self, failures: u32) -> Seconds {
        let retries = &self.settings.retries;
        (retries.pause_s * (1 << failures.saturating_sub(1).min(16))).min(retries.longest_pause_s)
    }

    /// Begins, or goes on with, a round through a failed host's fence devices.
    pub(super) fn try_fence(&mut self, name: &HostName) {
        self.try_device(name, 0);
    }

    fn try_device(&mut self, name: &HostName, position: usize) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let HostCondition::Failed { recovery, .. } = host.record.condition else { return };
        let fences = self.declared.hosts.get(name).map_or(&[][..], |spec| &spec.fences);
        let Some(device) = fences.get(position) else {
            self.round_failed(name);
            return;
        };
        host.trying = Some(Trying { position, device: device.clone() });
        host.record.fence_attempt += 1;
        let attempt = host.record.fence_attempt;
        if let Some(recovery) = self.recoveries.get_mut(&recovery) {
            recovery.fence_attempts += 1;
            self.journal.recoveries.insert(recovery.id);
        }
        self.journal.hosts.insert(name.clone());
        self.journal.effects.push(Effect::Fence { host: name.clone(), attempt, device: device.clone() });
        if position == 0 && self.recoveries.get(&recovery).is_some_and(|recovery| recovery.fence_problems.is_empty()) {
            let event = self.trace(What::FenceRequested).host(name);
            self.add_trace(event);
        }
    }

    /// An attempt with one device has ended.
    pub(super) fn fence_ended(&mut self, name: &HostName, attempt: u64, result: Result<(), String>) {
        let Some(host) = self.hosts.get_mut(name).filter(|host| host.record.fence_attempt == attempt) else { return };
        let Some(Trying { position, device }) = host.trying.take() else { return };
        let HostCondition::Failed { recovery, .. } = host.record.condition else { return };
        let declared = self.declared.hosts.get(name).and_then(|spec| spec.fences.get(position));
        if declared != Some(&device) {
            // What another device says of another machine is no proof.
            self.try_device(name, 0);
            return;
        }
        let device = device.name().clone();
        match result {
            Ok(()) => self.proven(name, FenceProof::Power { device }),
            Err(problem) => {
                if let Some(recovery) = self.recoveries.get_mut(&recovery) {
                    recovery.fence_problems.insert(device, problem);
                    self.journal.recoveries.insert(recovery.id);
                }
                // It may be alive after all. The next Hello settles that; cutting its power now would be wrong.
                if self.hosts.get(name).is_some_and(|host| host.answers_again) {
                    self.wait_for_hello(name);
                } else {
                    self.try_device(name, position + 1);
                }
            }
        }
    }

    /// Begins with hosts that wait for an operator alone, since they had no fence device, when they have one now.
    pub(super) fn try_new_fences(&mut self) {
        let idle = |(name, host): &(&HostName, &super::HostState)| {
            let failed = matches!(host.record.condition, HostCondition::Failed { .. });
            let declared = self.declared.hosts.get(*name).is_some_and(|spec| !spec.fences.is_empty());
            let waits = host.trying.is_some() || self.timers.is_set(&Timer::Fence((*name).clone()));
            failed && declared && !waits
        };
        let idle: Vec<HostName> = self.hosts.iter().filter(idle).map(|(name, _)| name.clone()).collect();
        for name in idle {
            self.try_fence(&name);
        }
    }

    fn wait_for_hello(&mut self, name: &HostName) {
        let again = self.now + self.settings.liveness.lost_after_s;
        if let Some(host) = self.hosts.get_mut(name) {
            host.answers_again = false;
        }
        self.timers.set(Timer::Fence(name.clone()), again);
    }

    /// Every device has failed: says what is waited for, and tries again after a pause.
    fn round_failed(&mut self, name: &HostName) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let HostCondition::Failed { recovery, .. } = host.record.condition else { return };
        host.trying = None;
        host.failed_rounds = host.failed_rounds.saturating_add(1);
        let rounds = host.failed_rounds;
        let has_fences = self.declared.hosts.get(name).is_some_and(|spec| !spec.fences.is_empty());
        if has_fences {
            self.timers.set(Timer::Fence(name.clone()), self.now + self.pause(rounds));
        }
        if rounds == 1 {
            let what = self.fence_wait(name).unwrap_or_default();
            self.tell(Severity::Critical, what, |event| {
                (event.host, event.recovery) = (Some(name.clone()), Some(recovery));
            });
        }
    }

    /// The fence device that is being tried on a failed host.
    #[must_use]
    pub fn fencing_with(&self, name: &HostName) -> Option<&FenceName> {
        self.hosts.get(name)?.trying.as_ref().map(|trying| trying.device.name())
    }

    /// What is waited for while a failed host is not fenced; none: its fence is not waited for.
    #[must_use]
    pub fn fence_waiting(&self, name: &HostName) -> Option<FenceWait> {
        let host = self.hosts.get(name)?;
        let HostCondition::Failed { recovery, .. } = host.record.condition else { return None };
        let record = self.recoveries.get(&recovery)?;
        let problems: Vec<String> =
            record.fence_problems.iter().map(|(device, problem)| format!("{device}: {problem}")).collect();
        let has_fences = self.declared.hosts.get(name).is_some_and(|spec| !spec.fences.is_empty());
        let mut mends = Vec::new();
        let why = match (problems.is_empty(), has_fences) {
            (true, true) => format!("{name} is being fenced"),
            (true, false) => format!("{name} has no fence device"),
            (false, _) => {
                let devices: Vec<&str> = record.fence_problems.keys().map(FenceName::as_str).collect();
                mends.push(format!("mend {}: Lifeboat goes on trying and goes on by itself", devices.join(" or ")));
                format!("{name} could not be confirmed off ({})", problems.join("; "))
            }
        };
        mends.push(format!("if you have made sure that {name} is off: lifeboat recover {name} --confirm-off"));
        Some(FenceWait { why, stuck: host.failed_rounds > 0 || !has_fences, waiting: record.open(), mends })
    }

    /// The same in one text, with what an operator can do.
    #[must_use]
    pub fn fence_wait(&self, name: &HostName) -> Option<String> {
        let FenceWait { why, waiting, mends, .. } = self.fence_waiting(name)?;
        let waiting = if waiting == 1 { "1 VM waits".to_owned() } else { format!("{waiting} VMs wait") };
        let mends = mends.join("; ");
        Some(format!("{why}. Nothing of it is started elsewhere until it is off: {waiting}. What to do: {mends}"))
    }

    /// A failed host is known to be unable to run the VMs that it had.
    pub(super) fn proven(&mut self, name: &HostName, proof: FenceProof) {
        let since = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        let HostCondition::Failed { recovery, since: declared } = host.record.condition else { return };
        let method = proof.method().to_owned();
        let text =
            format!("{name} is fenced after {}: {proof}. Its VMs are started elsewhere now", since.since(declared));
        // An attempt that is under way goes on: until it ends the host is not taken back.
        host.record.condition = HostCondition::Fenced { recovery, since, proof: proof.clone() };
        host.answers_again = false;
        self.journal.hosts.insert(name.clone());
        self.timers.cancel(&Timer::Fence(name.clone()));
        if let Some(recovery) = self.recoveries.get_mut(&recovery) {
            recovery.fenced = Some((since, proof));
            self.journal.recoveries.insert(recovery.id);
        }
        let event = self.trace(What::Fenced { method }).host(name);
        self.add_trace(event);
        self.tell(Severity::Info, text, |event| {
            (event.host, event.recovery) = (Some(name.clone()), Some(recovery));
        });
        for vm in self.vms_that_may_run_on(name) {
            self.set_phase(&vm, Phase::Stopped);
        }
        self.fence_step_done(name);
    }
}
