//! Fence devices are looked at in peace, so that one that does not answer is mended before it is needed.

use lifeboat_model::{FenceName, HostName, Seconds, Time};
use serde::{Deserialize, Serialize};

use super::super::{
    Brain, Effect,
    records::{HostCondition, Severity},
    timers::Timer,
};

/// What came of the last look at a fence device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceChecked {
    /// When.
    pub at: Time,
    /// Since when it answers, or does not.
    pub since: Time,
    /// What was wrong, for a person; none: it answered as it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whether it said that the power is on.
    #[serde(default)]
    pub on: bool,
}

impl FenceChecked {
    /// Whether it answered, and what it said cannot be so.
    #[must_use]
    pub fn misleads(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.starts_with(SAYS_OFF))
    }
}

/// How a problem begins with a device that says what cannot be so.
const SAYS_OFF: &str = "it says that the power is off";

/// A number that depends on a host's name only (FNV-1a), so that a thousand BMCs are not asked in one instant.
fn scatter(name: &HostName) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    name.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

impl Brain {
    /// Sets the next look at each host's fence devices, where none is set.
    pub(in crate::fleet) fn plan_fence_checks(&mut self) {
        let every = self.settings.fencing.check_every_s;
        if every == Seconds::ZERO {
            return;
        }
        for (name, spec) in &self.declared.hosts {
            let timer = Timer::FenceCheck(name.clone());
            if !spec.fences.is_empty() && !self.timers.is_set(&timer) {
                let offset = Seconds::from_micros(scatter(name) % every.micros());
                self.timers.set(timer, self.now + offset);
            }
        }
    }

    /// Looks at a host's fence devices.
    pub(in crate::fleet) fn check_fences(&mut self, name: &HostName) {
        let Some(spec) = self.declared.hosts.get(name) else { return };
        let devices = spec.fences.clone();
        if devices.is_empty() {
            return;
        }
        self.timers.set(Timer::FenceCheck(name.clone()), self.now + self.settings.fencing.check_every_s);
        // While they are at work they need not say that they would be.
        if self.hosts.get(name).is_none_or(super::super::HostState::being_fenced) {
            return;
        }
        for device in devices {
            self.journal.effects.push(Effect::ReadFence { host: name.clone(), look: 0, device });
        }
    }

    /// A look at a device has ended: whether the power is on, or what went wrong.
    pub(in crate::fleet) fn fence_checked(
        &mut self,
        name: &HostName,
        device: &FenceName,
        result: Result<bool, String>,
    ) {
        if self.device(name, device).is_none() {
            return;
        }
        let (now, lost_after) = (self.now, self.settings.liveness.lost_after_s);
        let Some(host) = self.hosts.get_mut(name) else { return };
        // A device that says that a host has no power while that host speaks is another machine's, or lies.
        let speaks =
            host.record.condition == HostCondition::Up && host.link.is_some() && now.since(host.heard) < lost_after;
        let problem = match &result {
            Ok(false) if speaks => Some(format!("{SAYS_OFF} while {name} speaks: it may be another machine's, or lie")),
            Ok(_) => None,
            Err(problem) => Some(problem.clone()),
        };
        let before = host.record.fence_checks.get(device);
        let was_well = before.is_none_or(|before| before.problem.is_none());
        let since = before.filter(|_| was_well == problem.is_none()).map_or(now, |before| before.since);
        let checked = FenceChecked { at: now, since, problem: problem.clone(), on: result == Ok(true) };
        host.record.fence_checks.insert(device.clone(), checked);
        let declared = &self.declared;
        let known = |device: &FenceName| {
            declared.hosts.get(name).is_some_and(|spec| spec.fences.iter().any(|fence| fence.name() == device))
        };
        host.record.fence_checks.retain(|device, _| known(device));
        self.journal.hosts.insert(name.clone());
        match problem {
            Some(problem) if was_well => self.tell(
                Severity::Warning,
                format!("{device} did not pass its check: {name} could not be fenced by it ({problem})"),
                |event| event.host = Some(name.clone()),
            ),
            None if !was_well => self.tell(Severity::Info, format!("{device} of {name} is well again"), |event| {
                event.host = Some(name.clone());
            }),
            _ => {}
        }
    }

    /// Fence devices whose last look went wrong, with what was wrong and since when.
    pub fn failing_fences(&self) -> impl Iterator<Item = (&HostName, &FenceName, &FenceChecked)> {
        self.hosts.iter().flat_map(move |(name, host)| {
            let failing = host.record.fence_checks.iter().filter(|(_, checked)| checked.problem.is_some());
            failing
                .filter(move |(device, _)| self.device(name, device).is_some())
                .map(move |(device, checked)| (name, device, checked))
        })
    }
}
