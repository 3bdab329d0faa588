//! How quickly a host is judged: presets by name, all settable, and which of them rules a host.
//!
//! The strictest class that has a VM on a host rules, unless the host's own declaration names a policy. What names none is
//! judged as the settings directly under `[liveness]` say.

use lifeboat_model::{HostName, Seconds, VmName, liveness::PolicyName};
use serde::{Deserialize, Serialize};

use super::{Brain, records::HostCondition, records::Phase, timers::Timer};
use crate::message::ToAgent;

/// What is done about a host that lives and cannot reach the controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenIsolated {
    /// It is declared failed and fenced, after `isolated_wait_s`.
    #[default]
    Recover,
    /// It is waited for as long as something says that it lives.
    Wait,
}

/// How quickly a host is judged, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Seconds between an agent's heartbeats.
    pub heartbeat_s: Seconds,
    /// Seconds of silence after which a host is asked in every way that there is.
    pub suspect_after_s: Seconds,
    /// Seconds of silence after which it counts as lost, unless something says that it lives.
    pub lost_after_s: Seconds,
    /// What is done about it when it is isolated.
    pub isolated: WhenIsolated,
    /// Seconds after `lost_after_s` before that is done.
    pub isolated_wait_s: Seconds,
    /// Seconds after `lost_after_s` that an agent may be away while all VMs of its host that can be asked answer.
    pub agent_wait_s: Seconds,
}

impl Policy {
    /// What a preset says, unless it is set otherwise.
    #[must_use]
    pub const fn preset(name: PolicyName) -> Self {
        let (heartbeat, suspect, lost, isolated, agent) = match name {
            PolicyName::Critical => (1, 2, 3, 3, 30),
            PolicyName::Normal => (2, 6, 10, 10, 60),
            PolicyName::Relaxed => (5, 30, 60, 60, 300),
        };
        Self {
            heartbeat_s: Seconds::new(heartbeat),
            suspect_after_s: Seconds::new(suspect),
            lost_after_s: Seconds::new(lost),
            isolated: WhenIsolated::Recover,
            isolated_wait_s: Seconds::new(isolated),
            agent_wait_s: Seconds::new(agent),
        }
    }

    /// Checks that the values go together; `of` is where they are set.
    pub(super) fn validate(&self, of: &str) -> Result<(), String> {
        if self.heartbeat_s < Seconds::from_millis(50) {
            return Err(format!("{of}.heartbeat_s is {}; it must be at least 0.05", self.heartbeat_s.as_f64()));
        }
        if self.suspect_after_s <= self.heartbeat_s {
            return Err(format!("{of}.suspect_after_s must be longer than heartbeat_s"));
        }
        if self.lost_after_s <= self.suspect_after_s {
            return Err(format!("{of}.lost_after_s must be longer than suspect_after_s"));
        }
        Ok(())
    }
}

/// What of a policy is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SomePolicy {
    heartbeat_s: Option<Seconds>,
    suspect_after_s: Option<Seconds>,
    lost_after_s: Option<Seconds>,
    isolated: Option<WhenIsolated>,
    isolated_wait_s: Option<Seconds>,
    agent_wait_s: Option<Seconds>,
}

impl SomePolicy {
    fn over(&self, preset: Policy) -> Policy {
        Policy {
            heartbeat_s: self.heartbeat_s.unwrap_or(preset.heartbeat_s),
            suspect_after_s: self.suspect_after_s.unwrap_or(preset.suspect_after_s),
            lost_after_s: self.lost_after_s.unwrap_or(preset.lost_after_s),
            isolated: self.isolated.unwrap_or(preset.isolated),
            isolated_wait_s: self.isolated_wait_s.unwrap_or(preset.isolated_wait_s),
            agent_wait_s: self.agent_wait_s.unwrap_or(preset.agent_wait_s),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SomePolicies {
    critical: SomePolicy,
    normal: SomePolicy,
    relaxed: SomePolicy,
}

/// The policies that have a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SomePolicies")]
pub struct Policies {
    /// For what must be back at once.
    pub critical: Policy,
    /// For most.
    pub normal: Policy,
    /// For what can wait, or for hosts behind a bad network.
    pub relaxed: Policy,
}

impl From<SomePolicies> for Policies {
    fn from(some: SomePolicies) -> Self {
        Self {
            critical: some.critical.over(Policy::preset(PolicyName::Critical)),
            normal: some.normal.over(Policy::preset(PolicyName::Normal)),
            relaxed: some.relaxed.over(Policy::preset(PolicyName::Relaxed)),
        }
    }
}

impl Default for Policies {
    fn default() -> Self {
        SomePolicies::default().into()
    }
}

impl Policies {
    /// One of them.
    #[must_use]
    pub const fn get(&self, name: PolicyName) -> Policy {
        match name {
            PolicyName::Critical => self.critical,
            PolicyName::Normal => self.normal,
            PolicyName::Relaxed => self.relaxed,
        }
    }
}

impl Brain {
    /// A policy, by name; without a name that of the settings for all.
    pub(super) fn policy_named(&self, name: Option<PolicyName>) -> Policy {
        name.map_or_else(|| self.settings.liveness.policy(), |name| self.settings.liveness.policies.get(name))
    }

    fn class_policy(&self, vm: &VmName) -> Option<PolicyName> {
        let class = &self.declared.vms.get(vm)?.class;
        self.declared.classes.iter().find(|known| known.name == *class)?.liveness
    }

    /// A VM's phase changes: the hosts that it leaves and comes to may be judged otherwise from now on.
    pub(super) fn moves(&mut self, from: &Phase, to: &Phase) {
        if from.may_run_on() == to.may_run_on() {
            return;
        }
        let hosts = from.may_run_on().into_iter().chain(to.may_run_on());
        self.policies_due.extend(hosts.cloned());
    }

    /// Looks anew at all policies, after what is declared has changed.
    pub(super) fn look_at_policies(&mut self) {
        self.policies_due.extend(self.hosts.keys().cloned());
    }

    /// The name of the policy that rules a host; none: the settings for all.
    #[must_use]
    pub fn policy_name(&self, host: &HostName) -> Option<PolicyName> {
        if let Some(own) = self.declared.hosts.get(host).and_then(|spec| spec.liveness) {
            return Some(own);
        }
        let names = self.running_on(host).map(|(vm, _)| self.class_policy(vm));
        names.min_by_key(|name| self.policy_named(*name).lost_after_s).flatten()
    }

    /// Lets hosts be judged as their policies say now.
    pub(super) fn adopt_policies(&mut self) {
        for name in std::mem::take(&mut self.policies_due) {
            let (policy, isolation) = (self.policy_named(self.policy_name(&name)), self.isolation(&name));
            let now = self.now;
            if let Some(host) = self.hosts.get_mut(&name) {
                host.isolation = isolation;
            }
            let Some(host) = self.hosts.get_mut(&name).filter(|host| host.policy != policy) else { continue };
            let before = std::mem::replace(&mut host.policy, policy);
            if host.record.condition != HostCondition::Up {
                continue;
            }
            if policy.heartbeat_s < before.heartbeat_s {
                // Until it knows, its agent speaks as seldom as before.
                host.heard = host.heard.max(now + before.heartbeat_s);
            }
            let look = host.heard + policy.suspect_after_s;
            self.timers.set(Timer::Silence(name.clone()), look);
            if policy.heartbeat_s != before.heartbeat_s {
                self.say(&name, ToAgent::Pace { heartbeat_ms: policy.heartbeat_s.millis() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_of_a_policy_is_as_its_preset_says() {
        let policies: Policies =
            serde_json::from_str(r#"{"normal": {"lost_after_s": 8, "isolated": "wait"}}"#).expect("policies");
        assert_eq!(policies.normal.lost_after_s, Seconds::new(8));
        assert_eq!(policies.normal.isolated, WhenIsolated::Wait);
        assert_eq!(policies.normal.suspect_after_s, Policy::preset(PolicyName::Normal).suspect_after_s);
        assert_eq!(policies.critical, Policy::preset(PolicyName::Critical));
        assert!(serde_json::from_str::<Policies>(r#"{"urgent": {}}"#).is_err(), "there is no such policy");
    }
}
