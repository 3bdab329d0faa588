//! Records to be written, effects to be carried out, and how a brain is made again from what was written.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{CheckName, Epoch, HostName, Time, VmName, VolumeName, trace::TraceEvent, trace::What};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Brain, Declared, Effect, Output, PlanId, RecoveryId, Settings,
    commands::Commands,
    health::{Health, WatchKey},
    hosts::HostState,
    records::{Counters, EventRecord, HostRecord, PLAN_PART_BYTES, RecoveryRecord, Severity, VmRecord, VolumeRecord},
    timers::{Timer, Timers},
    volumes::VolumeState,
};

/// Events that are kept; the oldest go first.
pub const KEPT_EVENTS: u64 = 20_000;
/// Trace lines that are kept; the oldest go first.
pub const KEPT_TRACE: u64 = 200_000;
/// Ended recoveries that are kept.
const KEPT_RECOVERIES: usize = 200;
/// Plans that are kept.
const KEPT_PLANS: usize = 20;

/// Why stored records cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A record is not what its key says.
    #[error("stored record {key} cannot be read; restore the store from a backup, or start this version's predecessor")]
    Record {
        /// Its key.
        key: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A key has a name that is not one.
    #[error("stored key {key} is not one of this version's; a newer version may have written it")]
    Key {
        /// The key.
        key: String,
    },
}

/// What changed during one call.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) hosts: BTreeSet<HostName>,
    pub(super) vms: BTreeSet<VmName>,
    pub(super) volumes: BTreeSet<VolumeName>,
    pub(super) recoveries: BTreeSet<RecoveryId>,
    pub(super) new_plans: Vec<PlanId>,
    pub(super) counters: bool,
    pub(super) watches: BTreeSet<WatchKey>,
    /// Specs and other records, already as bytes; none: removed.
    pub(super) raw: Vec<(String, Option<Vec<u8>>)>,
    pub(super) effects: Vec<Effect>,
    next_event: u64,
    next_trace: u64,
}

impl Journal {
    /// Whether nothing is to be written.
    fn is_empty(&self) -> bool {
        // Every field is named, so that a new kind of record is not forgotten here.
        let Self {
            hosts,
            vms,
            volumes,
            recoveries,
            new_plans,
            counters,
            watches,
            raw,
            effects: _,
            next_event: _,
            next_trace: _,
        } = self;
        let nothing = hosts.is_empty() && vms.is_empty() && volumes.is_empty() && recoveries.is_empty();
        nothing && new_plans.is_empty() && !counters && watches.is_empty() && raw.is_empty()
    }
}

pub(super) fn bytes(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record of plain values always has a JSON form")
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, RestoreError> {
    serde_json::from_slice(value).map_err(|source| RestoreError::Record { key: key.to_owned(), source })
}

/// Text that orders as the number does.
fn ordered(number: u64) -> String {
    format!("{number:020}")
}

impl Brain {
    /// Makes a brain from what an earlier one stored; from nothing for a new fleet.
    ///
    /// # Errors
    /// [`RestoreError`] when a record cannot be read.
    pub fn restore(
        settings: Settings,
        epoch: Epoch,
        now: Time,
        records: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Self, RestoreError> {
        let mut brain = Self {
            settings,
            epoch,
            now,
            awake: lifeboat_model::Seconds::ZERO,
            leads_until: None,
            terms_due: BTreeSet::new(),
            arrays_back: BTreeMap::new(),
            started: now,
            declared: Declared::default(),
            hosts: BTreeMap::new(),
            vms: BTreeMap::new(),
            volumes: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            plans: BTreeMap::new(),
            counters: Counters::default(),
            execution: None,
            commands: Commands::default(),
            health: Health::new(epoch),
            timers: Timers::default(),
            journal: Journal { next_event: 1, next_trace: 1, ..Journal::default() },
            ops: BTreeMap::new(),
            busy: BTreeSet::new(),
            failing_arrays: BTreeSet::new(),
            starting: BTreeMap::new(),
            may_run: BTreeMap::new(),
            policies_due: BTreeSet::new(),
            brake: super::brake::Brake::default(),
            next_op: 1,
            next_nonce: 1,
            replan: None,
            drain_due: true,
            leavers: BTreeSet::new(),
            drills: super::drill::Drills::default(),
            unplaced: BTreeMap::new(),
        };
        let mut plan_parts: BTreeMap<PlanId, Vec<u8>> = BTreeMap::new();
        for (key, value) in records {
            brain.restore_record(&key, &value, &mut plan_parts)?;
        }
        for (id, bytes) in plan_parts {
            // Parts are pruned oldest plan first, whole plans at a time; what cannot be read is of no use to anybody.
            if let Ok(plan) = serde_json::from_slice(&bytes) {
                brain.plans.insert(id, plan);
            }
        }
        brain.resume();
        Ok(brain)
    }

    fn restore_record(
        &mut self,
        key: &str,
        value: &[u8],
        plan_parts: &mut BTreeMap<PlanId, Vec<u8>>,
    ) -> Result<(), RestoreError> {
        let wrong = || RestoreError::Key { key: key.to_owned() };
        let (kind, rest) = key.split_once('/').ok_or_else(wrong)?;
        match (kind, rest.split_once('/')) {
            ("spec", Some((kind, _))) => self.declared.restore(kind, key, value)?,
            ("state", Some(("host", name))) => {
                let name = HostName::new(name).map_err(|_| wrong())?;
                self.hosts.insert(name, HostState::new(read(key, value)?, self.settings.liveness.policy()));
            }
            ("state", Some(("vm", name))) => {
                self.vms.insert(VmName::new(name).map_err(|_| wrong())?, read(key, value)?);
            }
            ("state", Some(("volume", name))) => {
                let record: VolumeRecord = read(key, value)?;
                self.volumes.insert(VolumeName::new(name).map_err(|_| wrong())?, VolumeState::new(record));
            }
            ("state", Some(("check", names))) => {
                let (check, vm) = names.split_once('/').ok_or_else(wrong)?;
                let check = CheckName::new(check).map_err(|_| wrong())?;
                let vm = VmName::new(vm).map_err(|_| wrong())?;
                self.health.restore((check, vm), read(key, value)?);
            }
            ("recovery", None) => {
                let record: RecoveryRecord = read(key, value)?;
                self.recoveries.insert(record.id, record);
            }
            ("plan", Some((id, _part))) => {
                let id = PlanId(id.parse().map_err(|_| wrong())?);
                plan_parts.entry(id).or_default().extend_from_slice(value);
            }
            ("drill", None) => self.restore_drill(rest, read(key, value)?),
            ("event", None) => self.journal.next_event = rest.parse::<u64>().map_err(|_| wrong())? + 1,
            ("trace", None) => self.journal.next_trace = rest.parse::<u64>().map_err(|_| wrong())? + 1,
            ("meta", None) if rest == "counters" => self.counters = read(key, value)?,
            // Other keys of `meta` and whole other families (tokens) belong to the body.
            ("meta" | "token", _) => {}
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Takes up what the records say was under way.
    fn resume(&mut self) {
        if let Err(faults) = self.declared.index() {
            let why = faults.first().map_or_else(String::new, |fault| format!(": {fault}"));
            let text = format!(
                "The restart rules hold no longer{why} All VMs are as they are declared. Apply the rules again"
            );
            self.tell(Severity::Critical, text, |_| {});
        }
        for (name, vm) in &self.vms {
            let Some(host) = vm.phase.may_run_on() else { continue };
            self.may_run.entry(host.clone()).or_default().insert(name.clone());
            if Brain::is_starting(vm) {
                self.starting.entry(host.clone()).or_default().insert(name.clone());
            }
        }
        self.look_at_policies();
        self.adopt_policies();
        let all: Vec<HostName> = self.hosts.keys().cloned().collect();
        for host in all {
            self.resume_host(&host);
            self.resume_maintenance(&host);
            self.resume_held_out(&host);
            self.resume_leaving(&host);
        }
        let event = self.trace(What::ControllerLeader);
        self.add_trace(event);
        self.plan_fence_checks();
        self.timers.set(Timer::Lead, self.now);
        self.timers.set(Timer::Settle, self.now + self.settings.liveness.grace_s);
        self.resume_drills();
        self.sync_watches();
    }

    /// Tells people, and the log.
    pub(super) fn tell(&mut self, severity: Severity, text: String, about: impl FnOnce(&mut EventRecord)) {
        let sequence = self.journal.next_event;
        self.journal.next_event += 1;
        let mut event = EventRecord {
            sequence,
            time: self.now,
            severity,
            text,
            host: None,
            vm: None,
            recovery: None,
            trouble: None,
            over: false,
        };
        about(&mut event);
        self.journal.raw.push((format!("event/{}", ordered(sequence)), Some(bytes(&event))));
        if let Some(old) = sequence.checked_sub(KEPT_EVENTS) {
            self.journal.raw.push((format!("event/{}", ordered(old)), None));
        }
        self.journal.effects.push(Effect::Tell(event));
    }

    /// Adds to the trace.
    pub(super) fn add_trace(&mut self, event: TraceEvent) {
        let sequence = self.journal.next_trace;
        self.journal.next_trace += 1;
        self.journal.raw.push((format!("trace/{}", ordered(sequence)), Some(bytes(&event))));
        if let Some(old) = sequence.checked_sub(KEPT_TRACE) {
            self.journal.raw.push((format!("trace/{}", ordered(old)), None));
        }
        self.journal.effects.push(Effect::Trace(event));
    }

    /// The number that the next line of the trace gets.
    #[must_use]
    pub fn next_trace(&self) -> u64 {
        self.journal.next_trace
    }

    /// Forgets recoveries and plans that are too old to matter.
    fn prune(&mut self) {
        let closed: Vec<RecoveryId> =
            self.recoveries.values().filter(|recovery| recovery.closed.is_some()).map(|recovery| recovery.id).collect();
        for id in closed.iter().take(closed.len().saturating_sub(KEPT_RECOVERIES)) {
            self.recoveries.remove(id);
            self.journal.recoveries.insert(*id);
        }
        while self.plans.len() > KEPT_PLANS {
            let Some((id, record)) = self.plans.pop_first() else { break };
            for part in 0..bytes(&record).len().div_ceil(PLAN_PART_BYTES) {
                self.journal.raw.push((plan_key(id, part), None));
            }
        }
    }

    /// Hands everything that changed to the body.
    pub(super) fn flush(&mut self, output: &mut Output) {
        if self.journal.is_empty() {
            // Most calls are heartbeats, which change no record.
            if output.effects.is_empty() {
                std::mem::swap(&mut output.effects, &mut self.journal.effects);
            } else {
                output.effects.append(&mut self.journal.effects);
            }
            return;
        }
        self.prune();
        let mut journal = std::mem::take(&mut self.journal);
        self.journal.next_event = journal.next_event;
        self.journal.next_trace = journal.next_trace;
        output.writes.append(&mut journal.raw);
        for name in journal.hosts {
            let record: Option<&HostRecord> = self.hosts.get(&name).map(|host| &host.record);
            output.writes.push((format!("state/host/{name}"), record.map(bytes)));
        }
        for name in journal.vms {
            let record: Option<&VmRecord> = self.vms.get(&name);
            output.writes.push((format!("state/vm/{name}"), record.map(bytes)));
        }
        for name in journal.volumes {
            let record = self.volumes.get(&name).map(|volume| &volume.record);
            output.writes.push((format!("state/volume/{name}"), record.map(bytes)));
        }
        for key in journal.watches {
            let record = self.health.record(&key).map(bytes);
            output.writes.push((format!("state/check/{}/{}", key.0, key.1), record));
        }
        for id in journal.recoveries {
            output.writes.push((format!("recovery/{}", ordered(id.0)), self.recoveries.get(&id).map(bytes)));
        }
        for id in journal.new_plans {
            let Some(record) = self.plans.get(&id) else { continue };
            for (part, chunk) in bytes(record).chunks(PLAN_PART_BYTES).enumerate() {
                output.writes.push((plan_key(id, part), Some(chunk.to_vec())));
            }
        }
        if journal.counters {
            output.writes.push(("meta/counters".to_owned(), Some(bytes(&self.counters))));
        }
        output.effects.append(&mut journal.effects);
    }
}

fn plan_key(id: PlanId, part: usize) -> String {
    format!("plan/{}/{part:06}", ordered(id.0))
}
