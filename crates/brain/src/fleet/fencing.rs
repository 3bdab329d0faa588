//! The fencing ladder: makes sure that a failed host is unable to run its VMs.
//!
//! ```text
//!            power by a device, or by several together      lease (and storage cut)
//!   Failed ─┬─► cut ─► read back as off ─► next rung … ─┐   ┌─ not run out: looked at again
//!           │   ▲                                       │   │
//!           │   └────────── a pause ◄───────────────────┘   ▼
//!           └──────────────── at the same time ─────────► run out ─► proven, or cut its volumes ─► proven
//! ```
//!
//! Rungs that cut the power are tried in the ladder's order, each until it was read back as off or its time is over; after
//! the last comes a pause and the first again, for ever: when a BMC comes back the recovery goes on by itself. A lease
//! needs no doing, only time, so it runs from the beginning; rungs that stand behind it wait for it. An operator's word is
//! the last rung and may come at any time.

use lifeboat_model::{FenceName, HostName, Seconds, spec::FenceSpec, trace::What};

use super::{
    Brain, Effect, FenceProof,
    records::{HostCondition, Phase, Severity},
    timers::Timer,
};

mod checks;
mod cut;
mod ladder;
mod lease;
mod settings;

pub use checks::FenceChecked;
pub(super) use ladder::list;
pub use ladder::{DeviceSaid, Rung, RungNow, RungRecord, RungState};
pub(super) use lease::Lease;
pub use settings::Fencing;

/// What is waited for while a failed host is not fenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceWait {
    /// Why it is not fenced, as a sentence without a full stop.
    pub why: String,
    /// Whether somebody should do something: a whole round through its devices has failed, or it has none, and no lease
    /// will come to be a proof by itself.
    pub stuck: bool,
    /// How many VMs wait for it.
    pub waiting: usize,
    /// What an operator can do, one sentence each, without a full stop.
    pub mends: Vec<String>,
}

/// A rung that cuts power and is being tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trying {
    /// Its position in the ladder.
    at: usize,
    /// Its devices.
    parts: Vec<Part>,
    /// Whether all have been cut and are read once more, so that they are known to be off together.
    confirming: bool,
}

/// A device of a rung that is being tried.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// As it was declared when the attempt began.
    device: FenceSpec,
    attempt: u64,
    ended: Option<Result<(), String>>,
}

impl Trying {
    fn part(&mut self, attempt: u64) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.attempt == attempt && part.ended.is_none())
    }

    fn names(&self) -> Vec<FenceName> {
        self.parts.iter().map(|part| part.device.name().clone()).collect()
    }
}

impl Brain {
    /// The pause after the n-th failure in a row.
    pub(super) fn pause(&self, failures: u32) -> Seconds {
        let retries = &self.settings.retries;
        (retries.pause_s * (1 << failures.saturating_sub(1).min(16))).min(retries.longest_pause_s)
    }

    /// Begins, or goes on with, a round through a failed host's ladder.
    pub(super) fn try_fence(&mut self, name: &HostName) {
        self.lay_ladder(name);
        if !self.timers.is_set(&Timer::Lease(name.clone())) {
            self.watch_lease(name);
        }
        self.climb(name, 0);
    }

    /// Tries the next rung that needs doing.
    fn climb(&mut self, name: &HostName, from: usize) {
        for (at, rung) in self.ladder(name).into_iter().enumerate().skip(from) {
            match rung {
                Rung::Power { devices } => return self.try_devices(name, at, &devices),
                Rung::Storage | Rung::Lease if self.waits_for_lease_first(name, at) => {
                    self.timers.set(Timer::Fence(name.clone()), self.now + self.lease_left(name).max(Seconds::new(1)));
                    return;
                }
                Rung::Storage | Rung::Lease => {}
            }
        }
        self.round_failed(name);
    }

    fn try_devices(&mut self, name: &HostName, at: usize, names: &[FenceName]) {
        let devices: Vec<FenceSpec> = names.iter().filter_map(|device| self.device(name, device).cloned()).collect();
        let Some(id) = self.failed_recovery(name) else { return };
        let Some(host) = self.hosts.get_mut(name) else { return };
        let mut parts = Vec::new();
        for device in devices {
            host.record.fence_attempt += 1;
            let attempt = host.record.fence_attempt;
            self.journal.effects.push(Effect::Fence { host: name.clone(), attempt, device: device.clone() });
            parts.push(Part { device, attempt, ended: None });
        }
        let count = parts.len() as u64;
        host.trying = Some(Trying { at, parts, confirming: false });
        self.journal.hosts.insert(name.clone());
        let mut first = false;
        if let Some(recovery) = self.recoveries.get_mut(&id) {
            first = recovery.fence_attempts == 0;
            recovery.fence_attempts += count;
            self.journal.recoveries.insert(id);
        }
        self.note_rung(name, &Rung::Power { devices: names.to_vec() }, |record| {
            record.state = RungState::Trying;
            record.tries += 1;
        });
        if first {
            let event = self.trace(What::FenceRequested).host(name);
            self.add_trace(event);
        }
    }

    /// An attempt with one device has ended.
    pub(super) fn fence_ended(&mut self, name: &HostName, attempt: u64, result: Result<(), String>) {
        let Some(trying) = self.hosts.get_mut(name).and_then(|host| host.trying.as_mut()) else { return };
        if trying.confirming {
            return;
        }
        let Some(part) = trying.part(attempt) else { return };
        part.ended = Some(result);
        self.part_ended(name);
    }

    /// A device was read: in peace, or to confirm that all of a rung are off together.
    pub(super) fn fence_read(&mut self, name: &HostName, look: u64, device: &FenceName, result: Result<bool, String>) {
        if look == 0 {
            return self.fence_checked(name, device, result);
        }
        let Some(trying) = self.hosts.get_mut(name).and_then(|host| host.trying.as_mut()) else { return };
        let Some(part) = trying.confirming.then(|| trying.part(look)).flatten() else { return };
        part.ended = Some(match result {
            Ok(false) => Ok(()),
            Ok(true) => Err("it was off and is on again".to_owned()),
            Err(problem) => Err(problem),
        });
        self.part_ended(name);
    }

    /// One device of the rung that is being tried is done; with the last of them the rung is.
    fn part_ended(&mut self, name: &HostName) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let done = |trying: &mut Trying| trying.parts.iter().all(|part| part.ended.is_some());
        let Some(trying) = host.trying.take_if(|trying| done(trying)) else { return };
        if !matches!(host.record.condition, HostCondition::Failed { .. }) {
            return;
        }
        if trying.parts.iter().any(|part| self.device(name, part.device.name()) != Some(&part.device)) {
            // What another device says of another machine is no proof.
            return self.try_fence(name);
        }
        self.note_devices(name, &trying);
        let well = trying.parts.iter().all(|part| part.ended == Some(Ok(())));
        match (well, trying.parts.as_slice()) {
            (true, [part]) => {
                let device = part.device.name().clone();
                self.proven(name, FenceProof::Power { device });
            }
            (true, _) if trying.confirming => self.proven(name, FenceProof::Together { devices: trying.names() }),
            (true, _) => self.confirm(name, trying),
            // It may be alive after all. The next Hello settles that; cutting its power now would be wrong.
            (false, _) if self.hosts.get(name).is_some_and(|host| host.answers_again) => self.wait_for_hello(name),
            (false, _) => self.climb(name, trying.at + 1),
        }
    }

    /// All devices of a rung were read as off, each at its time: reads them once more, now that none is being changed.
    fn confirm(&mut self, name: &HostName, mut trying: Trying) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        trying.confirming = true;
        for part in &mut trying.parts {
            host.record.fence_attempt += 1;
            (part.attempt, part.ended) = (host.record.fence_attempt, None);
            let (look, device) = (part.attempt, part.device.clone());
            self.journal.effects.push(Effect::ReadFence { host: name.clone(), look, device });
        }
        host.trying = Some(trying);
        self.journal.hosts.insert(name.clone());
    }

    /// Notes what the devices of a rung have said.
    fn note_devices(&mut self, name: &HostName, trying: &Trying) {
        let now = self.now;
        let Some(id) = self.failed_recovery(name) else { return };
        let ended = |part: &Part| part.ended.clone().and_then(Result::err);
        let said: Vec<(FenceName, Option<String>)> =
            trying.parts.iter().map(|part| (part.device.name().clone(), ended(part))).collect();
        if let Some(recovery) = self.recoveries.get_mut(&id) {
            for (device, problem) in &said {
                match problem {
                    Some(problem) => drop(recovery.fence_problems.insert(device.clone(), problem.clone())),
                    None => drop(recovery.fence_problems.remove(device)),
                }
            }
            self.journal.recoveries.insert(id);
        }
        self.note_rung(name, &Rung::Power { devices: trying.names() }, |record| {
            record.state = RungState::Failed;
            let words = said.iter().map(|(device, problem)| match problem {
                Some(problem) => format!("{device}: {problem}"),
                None => format!("{device} is off"),
            });
            record.said = Some(words.collect::<Vec<_>>().join("; "));
            for (device, problem) in said {
                record.devices.insert(device, DeviceSaid { at: now, problem });
            }
        });
    }

    /// Begins with hosts that wait for an operator alone, since they had no fence device, when they have one now.
    pub(super) fn try_new_fences(&mut self) {
        let idle = |(name, host): &(&HostName, &super::HostState)| {
            let failed = matches!(host.record.condition, HostCondition::Failed { .. });
            let waits = host.trying.is_some() || self.timers.is_set(&Timer::Fence((*name).clone()));
            failed && !waits && self.has_power_rung(name)
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
        let pends = self.lease_pends(name);
        if self.has_power_rung(name) {
            self.timers.set(Timer::Fence(name.clone()), self.now + self.pause(rounds));
        }
        if rounds == 1 {
            let what = self.fence_wait(name).unwrap_or_default();
            let severity = if pends { Severity::Warning } else { Severity::Critical };
            self.tell(severity, what, |event| {
                (event.host, event.recovery) = (Some(name.clone()), Some(recovery));
            });
        }
    }

    /// The fence device that is being tried on a failed host; of several together the first.
    #[must_use]
    pub fn fencing_with(&self, name: &HostName) -> Option<&FenceName> {
        Some(self.hosts.get(name)?.trying.as_ref()?.parts.first()?.device.name())
    }

    /// What is waited for while a failed host is not fenced; none: its fence is not waited for.
    #[must_use]
    pub fn fence_waiting(&self, name: &HostName) -> Option<FenceWait> {
        let host = self.hosts.get(name)?;
        let HostCondition::Failed { recovery, .. } = host.record.condition else { return None };
        let record = self.recoveries.get(&recovery)?;
        let problems: Vec<String> =
            record.fence_problems.iter().map(|(device, problem)| format!("{device}: {problem}")).collect();
        let has_power = self.has_power_rung(name);
        let mut mends = Vec::new();
        let mut why = match (problems.is_empty(), has_power) {
            (true, true) => format!("{name} is being fenced"),
            (true, false) => format!("{name} has no fence device"),
            (false, _) => {
                let devices: Vec<&str> = record.fence_problems.keys().map(FenceName::as_str).collect();
                mends.push(format!("mend {}: Lifeboat goes on trying and goes on by itself", devices.join(" or ")));
                format!("{name} could not be confirmed off ({})", problems.join("; "))
            }
        };
        let pends = self.lease_pends(name);
        if pends {
            why += &match self.lease_left(name) {
                _ if host.cutting => "; its lease has run out, its volumes are being cut".to_owned(),
                Seconds::ZERO => "; its lease has run out".to_owned(),
                left => format!("; its lease runs out within {left}"),
            };
        }
        mends.push(format!("if you have made sure that {name} is off: lifeboat recover {name} --confirm-off"));
        let stuck = !pends && (host.failed_rounds > 0 || !has_power);
        Some(FenceWait { why, stuck, waiting: record.open(), mends })
    }

    /// The same in one text, with what an operator can do.
    #[must_use]
    pub fn fence_wait(&self, name: &HostName) -> Option<String> {
        let FenceWait { why, waiting, mends, .. } = self.fence_waiting(name)?;
        let waiting = lifeboat_model::text::counted(waiting, "VM waits", "VMs wait");
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
        self.note_proof(name, &proof);
        self.call_off_attempts(name);
        let Some(host) = self.hosts.get_mut(name) else { return };
        // Until an attempt that is under way has ended, the host is not taken back.
        host.record.condition = HostCondition::Fenced { recovery, since, proof: proof.clone() };
        (host.answers_again, host.cutting) = (false, false);
        self.journal.hosts.insert(name.clone());
        self.timers.cancel(&Timer::Fence(name.clone()));
        self.timers.cancel(&Timer::Lease(name.clone()));
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
        self.unpark_starts();
    }

    /// Ends what is still being tried on a host that is proven off by something else: somebody may put it on again, and a BMC
    /// that comes back only then would cut it once more.
    fn call_off_attempts(&mut self, name: &HostName) {
        let Some(trying) = self.hosts.get(name).and_then(|host| host.trying.as_ref()) else { return };
        if trying.confirming {
            return;
        }
        for part in trying.parts.iter().filter(|part| part.ended.is_none()) {
            self.journal.effects.push(Effect::EndFence { host: name.clone(), attempt: part.attempt });
        }
    }

    /// Notes which rung is the proof, and that the others are waited for no more.
    fn note_proof(&mut self, name: &HostName, proof: &FenceProof) {
        let proven = match proof {
            FenceProof::Power { device } => Some(Rung::Power { devices: vec![device.clone()] }),
            FenceProof::Together { devices } => Some(Rung::Power { devices: devices.clone() }),
            FenceProof::Storage { .. } => Some(Rung::Storage),
            FenceProof::Lease { .. } => Some(Rung::Lease),
            FenceProof::Operator | FenceProof::Rebooted => None,
        };
        for rung in self.ladder(name) {
            let is_proof = Some(&rung) == proven.as_ref();
            self.note_rung(name, &rung, |record| match record.state {
                _ if is_proof => (record.state, record.said) = (RungState::Proven, Some(proof.to_string())),
                RungState::Trying => record.state = RungState::Waiting,
                _ => {}
            });
        }
    }
}
