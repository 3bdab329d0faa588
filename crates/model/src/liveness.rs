//! What is judged of a host, by which rule, and on what evidence.
//!
//! A host is judged by several sources that do not fail together. Each of them [says](Saying) something at a time; the
//! brain keeps what each said last and derives a [`Verdict`] by one of a few named [rules](VerdictRule).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FenceName, HostName, Time, VmName};

/// What a host is judged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its agent speaks with the controller.
    Alive,
    /// Its agent is silent, and it is not known yet why.
    Suspect,
    /// It has power and answers something, but its agent does no work.
    Hung,
    /// It lives and cannot reach the controller.
    Isolated,
    /// Nothing that could say that it lives does.
    Dead,
}

impl Verdict {
    /// The word for it, as in trace/v1.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Hung => "hung",
            Self::Isolated => "isolated",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Where evidence on a host comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EvidenceSource {
    /// Its agent, over the link to the controller.
    Agent,
    /// Its agent, at which the controller itself looks over one of the host's networks.
    Network {
        /// Where it listens there, `address:port`.
        address: String,
    },
    /// The agent of another host, which watches it.
    Peer {
        /// The other host.
        host: HostName,
    },
    /// Its slot of the heartbeat block on shared storage.
    Block,
    /// Its hypervisor, as its agent finds it.
    Hypervisor,
    /// A fence device that reads its power.
    Power {
        /// The device.
        device: FenceName,
    },
    /// A VM that runs there.
    Service {
        /// The VM.
        vm: VmName,
    },
}

impl fmt::Display for EvidenceSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Network { address } => write!(f, "at {address}"),
            Self::Peer { host } => write!(f, "peer {host}"),
            Self::Block => f.write_str("heartbeat block"),
            Self::Hypervisor => f.write_str("hypervisor"),
            Self::Power { device } => write!(f, "power ({device})"),
            Self::Service { vm } => write!(f, "VM {vm}"),
        }
    }
}

/// What a source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saying {
    /// It works.
    Lives,
    /// It takes a connection, and nothing more comes.
    Hangs,
    /// Its system answers, and no agent is there.
    NoAgent,
    /// Nothing answers.
    Silent,
    /// It has power.
    PowerOn,
    /// It has no power.
    PowerOff,
    /// The source itself could not be asked: this says nothing of the host.
    Unknown,
}

impl fmt::Display for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lives => "lives",
            Self::Hangs => "hangs",
            Self::NoAgent => "no agent",
            Self::Silent => "silent",
            Self::PowerOn => "power on",
            Self::PowerOff => "power off",
            Self::Unknown => "unknown",
        })
    }
}

/// What one source said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The source.
    pub source: EvidenceSource,
    /// What it says.
    pub says: Saying,
    /// When it said so, by the controller's clock.
    pub at_us: Time,
    /// More, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The rule that led to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictRule {
    /// Alive: its agent was heard within `suspect_after_s`.
    Heard,
    /// Suspect: its agent has been silent for `suspect_after_s`, and is asked.
    Silent,
    /// Suspect: its agent has been silent for `lost_after_s`, while all its VMs that can be asked answer.
    VmsAnswer,
    /// Suspect: it would count as lost, but so many do that the controller suspects itself.
    Brake,
    /// Isolated: others hear its agent, the controller does not.
    HeardElsewhere,
    /// Hung: a peer, or the controller, finds its system there and no working agent.
    PeersFindNoAgent,
    /// Hung: its VMs answered while its agent was silent, for longer than the policy waits for an agent.
    AgentGone,
    /// Dead: its agent is silent, and a fence device reads its power as off.
    PowerOff,
    /// Dead: its agent has been silent for `lost_after_s`, and no other source says that it lives.
    NothingHeard,
}

impl VerdictRule {
    /// The verdict that it leads to.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Heard => Verdict::Alive,
            Self::Silent | Self::VmsAnswer | Self::Brake => Verdict::Suspect,
            Self::HeardElsewhere => Verdict::Isolated,
            Self::PeersFindNoAgent | Self::AgentGone => Verdict::Hung,
            Self::PowerOff | Self::NothingHeard => Verdict::Dead,
        }
    }

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Silent => "silent",
            Self::VmsAnswer => "vms_answer",
            Self::Brake => "brake",
            Self::HeardElsewhere => "heard_elsewhere",
            Self::PeersFindNoAgent => "peers_find_no_agent",
            Self::AgentGone => "agent_gone",
            Self::PowerOff => "power_off",
            Self::NothingHeard => "nothing_heard",
        }
    }
}

impl fmt::Display for VerdictRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Heard => "its agent speaks",
            Self::Silent => "its agent is silent, and is being asked",
            Self::VmsAnswer => "its agent is silent, but its VMs answer",
            Self::Brake => "too many hosts seem lost at once, so the controller suspects itself",
            Self::HeardElsewhere => "others hear it, the controller does not",
            Self::PeersFindNoAgent => "its system answers without a working agent",
            Self::AgentGone => "its VMs answered, but its agent has been away for too long",
            Self::PowerOff => "its agent is silent, and its power is read as off",
            Self::NothingHeard => "its agent is silent, and nothing else says that it lives",
        })
    }
}

/// A verdict on a host, with how it came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that led there.
    pub rule: VerdictRule,
    /// Since when.
    pub since_us: Time,
}

/// How quickly a host is judged: the name of a set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// Lost after 3 s, unless set otherwise.
    Critical,
    /// Lost after 10 s, unless set otherwise.
    Normal,
    /// Lost after 60 s, unless set otherwise.
    Relaxed,
}

impl PolicyName {
    /// All of them, the strictest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Relaxed];
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Relaxed => "relaxed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_name_is_the_same_in_json_and_for_people() {
        use VerdictRule as R;
        for rule in [R::Heard, R::Silent, R::VmsAnswer, R::Brake, R::HeardElsewhere, R::PeersFindNoAgent, R::AgentGone]
            .into_iter()
            .chain([R::PowerOff, R::NothingHeard])
        {
            assert_eq!(serde_json::to_string(&rule).expect("JSON"), format!("\"{}\"", rule.name()));
            let verdict = rule.verdict();
            assert_eq!(serde_json::to_string(&verdict).expect("JSON"), format!("\"{}\"", verdict.word()));
        }
    }
}
