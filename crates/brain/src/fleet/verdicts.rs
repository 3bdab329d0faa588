//! The rules by which a host is judged. Pure: the same facts give the same verdict.
//!
//! The first rule that holds decides:
//!
//! | silence of the agent | other evidence, newer than what the agent said last | rule |
//! | --- | --- | --- |
//! | < `suspect_after_s` | | `heard`: alive |
//! | | a fence device reads off, and none on | `power_off`: dead, at once |
//! | < `lost_after_s` | | `silent`: suspect |
//! | | its agent is heard over another way | `heard_elsewhere`: isolated |
//! | < `lost_after_s` + `agent_wait_s` | its VMs answer, all that were asked | `vms_answer`: suspect |
//! | | the same, for longer | `agent_gone`: hung |
//! | < `lost_after_s` + 0.4 s | nothing of these | `silent`: suspect, and all are asked a last time |
//! | | a peer, or the controller, finds its system and no working agent | `peers_find_no_agent`: hung |
//! | | nothing of these | `nothing_heard`: dead |
//!
//! The last question is for what stood still for nearly as long as it may and has just gone on: its next word may be lost once
//! more on its way, but not its VMs' and others' at the same time.

use lifeboat_model::{
    Seconds, Time,
    liveness::{EvidenceSource, Saying, VerdictRule},
};

use super::{
    evidence::EvidenceSet,
    policies::{Policy, WhenIsolated},
};

/// How often a host is looked at anew while others say that it lives.
const LOOK_AGAIN: Seconds = Seconds::new(1);

/// How often all are asked while a host is silent and not lost yet.
const ASK_AGAIN: Seconds = Seconds::from_millis(250);
/// How long those have to answer that are asked a last time, before a host counts as lost.
const LAST_QUESTION: Seconds = Seconds::from_millis(400);

/// What a verdict is derived from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) now: Time,
    /// When the agent was last heard over its link.
    pub(super) heard: Time,
    pub(super) policy: &'a Policy,
    pub(super) evidence: &'a EvidenceSet,
}

/// What follows from a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// It is looked at again then.
    LookAgain(Time),
    /// It has failed.
    Failed,
}

/// What the other sources say, in sum.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    off: bool,
    on: bool,
    agent_heard: bool,
    no_agent: bool,
    vm_answers: bool,
    vm_silent: bool,
}

impl Facts<'_> {
    fn silence(&self) -> Seconds {
        self.now.since(self.heard)
    }

    fn others(&self) -> Others {
        let mut others = Others::default();
        for (source, says) in self.evidence.fresh(self.heard, self.now, self.policy.lost_after_s) {
            match (source, says) {
                (EvidenceSource::Power { .. }, Saying::PowerOff) => others.off = true,
                (EvidenceSource::Power { .. }, Saying::PowerOn) => others.on = true,
                (EvidenceSource::Service { .. }, Saying::Lives) => others.vm_answers = true,
                (EvidenceSource::Service { .. }, Saying::Unknown) => {}
                (EvidenceSource::Service { .. }, _) => others.vm_silent = true,
                (
                    EvidenceSource::Network { .. } | EvidenceSource::Peer { .. } | EvidenceSource::Block,
                    Saying::Lives,
                ) => {
                    others.agent_heard = true;
                }
                (EvidenceSource::Peer { .. } | EvidenceSource::Network { .. }, Saying::Hangs | Saying::NoAgent) => {
                    others.no_agent = true;
                }
                _ => {}
            }
        }
        others
    }

    /// The rule that decides.
    pub(super) fn rule(&self) -> VerdictRule {
        let (silence, policy) = (self.silence(), self.policy);
        if silence < policy.suspect_after_s {
            return VerdictRule::Heard;
        }
        let others = self.others();
        if others.off && !others.on {
            return VerdictRule::PowerOff;
        }
        if silence < policy.lost_after_s {
            return VerdictRule::Silent;
        }
        if others.agent_heard {
            return VerdictRule::HeardElsewhere;
        }
        if others.vm_answers && !others.vm_silent {
            let patient = silence < policy.lost_after_s + policy.agent_wait_s;
            return if patient { VerdictRule::VmsAnswer } else { VerdictRule::AgentGone };
        }
        if silence < policy.lost_after_s + LAST_QUESTION {
            return VerdictRule::Silent;
        }
        if others.no_agent { VerdictRule::PeersFindNoAgent } else { VerdictRule::NothingHeard }
    }

    /// What follows from a rule.
    pub(super) fn follows(&self, rule: VerdictRule) -> Follows {
        let again = self.now + LOOK_AGAIN;
        match rule {
            VerdictRule::Heard => Follows::LookAgain(self.heard + self.policy.suspect_after_s),
            VerdictRule::Silent => {
                let lost = self.heard + self.policy.lost_after_s;
                let end = if self.now < lost { lost } else { lost + LAST_QUESTION };
                Follows::LookAgain((self.now + ASK_AGAIN).min(end))
            }
            VerdictRule::VmsAnswer | VerdictRule::Brake => Follows::LookAgain(again),
            VerdictRule::HeardElsewhere => {
                let others = self.others();
                // Nobody misses what answers: there is as much time as for an agent that is away.
                let patience =
                    if others.vm_answers && !others.vm_silent { self.policy.agent_wait_s } else { Seconds::ZERO };
                let wait = self.policy.isolated_wait_s.max(patience);
                let waited = self.silence() >= self.policy.lost_after_s + wait;
                match self.policy.isolated {
                    WhenIsolated::Recover if waited => Follows::Failed,
                    _ => Follows::LookAgain(again),
                }
            }
            VerdictRule::PeersFindNoAgent
            | VerdictRule::AgentGone
            | VerdictRule::PowerOff
            | VerdictRule::NothingHeard => Follows::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{FenceName, HostName, VmName, liveness::PolicyName};

    use super::*;

    const HEARD: Time = Time::from_micros(1_000_000_000);

    fn peer() -> EvidenceSource {
        EvidenceSource::Peer { host: HostName::new("h2").expect("a name") }
    }

    fn power(name: &str) -> EvidenceSource {
        EvidenceSource::Power { device: FenceName::new(name).expect("a name") }
    }

    fn service(name: &str) -> EvidenceSource {
        EvidenceSource::Service { vm: VmName::new(name).expect("a name") }
    }

    /// The rule after so many milliseconds of silence, with evidence that came so long after the agent's last word.
    fn rule(silence_ms: u64, said: &[(EvidenceSource, Saying, u64)]) -> VerdictRule {
        let mut evidence = EvidenceSet::default();
        for (source, says, after_ms) in said {
            evidence.put(source.clone(), *says, HEARD + Seconds::from_millis(*after_ms), None);
        }
        let policy = Policy::preset(PolicyName::Critical);
        let now = HEARD + Seconds::from_millis(silence_ms);
        Facts { now, heard: HEARD, policy: &policy, evidence: &evidence }.rule()
    }

    #[test]
    fn silence_alone_makes_a_host_suspect_and_then_dead() {
        assert_eq!(rule(1999, &[]), VerdictRule::Heard);
        assert_eq!(rule(2000, &[]), VerdictRule::Silent);
        assert_eq!(rule(2999, &[]), VerdictRule::Silent);
        assert_eq!(rule(3399, &[]), VerdictRule::Silent, "all are asked a last time");
        assert_eq!(rule(3400, &[]), VerdictRule::NothingHeard);
    }

    #[test]
    fn whoever_answers_the_last_question_saves_a_host_and_who_is_silent_gets_no_more_time() {
        let policy = Policy::preset(PolicyName::Critical);
        let at = |silence_ms| HEARD + Seconds::from_millis(silence_ms);
        let none = EvidenceSet::default();
        let follows = |silence_ms| {
            let facts = Facts { now: at(silence_ms), heard: HEARD, policy: &policy, evidence: &none };
            facts.follows(facts.rule())
        };
        assert_eq!(follows(2000), Follows::LookAgain(at(2250)));
        assert_eq!(follows(2900), Follows::LookAgain(at(3000)));
        assert_eq!(follows(3000), Follows::LookAgain(at(3250)));
        assert_eq!(follows(3250), Follows::LookAgain(at(3400)));
        assert_eq!(follows(3400), Follows::Failed);
        let stood_still = [(service("v1"), Saying::Silent, 2900), (service("v1"), Saying::Lives, 3005)];
        assert_eq!(rule(3400, &stood_still), VerdictRule::VmsAnswer);
        assert_eq!(rule(3400, &[(peer(), Saying::Lives, 3005)]), VerdictRule::HeardElsewhere);
    }

    #[test]
    fn power_read_as_off_is_believed_at_once_but_only_while_the_agent_is_silent_and_no_device_says_on() {
        let off = (power("bmc"), Saying::PowerOff, 2100);
        assert_eq!(rule(2200, std::slice::from_ref(&off)), VerdictRule::PowerOff);
        assert_eq!(rule(1500, &[(power("bmc"), Saying::PowerOff, 100)]), VerdictRule::Heard);
        assert_eq!(rule(2200, &[off.clone(), (power("pdu"), Saying::PowerOn, 2100)]), VerdictRule::Silent);
        assert_eq!(rule(2200, &[off, (power("pdu"), Saying::Unknown, 2100)]), VerdictRule::PowerOff);
    }

    #[test]
    fn a_host_whose_agent_is_heard_over_another_way_is_isolated() {
        for source in [peer(), EvidenceSource::Block, EvidenceSource::Network { address: "10.1.0.1:7444".to_owned() }] {
            assert_eq!(rule(3000, &[(source, Saying::Lives, 2500)]), VerdictRule::HeardElsewhere);
        }
    }

    #[test]
    fn what_was_said_before_the_agent_spoke_last_or_too_long_ago_counts_for_nothing() {
        assert_eq!(rule(3400, &[(peer(), Saying::Lives, 0)]), VerdictRule::NothingHeard);
        assert_eq!(rule(9000, &[(peer(), Saying::Lives, 5000)]), VerdictRule::NothingHeard);
    }

    #[test]
    fn an_agent_may_be_away_for_a_while_when_all_its_vms_answer() {
        let answers = |at| (service("v1"), Saying::Lives, at);
        assert_eq!(rule(3000, &[answers(2500)]), VerdictRule::VmsAnswer);
        assert_eq!(rule(3000, &[answers(2500), (peer(), Saying::NoAgent, 2500)]), VerdictRule::VmsAnswer);
        assert_eq!(rule(32_999, &[answers(32_500)]), VerdictRule::VmsAnswer);
        assert_eq!(rule(33_000, &[answers(32_500)]), VerdictRule::AgentGone);
        let one_is_silent = [answers(2500), (service("v2"), Saying::Silent, 2500)];
        assert_eq!(rule(3400, &one_is_silent), VerdictRule::NothingHeard);
    }

    #[test]
    fn a_host_that_takes_connections_and_does_no_work_is_hung() {
        for says in [Saying::Hangs, Saying::NoAgent] {
            assert_eq!(rule(3400, &[(peer(), says, 2500)]), VerdictRule::PeersFindNoAgent);
        }
        assert_eq!(rule(3400, &[(peer(), Saying::Silent, 2500)]), VerdictRule::NothingHeard);
    }

    #[test]
    fn an_isolated_host_is_given_time_and_then_recovered_or_waited_for() {
        let mut evidence = EvidenceSet::default();
        let mut policy = Policy::preset(PolicyName::Critical);
        let at = |silence_ms| HEARD + Seconds::from_millis(silence_ms);
        let mut follows = |silence_ms, isolated| {
            policy.isolated = isolated;
            evidence.put(peer(), Saying::Lives, at(silence_ms - 100), None);
            let facts = Facts { now: at(silence_ms), heard: HEARD, policy: &policy, evidence: &evidence };
            assert_eq!(facts.rule(), VerdictRule::HeardElsewhere);
            facts.follows(VerdictRule::HeardElsewhere)
        };
        assert_eq!(follows(5999, WhenIsolated::Recover), Follows::LookAgain(at(6999)));
        assert_eq!(follows(6000, WhenIsolated::Recover), Follows::Failed);
        assert_eq!(follows(600_000, WhenIsolated::Wait), Follows::LookAgain(at(601_000)));
    }
}
