//! What operators were told is so, and whether a controller that begins knows it.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_brain::fleet::{Brain, Kind, OperatorOrder, RequestId, VmAction, records::Wanted};
use lifeboat_model::{HostName, Seconds, Time, VmName};

/// An order has its effect on all that is under way within this.
const ORDERS_TAKE: Seconds = Seconds::new(300);

/// What was acknowledged of a VM.
#[derive(Clone, Copy, Debug, Default)]
struct VmWord {
    wanted: Option<bool>,
    enabled: Option<bool>,
    declared: Option<bool>,
    /// When an order for it was last given or answered, or its guest shut down.
    changed: Option<Time>,
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Memory {
    vms: BTreeMap<VmName, VmWord>,
    maintenance: BTreeMap<HostName, bool>,
    hosts: BTreeSet<HostName>,
    pending: BTreeMap<RequestId, OperatorOrder>,
}

fn touches(order: &OperatorOrder, name: &VmName) -> bool {
    match order {
        OperatorOrder::Vm { vm, .. } => vm == name,
        OperatorOrder::Apply(declaration) => declaration.vms.iter().any(|vm| vm.name == *name),
        OperatorOrder::Delete { kind: Kind::Vm, name: deleted } => deleted == name.as_str(),
        _ => false,
    }
}

impl Memory {
    pub(super) fn ordered(&mut self, request: RequestId, order: &OperatorOrder, now: Time) {
        match order {
            OperatorOrder::Vm { vm, action } => {
                let word = self.vms.entry(vm.clone()).or_default();
                word.changed = Some(now);
                match action {
                    VmAction::Start | VmAction::Stop | VmAction::Restart => word.wanted = None,
                    VmAction::Enable | VmAction::Disable => word.enabled = None,
                }
            }
            OperatorOrder::Delete { kind: Kind::Vm, name } => {
                if let Some(word) = self.vms.get_mut(name.as_str()) {
                    (word.declared, word.changed) = (None, Some(now));
                }
            }
            OperatorOrder::Delete { kind: Kind::Host, name } => {
                self.hosts.remove(name.as_str());
            }
            OperatorOrder::Maintenance { host, .. } => {
                self.maintenance.remove(host);
            }
            _ => {}
        }
        self.pending.insert(request, order.clone());
    }

    pub(super) fn acknowledged(&mut self, request: RequestId, taken: bool, now: Time) {
        let Some(order) = self.pending.remove(&request) else { return };
        if !taken {
            return;
        }
        let others = |name: &VmName| self.pending.values().any(|other| touches(other, name));
        match order {
            OperatorOrder::Vm { vm, action } if !others(&vm) => {
                let word = self.vms.entry(vm).or_default();
                word.changed = Some(now);
                match action {
                    VmAction::Start | VmAction::Restart => word.wanted = Some(true),
                    VmAction::Stop => word.wanted = Some(false),
                    VmAction::Enable => word.enabled = Some(true),
                    VmAction::Disable => word.enabled = Some(false),
                }
            }
            OperatorOrder::Apply(declaration) => {
                for vm in &declaration.vms {
                    if !others(&vm.name) {
                        let word = self.vms.entry(vm.name.clone()).or_default();
                        word.declared = Some(true);
                        word.wanted.get_or_insert(true);
                        word.enabled.get_or_insert(true);
                    }
                }
                self.hosts.extend(declaration.hosts.iter().map(|host| host.name.clone()));
            }
            OperatorOrder::Delete { kind: Kind::Vm, name } => {
                if let Some(word) = self.vms.get_mut(name.as_str()) {
                    *word = VmWord { declared: Some(false), changed: Some(now), ..VmWord::default() };
                }
            }
            OperatorOrder::Maintenance { host, on, .. } => {
                // One that has no answer yet may have had its effect.
                let other =
                    |order: &OperatorOrder| matches!(order, OperatorOrder::Maintenance { host: of, .. } if *of == host);
                if !self.pending.values().any(other) {
                    self.maintenance.insert(host, on);
                }
            }
            _ => {}
        }
    }

    pub(super) fn shut_down(&mut self, vm: &VmName, now: Time) {
        if let Some(word) = self.vms.get_mut(vm) {
            // A controller that is told leaves it off; one that is not starts it again. Both are right.
            (word.wanted, word.changed) = (None, Some(now));
        }
    }

    pub(super) fn surely_wanted(&self, vm: &VmName, now: Time) -> bool {
        self.vms.get(vm).is_some_and(|word| {
            let settled = word.changed.is_none_or(|at| now.since(at) > ORDERS_TAKE);
            settled && word.wanted == Some(true) && word.enabled == Some(true) && word.declared == Some(true)
        })
    }

    /// What a brain should know and does not.
    pub(super) fn forgotten(&self, brain: &Brain) -> Option<String> {
        for (name, word) in &self.vms {
            let record = brain.vms().get(name);
            if let Some(declared) = word.declared
                && declared != (record.is_some() && brain.declared().vms.contains_key(name))
            {
                return Some(format!(
                    "VM {name} was acknowledged as {}",
                    if declared { "declared" } else { "deleted" }
                ));
            }
            let Some(record) = record else { continue };
            if let Some(wanted) = word.wanted
                && wanted != (record.wanted == Wanted::Running)
            {
                return Some(format!("VM {name} was acknowledged as wanted: {wanted}; it is {:?}", record.wanted));
            }
            if let Some(enabled) = word.enabled
                && enabled != record.enabled
            {
                return Some(format!("VM {name} was acknowledged as enabled: {enabled}"));
            }
        }
        let lost = self.hosts.iter().find(|host| !brain.declared().hosts.contains_key(*host));
        if let Some(host) = lost {
            return Some(format!("host {host} was acknowledged as declared"));
        }
        self.maintenance.iter().find_map(|(host, on)| {
            let is = brain.hosts().get(host)?.record.maintenance;
            (is != *on).then(|| format!("maintenance of {host} was acknowledged as {on}"))
        })
    }
}
