//! Leases: how a host that nobody can reach comes to be known to run nothing.
//!
//! An agent's lease runs from when it *said* what was acknowledged; the controller reckons from when it *decided* the
//! acknowledgement, which is later, waits the lease and a margin for clocks that drift apart and for the killing, and counts
//! only time that it was awake for: a pause of the controller, or a clock that jumps, adds at most half a second. So when
//! the controller takes a lease for run out, the agent's ran out before.
//!
//! A leader that was deposed and does not know it could still acknowledge. So a lease is granted only for [`LEADS_FOR`]
//! after the beginning of a transaction that the store took, which shows that its controller led then; and a controller
//! that begins assumes that its predecessor granted for that long after its own beginning.

use lifeboat_model::{HostName, Seconds, Time, spec::Isolation};

use super::super::{
    Brain, FenceProof,
    journal::bytes,
    records::{HostCondition, Severity},
    timers::Timer,
};
use super::{Rung, RungState};
use crate::message::{LeaseTerms, Pledge, ToAgent};

/// For how long a transaction that the store took shows that its controller leads.
const LEADS_FOR: Seconds = Seconds::new(6);
/// Between two looks at a lease that runs.
const TICK: Seconds = Seconds::from_millis(500);
/// How long after it was due the brain may be called for all of the time to count.
const LATE: Seconds = Seconds::from_millis(500);
/// What is written to show that this controller leads when nothing else is.
const LEAD_KEY: &str = "meta/lead";

/// A host's lease, as far as this controller has granted it.
#[derive(Clone, Debug)]
pub(in crate::fleet) struct Lease {
    /// When, by the time that this controller was awake, a grant may have gone out last.
    granted: Seconds,
    /// The terms that its agent was told last.
    told: Option<LeaseTerms>,
}

impl Default for Lease {
    fn default() -> Self {
        Self { granted: LEADS_FOR, told: None }
    }
}

impl Brain {
    /// Counts the time that passes as far as this controller is awake for it.
    pub(in crate::fleet) fn witness(&mut self, before: Time) {
        let awake_until = self.timers.next().map_or(self.now, |due| self.now.min(due + LATE));
        self.awake += awake_until.since(before);
    }

    /// The body says that the store took a transaction which began at that time.
    pub fn committed(&mut self, begun: Time) {
        self.leads_until = self.leads_until.max(Some(begun + LEADS_FOR));
    }

    /// Has something written from time to time, so that leases may be granted.
    pub(in crate::fleet) fn show_lead(&mut self) {
        self.timers.set(Timer::Lead, self.now + Seconds::from_micros(LEADS_FOR.micros() / 3));
        let leased = |host: &super::super::HostState| host.link.is_some() && host.isolation != Isolation::Keep;
        if self.hosts.values().any(leased) {
            self.journal.raw.push((LEAD_KEY.to_owned(), Some(bytes(&self.now))));
        }
    }

    /// What a host does that is cut off.
    #[must_use]
    pub fn isolation(&self, name: &HostName) -> Isolation {
        let declared = self.declared.hosts.get(name).and_then(|spec| spec.isolation);
        declared.unwrap_or(self.settings.fencing.isolation)
    }

    /// Grants a host's agent its lease anew, in milliseconds; 0 when none may be granted.
    pub(in crate::fleet) fn grant(&mut self, name: &HostName) -> u64 {
        let leads = self.leads_until.is_some_and(|until| self.now <= until);
        if !leads || self.isolation(name) == Isolation::Keep {
            return 0;
        }
        let (lease, awake) = (self.settings.fencing.lease_s, self.awake);
        let Some(host) = self.hosts.get_mut(name) else { return 0 };
        host.lease.granted = host.lease.granted.max(awake);
        // A longer one that an earlier controller granted may still run.
        let over = awake > LEADS_FOR + host.record.lease_s;
        if lease > host.record.lease_s || (over && lease != host.record.lease_s) {
            host.record.lease_s = lease;
            self.journal.hosts.insert(name.clone());
        }
        lease.millis()
    }

    /// An agent said what it pledges.
    pub(in crate::fleet) fn pledged(&mut self, name: &HostName, pledge: Pledge) {
        let stops = self.isolation(name) != Isolation::Keep;
        let Some(host) = self.hosts.get_mut(name).filter(|host| host.record.pledge != pledge) else { return };
        let before = std::mem::replace(&mut host.record.pledge, pledge);
        self.journal.hosts.insert(name.clone());
        if stops && before >= Pledge::Guard && pledge < Pledge::Guard {
            let text = format!("{name} has no guard beside its agent any more: its lease would prove nothing");
            self.tell(Severity::Warning, text, |event| event.host = Some(name.clone()));
        }
    }

    /// The terms of a host's lease.
    pub(in crate::fleet) fn terms(&self, name: &HostName) -> LeaseTerms {
        let isolation = self.isolation(name);
        if isolation != Isolation::StopCriticalLast {
            return LeaseTerms { isolation, last: Vec::new() };
        }
        let rank = |vm: &lifeboat_model::VmName| {
            let class = self.declared.vms.get(vm).map(|spec| &spec.class);
            self.declared.classes.iter().position(|known| Some(&known.name) == class)
        };
        let here = self.vms_that_may_run_on(name);
        let most = here.iter().filter_map(rank).min();
        LeaseTerms { isolation, last: here.into_iter().filter(|vm| rank(vm) == most).collect() }
    }

    /// Notes that an agent was told its terms.
    pub(in crate::fleet) fn terms_told(&mut self, name: &HostName, terms: LeaseTerms) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.lease.told = Some(terms);
        }
    }

    /// Tells agents whose terms may have changed.
    pub(in crate::fleet) fn tell_terms(&mut self) {
        for name in std::mem::take(&mut self.terms_due) {
            let terms = self.terms(&name);
            let linked = |host: &&super::super::HostState| host.link.is_some();
            let Some(host) = self.hosts.get(&name).filter(linked) else { continue };
            if host.lease.told.as_ref() != Some(&terms) {
                self.terms_told(&name, terms.clone());
                self.say(&name, ToAgent::Terms(terms));
            }
        }
    }

    /// How long until a host's lease has surely run out.
    #[must_use]
    pub fn lease_left(&self, name: &HostName) -> Seconds {
        let fencing = &self.settings.fencing;
        let Some(host) = self.hosts.get(name) else { return Seconds::ZERO };
        let end = host.lease.granted + fencing.lease_s.max(host.record.lease_s) + fencing.margin_s;
        end.saturating_sub(self.awake)
    }

    pub(super) fn pledge_words(&self, name: &HostName) -> &'static str {
        match self.hosts.get(name).map_or(Pledge::None, |host| host.record.pledge) {
            Pledge::None => "no pledge",
            Pledge::Agent => "its agent stops its VMs",
            Pledge::Guard => "guard armed",
            Pledge::Watchdog => "watchdog armed",
        }
    }

    fn stops_nothing(&self, name: &HostName) -> Option<String> {
        if self.isolation(name) == Isolation::Keep {
            return Some(format!(
                "{name} keeps its VMs when it is cut off (isolation is keep), so its lease proves nothing"
            ));
        }
        let pledge = self.hosts.get(name).map_or(Pledge::None, |host| host.record.pledge);
        (pledge == Pledge::None).then(|| format!("the agent of {name} has not pledged to stop its VMs"))
    }

    /// A volume of a host's VMs whose array cannot take it from a host that still writes.
    fn uncut_volume(&self, name: &HostName) -> Option<String> {
        self.vms_that_may_run_on(name).iter().find_map(|vm| {
            let volumes = &self.declared.vms.get(vm)?.volumes;
            volumes.iter().find_map(|volume| {
                let array = &self.declared.volumes.get(volume)?.array;
                let cuts = self.declared.arrays.get(array).is_some_and(|array| array.cuts_writes());
                (!cuts).then(|| format!("array {array} cannot cut {volume} of {vm} off from a host that still writes"))
            })
        })
    }

    /// Why a lease that has run out would not prove that a host runs nothing; none: it would.
    pub(super) fn lease_objection(&self, name: &HostName) -> Option<String> {
        let pledge = self.hosts.get(name).map_or(Pledge::None, |host| host.record.pledge);
        match pledge {
            Pledge::Watchdog if self.isolation(name) != Isolation::Keep => None,
            Pledge::None | Pledge::Watchdog => self.stops_nothing(name),
            Pledge::Agent => self.stops_nothing(name).or_else(|| {
                Some(format!("no guard runs beside the agent of {name}: an agent that hangs stops nothing"))
            }),
            // A host that stood still may go on for a moment before its guard acts: then only the cut volumes hold.
            Pledge::Guard => self
                .stops_nothing(name)
                .or_else(|| self.uncut_volume(name).map(|why| format!("{why}, and {name} has no watchdog"))),
        }
    }

    /// Why cutting a host's volumes would not prove that it can do no harm; none: it would.
    pub(super) fn storage_objection(&self, name: &HostName) -> Option<String> {
        let bare = |vm: &lifeboat_model::VmName| {
            self.declared
                .vms
                .get(vm)
                .is_some_and(|spec| spec.volumes.is_empty())
                .then(|| format!("{vm} has no volume that could be cut"))
        };
        self.stops_nothing(name)
            .or_else(|| self.uncut_volume(name))
            .or_else(|| self.vms_that_may_run_on(name).iter().find_map(bare))
    }

    /// Whether a host's lease may come to be a proof by itself.
    pub(super) fn lease_pends(&self, name: &HostName) -> bool {
        self.ladder(name).iter().any(|rung| match rung {
            Rung::Power { .. } => false,
            Rung::Storage => self.storage_objection(name).is_none(),
            Rung::Lease => self.lease_objection(name).is_none(),
        })
    }

    /// Begins to watch the lease of a failed host, where that is a rung.
    pub(super) fn watch_lease(&mut self, name: &HostName) {
        let rungs: Vec<Rung> =
            self.ladder(name).into_iter().filter(|rung| matches!(rung, Rung::Storage | Rung::Lease)).collect();
        if rungs.is_empty() {
            return;
        }
        self.timers.set(Timer::Lease(name.clone()), self.now + TICK);
        for rung in rungs {
            let objection = match rung {
                Rung::Storage => self.storage_objection(name),
                _ => self.lease_objection(name),
            };
            let pledge = self.pledge_words(name);
            self.note_rung(name, &rung, |record| {
                (record.state, record.said) = match objection {
                    Some(why) => (RungState::Unavailable, Some(why)),
                    None => (RungState::Trying, Some(format!("its lease has not run out yet ({pledge})"))),
                };
            });
        }
    }

    /// Looks whether the lease of a failed host has run out.
    pub(in crate::fleet) fn look_at_lease(&mut self, name: &HostName) {
        let Some(host) = self.hosts.get(name) else { return };
        if !matches!(host.record.condition, HostCondition::Failed { .. }) {
            return;
        }
        self.timers.set(Timer::Lease(name.clone()), self.now + TICK);
        if self.lease_left(name) > Seconds::ZERO || host.cutting {
            return;
        }
        for rung in self.ladder(name) {
            match rung {
                Rung::Lease if self.lease_objection(name).is_none() => {
                    let pledge = self.hosts.get(name).map_or(Pledge::None, |host| host.record.pledge);
                    return self.proven(name, FenceProof::Lease { pledge });
                }
                Rung::Storage if self.storage_objection(name).is_none() => return self.begin_cut(name),
                _ => {}
            }
        }
    }

    /// Whether a host's ladder has a rung that says so.
    pub(super) fn waits_for_lease_first(&self, name: &HostName, at: usize) -> bool {
        let ladder = self.ladder(name);
        let follows = ladder.iter().skip(at + 1).any(|rung| matches!(rung, Rung::Power { .. }));
        let objection = match ladder.get(at) {
            Some(Rung::Lease) => self.lease_objection(name),
            Some(Rung::Storage) => self.storage_objection(name),
            _ => return false,
        };
        follows && objection.is_none()
    }
}
