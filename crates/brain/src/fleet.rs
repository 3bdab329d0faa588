//! The fleet's side: liveness, fencing, planning, execution, VM health.
//!
//! # Theory of operation
//!
//! Three layers of state, each with its own rule:
//!
//! - **Specs** ([`declared`]): what operators declared. Only an operator's order changes them.
//! - **Records** ([`records`]): what is, and what is intended, of each host, VM, volume and recovery. Every change is
//!   written before an effect of the same call is carried out. A record in an *intent* state (`Starting`, `Mapping`, …)
//!   says that the effect may or may not have happened; the effect is idempotent and is ordered again until its result is
//!   known, after a restart too.
//! - **Execution** ([`execution`]): the one current plan and how far its steps are. It is not stored: it follows from the
//!   records, and a controller that starts plans again from the fleet as it now is.
//!
//! ```text
//!  Hello, heartbeats ─► hosts ──declared failed──► fencing ──proof──┐
//!                         │                                         ▼
//!  exits, checks ──────► vms ──────────wants a place────────► planning ─► execution ─► volumes, commands, checks
//!                         ▲                                                   │
//!                         └───────────────────── results ─────────────────────┘
//! ```
//!
//! **The fencing gate** is in one place, [`vms::Phase::may_run_on`](records::Phase::may_run_on): a VM's phase names the
//! one host where its process may exist, and a start is ordered only from `Preparing`, which follows only `Stopped`. A VM
//! leaves `Lost` only by the proof of its host's fence or by its host's answering again.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    ArrayName, Epoch, HostName, Seconds, Time, VmName, VolumeName,
    trace::{Source, TraceEvent, What},
};

mod brake;
mod commands;
mod declared;
mod drain;
mod drill;
mod evidence;
mod execution;
mod fencing;
mod flapping;
mod hardware;
pub mod health;
mod hosts;
mod io;
mod journal;
mod judging;
mod leaving;
mod maintenance;
mod operator;
mod orders;
mod paths;
mod planning;
mod policies;
pub mod records;
mod recoveries;
mod settings;
mod timers;
mod verdicts;
mod vms;
mod volumes;

pub use brake::{BrakeSettings, BrakeView};
pub use declared::Declared;
pub use evidence::{EvidenceSet, MAX_SOURCES};
pub use execution::{Execution, StageHold, StepState};
pub use fencing::{DeviceSaid, FenceChecked, FenceWait, Fencing, Rung, RungNow, RungRecord, RungState};
pub use hardware::{HardwareRecord, HardwareSettings, Suspect};
pub use hosts::{HostState, Link};
pub use io::{
    Effect, FenceProof, Input, LinkId, OpId, Output, PlanId, RecoveryId, RequestId, VolumeChange, VolumeOutcome,
};
pub use journal::{KEPT_EVENTS, KEPT_TRACE, RestoreError};
pub use lifeboat_model::spec::LeavePolicy;
pub use orders::{Answer, Kind, OperatorOrder, Refusal, RefusalKind, VmAction};
pub use policies::{Policies, Policy, WhenIsolated};
pub use settings::{DrillTimes, Failback, Flapping, HealthSettings, LeavingSettings, Liveness, Retries, Settings};
pub use volumes::VolumeState;

use commands::Commands;
use health::Health;
use journal::Journal;
use records::{Counters, PlanRecord, RecoveryRecord, Severity, VmRecord};
use timers::{Timer, Timers};

/// A pause of the body longer than this makes the brain distrust the silence that it slept through.
const SLEPT: Seconds = Seconds::new(1);

/// The fleet's side of the brain.
#[derive(Debug)]
pub struct Brain {
    settings: Settings,
    epoch: Epoch,
    now: Time,
    /// The time that passed while this controller was awake for it.
    awake: Seconds,
    /// Until when a transaction that the store took shows that this controller leads.
    leads_until: Option<Time>,
    /// When a VM with a volume at an array last went on after it had stood still.
    arrays_back: BTreeMap<lifeboat_model::ArrayName, Time>,
    /// Hosts whose agents may have to be told new terms of their lease.
    terms_due: BTreeSet<HostName>,
    started: Time,
    declared: Declared,
    hosts: BTreeMap<HostName, HostState>,
    vms: BTreeMap<VmName, VmRecord>,
    volumes: BTreeMap<VolumeName, VolumeState>,
    recoveries: BTreeMap<RecoveryId, RecoveryRecord>,
    plans: BTreeMap<PlanId, PlanRecord>,
    counters: Counters,
    execution: Option<Execution>,
    commands: Commands,
    health: Health,
    timers: Timers,
    journal: Journal,
    ops: BTreeMap<OpId, VolumeName>,
    /// Volumes that take a budget.
    busy: BTreeSet<VolumeName>,
    /// Arrays whose last operation failed.
    failing_arrays: BTreeSet<ArrayName>,
    /// VMs that take a start slot, by host.
    starting: BTreeMap<HostName, BTreeSet<VmName>>,
    /// VMs whose process may exist, by host.
    may_run: BTreeMap<HostName, BTreeSet<VmName>>,
    /// Hosts whose policy may have changed.
    policies_due: BTreeSet<HostName>,
    brake: brake::Brake,
    next_op: u64,
    next_nonce: u64,
    /// Why the current plan no longer fits; none: it does.
    replan: Option<String>,
    /// Whether hosts that are being emptied are to be looked at.
    drain_due: bool,
    /// Hosts that may be about to shut down or reboot, or have.
    leavers: BTreeSet<HostName>,
    drills: drill::Drills,
    /// VMs that could not be placed by the last plan, and why.
    unplaced: BTreeMap<VmName, lifeboat_model::reason::Reason>,
}

impl Brain {
    /// The time at which [`handle`](Self::handle) wants to be called at the latest, with [`Input::Tick`] if nothing else.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Takes an input at a time and adds what follows from it to the output.
    ///
    /// The body stores [`Output::writes`] in one transaction and, when that is durable, carries out [`Output::effects`].
    /// Outputs of several calls may be stored together, in order.
    ///
    /// # Panics
    /// When an invariant of the brain itself is broken; a body ends then, and its successor begins from the records.
    pub fn handle(&mut self, now: Time, input: Input, output: &mut Output) {
        self.wake(now);
        match input {
            Input::Tick => {}
            Input::AgentSaid { host, link, message } => self.agent_said(&host, link, message),
            Input::LinkClosed { host, link } => self.link_closed(&host, link),
            Input::FenceEnded { host, attempt, result } => self.fence_ended(&host, attempt, result),
            Input::FenceRead { host, look, device, result } => self.fence_read(&host, look, &device, result),
            Input::VolumeEnded { op, outcome } => self.volume_ended(op, outcome),
            Input::DrillEnded { result } => self.drill_ended(result),
            Input::CheckEnded { vm, generation, result } => self.check_ended(&vm, generation, result),
            Input::Noted { severity, text, trouble, over } => {
                self.tell(severity, text, |event| (event.trouble, event.over) = (Some(trouble), over));
            }
            Input::Looked { sequence, report } => self.looked(None, sequence, report),
            Input::Evidence { host, source, says, detail } => self.note_evidence(&host, source, says, detail),
            Input::Hardware { host, reading } => self.hardware_told(&host, vec![reading]),
            Input::References { reached } => self.references_answered(reached),
            Input::Operator { request, order } => self.operator(request, order),
        }
        loop {
            if self.is_heard_still() {
                continue;
            }
            let Some(timer) = self.timers.pop(self.now) else { break };
            self.timer(timer);
        }
        self.plan_if_needed();
        self.advance();
        self.drain_next();
        self.let_go();
        self.close_recoveries();
        self.tell_terms();
        self.adopt_policies();
        self.flush(output);
    }

    /// Moves the clock, and discounts a pause of the body itself.
    fn wake(&mut self, now: Time) {
        let before = self.now;
        self.now = now.max(before);
        self.witness(before);
        let overdue = self.timers.next().map_or(Seconds::ZERO, |due| self.now.since(due));
        if overdue > SLEPT {
            let grace = self.now;
            for host in self.hosts.values_mut() {
                host.forgive_silence(grace);
            }
            self.forget_looks();
            self.brake.forgive();
            self.tell(
                Severity::Warning,
                format!("This controller paused for {overdue}; it gives every host that time again before it judges its silence"),
                |_| {},
            );
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Silence(host) => self.judge(&host),
            Timer::Fence(host) => self.try_fence(&host),
            Timer::Lease(host) => self.look_at_lease(&host),
            Timer::Paths(host) => self.judge_paths(&host),
            Timer::FenceCheck(host) => self.check_fences(&host),
            Timer::Lead => self.show_lead(),
            Timer::Volume(volume) => {
                self.retry_remap(&volume);
                self.cut_step(&volume);
            }
            Timer::Command(id) => self.repeat_command(id),
            Timer::Maintenance(host) => self.maintenance_is_over(&host),
            Timer::HeldOut(host) => drop(self.let_in(&host, "its time is over")),
            Timer::Failback(host) => self.failback_timer(&host),
            Timer::Leaving(host) => self.leaving_timer(&host),
            Timer::Stage(_) => self.unpark_starts(),
            Timer::Vm(vm) => self.vm_timer(&vm),
            Timer::Drill => self.drill_due(),
            Timer::Look(check, vm) => self.look_due(&(check, vm)),
            Timer::Trouble(by) => self.trouble_due(&by),
            Timer::Brake => self.brake_is_over(),
            Timer::Settle => self.want_plan("hosts have had time to appear"),
        }
    }

    /// Asks for a new plan at the end of this call.
    fn want_plan(&mut self, why: impl Into<String>) {
        if self.replan.is_none() {
            self.replan = Some(why.into());
        }
    }

    fn trace(&mut self, what: What) -> TraceEvent {
        TraceEvent::new(self.now, what).epoch(self.epoch)
    }

    /// What operators declared.
    #[must_use]
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The leader's epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When this leader began.
    #[must_use]
    pub fn started(&self) -> Time {
        self.started
    }

    /// The time of the last input.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(&self) -> &BTreeMap<HostName, HostState> {
        &self.hosts
    }

    /// All VMs.
    #[must_use]
    pub fn vms(&self) -> &BTreeMap<VmName, VmRecord> {
        &self.vms
    }

    /// All volumes.
    #[must_use]
    pub fn volumes(&self) -> &BTreeMap<VolumeName, VolumeState> {
        &self.volumes
    }

    /// The recoveries that are remembered, the newest last.
    #[must_use]
    pub fn recoveries(&self) -> &BTreeMap<RecoveryId, RecoveryRecord> {
        &self.recoveries
    }

    /// The plans that are remembered, the newest last.
    #[must_use]
    pub fn plans(&self) -> &BTreeMap<PlanId, PlanRecord> {
        &self.plans
    }

    /// The plan that is being carried out.
    #[must_use]
    pub fn execution(&self) -> Option<&Execution> {
        self.execution.as_ref()
    }

    /// VMs that the last plan could not place, and why.
    #[must_use]
    pub fn unplaced(&self) -> &BTreeMap<VmName, lifeboat_model::reason::Reason> {
        &self.unplaced
    }

    /// Names of all VMs whose process may exist on a host.
    fn vms_that_may_run_on(&self, host: &HostName) -> BTreeSet<VmName> {
        self.running_on(host).map(|(name, _)| name.clone()).collect()
    }

    /// All VMs whose process may exist on a host.
    fn running_on<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = (&'a VmName, &'a VmRecord)> {
        let names = self.may_run.get(host).into_iter().flatten();
        let records = names.filter_map(|name| Some((name, self.vms.get(name)?)));
        records.filter(move |(_, vm)| vm.phase.may_run_on() == Some(host))
    }

    /// The first line of every controller's trace.
    #[must_use]
    pub fn trace_head(at: Time) -> TraceEvent {
        TraceEvent::new(at, What::TraceStarted { source: Source::Controller })
    }
}
