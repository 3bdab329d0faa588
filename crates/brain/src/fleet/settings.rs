//! What an operator may set of the fleet's side. `docs/settings.md` lists the same values.

use lifeboat_model::{Seconds, spec::LeavePolicy};
use serde::{Deserialize, Serialize};

use super::{Fencing, HardwareSettings};

/// When a host counts as lost, and how often agents speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Liveness {
    /// Seconds between an agent's heartbeats.
    pub heartbeat_s: Seconds,
    /// Seconds of silence after which a host is asked directly.
    pub suspect_after_s: Seconds,
    /// Seconds of silence, answers to direct questions included, after which a host is declared dead.
    pub lost_after_s: Seconds,
    /// Seconds that a controller gives known hosts to come back to it after its own start.
    pub grace_s: Seconds,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            heartbeat_s: Seconds::new(1),
            suspect_after_s: Seconds::new(2),
            lost_after_s: Seconds::new(3),
            grace_s: Seconds::new(10),
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
        if l.heartbeat_s < Seconds::from_millis(50) {
            return Err(format!("liveness.heartbeat_s is {}; it must be at least 0.05", l.heartbeat_s.as_f64()));
        }
        if l.suspect_after_s <= l.heartbeat_s {
            return Err("liveness.suspect_after_s must be longer than heartbeat_s".to_owned());
        }
        if l.lost_after_s <= l.suspect_after_s {
            return Err("liveness.lost_after_s must be longer than suspect_after_s".to_owned());
        }
        if self.retries.pause_s == Seconds::ZERO || self.retries.longest_pause_s < self.retries.pause_s {
            return Err("retries.pause_s must be above 0 and not above longest_pause_s".to_owned());
        }
        if self.retries.command_timeout_s < Seconds::new(1) {
            return Err("retries.command_timeout_s must be at least 1".to_owned());
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
