//! What an operator may set of the fleet's side. `docs/settings.md` lists the same values.

use std::path::PathBuf;

use lifeboat_model::{Seconds, Time, liveness::PolicyName, spec::LeavePolicy};
use serde::{Deserialize, Serialize};

use super::{
    Fencing, HardwareSettings,
    brake::BrakeSettings,
    policies::{Policies, Policy, WhenIsolated},
};

/// When a host counts as lost, and how often agents speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Liveness {
    /// Seconds between an agent's heartbeats.
    pub heartbeat_s: Seconds,
    /// Seconds of silence after which a host is asked directly.
    pub suspect_after_s: Seconds,
    /// Seconds of silence, answers to direct questions included, after which a host counts as lost.
    pub lost_after_s: Seconds,
    /// What is done about a host that lives and cannot reach the controller.
    pub isolated: WhenIsolated,
    /// Seconds after `lost_after_s` before that is done.
    pub isolated_wait_s: Seconds,
    /// Seconds after `lost_after_s` that an agent may be away while the VMs of its host answer.
    pub agent_wait_s: Seconds,
    /// Seconds that a controller gives known hosts to come back to it after its own start.
    pub grace_s: Seconds,
    /// Policies by name, for classes and hosts that name one.
    pub policies: Policies,
    /// When the controller suspects itself.
    pub brake: BrakeSettings,
    /// A heartbeat block on storage that hosts and this controller see; none: none.
    pub heartbeat_block: Option<PathBuf>,
}

impl Liveness {
    /// The policy of what names none.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        Policy {
            heartbeat_s: self.heartbeat_s,
            suspect_after_s: self.suspect_after_s,
            lost_after_s: self.lost_after_s,
            isolated: self.isolated,
            isolated_wait_s: self.isolated_wait_s,
            agent_wait_s: self.agent_wait_s,
        }
    }
}

impl Default for Liveness {
    fn default() -> Self {
        let policy = Policy::preset(PolicyName::Critical);
        Self {
            heartbeat_s: policy.heartbeat_s,
            suspect_after_s: policy.suspect_after_s,
            lost_after_s: policy.lost_after_s,
            isolated: policy.isolated,
            isolated_wait_s: policy.isolated_wait_s,
            agent_wait_s: policy.agent_wait_s,
            grace_s: Seconds::new(10),
            policies: Policies::default(),
            brake: BrakeSettings::default(),
            heartbeat_block: None,
        }
    }
}

/// What is tried again, how often, and when it is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Times that a VM whose process dies is restarted on its host within `window_s`, before it is moved.
    pub restarts_in_place: u32,
    /// Failed starts or deaths of a VM within `window_s` after which it is given up.
    pub attempts: u32,
    /// Seconds over which a VM's failures are counted.
    pub window_s: Seconds,
    /// The first pause after a failed fencing or storage operation; it doubles up to `longest_pause_s`.
    pub pause_s: Seconds,
    /// The longest pause between two tries.
    pub longest_pause_s: Seconds,
    /// Failed tries to map a volume to a host after which its VM is planned elsewhere.
    pub map_attempts: u32,
    /// A VM must answer its check within this, or within four times its `start_s` where that is longer.
    pub start_timeout_s: Seconds,
    /// Seconds without an answer after which a command is said to an agent again.
    pub command_timeout_s: Seconds,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            restarts_in_place: 2,
            attempts: 5,
            window_s: Seconds::new(600),
            pause_s: Seconds::from_millis(500),
            longest_pause_s: Seconds::new(5),
            map_attempts: 4,
            start_timeout_s: Seconds::new(60),
            command_timeout_s: Seconds::new(30),
        }
    }
}

/// When everything is drilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrillTimes {
    /// Seconds between two drills; 0: none is made unasked.
    pub every_s: Seconds,
    /// The time of day of one of them, in UTC: `05:00`.
    pub at: String,
}

impl Default for DrillTimes {
    fn default() -> Self {
        Self { every_s: Seconds::new(86_400), at: "05:00".to_owned() }
    }
}

impl DrillTimes {
    /// From midnight to the time of day; none: it is none.
    fn since_midnight(&self) -> Option<Seconds> {
        let (hour, minute) = self.at.split_once(':')?;
        let two = |text: &str, below: u64| text.parse::<u64>().ok().filter(|it| *it < below && text.len() == 2);
        Some(Seconds::new(two(hour, 24)? * 3600 + two(minute, 60)? * 60))
    }

    /// When the first drill after a time is due; none: there is none.
    pub(super) fn next(&self, after: Time) -> Option<Time> {
        super::drill::next_due(after, self.every_s, self.since_midnight().unwrap_or(Seconds::ZERO))
    }
}

/// When who looks at VMs is taken to be in trouble itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// So many VMs at least must fail their checks at once,
    pub trouble_vms: u32,
    /// and so many percent of those that are looked at.
    pub trouble_percent: u8,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { trouble_vms: 3, trouble_percent: 50 }
    }
}

/// When VMs go back to a host that failed and is back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failback {
    /// They stay where they are.
    Never,
    /// When an operator says so.
    #[default]
    Manual,
    /// When the fleet has been calm for a while.
    WhenCalm,
}

/// Hosts that fail again and again, and what follows when they are back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flapping {
    /// Failures of a host within `window_s` after which it is held out; 0: never.
    pub failures: u32,
    /// Seconds over which a host's failures are counted.
    pub window_s: Seconds,
    /// Seconds after which a host that is held out takes VMs again; none: when an operator says so.
    pub hold_s: Option<Seconds>,
    /// When VMs go back to a host that is back.
    pub failback: Failback,
    /// Seconds of calm before they do by themselves.
    pub calm_s: Seconds,
}

impl Default for Flapping {
    fn default() -> Self {
        Self {
            failures: 3,
            window_s: Seconds::new(3600),
            hold_s: None,
            failback: Failback::Manual,
            calm_s: Seconds::new(600),
        }
    }
}

/// Hosts that say that they shut down or reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeavingSettings {
    /// What becomes of their VMs, where the host itself does not say.
    pub policy: LeavePolicy,
    /// Seconds that VMs wait for their host with the policy `freeze`.
    pub freeze_s: Seconds,
    /// Seconds after which a host should be back from a reboot.
    pub reboot_s: Seconds,
}

impl Default for LeavingSettings {
    fn default() -> Self {
        Self { policy: LeavePolicy::Move, freeze_s: Seconds::new(600), reboot_s: Seconds::new(900) }
    }
}

/// All settings of the fleet's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// When a host counts as lost.
    pub liveness: Liveness,
    /// What is tried again.
    pub retries: Retries,
    /// How failed hosts are made unable to run their VMs.
    pub fencing: Fencing,
    /// When everything is drilled.
    pub drill: DrillTimes,
    /// When who looks at VMs is taken to be in trouble itself.
    pub health: HealthSettings,
    /// Hosts that fail again and again.
    pub flapping: Flapping,
    /// Hosts that say that they shut down or reboot.
    pub leaving: LeavingSettings,
    /// When hardware counts as going bad.
    pub hardware: HardwareSettings,
}

impl Settings {
    /// Checks that the values go together.
    ///
    /// # Errors
    /// A sentence that names the setting and what it must be.
    pub fn validate(&self) -> Result<(), String> {
        let l = &self.liveness;
        l.policy().validate("liveness")?;
        for name in PolicyName::ALL {
            l.policies.get(name).validate(&format!("liveness.policies.{name}"))?;
        }
        l.brake.validate()?;
        if self.retries.pause_s == Seconds::ZERO || self.retries.longest_pause_s < self.retries.pause_s {
            return Err("retries.pause_s must be above 0 and not above longest_pause_s".to_owned());
        }
        if self.health.trouble_vms < 2 || !(1..=100).contains(&self.health.trouble_percent) {
            return Err("health.trouble_vms must be at least 2, and trouble_percent from 1 to 100".to_owned());
        }
        if self.retries.command_timeout_s < Seconds::new(1) {
            return Err("retries.command_timeout_s must be at least 1".to_owned());
        }
        if self.drill.since_midnight().is_none() {
            return Err(format!("drill.at is {}; it must be a time of day such as 05:00", self.drill.at));
        }
        if self.drill.every_s > Seconds::ZERO && self.drill.every_s < Seconds::new(60) {
            return Err("drill.every_s must be at least 60, or 0 for no drill".to_owned());
        }
        if self.retries.attempts == 0 || self.retries.map_attempts == 0 {
            return Err("retries.attempts and map_attempts must be at least 1".to_owned());
        }
        if self.flapping.failures > 100 || self.flapping.window_s == Seconds::ZERO {
            return Err("flapping.failures must be at most 100 and window_s above 0".to_owned());
        }
        if self.flapping.hold_s == Some(Seconds::ZERO) || self.flapping.calm_s < Seconds::new(1) {
            return Err("flapping.hold_s must be above 0, and calm_s at least 1".to_owned());
        }
        self.fencing.validate(l.heartbeat_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_not_said_again_without_a_pause() {
        let mut settings = Settings::default();
        settings.validate().expect("the defaults go together");
        settings.retries.command_timeout_s = Seconds::ZERO;
        let problem = settings.validate().expect_err("the brain would say it for ever within one call");
        assert!(problem.contains("command_timeout_s"), "{problem}");
    }
}
