//! The host's lease: for how long its VMs may run without its leader being heard.
//!
//! ```text
//!            a grant: until = when the acknowledged word was said + the lease
//!   None ─────────────────────────────────────────────────────────────► Runs ◄──────┐
//!    ▲                                                                   │  │        │ a grant
//!    └──────────── the terms are to keep ────────────────────────────────┘  │ until  │
//!                                                                           ▼        │
//!                                            every VM is killed         Over ────────┘
//! ```
//!
//! It is reckoned from when the agent *said* what was acknowledged, which is before its leader can have decided the
//! acknowledgement: so it ends before the leader may take it for ended. It survives the agent's own death, in what the body
//! keeps for the guard.

use std::collections::{BTreeSet, VecDeque};

use lifeboat_model::{Seconds, Time, VmName, spec::Isolation};

use super::{HostBrain, HostEffect, HostOutput, Notice, vm::Doom};
use crate::message::{LeaseTerms, Pledge};

/// The most heartbeats that wait for their acknowledgement and count then.
const MAX_SAID: usize = 64;
/// Leases that are obeyed; what is longer is shortened to this, which only ends it earlier.
const LONGEST: Seconds = Seconds::new(24 * 3600);

/// What watches beside the agent that VMs end with the lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// Nothing.
    #[default]
    Absent,
    /// A process of its own.
    Process,
    /// A process of its own that feeds a hardware watchdog.
    Watchdog,
}

/// The lease.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// When it ends; none: there is none.
    until: Option<Time>,
    /// How long it was granted for last.
    span: Seconds,
    terms: LeaseTerms,
    /// What was said and not acknowledged: the heartbeat's number, and when.
    said: VecDeque<(u64, Time)>,
    greeted: Time,
    guard: Guard,
    /// Whether the VMs that are not last have been asked to shut down since the last grant.
    asked: bool,
    /// Whether it has ended, and what ran was killed.
    over: bool,
}

impl Lease {
    pub(super) fn pledge(&self) -> Pledge {
        if self.until.is_none() || self.terms.isolation == Isolation::Keep {
            return Pledge::None;
        }
        match self.guard {
            Guard::Absent => Pledge::Agent,
            Guard::Process => Pledge::Guard,
            Guard::Watchdog => Pledge::Watchdog,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// When something is to be done.
    pub(super) fn deadline(&self) -> Option<Time> {
        let until = self.until.filter(|_| !self.over)?;
        let asks = self.terms.isolation == Isolation::StopCriticalLast && !self.asked;
        Some(if asks { self.half(until) } else { until })
    }

    fn half(&self, until: Time) -> Time {
        let half = Seconds::from_micros(self.span.micros() / 2);
        Time::from_micros(until.micros().saturating_sub(half.micros()))
    }

    /// A Hello is said.
    pub(super) fn greets(&mut self, now: Time) {
        self.greeted = now;
        self.said.clear();
    }

    /// A heartbeat is said.
    pub(super) fn beats(&mut self, now: Time, sequence: u64) {
        if self.said.len() == MAX_SAID {
            self.said.pop_front();
        }
        self.said.push_back((sequence, now));
    }
}

impl HostBrain {
    /// What an earlier agent of this boot left: the end of the lease under which the VMs run.
    pub(super) fn resume_lease(&mut self, until: Option<Time>) {
        self.lease.until = until;
        if until.is_some() {
            // Until a leader says better.
            self.lease.terms.isolation = Isolation::Stop;
        }
    }

    /// The guard has come or gone.
    pub(super) fn guard_is(&mut self, guard: Guard) {
        self.lease.guard = guard;
    }

    /// The leader says what is to be done when the lease cannot be renewed.
    pub(super) fn take_terms(&mut self, terms: LeaseTerms, out: &mut HostOutput) {
        if terms.isolation == Isolation::Keep && self.lease.until.is_some() {
            self.lease.until = None;
            self.lease.over = false;
            out.effects.push(HostEffect::Guard { until: None });
        }
        self.lease.terms = terms;
    }

    /// A Welcome grants a lease.
    pub(super) fn granted_by_welcome(&mut self, lease_ms: u64, out: &mut HostOutput) {
        let said = self.lease.greeted;
        self.granted(said, lease_ms, out);
    }

    /// A heartbeat is acknowledged.
    pub(super) fn granted_by_beat(&mut self, sequence: u64, lease_ms: u64, out: &mut HostOutput) {
        let Some(at) = self.lease.said.iter().position(|(said, _)| *said == sequence) else { return };
        let Some((_, said)) = self.lease.said.drain(..=at).next_back() else { return };
        self.granted(said, lease_ms, out);
    }

    fn granted(&mut self, said: Time, lease_ms: u64, out: &mut HostOutput) {
        if lease_ms == 0 || self.lease.terms.isolation == Isolation::Keep {
            return;
        }
        let span = Seconds::from_millis(lease_ms.min(LONGEST.millis()));
        let until = said + span;
        self.lease.span = span;
        if self.lease.until == Some(until) {
            return;
        }
        self.lease.until = Some(until);
        (self.lease.asked, self.lease.over) = (false, false);
        out.effects.push(HostEffect::Guard { until: Some(until) });
    }

    /// Does what the lease wants done now.
    pub(super) fn hold_lease(&mut self, now: Time, out: &mut HostOutput) {
        let Some(until) = self.lease.until else { return };
        if until <= now {
            self.end_lease(now, out);
        } else if self.lease.terms.isolation == Isolation::StopCriticalLast
            && !self.lease.asked
            && self.lease.half(until) <= now
        {
            self.lease.asked = true;
            self.ask_lesser(out);
        }
    }

    /// The lease has run out: nothing may run here. What comes to run while it is over is killed too.
    fn end_lease(&mut self, now: Time, out: &mut HostOutput) {
        let first = !std::mem::replace(&mut self.lease.over, true);
        let mut killed = 0_usize;
        for (name, vm) in &mut self.vms {
            if vm.process.is_none() || vm.lease_killed {
                continue;
            }
            vm.lease_killed = true;
            killed += 1;
            // At once, past whatever runs on it; and then in its turn, until it is seen to be gone.
            out.effects.push(HostEffect::Kill { vm: name.clone() });
            if !matches!(vm.doom, Some((Doom::StartFailed { .. }, _))) {
                vm.doom = Some((Doom::LeaseOver, now));
            }
            self.timed.insert(name.clone());
        }
        if first || killed > 0 {
            out.effects.push(HostEffect::Tell(Notice::LeaseOver { vms: killed }));
        }
    }

    /// Half of the lease is over without a renewal: VMs that are not the most important are asked to shut down.
    fn ask_lesser(&mut self, out: &mut HostOutput) {
        let last: BTreeSet<&VmName> = self.lease.terms.last.iter().collect();
        let runs = |(name, vm): &(&VmName, &super::vm::Vm)| vm.process.is_some() && !last.contains(name);
        let lesser: Vec<VmName> = self.vms.iter().filter(runs).map(|(name, _)| name.clone()).collect();
        if lesser.is_empty() {
            return;
        }
        out.effects.push(HostEffect::Tell(Notice::LeaseHalf { vms: lesser.len() }));
        for name in lesser {
            self.ask_to_stop(&name, out);
        }
    }
}
