//! What operators order. An order takes effect as a whole or not at all.

use lifeboat_model::{HostName, VmName, VolumeName, spec::Declaration};

use super::{
    Answer, Brain, Declared, Effect, FenceProof, HostState, Kind, OperatorOrder, Refusal, RefusalKind, RequestId,
    VmAction, VolumeState,
    records::{EntryState, HostCondition, HostRecord, Phase, Severity, VmRecord, VolumePlace, VolumeRecord, Wanted},
};

impl Refusal {
    pub(super) fn new(kind: RefusalKind, message: String, advice: Option<String>) -> Self {
        Self { kind, message, advice }
    }

    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        Self::new(RefusalKind::NotFound, format!("there is no {kind} {name}"), None)
    }

    pub(super) fn conflict(message: String, advice: impl Into<String>) -> Self {
        Self::new(RefusalKind::Conflict, message, Some(advice.into()))
    }
}

impl Brain {
    pub(super) fn operator(&mut self, request: RequestId, order: OperatorOrder) {
        let result = match order {
            OperatorOrder::Apply(declaration) => self.apply(&declaration),
            OperatorOrder::Delete { kind, name } => self.delete(kind, &name),
            OperatorOrder::Vm { vm, action } => self.act_on_vm(&vm, action),
            OperatorOrder::ConfirmOff { host } => self.confirm_off(&host),
            OperatorOrder::Move { vm, to } => self.move_vm(&vm, &to),
            OperatorOrder::Drain { host } => self.drain(&host),
            OperatorOrder::Failback { host } => self.failback(&host),
            OperatorOrder::Maintenance { host, on: true, note, ends_after } => {
                self.begin_maintenance(&host, note, ends_after)
            }
            OperatorOrder::Maintenance { host, on: false, .. } => self.end_maintenance(&host),
        };
        self.journal.effects.push(Effect::Answer { request, result });
    }

    fn apply(&mut self, declaration: &Declaration) -> Result<Answer, Refusal> {
        let (new, difference) = self
            .declared
            .with(declaration)
            .map_err(|error| Refusal::new(RefusalKind::Invalid, error.to_string(), None))?;
        let answer = Answer {
            created: difference.created,
            changed: difference.changed,
            unchanged: difference.unchanged,
            warnings: Vec::new(),
        };
        if answer.created.is_empty() && answer.changed.is_empty() {
            return Ok(answer);
        }
        self.may_change(&new)?;
        self.forget_places(&new);
        self.declared = new;
        self.journal.raw.extend(difference.writes);
        for host in &declaration.hosts {
            if !self.hosts.contains_key(&host.name) {
                let record = HostRecord { since: self.now, ..HostRecord::default() };
                self.hosts.insert(host.name.clone(), HostState::new(record, self.settings.liveness.policy()));
                self.journal.hosts.insert(host.name.clone());
            }
        }
        for volume in &declaration.volumes {
            if !self.volumes.contains_key(&volume.name) {
                let generation = self.counters.deleted;
                let record = VolumeRecord { generation, since: self.now, ..VolumeRecord::default() };
                self.volumes.insert(volume.name.clone(), VolumeState::new(record));
                self.journal.volumes.insert(volume.name.clone());
            }
        }
        for vm in &declaration.vms {
            if !self.vms.contains_key(&vm.name) {
                let born = self.counters.deleted;
                let record = VmRecord { generation: born, born, since: self.now, ..VmRecord::default() };
                self.vms.insert(vm.name.clone(), record);
                self.journal.vms.insert(vm.name.clone());
            }
        }
        self.look_at_policies();
        self.try_new_fences();
        self.plan_fence_checks();
        self.terms_due.extend(self.hosts.keys().cloned());
        self.sync_watches();
        let text = format!("The fleet was changed: {} new, {} changed", answer.created.len(), answer.changed.len());
        self.tell(Severity::Info, text, |_| {});
        self.want_plan("the fleet was changed");
        Ok(answer)
    }

    /// Whether what is declared may change so as things are: a volume is not taken from a VM whose process may have it open.
    fn may_change(&self, new: &Declared) -> Result<(), Refusal> {
        for (name, spec) in &self.declared.vms {
            if self.vms.get(name).is_none_or(|vm| vm.phase == Phase::Stopped) {
                continue;
            }
            let keeps = new.vms.get(name).map_or(&[][..], |spec| &spec.volumes);
            if let Some(volume) = spec.volumes.iter().find(|volume| !keeps.contains(volume)) {
                return Err(Refusal::conflict(
                    format!("VM {name} is not stopped, so volume {volume} cannot be taken from it"),
                    format!("lifeboat vm stop {name}, then apply this again"),
                ));
            }
        }
        for name in self.to_other_arrays(new) {
            if self.owner_is_busy(&name) || self.volumes.get(&name).is_some_and(VolumeState::is_under_way) {
                return Err(Refusal::conflict(
                    format!("volume {name} is in use, so it cannot be declared to be at another array"),
                    "stop its VM first, then apply this again",
                ));
            }
        }
        Ok(())
    }

    fn to_other_arrays(&self, new: &Declared) -> Vec<VolumeName> {
        let differs = |(name, spec): &(&VolumeName, &std::sync::Arc<lifeboat_model::spec::VolumeSpec>)| {
            new.volumes.get(*name).is_some_and(|new| new.array != spec.array)
        };
        self.declared.volumes.iter().filter(differs).map(|(name, _)| name.clone()).collect()
    }

    /// At another array a volume is another volume: where the old one is mapped says nothing of it.
    fn forget_places(&mut self, new: &Declared) {
        for name in self.to_other_arrays(new) {
            self.abandon_volume(&name);
            if let Some(volume) = self.volumes.get_mut(&name) {
                let generation = volume.record.generation.next();
                volume.record = VolumeRecord { generation, since: self.now, ..VolumeRecord::default() };
                self.journal.volumes.insert(name);
            }
        }
    }

    fn delete(&mut self, kind: Kind, name: &str) -> Result<Answer, Refusal> {
        self.may_delete(kind, name)?;
        let mut without = self.declared.clone();
        let writes = without.remove(kind, name);
        if writes.is_empty() {
            return Err(Refusal::not_found(kind, name));
        }
        without.indexed().map_err(|error| {
            Refusal::conflict(format!("{kind} {name} is still needed: {error}"), "delete or change what needs it first")
        })?;
        self.declared = without;
        self.journal.raw.extend(writes);
        match kind {
            Kind::Host => {
                if let Some((name, _)) = self.hosts.remove_entry(name) {
                    self.brake.set_silent(&name, None);
                    self.release(&name);
                    self.journal.hosts.insert(name);
                }
            }
            Kind::Vm => {
                if let Some(name) = self.vms.get_key_value(name).map(|(name, _)| name.clone()) {
                    self.settle_entry(&name, EntryState::Released);
                    self.drop_from_plan(&name);
                    if let Some(vm) = self.vms.remove(&name) {
                        self.generation_ends(vm.generation);
                    }
                    self.commands.forget_vm(&name);
                    self.journal.vms.insert(name);
                }
            }
            Kind::Volume => {
                if let Some((name, volume)) = self.volumes.remove_entry(name) {
                    self.generation_ends(volume.record.generation);
                    self.journal.volumes.insert(name);
                }
            }
            Kind::Class | Kind::Array | Kind::Group | Kind::Rule | Kind::Restart | Kind::Order | Kind::Check => {}
        }
        self.sync_watches();
        self.look_at_policies();
        self.tell(Severity::Info, format!("{kind} {name} was deleted"), |_| {});
        self.want_plan(format!("{kind} {name} was deleted"));
        Ok(Answer { changed: vec![format!("{kind} {name}")], ..Answer::default() })
    }

    /// Remembers a generation whose object is forgotten here but not by agents and arrays: they refuse lower ones.
    fn generation_ends(&mut self, generation: lifeboat_model::Generation) {
        self.counters.deleted = self.counters.deleted.max(generation);
        self.journal.counters = true;
    }

    /// Whether an object may be forgotten as things are.
    fn may_delete(&self, kind: Kind, name: &str) -> Result<(), Refusal> {
        match kind {
            Kind::Vm => {
                let vm = self.vms.get(name).ok_or_else(|| Refusal::not_found(kind, name))?;
                if vm.phase != Phase::Stopped {
                    return Err(Refusal::conflict(
                        format!("VM {name} is not stopped"),
                        format!("lifeboat vm stop {name}"),
                    ));
                }
            }
            Kind::Volume => {
                let volume = self.volumes.get(name).ok_or_else(|| Refusal::not_found(kind, name))?;
                if volume.op.is_some()
                    || self.owner_is_busy(&VolumeName::new(name).map_err(|_| Refusal::not_found(kind, name))?)
                {
                    return Err(Refusal::conflict(format!("volume {name} is in use"), "stop its VM first"));
                }
            }
            Kind::Host => {
                let (host, _) = self.hosts.get_key_value(name).ok_or_else(|| Refusal::not_found(kind, name))?;
                let used =
                    self.vms.iter().find(|(_, vm)| [vm.phase.occupies(), vm.phase.may_run_on()].contains(&Some(host)));
                if let Some((vm, _)) = used {
                    return Err(Refusal::conflict(
                        format!("host {name} has VM {vm}"),
                        format!("stop its VMs first: lifeboat vm stop {vm}"),
                    ));
                }
                if self.volumes.values().any(|volume| volume.record.place.host() == Some(host) && volume.op.is_some()) {
                    return Err(Refusal::conflict(
                        format!("host {name} has volumes under way"),
                        "try again in a moment",
                    ));
                }
            }
            Kind::Class | Kind::Array | Kind::Group | Kind::Rule | Kind::Restart | Kind::Order | Kind::Check => {}
        }
        Ok(())
    }

    fn owner_is_busy(&self, volume: &VolumeName) -> bool {
        let owner = self.declared.owner(volume).and_then(|vm| self.vms.get(vm));
        owner.is_some_and(|vm| vm.phase != Phase::Stopped)
    }

    fn act_on_vm(&mut self, name: &VmName, action: VmAction) -> Result<Answer, Refusal> {
        let Some(vm) = self.vms.get_mut(name) else { return Err(Refusal::not_found(Kind::Vm, name.as_str())) };
        if !vm.enabled && !matches!(action, VmAction::Enable | VmAction::Disable) {
            return Err(Refusal::conflict(
                format!("VM {name} is disabled: Lifeboat leaves it alone"),
                format!("lifeboat vm enable {name}"),
            ));
        }
        let before = vm.clone();
        match action {
            VmAction::Start => self.want_running(name),
            VmAction::Stop => self.want_stopped(name),
            VmAction::Restart => {
                let runs = matches!(vm.phase, Phase::Running { .. } | Phase::Starting { .. });
                self.want_running(name);
                if runs {
                    self.order_stop(name, true);
                }
            }
            VmAction::Disable => {
                vm.enabled = false;
                self.settle_entry(name, EntryState::Released);
                self.drop_from_plan(name);
                self.unprepare(name);
                // Stages of its group may wait for it, and VMs for its room.
                self.want_plan(format!("{name} is disabled"));
            }
            VmAction::Enable => {
                vm.enabled = true;
                self.look_again(name);
                self.want_plan(format!("{name} is enabled"));
            }
        }
        self.journal.vms.insert(name.clone());
        let said = format!("VM {name}");
        let same = self.vms.get(name) == Some(&before);
        if let Some(vm) = self.vms.get_mut(name).filter(|_| matches!(action, VmAction::Start | VmAction::Restart)) {
            vm.ordered = Some(self.now);
        }
        Ok(if same {
            Answer { unchanged: 1, ..Answer::default() }
        } else {
            Answer { changed: vec![said], ..Answer::default() }
        })
    }

    fn want_running(&mut self, name: &VmName) {
        let Some(vm) = self.vms.get_mut(name) else { return };
        vm.wanted = Wanted::Running;
        vm.given_up = None;
        vm.failures.clear();
        vm.avoid.clear();
        self.forgive_checks(name);
        self.look_again(name);
        self.want_plan(format!("an operator wants {name} to run"));
    }

    fn want_stopped(&mut self, name: &VmName) {
        let Some(vm) = self.vms.get_mut(name) else { return };
        vm.wanted = Wanted::Stopped;
        let phase = vm.phase.clone();
        self.settle_entry(name, EntryState::Released);
        self.drop_from_plan(name);
        match phase {
            Phase::Preparing { .. } => self.unprepare(name),
            Phase::Starting { .. } | Phase::Running { .. } => self.order_stop(name, true),
            Phase::Stopped | Phase::Stopping { .. } | Phase::Lost { .. } => {}
        }
        self.want_plan(format!("an operator wants {name} not to run"));
    }

    fn confirm_off(&mut self, name: &HostName) -> Result<Answer, Refusal> {
        let Some(host) = self.hosts.get(name) else { return Err(Refusal::not_found(Kind::Host, name.as_str())) };
        match &host.record.condition {
            HostCondition::Failed { .. } => {
                self.proven(name, FenceProof::Operator);
                Ok(Answer { changed: vec![format!("host {name}")], ..Answer::default() })
            }
            HostCondition::Fenced { proof, .. } => Ok(Answer {
                unchanged: 1,
                warnings: vec![format!("host {name} is fenced already: {proof}")],
                ..Answer::default()
            }),
            HostCondition::Up => Err(Refusal::conflict(
                format!("host {name} is up: it was heard {} ago", self.now.since(host.heard)),
                "a host that is up is not taken for off; if it is to be emptied, stop its VMs",
            )),
            HostCondition::New => Err(Refusal::conflict(
                format!("host {name} has never joined, so nothing of it is to be recovered"),
                format!("start its agent: lifeboat token create --host {name}"),
            )),
        }
    }

    /// Whether a volume can be opened by a host now, as far as is known.
    #[must_use]
    pub fn mapped_to(&self, volume: &VolumeName) -> Option<&HostName> {
        match &self.volumes.get(volume)?.record.place {
            VolumePlace::Mapped { host, .. } => Some(host),
            _ => None,
        }
    }
}
