//! Recoveries: one failure of one host, from its being declared to the last of its VMs being settled.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    HostName, VmName,
    liveness::{Evidence, VerdictRule},
};

use super::{
    Brain, RecoveryId,
    records::{EntryState, HostCondition, Phase, RecoveryEntry, RecoveryRecord, Severity, Wanted},
};

impl Brain {
    /// Opens the recovery of a host that is being declared failed. VMs that were part of another one are passed on.
    pub(super) fn open_recovery(
        &mut self,
        host: &HostName,
        lost: &BTreeSet<VmName>,
        rule: VerdictRule,
        evidence: Vec<Evidence>,
    ) -> RecoveryId {
        self.counters.recoveries += 1;
        self.journal.counters = true;
        let id = RecoveryId(self.counters.recoveries);
        let mut vms = BTreeMap::new();
        for vm in lost {
            let Some(record) = self.vms.get(vm) else { continue };
            if !record.enabled || record.wanted != Wanted::Running {
                continue;
            }
            let Some(class) = self.declared.class(vm).cloned() else { continue };
            vms.insert(vm.clone(), RecoveryEntry { class, state: EntryState::Open });
            self.settle_entry(vm, EntryState::PassedOn { to: id });
        }
        let record = RecoveryRecord {
            id,
            host: host.clone(),
            last_heard: self.hosts.get(host).map_or(self.now, |host| host.heard),
            declared: self.now,
            verdict: rule.verdict().word().to_owned(),
            rule: Some(rule),
            evidence,
            fenced: None,
            fence_problems: BTreeMap::new(),
            fence_attempts: 0,
            ladder: Vec::new(),
            plan: None,
            expected: None,
            vms,
            closed: None,
        };
        self.recoveries.insert(id, record);
        self.journal.recoveries.insert(id);
        id
    }

    /// Notes how a VM's part in its recovery ended, if it is part of one that is open for it.
    pub(super) fn settle_entry(&mut self, vm: &VmName, state: EntryState) {
        let Some(id) = self.vms.get_mut(vm).and_then(|record| record.recovery.take()) else { return };
        self.journal.vms.insert(vm.clone());
        let Some(recovery) = self.recoveries.get_mut(&id) else { return };
        if let Some(entry) = recovery.vms.get_mut(vm)
            && entry.state == EntryState::Open
        {
            entry.state = state;
            self.journal.recoveries.insert(id);
        }
    }

    /// Ends the recovery of a host that answers again: its VMs never left.
    pub(super) fn release_recovery(&mut self, host: &HostName, back: &BTreeSet<VmName>) {
        for vm in back {
            self.settle_entry(vm, EntryState::NeverLeft);
        }
        let open: Vec<RecoveryId> =
            self.open_recoveries().filter(|recovery| recovery.host == *host).map(|r| r.id).collect();
        for id in open {
            self.journal.recoveries.insert(id);
        }
    }

    /// Recoveries that have not ended.
    pub fn open_recoveries(&self) -> impl Iterator<Item = &RecoveryRecord> {
        self.recoveries.values().filter(|recovery| recovery.closed.is_none())
    }

    /// Ends the recoveries whose VMs are all settled and whose host is no longer in doubt.
    pub(super) fn close_recoveries(&mut self) {
        if self.journal.recoveries.is_empty() && self.journal.hosts.is_empty() {
            return;
        }
        let ended: Vec<RecoveryId> = self
            .open_recoveries()
            .filter(|recovery| {
                let host = self.hosts.get(&recovery.host).map(|host| &host.record.condition);
                let in_doubt = matches!(host, Some(HostCondition::Failed { recovery: id, .. }) if *id == recovery.id);
                recovery.open() == 0 && !in_doubt
            })
            .map(|recovery| recovery.id)
            .collect();
        for id in ended {
            self.close_recovery(id);
        }
    }

    fn close_recovery(&mut self, id: RecoveryId) {
        let now = self.now;
        let Some(recovery) = self.recoveries.get_mut(&id) else { return };
        recovery.closed = Some(now);
        recovery.expected = None;
        self.journal.recoveries.insert(id);
        let (host, total, ready, took) =
            (recovery.host.clone(), recovery.vms.len(), recovery.ready(), recovery.took(now));
        let mut rest: Vec<String> = Vec::new();
        for (vm, entry) in &recovery.vms {
            match &entry.state {
                EntryState::GivenUp { why } => rest.push(format!("{vm} was given up ({why})")),
                EntryState::PassedOn { to } => rest.push(format!("{vm} goes on in {to}")),
                EntryState::Released => rest.push(format!("{vm} is no longer wanted")),
                EntryState::Open | EntryState::Ready { .. } | EntryState::NeverLeft => {}
            }
        }
        let given_up = recovery.vms.values().any(|entry| matches!(entry.state, EntryState::GivenUp { .. }));
        let severity = if given_up { Severity::Critical } else { Severity::Info };
        let mut text = format!(
            "The recovery of {host} has ended: {ready} of {} up after {took}",
            lifeboat_model::text::count(total, "VM")
        );
        if !rest.is_empty() {
            text.push_str(": ");
            text.push_str(&rest.join(", "));
        }
        self.tell(severity, text, |event| (event.host, event.recovery, event.over) = (Some(host), Some(id), true));
    }

    /// Marks the VMs of a failed host as lost, and takes those that were on their way to it off it.
    pub(super) fn lose_vms(&mut self, host: &HostName, lost: &BTreeSet<VmName>, id: RecoveryId) {
        for vm in lost {
            let ready = match self.vms.get(vm).map(|record| &record.phase) {
                Some(Phase::Running { ready, .. }) => *ready,
                _ => None,
            };
            self.set_phase(vm, Phase::Lost { host: host.clone(), ready });
            let in_recovery = self.recoveries.get(&id).is_some_and(|recovery| recovery.vms.contains_key(vm));
            if let Some(record) = self.vms.get_mut(vm).filter(|_| in_recovery) {
                record.recovery = Some(id);
            }
        }
        let preparing = Phase::Preparing { host: host.clone() };
        let on_their_way: Vec<VmName> =
            self.vms.iter().filter(|(_, vm)| vm.phase == preparing).map(|(name, _)| name.clone()).collect();
        for vm in on_their_way {
            self.unprepare(&vm);
        }
    }
}
