//! Judging hosts: takes in evidence, derives verdicts, and declares failed what they say is lost.
//!
//! Only hosts that are up are judged; what becomes of a failed one is its fencing's matter. The rules are in
//! [`verdicts`](super::verdicts).

use std::ops::Bound;

use lifeboat_model::{
    HostName, Seconds, Time, VmName,
    liveness::{Evidence, EvidenceSource, Judgement, Saying, Verdict, VerdictRule},
    spec::CheckSpec,
    trace::What,
};

use super::{
    Brain, Effect, MAX_SOURCES,
    brake::Hold,
    hosts::HostState,
    records::{HostCondition, Phase, Severity, VmRecord},
    timers::Timer,
    verdicts::{Facts, Follows},
};
use crate::message::ToAgent;

/// Earlier verdicts that are kept of a host.
const KEPT_VERDICTS: usize = 8;
/// How often a host is looked at anew that is held or that others say lives.
const LOOK_AGAIN: Seconds = Seconds::new(1);
/// How long a fence device is left alone that has answered.
const POWER_AGAIN: Seconds = Seconds::new(2);
/// After so long a fence device will not answer any more.
const POWER_LOST: Seconds = Seconds::new(12);
/// After so long anybody else will not answer any more.
const QUESTION_LOST: Seconds = Seconds::new(2);
/// Hosts that look at another.
const MAX_PEERS: usize = 3;
/// Hosts among which they are chosen.
const PEERS_LOOKED_THROUGH: usize = 64;
/// Fence devices of a host that are asked for its power.
const MAX_DEVICES: usize = 8;
/// VMs of a host that are asked whether they answer.
const MAX_VMS: usize = 5;

/// When a source was asked last of a host, and whether it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    at: Time,
    answered: bool,
}

impl HostState {
    /// Whether a source may be asked now; if so, it is. One that has not answered is not asked again, unless its question
    /// was lost; a fence device is spared.
    fn may_ask(&mut self, source: &EvidenceSource, now: Time) -> bool {
        let is_power = matches!(source, EvidenceSource::Power { .. });
        if let Some(asked) = self.asked.get(source) {
            let pause = match (asked.answered, is_power) {
                (true, true) => POWER_AGAIN,
                (true, false) => Seconds::ZERO,
                (false, true) => POWER_LOST,
                (false, false) => QUESTION_LOST,
            };
            if now.since(asked.at) < pause {
                return false;
            }
        }
        if self.asked.len() >= 2 * MAX_SOURCES {
            self.asked.retain(|_, asked| now.since(asked.at) < POWER_LOST);
        }
        self.asked.insert(source.clone(), Asked { at: now, answered: false });
        true
    }

    /// Whether its agent said last that its hypervisor does not answer.
    pub(super) fn hypervisor_hangs(&self) -> bool {
        self.evidence.last(&EvidenceSource::Hypervisor) == Some(Saying::Hangs)
    }

    /// Notes a verdict, and the one before it if it differs.
    pub(super) fn judged(&mut self, rule: VerdictRule, now: Time) {
        if self.judgement.rule == rule {
            return;
        }
        if self.earlier.len() == KEPT_VERDICTS {
            self.earlier.pop_front();
        }
        self.earlier.push_back(self.judgement);
        self.judgement = Judgement { verdict: rule.verdict(), rule, since_us: now };
    }

    /// What its agent said last over its link, as evidence.
    fn agents_word(&self, now: Time) -> Evidence {
        let silent = self.judgement.verdict != Verdict::Alive || self.record.condition != HostCondition::Up;
        let says = if silent { Saying::Silent } else { Saying::Lives };
        let detail = match (&self.link, silent) {
            (Some(_), true) => Some("its link is open, and nothing comes".to_owned()),
            (None, _) => Some("it has no link".to_owned()),
            (Some(_), false) => None,
        };
        Evidence { source: EvidenceSource::Agent, says, at_us: self.heard.min(now), detail }
    }
}

impl Brain {
    /// Takes in what a source says of a host, and judges it anew where that may matter.
    pub(super) fn note_evidence(
        &mut self,
        name: &HostName,
        source: EvidenceSource,
        says: Saying,
        detail: Option<String>,
    ) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        if let Some(asked) = host.asked.get_mut(&source) {
            asked.answered = true;
        }
        host.evidence.put(source, says, now, detail);
        if host.judgement.verdict != Verdict::Alive {
            self.judge(name);
        }
    }

    /// The verdict on a host, and the rule that led to it; none: its agent never joined.
    #[must_use]
    pub fn judgement(&self, name: &HostName) -> Option<Judgement> {
        let host = self.hosts.get(name)?;
        match &host.record.condition {
            HostCondition::New => None,
            HostCondition::Up => Some(host.judgement),
            HostCondition::Failed { recovery, .. } | HostCondition::Fenced { recovery, .. } => {
                let recovery = self.recoveries.get(recovery)?;
                let rule = recovery.rule.unwrap_or(VerdictRule::NothingHeard);
                Some(Judgement { verdict: rule.verdict(), rule, since_us: recovery.declared })
            }
        }
    }

    /// Everything that is known of a host, the agent's own word first.
    #[must_use]
    pub fn evidence(&self, name: &HostName) -> Vec<Evidence> {
        let Some(host) = self.hosts.get(name) else { return Vec::new() };
        if host.record.condition == HostCondition::New {
            return Vec::new();
        }
        std::iter::once(host.agents_word(self.now)).chain(host.evidence.iter()).collect()
    }

    /// Whether a host that is up has been silent for so long that it is being asked in other ways.
    #[must_use]
    pub fn is_suspect(&self, name: &HostName) -> bool {
        self.hosts.get(name).is_some_and(|host| {
            let silent = self.now.since(host.heard) >= host.policy.suspect_after_s;
            silent && host.record.condition == HostCondition::Up
        })
    }

    /// Whether the first timer is for the silence of a host that has been heard since it was set. Nearly all are: they are
    /// put off, and nothing else is done.
    pub(super) fn is_heard_still(&mut self) -> bool {
        let Some(Timer::Silence(name)) = self.timers.first(self.now) else { return false };
        // While hosts are held, a host that is heard is let go.
        let Some(host) = self.hosts.get(name).filter(|_| !self.brake.holds_any()) else { return false };
        let due = host.heard + host.policy.suspect_after_s;
        let heard = due > self.now && host.judgement.rule == VerdictRule::Heard;
        if !heard || !matches!(host.record.condition, HostCondition::Up) {
            return false;
        }
        self.timers.put_off(due);
        true
    }

    /// Judges a host by what is known now.
    pub(super) fn judge(&mut self, name: &HostName) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.record.condition != HostCondition::Up {
            return;
        }
        let facts = Facts { now, heard: host.heard, policy: &host.policy, evidence: &host.evidence };
        let mut rule = facts.rule();
        let mut follows = facts.follows(rule);
        // What was announced is no failure, and nothing that the brake need count.
        if follows == Follows::Failed && self.left_orderly(name) {
            self.brake.set_silent(name, None);
            return;
        }
        let hold = if follows == Follows::Failed { self.holds(name, rule) } else { Hold::No };
        match hold {
            Hold::No => self.note_silence(name, rule),
            Hold::Held => {
                rule = VerdictRule::Brake;
                follows = Follows::LookAgain(now + LOOK_AGAIN);
            }
            Hold::Forgiven => return,
        }
        let Some(host) = self.hosts.get_mut(name) else { return };
        let before = host.judgement.rule;
        host.judged(rule, now);
        if rule != before {
            self.tell_verdict(name, before, rule);
        }
        match follows {
            Follows::LookAgain(at) => {
                if rule != VerdictRule::Heard {
                    self.ask(name);
                }
                self.timers.set(Timer::Silence(name.clone()), at);
            }
            Follows::Failed => self.declare_failed(name, rule),
        }
    }

    /// Tells the brake whether a host is silent.
    fn note_silence(&mut self, name: &HostName, rule: VerdictRule) {
        let Some(host) = self.hosts.get(name) else { return };
        let silent = (rule != VerdictRule::Heard).then(|| self.is_confirmed(host, rule));
        self.brake.set_silent(name, silent);
        self.release(name);
    }

    /// Asks a host that is silent whether it is there, and all others that may know.
    fn ask(&mut self, name: &HostName) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.probe.is_none() {
            let nonce = self.next_nonce;
            self.next_nonce += 1;
            host.probe = Some(nonce);
            self.say(name, ToAgent::Probe { nonce });
        }
        self.ask_references();
        self.read_power(name);
        self.ask_vms(name);
        self.look_at_agent(name);
        self.ask_peers(name);
    }

    /// Has the controller itself look at a host's agent, over each of the host's networks, and at its heartbeat block.
    fn look_at_agent(&mut self, name: &HostName) {
        let (now, block) = (self.now, self.settings.liveness.heartbeat_block.clone());
        let Some(host) = self.hosts.get_mut(name) else { return };
        if let Some(path) = block
            && host.may_ask(&EvidenceSource::Block, now)
        {
            self.journal.effects.push(Effect::ReadBlock { host: name.clone(), path });
        }
        let Some(boot) = host.record.boot.clone() else { return };
        for address in host.record.probe_addresses.clone() {
            if host.may_ask(&EvidenceSource::Network { address: address.clone() }, now) {
                let boot = boot.clone();
                self.journal.effects.push(Effect::LookAtAgent { host: name.clone(), address, boot });
            }
        }
    }

    /// Has other hosts' agents look at a host.
    fn ask_peers(&mut self, name: &HostName) {
        let Some(HostState { record, .. }) = self.hosts.get(name) else { return };
        let (Some(address), Some(boot)) = (record.probe_addresses.first().cloned(), record.boot.clone()) else {
            return;
        };
        for peer in self.peers_of(name) {
            let Some(host) = self.hosts.get_mut(name) else { return };
            if host.may_ask(&EvidenceSource::Peer { host: peer.clone() }, self.now) {
                let (host, address, boot) = (name.clone(), address.clone(), boot.clone());
                self.say(&peer, ToAgent::LookAt { host, address, boot });
            }
        }
    }

    /// Hosts that can look at a host: they are heard themselves, and are not in its rack where there are others.
    fn peers_of(&self, name: &HostName) -> Vec<HostName> {
        let rack = |host: &HostName| self.declared.hosts.get(host).and_then(|spec| spec.labels.get("rack"));
        let can = |host: &HostState| {
            host.record.condition == HostCondition::Up
                && host.judgement.verdict == Verdict::Alive
                && host.link.is_some()
        };
        let after = self.hosts.range::<HostName, _>((Bound::Excluded(name), Bound::Unbounded));
        let around = after
            .chain(self.hosts.range::<HostName, _>((Bound::Unbounded, Bound::Excluded(name))))
            .take(PEERS_LOOKED_THROUGH);
        let mut near: Vec<&HostName> = around.filter(|(_, host)| can(host)).map(|(peer, _)| peer).collect();
        let own = rack(name);
        near.sort_by_key(|peer| own.is_some() && rack(peer) == own);
        near.into_iter().take(MAX_PEERS).cloned().collect()
    }

    /// A host's agent has looked at another host.
    pub(super) fn peer_seen(&mut self, peer: &HostName, name: &HostName, says: Saying, detail: Option<String>) {
        let source = EvidenceSource::Peer { host: peer.clone() };
        let asked = self.hosts.get(name).is_some_and(|host| host.asked.get(&source).is_some_and(|it| !it.answered));
        if asked && !matches!(says, Saying::PowerOn | Saying::PowerOff) {
            self.note_evidence(name, source, says, detail);
        }
    }

    /// A host's agent says whether its hypervisor answers. The host lives whatever that says, for its agent does; but it gets
    /// no VMs while nothing could start them, and people are told.
    pub(super) fn hypervisor_told(&mut self, name: &HostName, problem: Option<String>) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(name) else { return };
        let (before, says) = (host.hypervisor_hangs(), if problem.is_some() { Saying::Hangs } else { Saying::Lives });
        host.evidence.put(EvidenceSource::Hypervisor, says, now, problem.clone());
        let hangs = host.hypervisor_hangs();
        if before == hangs {
            return;
        }
        let (severity, text) = match problem {
            Some(why) => (
                Severity::Warning,
                format!(
                    "The hypervisor of {name} does not answer its agent ({why}): it gets no VMs until it does. See to that host"
                ),
            ),
            None => (Severity::Info, format!("The hypervisor of {name} answers again")),
        };
        self.tell(severity, text, |event| {
            event.host = Some(name.clone());
            (event.trouble, event.over) = (Some(format!("hypervisor {name}")), !hangs);
        });
        self.want_plan(format!("the hypervisor of {name} {}", if hangs { "does not answer" } else { "answers again" }));
    }

    /// Has a host's power read by each of its devices that is not being asked already.
    fn read_power(&mut self, name: &HostName) {
        let (Some(host), Some(spec)) = (self.hosts.get_mut(name), self.declared.hosts.get(name)) else { return };
        let now = self.now;
        for device in spec.fences.iter().take(MAX_DEVICES) {
            if host.may_ask(&EvidenceSource::Power { device: device.name().clone() }, now) {
                self.journal.effects.push(Effect::ReadPower { host: name.clone(), device: device.clone() });
            }
        }
    }

    /// Has some VMs of a host looked at that were up and have a check.
    fn ask_vms(&mut self, name: &HostName) {
        let ready = |record: &VmRecord| matches!(record.phase, Phase::Running { ready: Some(_), .. });
        let here = self.running_on(name).filter(|(_, record)| ready(record));
        let checks = here.filter_map(|(vm, _)| Some((vm.clone(), self.declared.vms.get(vm)?.check.clone()?)));
        let asked: Vec<(VmName, CheckSpec)> = checks.take(MAX_VMS).collect();
        let Some(host) = self.hosts.get_mut(name) else { return };
        for (vm, check) in asked {
            if host.may_ask(&EvidenceSource::Service { vm: vm.clone() }, self.now) {
                self.journal.effects.push(Effect::AskVm { host: name.clone(), vm, check });
            }
        }
    }

    /// Tells people of a verdict that lasts and is none of failure: that is told with its recovery. A moment's silence is
    /// not told: `lifeboat host evidence` shows it.
    pub(super) fn tell_verdict(&mut self, name: &HostName, before: VerdictRule, rule: VerdictRule) {
        let Some(host) = self.hosts.get(name) else { return };
        let policy = &host.policy;
        let text = match rule {
            VerdictRule::VmsAnswer => format!(
                "{name} is suspect: nothing heard from its agent, but its VMs answer. It is fenced if the agent is not back within {}. See to its agent",
                policy.agent_wait_s
            ),
            VerdictRule::HeardElsewhere => {
                let then = match policy.isolated {
                    super::WhenIsolated::Recover => {
                        format!("It is fenced if that lasts for {}", policy.isolated_wait_s)
                    }
                    super::WhenIsolated::Wait => "Its VMs are left where they are".to_owned(),
                };
                format!(
                    "{name} is isolated: it lives, but cannot speak with this controller. {then}. See to the network between them"
                )
            }
            VerdictRule::Heard if matches!(before, VerdictRule::VmsAnswer | VerdictRule::HeardElsewhere) => {
                let text = format!("{name} is heard again");
                self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
                return;
            }
            _ => return,
        };
        self.tell(Severity::Warning, text, |event| event.host = Some(name.clone()));
    }

    fn declare_failed(&mut self, name: &HostName, rule: VerdictRule) {
        let lost = self.vms_that_may_run_on(name);
        let evidence = self.evidence(name);
        let Some(host) = self.hosts.get_mut(name) else { return };
        let silence = self.now.since(host.heard);
        self.note_failure(name);
        let Some(host) = self.hosts.get_mut(name) else { return };
        if let Some(link) = host.link.take() {
            host.link_since = self.now;
            self.journal.effects.push(Effect::CloseLink { host: name.clone(), link: link.id });
        }
        let id = self.open_recovery(name, &lost, rule, evidence);
        let since = self.now;
        if let Some(host) = self.hosts.get_mut(name) {
            host.record.condition = HostCondition::Failed { recovery: id, since };
            host.record.leaving = None;
            (host.trying, host.cutting) = (None, false);
            host.failed_rounds = 0;
        }
        self.journal.hosts.insert(name.clone());
        self.drop_commands_of(name);
        self.lost_their_home(name, &lost);
        self.lose_vms(name, &lost, id);
        let event = self.trace(What::HostDeclared { verdict: rule.verdict().word().to_owned() }).host(name);
        self.add_trace(event);
        let why = match rule {
            VerdictRule::NothingHeard => "it does not answer".to_owned(),
            rule => rule.to_string(),
        };
        let ran = lifeboat_model::text::count(lost.len(), "VM");
        self.tell(
            Severity::Critical,
            format!(
                "{name} has failed: nothing heard from it for {silence}, and {why}. {ran} ran there. It is fenced now"
            ),
            |event| (event.host, event.recovery) = (Some(name.clone()), Some(id)),
        );
        self.count_host_failure(name);
        self.want_plan(format!("{name} has failed"));
        self.try_fence(name);
    }
}
