//! The brake: when too many hosts seem lost at once, or the controller cannot reach what it knows to be there, it suspects
//! itself and fences nothing that only its own ears say is lost.
//!
//! A host is held while the brake is on, and looked at again each second. Held hosts go on by themselves in three ways:
//! they are heard again; other evidence confirms that one is lost (its power is read as off; a peer that the controller
//! hears finds its system there and no working agent; or no peer reaches it and none of its VMs answers); or the brake ends, since fewer are silent or the references answer. Then those
//! that are still silent are given time to come back: their agents may be waiting to connect anew.

use std::collections::BTreeMap;

use lifeboat_model::{
    HostName, Seconds, Time,
    liveness::{EvidenceSource, Saying, Verdict, VerdictRule},
};
use serde::{Deserialize, Serialize};

use super::{
    Brain, Effect,
    hosts::HostState,
    records::{HostCondition, Severity},
    timers::Timer,
};

/// How long a failure that nothing else confirmed counts among what seems lost at once.
const AT_ONCE: Seconds = Seconds::new(60);
/// How long a count of hosts is good for.
const COUNT_LASTS: Seconds = Seconds::new(1);
/// Beyond the grace time, what an agent may need that has just begun to wait for a connection that is never made.
const CONNECTS_WITHIN: Seconds = Seconds::new(5);
/// For so long nothing must be held before people are told that the brake is over: around the share, hosts are held and
/// heard again many times a second.
const CALM: Seconds = Seconds::new(5);
/// The most references.
pub const MAX_REFERENCES: usize = 16;

/// When the controller suspects itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrakeSettings {
    /// More than this share of its hosts, in percent, seems lost at once.
    pub share_percent: u64,
    /// And at least so many.
    pub least: u64,
    /// `address:port` of what is always there (a router, a name server): when none takes a connection, the controller's own
    /// network is in trouble.
    pub references: Vec<String>,
}

impl Default for BrakeSettings {
    fn default() -> Self {
        Self { share_percent: 40, least: 3, references: Vec::new() }
    }
}

impl BrakeSettings {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.share_percent > 100 {
            return Err("liveness.brake.share_percent must be at most 100, which means never".to_owned());
        }
        if self.least == 0 {
            return Err("liveness.brake.least must be at least 1".to_owned());
        }
        if self.references.len() > MAX_REFERENCES {
            return Err(format!("liveness.brake.references may name {MAX_REFERENCES} addresses at most"));
        }
        let is_address = |text: &&String| text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match self.references.iter().find(|text| !is_address(text)) {
            Some(bad) => Err(format!("liveness.brake.references names `{bad}`, which is no address:port")),
            None => Ok(()),
        }
    }
}

/// What the brake knows.
#[derive(Debug, Default)]
pub(super) struct Brake {
    /// Hosts that are up and silent; true: other evidence confirms that they are lost.
    silent: BTreeMap<HostName, bool>,
    /// Hosts that were declared failed lately and that nothing else confirmed.
    failed: BTreeMap<HostName, Time>,
    /// Hosts that are held.
    held: BTreeMap<HostName, Time>,
    /// How many hosts would be known to be silent within a span, and when that was counted.
    counted: BTreeMap<Seconds, (Time, u64)>,
    /// When the references were asked last, and what came of it.
    asked: Option<Time>,
    answered: Option<(Time, u64)>,
    /// Why it is on.
    why: Option<String>,
    /// Whether people think that it is on.
    told: bool,
}

impl Brake {
    /// Notes whether a host that is up is silent.
    pub(super) fn set_silent(&mut self, host: &HostName, silent: Option<bool>) {
        match silent {
            Some(confirmed) => drop(self.silent.insert(host.clone(), confirmed)),
            None => drop(self.silent.remove(host)),
        }
    }

    /// Forgets all silence.
    pub(super) fn forgive(&mut self) {
        self.silent.clear();
        self.counted.clear();
    }

    /// Hosts that are silent.
    pub(super) fn silent(&self) -> impl Iterator<Item = &HostName> {
        self.silent.keys()
    }

    /// Whether it holds any host.
    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    fn unconfirmed(&self) -> u64 {
        self.silent.values().filter(|confirmed| !**confirmed).count() as u64 + self.failed.len() as u64
    }
}

/// What the brake does about a host that is about to be declared failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing.
    No,
    /// It is held.
    Held,
    /// The brake has just ended: it has time to come back.
    Forgiven,
}

/// That the brake is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrakeView {
    /// Since when.
    pub since: Time,
    /// Why, as a sentence without a full stop.
    pub why: String,
    /// How many hosts it holds.
    pub hosts: usize,
}

impl Brain {
    /// The brake, while it is on.
    #[must_use]
    pub fn brake(&self) -> Option<BrakeView> {
        let since = *self.brake.held.values().min()?;
        let why = self.brake.why.clone().unwrap_or_default();
        Some(BrakeView { since, why, hosts: self.brake.held.len() })
    }

    /// Whether evidence that does not depend on what the controller hears itself says that a host is lost.
    pub(super) fn is_confirmed(&self, host: &HostState, rule: VerdictRule) -> bool {
        if rule == VerdictRule::PowerOff {
            return true;
        }
        let (mut lost, mut lives, mut unreached, mut vm_silent, mut vm_answers) = (false, false, false, false, false);
        for (source, says) in host.evidence.fresh(host.heard, self.now, host.policy.lost_after_s) {
            let EvidenceSource::Peer { host: peer } = source else {
                let is_vm = matches!(source, EvidenceSource::Service { .. });
                vm_answers |= is_vm && says == Saying::Lives;
                vm_silent |= is_vm && says == Saying::Silent;
                let is_agent = matches!(source, EvidenceSource::Network { .. } | EvidenceSource::Block);
                lives |= is_agent && says == Saying::Lives;
                // The controller came as far as its system: the network between is not what is broken.
                lost |= is_agent && matches!(says, Saying::Hangs | Saying::NoAgent);
                continue;
            };
            // A peer that is silent itself is on the other side of whatever is broken: what it said is old.
            let heard = |peer: &HostState| {
                peer.record.condition == HostCondition::Up && peer.judgement.verdict == Verdict::Alive
            };
            if !self.hosts.get(peer).is_some_and(heard) {
                continue;
            }
            match says {
                Saying::Lives => lives = true,
                Saying::Hangs | Saying::NoAgent => lost = true,
                // A switch between may be gone, for peer and controller alike: its VMs know.
                Saying::Silent => unreached = true,
                _ => {}
            }
        }
        (lost || (unreached && vm_silent && !vm_answers)) && !lives
    }

    /// Whether a host that is about to be declared failed is held, or given time, instead.
    pub(super) fn holds(&mut self, name: &HostName, rule: VerdictRule) -> Hold {
        let Some(host) = self.hosts.get(name) else { return Hold::No };
        let confirmed = self.is_confirmed(host, rule);
        let lost_after = host.policy.lost_after_s;
        self.brake.set_silent(name, Some(confirmed));
        if confirmed {
            return Hold::No;
        }
        let why = self.unreachable_references().or_else(|| self.too_many(lost_after));
        let Some(why) = why else {
            if self.brake.held.is_empty() {
                return Hold::No;
            }
            self.end_brake();
            return Hold::Forgiven;
        };
        self.timers.cancel(&Timer::Brake);
        self.brake.held.entry(name.clone()).or_insert(self.now);
        self.brake.why = Some(why.clone());
        if !std::mem::replace(&mut self.brake.told, true) {
            let text = format!(
                "This controller suspects itself: {why}. It fences nothing that other evidence does not confirm, and goes on by itself. See to the network at this controller"
            );
            self.tell(Severity::Critical, text, |_| {});
        }
        Hold::Held
    }

    /// The controller trusts itself again; those that are still silent have time to come back.
    fn end_brake(&mut self) {
        let until = self.now + self.settings.liveness.grace_s + CONNECTS_WITHIN;
        for (name, _) in std::mem::take(&mut self.brake.silent) {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.forgive_silence(until);
            host.judgement.since_us = self.now;
            self.timers.set(Timer::Silence(name), until + host.policy.suspect_after_s);
        }
        self.brake.held.clear();
        (self.brake.why, self.brake.told) = (None, false);
        let text = format!(
            "This controller no longer suspects itself; hosts that are still silent have {} to come back",
            until.since(self.now)
        );
        self.tell(Severity::Info, text, |_| {});
    }

    /// A host is held no longer.
    pub(super) fn release(&mut self, name: &HostName) {
        if self.brake.held.remove(name).is_some() && self.brake.held.is_empty() {
            self.brake.why = None;
            self.timers.set(Timer::Brake, self.now + CALM);
        }
    }

    /// Nothing has been held for a while.
    pub(super) fn brake_is_over(&mut self) {
        if std::mem::take(&mut self.brake.told) {
            self.tell(Severity::Info, "This controller no longer suspects itself".to_owned(), |_| {});
        }
    }

    /// A host was declared failed.
    pub(super) fn note_failure(&mut self, name: &HostName) {
        self.release(name);
        if self.brake.silent.remove(name) == Some(false) {
            self.brake.failed.insert(name.clone(), self.now);
        }
    }

    fn too_many(&mut self, lost_after: Seconds) -> Option<String> {
        let now = self.now;
        self.brake.failed.retain(|_, at| now.since(*at) < AT_ONCE);
        let lost = self.brake.unconfirmed();
        let settings = &self.settings.liveness.brake;
        let (share, least) = (settings.share_percent, settings.least);
        if lost < least {
            return None;
        }
        let of = self.known_by(lost_after);
        (lost * 100 > of * share).then(|| format!("{lost} of {of} hosts seem lost at once"))
    }

    /// How many hosts that have joined would be known to be silent by the time that one of them counts as lost.
    fn known_by(&mut self, lost_after: Seconds) -> u64 {
        let now = self.now;
        if let Some((at, count)) = self.brake.counted.get(&lost_after)
            && now.since(*at) < COUNT_LASTS
        {
            return *count;
        }
        let joined = |host: &&HostState| {
            matches!(host.record.condition, HostCondition::Up | HostCondition::Failed { .. })
                && host.policy.suspect_after_s <= lost_after
        };
        let count = self.hosts.values().filter(joined).count() as u64;
        self.brake.counted.insert(lost_after, (now, count));
        count
    }

    /// Why the references say that the controller's own network is in trouble; none: they do not.
    fn unreachable_references(&self) -> Option<String> {
        if self.settings.liveness.brake.references.is_empty() {
            return None;
        }
        let asked = self.brake.asked?;
        match self.brake.answered {
            Some((at, reached)) if at >= asked && reached > 0 => None,
            Some((_, 0)) => Some("it reaches none of its references".to_owned()),
            // Their answer, or that there is none, comes within a second.
            _ => Some("its references have not answered yet".to_owned()),
        }
    }

    /// Looks whether the controller's own network works, when a host falls silent and while some are.
    pub(super) fn ask_references(&mut self) {
        let references = &self.settings.liveness.brake.references;
        let lately = self.brake.asked.is_some_and(|at| self.now.since(at) < COUNT_LASTS);
        if references.is_empty() || lately {
            return;
        }
        self.journal.effects.push(Effect::AskReferences { addresses: references.clone() });
        self.brake.asked = Some(self.now);
    }

    /// So many of the references took a connection.
    pub(super) fn references_answered(&mut self, reached: u64) {
        self.brake.answered = Some((self.now, reached));
        let silent: Vec<HostName> = self.brake.silent().cloned().collect();
        for name in silent {
            self.judge(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_addresses_and_shares_are_no_more_than_all() {
        let with = |references: &[&str]| BrakeSettings {
            references: references.iter().map(|&text| text.to_owned()).collect(),
            ..BrakeSettings::default()
        };
        assert_eq!(BrakeSettings::default().validate(), Ok(()));
        assert_eq!(with(&["10.0.0.1:53", "[fd00::1]:443"]).validate(), Ok(()));
        assert!(with(&["10.0.0.1"]).validate().is_err_and(|text| text.contains("10.0.0.1")));
        assert!(with(&["a:1"; MAX_REFERENCES + 1]).validate().is_err());
        assert!(BrakeSettings { share_percent: 101, ..BrakeSettings::default() }.validate().is_err());
        assert!(BrakeSettings { least: 0, ..BrakeSettings::default() }.validate().is_err());
    }
}
