//! Moving VMs on an operator's word: one, or all of a host that is being emptied.
//!
//! A VM moves by being stopped and started (moving while it runs comes with live migration). It is stopped only when a
//! plan has a place for it, a few at a time of each host, and the next ones only when those are up again: what is lost to a
//! bad guess is little, and what fits stays up. Where a VM goes is written beside its stop, so that a controller that
//! begins in between goes on with it.

use std::collections::BTreeMap;

use lifeboat_model::{HostName, VmName, plan::Request};
use lifeboat_planner::{Options, RoomMaking};

use super::{
    Answer, Brain, Kind, Refusal,
    planning::EFFORT,
    records::{HostCondition, Phase, Severity, Upkeep, Wanted},
};

impl Brain {
    /// Whether a VM is up and may be moved.
    pub(super) fn may_move(&self, name: &VmName) -> bool {
        self.vms.get(name).is_some_and(|vm| {
            vm.enabled && vm.wanted == Wanted::Running && matches!(vm.phase, Phase::Running { ready: Some(_), .. })
        })
    }

    /// Where running VMs would go that move now: each to its host, or to any; and why the others have no place. Nobody has
    /// to make room for them.
    pub(super) fn places(
        &self,
        vms: &BTreeMap<VmName, Option<HostName>>,
    ) -> (BTreeMap<VmName, HostName>, BTreeMap<VmName, String>) {
        let (mut fleet, _) = self.request();
        for vm in fleet.vms.iter_mut().filter(|vm| vms.contains_key(&vm.name)) {
            vm.host = None;
        }
        let avoid = |name: &VmName| self.vms.get(name).map(|vm| vm.avoid.clone()).filter(|avoid| !avoid.is_empty());
        let avoid = vms.keys().filter_map(|name| Some((name.clone(), avoid(name)?))).collect();
        let request = Request { place: vms.clone(), avoid, ..Request::default() };
        let refused = |why: String| (BTreeMap::new(), vms.keys().map(|vm| (vm.clone(), why.clone())).collect());
        let options = Options { effort: EFFORT, room: RoomMaking::Never, ..Options::default() };
        match lifeboat_planner::plan(&fleet, &request, &options) {
            Err(error) => refused(error.to_string()),
            Ok(plan) => {
                let without = plan.unplaced.iter().map(|unplaced| (unplaced.vm.clone(), unplaced.reason.to_string()));
                (plan.placements.clone(), without.collect())
            }
        }
    }

    pub(super) fn begin_move(&mut self, name: &VmName, to: &HostName, why: &str) {
        let from = self.vms.get(name).and_then(|vm| vm.phase.may_run_on().cloned());
        if let Some(vm) = self.vms.get_mut(name) {
            vm.move_to = Some(to.clone());
        }
        self.tell(Severity::Info, format!("{name} moves to {to}: {why}"), |event| {
            (event.host, event.vm) = (from, Some(name.clone()));
        });
        self.order_stop(name, true);
    }

    /// An operator wants a VM on a host.
    pub(super) fn move_vm(&mut self, name: &VmName, to: &HostName) -> Result<Answer, Refusal> {
        let Some(vm) = self.vms.get(name) else { return Err(Refusal::not_found(Kind::Vm, name.as_str())) };
        if !self.hosts.contains_key(to) {
            return Err(Refusal::not_found(Kind::Host, to.as_str()));
        }
        if vm.phase.may_run_on() == Some(to) {
            return Ok(Answer { unchanged: 1, ..Answer::default() });
        }
        if !self.may_move(name) {
            let advice = format!("lifeboat get vms {name} says how it is");
            return Err(Refusal::conflict(format!("VM {name} is not up, so it is not moved"), advice));
        }
        let (places, problems) = self.places(&BTreeMap::from([(name.clone(), Some(to.clone()))]));
        if places.get(name) != Some(to) {
            let why = problems.get(name).cloned().unwrap_or_else(|| "it has no place there".to_owned());
            return Err(Refusal::conflict(format!("VM {name} is not moved to {to}: {why}"), "choose another host"));
        }
        if let Some(vm) = self.vms.get_mut(name) {
            vm.home = None;
        }
        self.begin_move(name, to, "an operator wants it there");
        Ok(Answer { changed: vec![format!("VM {name}")], ..Answer::default() })
    }

    /// An operator wants a host empty.
    pub(super) fn drain(&mut self, name: &HostName) -> Result<Answer, Refusal> {
        let Some(host) = self.hosts.get_mut(name) else {
            return Err(Refusal::not_found(Kind::Host, name.as_str()));
        };
        if host.record.draining {
            return Ok(Answer { unchanged: 1, ..Answer::default() });
        }
        (host.record.maintenance, host.record.draining) = (true, true);
        let since = self.now;
        host.record.upkeep.get_or_insert_with(|| Upkeep { since, ..Upkeep::default() });
        self.journal.hosts.insert(name.clone());
        let text = format!("{name} is being emptied: it gets no new VMs, and its VMs move elsewhere");
        self.tell(Severity::Info, text, |event| event.host = Some(name.clone()));
        self.want_plan(format!("{name} is being emptied"));
        self.drain_due = true;
        Ok(Answer { changed: vec![format!("host {name}")], ..Answer::default() })
    }

    /// Moves the next VMs off hosts that are being emptied, when nothing else is under way.
    pub(super) fn drain_next(&mut self) {
        if !self.drain_due || self.execution.is_some() || self.replan.is_some() {
            return;
        }
        self.drain_due = false;
        let on_the_way = |vm: &super::VmRecord| vm.move_to.is_some() && vm.wanted == Wanted::Running && vm.enabled;
        if self.vms.values().any(on_the_way) {
            return;
        }
        let draining = |host: &super::HostState| {
            let leaves = host.record.draining || self.leaves_by_moving(host) || self.leaves_bad_hardware(host);
            leaves && host.record.condition == HostCondition::Up
        };
        let hosts: Vec<HostName> =
            self.hosts.iter().filter(|(_, host)| draining(host)).map(|(name, _)| name.clone()).collect();
        for host in hosts {
            self.drain_some_of(&host);
        }
        if !self.vms.values().any(on_the_way) {
            self.failback_some();
        }
    }

    fn drain_some_of(&mut self, host: &HostName) {
        let limit = self.starts_of(host);
        let here: Vec<VmName> = self.vms_that_may_run_on(host).into_iter().filter(|vm| self.may_move(vm)).collect();
        let wanted: BTreeMap<VmName, Option<HostName>> = here.into_iter().map(|vm| (vm, None)).collect();
        if wanted.is_empty() {
            return;
        }
        let (places, problems) = self.places(&wanted);
        for vm in self.by_rank(places.keys().cloned()).into_iter().take(limit) {
            let Some(to) = places.get(&vm) else { continue };
            // What leaves bad hardware is not to go back to it by itself.
            let bad = self.hosts.get(host).is_some_and(|host| host.record.hardware.suspect.is_some());
            if !bad {
                self.remember_home(&vm, host);
            }
            self.begin_move(&vm, to, &format!("{host} is being emptied"));
        }
        for (vm, why) in problems {
            let problem = format!("it cannot leave {host}, which is being emptied: {why}");
            let Some(record) = self.vms.get_mut(&vm) else { continue };
            if record.problem.as_ref() == Some(&problem) {
                continue;
            }
            record.problem = Some(problem.clone());
            self.journal.vms.insert(vm.clone());
            self.tell(Severity::Warning, format!("{vm}: {problem}"), |event| {
                (event.host, event.vm) = (Some(host.clone()), Some(vm.clone()));
            });
        }
    }
}
