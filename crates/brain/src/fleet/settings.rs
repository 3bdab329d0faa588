//! What an operator may set of the fleet's side. `docs/settings.md` lists the same values.

use lifeboat_model::{Seconds, liveness::PolicyName};
use serde::{Deserialize, Serialize};

use super::{
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

/// All settings of the fleet's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// When a host counts as lost.
    pub liveness: Liveness,
    /// What is tried again.
    pub retries: Retries,
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
        if self.retries.command_timeout_s < Seconds::new(1) {
            return Err("retries.command_timeout_s must be at least 1".to_owned());
        }
        if self.retries.attempts == 0 || self.retries.map_attempts == 0 {
            return Err("retries.attempts and map_attempts must be at least 1".to_owned());
        }
        Ok(())
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
