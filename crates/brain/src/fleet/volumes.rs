//! Volumes: one at a time with one host at a time.
//!
//! ```text
//!   Unmapped ──► Mapping{new} ──► Mapped{new}
//!      ▲                             │
//!      └──────── Unmapping{old} ◄────┘
//! ```
//!
//! `Mapping` and `Unmapping` are written before the array is asked, and stay until the array has said how it ended; an
//! unknown end is asked for again. A volume is taken from a host only while its VM's process surely exists nowhere.

use lifeboat_model::{ArrayName, HostName, VmName, VolumeName, trace::What};

use super::{
    Brain, Effect, OpId, VolumeChange, VolumeOutcome,
    records::{HostCondition, Severity, VolumePlace, VolumeRecord},
    timers::Timer,
};

/// A volume as it is now.
#[derive(Clone, Debug)]
pub struct VolumeState {
    /// What is remembered of it.
    pub record: VolumeRecord,
    /// The host that it shall be mapped to.
    pub(super) wanted: Option<HostName>,
    /// The operation that is under way at its array.
    pub(super) op: Option<OpId>,
    /// The destination and array whose budgets it takes.
    pub(super) busy: Option<(HostName, ArrayName)>,
    /// Operations that failed in a row.
    pub(super) failures: u32,
}

impl VolumeState {
    pub(super) fn new(record: VolumeRecord) -> Self {
        Self { record, wanted: None, op: None, busy: None, failures: 0 }
    }

    /// The host that it shall be mapped to; none: it stays where it is.
    #[must_use]
    pub const fn wanted(&self) -> Option<&HostName> {
        self.wanted.as_ref()
    }

    /// Whether its array is at it.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.op.is_some()
    }
}

impl Brain {
    /// Wants a volume mapped to a host, under the budgets that the caller has checked.
    pub(super) fn remap(&mut self, name: &VolumeName, to: &HostName) {
        let Some(array) = self.declared.volumes.get(name).map(|spec| spec.array.clone()) else { return };
        let Some(volume) = self.volumes.get_mut(name) else { return };
        if volume.wanted.as_ref() != Some(to) {
            volume.failures = 0;
        }
        volume.wanted = Some(to.clone());
        volume.busy = Some((to.clone(), array));
        self.busy.insert(name.clone());
        self.drive_volume(name);
    }

    /// Whether a volume is mapped to a host and nothing is under way with it.
    pub(super) fn is_mapped(&self, name: &VolumeName, to: &HostName) -> bool {
        self.volumes.get(name).is_some_and(|volume| {
            volume.op.is_none() && matches!(&volume.record.place, VolumePlace::Mapped { host, .. } if host == to)
        })
    }

    /// A volume is no longer wanted anywhere; what is under way at its array comes to its end.
    pub(super) fn abandon_volume(&mut self, name: &VolumeName) {
        self.timers.cancel(&Timer::Volume(name.clone()));
        if let Some(volume) = self.volumes.get_mut(name) {
            volume.wanted = None;
            if volume.op.is_none() {
                volume.busy = None;
                self.busy.remove(name);
            }
        }
    }

    /// Does the next thing that brings a volume to where it is wanted.
    fn drive_volume(&mut self, name: &VolumeName) {
        let Some(volume) = self.volumes.get(name) else { return };
        let (None, Some(wanted)) = (volume.op, volume.wanted.clone()) else { return };
        match volume.record.place.clone() {
            VolumePlace::Mapped { host, .. } if host == wanted => self.volume_arrived(name),
            VolumePlace::Mapped { host, .. } => self.take_from(name, &host),
            VolumePlace::Mapping { host } if host == wanted => self.order_volume(name, VolumeChange::Map, &host),
            VolumePlace::Mapping { host } => self.take_from(name, &host),
            VolumePlace::Unmapping { host } => self.order_volume(name, VolumeChange::Unmap, &host),
            VolumePlace::Unmapped => {
                self.set_place(name, VolumePlace::Mapping { host: wanted.clone() });
                self.order_volume(name, VolumeChange::Map, &wanted);
            }
        }
    }

    /// A VM has failed on a host, perhaps because its array has forgotten what was mapped: its volumes are mapped there
    /// again before its next start. An array that has not forgotten has nothing to do.
    pub(super) fn doubt_volumes(&mut self, vm: &VmName, host: &HostName) {
        if self.vms.get(vm).is_none_or(|record| record.phase.may_run_on().is_some()) {
            return;
        }
        let volumes = self.declared.vms.get(vm).map(|spec| spec.volumes.clone()).unwrap_or_default();
        for name in volumes.iter().filter(|name| self.is_mapped(name, host)).cloned().collect::<Vec<_>>() {
            self.set_place(&name, VolumePlace::Mapping { host: host.clone() });
        }
    }

    fn take_from(&mut self, name: &VolumeName, host: &HostName) {
        let user = self.declared.owner(name).and_then(|vm| self.vms.get(vm)).and_then(|vm| vm.phase.may_run_on());
        assert!(user.is_none(), "volume {name} is taken from {host} while its VM may run on {user:?}");
        self.set_place(name, VolumePlace::Unmapping { host: host.clone() });
        self.order_volume(name, VolumeChange::Unmap, host);
    }

    /// Takes a volume from a failed host that is being cut off from it.
    pub(super) fn cut_volume(&mut self, name: &VolumeName, host: &HostName) {
        let Some(array) = self.declared.volumes.get(name).map(|spec| spec.array.clone()) else { return };
        self.set_place(name, VolumePlace::Unmapping { host: host.clone() });
        if let Some(volume) = self.volumes.get_mut(name) {
            volume.busy = Some((host.clone(), array));
            self.busy.insert(name.clone());
        }
        self.order_volume(name, VolumeChange::Unmap, host);
    }

    /// Whether a volume's array takes one more operation.
    pub(super) fn array_has_room(&self, name: &VolumeName) -> bool {
        let Some(array) = self.declared.volumes.get(name).map(|spec| &spec.array) else { return false };
        let at = |volume: &&VolumeName| {
            let busy = self.volumes.get(*volume).and_then(|volume| volume.busy.as_ref());
            busy.is_some_and(|(_, at)| at == array)
        };
        let used = self.busy.iter().filter(at).count() as u64;
        self.declared.arrays.get(array).is_some_and(|spec| used < spec.max_ops)
    }

    /// Notes a new intent for a volume.
    fn set_place(&mut self, name: &VolumeName, place: VolumePlace) {
        let now = self.now;
        if let Some(volume) = self.volumes.get_mut(name) {
            volume.record.generation = volume.record.generation.next();
            volume.record.place = place;
            volume.record.since = now;
            self.journal.volumes.insert(name.clone());
        }
    }

    fn order_volume(&mut self, name: &VolumeName, change: VolumeChange, host: &HostName) {
        let Some(spec) = self.declared.volumes.get(name).cloned() else { return };
        let Some(array) = self.declared.arrays.get(&spec.array).cloned() else { return };
        let op = OpId(self.next_op);
        self.next_op += 1;
        let Some(volume) = self.volumes.get_mut(name) else { return };
        volume.op = Some(op);
        let generation = volume.record.generation;
        self.ops.insert(op, name.clone());
        self.journal.effects.push(Effect::Volume {
            op,
            change,
            array,
            volume: spec,
            host: host.clone(),
            epoch: self.epoch,
            generation,
        });
    }

    pub(super) fn volume_ended(&mut self, op: OpId, outcome: VolumeOutcome) {
        let Some(name) = self.ops.remove(&op) else { return };
        let Some(volume) = self.volumes.get_mut(&name) else { return };
        if volume.op != Some(op) {
            return;
        }
        volume.op = None;
        if volume.wanted.is_none() {
            volume.busy = None;
            self.busy.remove(&name);
        }
        let place = volume.record.place.clone();
        match (outcome, place) {
            (VolumeOutcome::Mapped(attachment), VolumePlace::Mapping { host }) => {
                self.volume_is(
                    &name,
                    VolumePlace::Mapped { host: host.clone(), attachment },
                    What::VolumeMapped,
                    &host,
                );
            }
            (VolumeOutcome::Unmapped, VolumePlace::Unmapping { host }) => {
                self.volume_is(&name, VolumePlace::Unmapped, What::VolumeUnmapped, &host);
            }
            (VolumeOutcome::MappedElsewhere(host), VolumePlace::Mapping { .. }) => self.found_elsewhere(&name, &host),
            (VolumeOutcome::Failed { problem, retry_may_help }, _) => {
                self.volume_failed(&name, &problem, retry_may_help);
            }
            // An answer to another question than was asked: the driver broke its contract; ask again later.
            (other, _) => self.volume_failed(&name, &format!("the array's driver answered {other:?}"), true),
        }
        self.cut_step(&name);
        self.execution_changed();
    }

    /// A volume has come to be so.
    fn volume_is(&mut self, name: &VolumeName, place: VolumePlace, what: What, host: &HostName) {
        let now = self.now;
        if let Some(volume) = self.volumes.get_mut(name) {
            volume.record.place = place;
            volume.record.since = now;
            volume.record.problem = None;
            volume.failures = 0;
            self.journal.volumes.insert(name.clone());
        }
        if let Some(spec) = self.declared.volumes.get(name) {
            self.failing_arrays.remove(&spec.array);
        }
        let mut event = self.trace(what).host(host).volume(name);
        event.vm = self.declared.owner(name).cloned();
        self.add_trace(event);
        self.drive_volume(name);
    }

    /// The array says that another host than we knew of has the volume.
    fn found_elsewhere(&mut self, name: &VolumeName, host: &HostName) {
        let condition = self.hosts.get(host).map(|host| (host.record.condition.clone(), host.link.is_some()));
        // Its VM runs nowhere that we know of. That counts for a host that we hear, or that is off, and for no other.
        let safe = matches!(condition, Some((HostCondition::Up, true) | (HostCondition::Fenced { .. }, _)));
        if safe {
            self.set_place(name, VolumePlace::Unmapping { host: host.clone() });
            self.drive_volume(name);
        } else {
            let problem = format!(
                "it is mapped to {host}, which Lifeboat has never heard: unmap it there by hand, or start the agent of {host}"
            );
            self.volume_failed(name, &problem, true);
        }
    }

    fn volume_failed(&mut self, name: &VolumeName, problem: &str, retry_may_help: bool) {
        let attempts = self.settings.retries.map_attempts;
        let Some(volume) = self.volumes.get_mut(name) else { return };
        volume.failures = volume.failures.saturating_add(1);
        let news = volume.record.problem.as_deref() != Some(problem);
        volume.record.problem = Some(problem.to_owned());
        let (failures, wanted) = (volume.failures, volume.wanted.clone());
        let mapping = matches!(volume.record.place, VolumePlace::Mapping { .. });
        self.journal.volumes.insert(name.clone());
        if let Some(spec) = self.declared.volumes.get(name) {
            self.failing_arrays.insert(spec.array.clone());
        }
        if wanted.is_none() && self.is_being_cut(name) {
            self.timers.set(Timer::Volume(name.clone()), self.now + self.pause(failures));
        }
        let Some(to) = wanted else { return };
        if news {
            let text = format!("Volume {name}: {problem}. Lifeboat goes on trying");
            let vm = self.declared.owner(name).cloned();
            self.tell(Severity::Warning, text, |event| (event.host, event.vm) = (Some(to.clone()), vm));
        }
        if mapping && (!retry_may_help || failures >= attempts) {
            self.cannot_map(name, &to, problem, retry_may_help);
            return;
        }
        // While it pauses it takes no budget: an array that answers nobody does not hold up the volumes of others.
        if let Some(volume) = self.volumes.get_mut(name) {
            volume.busy = None;
        }
        self.busy.remove(name);
        let pause = self.pause(failures);
        self.timers.set(Timer::Volume(name.clone()), self.now + pause);
    }

    /// Whether a volume is tried again after a pause.
    pub(super) fn pauses(&self, name: &VolumeName) -> bool {
        self.timers.is_set(&Timer::Volume(name.clone()))
    }

    /// A volume cannot be mapped to where its VM shall go: the VM is planned again, elsewhere if there is an elsewhere.
    fn cannot_map(&mut self, name: &VolumeName, to: &HostName, problem: &str, retry_may_help: bool) {
        let Some(vm) = self.declared.owner(name).cloned() else { return };
        self.unprepare(&vm);
        let why = format!("volume {name} cannot be mapped to {to}: {problem}");
        if !retry_may_help {
            self.failed_on(&vm, to, &why, false);
            return;
        }
        if let Some(record) = self.vms.get_mut(&vm) {
            record.problem = Some(why);
        }
        // An array that answers nobody is no host's fault: then no host stays avoided.
        self.avoid(&vm, to);
        self.want_plan(format!("a volume of {vm} cannot be mapped to {to}"));
    }

    /// A volume is where it is wanted.
    fn volume_arrived(&mut self, name: &VolumeName) {
        if let Some(volume) = self.volumes.get_mut(name) {
            volume.wanted = None;
            volume.busy = None;
            self.busy.remove(name);
            volume.failures = 0;
        }
        self.remap_step_done(name);
    }
}
