//! When to plan, what is asked, and what is done with the answer.
//!
//! One plan holds at a time. Whenever the world differs from it (a host failed, a VM failed, an operator wants something,
//! room has appeared) it is replaced by a new one, made from the fleet as it then is, that names it as its parent. VMs
//! whose preparation has begun stay with their host; VMs whose start is ordered are no longer planned for.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{
    HostName, Seconds, VmName,
    fleet::{Fleet, HostState as Takes, OneOrMany},
    plan::{Plan, Request},
};

use lifeboat_planner::{Options, RoomMaking};

use super::{
    Brain, Execution, PlanId,
    records::{HostCondition, Phase, PlanRecord, Severity, VmRecord, Wanted},
    timers::Timer,
};

/// After a plan was refused by the checker it is made again at the next change, and after this at the latest.
const REFUSED_PAUSE: Seconds = Seconds::new(10);

/// How much the planner searches at most: some tens of milliseconds, so that whoever is heard meanwhile does not wait for it.
pub(super) const EFFORT: u64 = 200_000;
/// How much it searches for each VM that gets a place: a few of them are soon placed as well as they can be.
const EFFORT_A_VM: u64 = 5_000;

/// How much the planner searches for a request.
fn effort(fleet: &Fleet, request: &Request) -> u64 {
    let lost = |vm: &&lifeboat_model::fleet::Vm| vm.host.as_ref().is_some_and(|host| request.failed.contains(host));
    let enough = usize::try_from(EFFORT / EFFORT_A_VM).unwrap_or(usize::MAX);
    let vms = request.place.len() + fleet.vms.iter().filter(lost).take(enough).count();
    EFFORT.min(EFFORT_A_VM * vms as u64)
}

impl Brain {
    /// The fleet as it is: what runs where, which hosts take VMs. VMs of failed hosts are still shown there.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let mut fleet = self.declared.as_fleet();
        for host in &mut fleet.hosts {
            host.state = self.host_takes(&host.name);
        }
        for vm in &mut fleet.vms {
            vm.host = self.vms.get(&vm.name).and_then(|record| match &record.phase {
                Phase::Lost { host, .. } => Some(host.clone()),
                phase => phase.occupies().cloned(),
            });
        }
        fleet
    }

    /// Whether a host gets VMs now: it is up, it is heard, and nobody keeps it from them.
    #[must_use]
    pub fn takes_vms(&self, name: &HostName) -> bool {
        self.host_takes(name) == Takes::Up
    }

    /// Whether a host is kept from getting VMs, by its declaration or by an order.
    #[must_use]
    pub fn in_maintenance(&self, name: &HostName) -> bool {
        let ordered = self.hosts.get(name).is_some_and(|host| host.record.maintenance);
        ordered || self.declared.hosts.get(name).is_some_and(|spec| spec.maintenance.is_some())
    }

    fn host_takes(&self, name: &HostName) -> Takes {
        let Some(host) = self.hosts.get(name) else { return Takes::Down };
        let recently = self.now.since(host.heard) < host.policy.suspect_after_s;
        match host.record.condition {
            HostCondition::Up
                if self.in_maintenance(name) || self.kept_out(name) || !(host.link.is_some() || recently) =>
            {
                Takes::Maintenance
            }
            HostCondition::Up => Takes::Up,
            HostCondition::New | HostCondition::Failed { .. } | HostCondition::Fenced { .. } => Takes::Down,
        }
    }

    /// Whether a VM shall get a place by the next plan.
    fn wants_place(&self, name: &VmName, vm: &VmRecord) -> bool {
        let looked_after = vm.enabled && vm.wanted == Wanted::Running && vm.given_up.is_none();
        looked_after
            && match &vm.phase {
                Phase::Lost { .. } => true,
                // One that waits in vain for an earlier stage holds no room and no volumes.
                Phase::Preparing { .. } => self.stage_lost(name).is_none(),
                Phase::Stopped => !self.must_wait(name, vm) && self.stage_lost(name).is_none(),
                Phase::Starting { .. } | Phase::Running { .. } | Phase::Stopping { .. } => false,
            }
    }

    /// Whether a stopped VM waits for hosts to appear: its own declared host at first, any at a controller's start.
    fn must_wait(&self, name: &VmName, vm: &VmRecord) -> bool {
        if vm.recovery.is_some() {
            return self.missing_links();
        }
        if self.settling() {
            return true;
        }
        self.first_host(name, vm)
            .is_some_and(|host| self.hosts.get(host).is_some_and(|host| host.record.condition == HostCondition::New))
    }

    /// Whether this controller has just begun and waits for the agents of hosts that it knows.
    pub(super) fn missing_links(&self) -> bool {
        let young = self.now < self.started + self.settings.liveness.grace_s;
        young && self.hosts.values().any(|host| host.record.condition == HostCondition::Up && host.link.is_none())
    }

    /// A host that a VM ran on last, or was to start on since, while that host is declared failed and not fenced: the VM is
    /// said to have ended there, but nothing of a host in doubt starts elsewhere before the proof.
    fn in_doubt<'a>(&self, vm: &'a VmRecord) -> Option<&'a HostName> {
        if vm.phase.may_run_on().is_some() {
            return None;
        }
        let failed = |host: &&HostName| {
            let state = self.hosts.get(*host);
            state.is_some_and(|state| matches!(state.record.condition, HostCondition::Failed { .. }))
        };
        vm.last_host.iter().chain(&vm.was_on).find(failed)
    }

    /// Whether a VM is not to be started yet since a host where it was is in doubt. The plan says so too; but a preparation
    /// that had begun before goes on, and ends after, that host's failure.
    pub(super) fn start_in_doubt(&self, vm: &VmName) -> bool {
        self.vms.get(vm).is_some_and(|record| self.in_doubt(record).is_some())
    }

    /// The VM of an earlier stage of a VM's group that was given up, so that the VM waits for a person.
    #[must_use]
    pub fn stage_lost(&self, name: &VmName) -> Option<&VmName> {
        let (group, stage) = self.declared.stage(name)?;
        group.stages[..stage].iter().flatten().find(|vm| {
            self.vms.get(*vm).is_some_and(|vm| vm.enabled && vm.wanted == Wanted::Running && vm.given_up.is_some())
        })
    }

    /// The declared host of a VM that has never run.
    fn first_host(&self, name: &VmName, vm: &VmRecord) -> Option<&HostName> {
        if vm.generation > vm.born {
            return None;
        }
        self.declared.vms.get(name).and_then(|spec| spec.host.as_ref())
    }

    /// The host that a VM goes to if it can: where its preparation has begun, where it ran, where it is declared.
    fn pin(&self, name: &VmName, vm: &VmRecord) -> Option<HostName> {
        let host = match (&vm.phase, &vm.move_to) {
            (Phase::Preparing { host }, _) | (_, Some(host)) => host,
            _ => self.first_host(name, vm).or(vm.last_host.as_ref())?,
        };
        let takes = self.takes_vms(host) && !vm.avoid.contains(host);
        takes.then(|| host.clone())
    }

    pub(super) fn request(&self) -> (Fleet, Request) {
        let mut fleet = self.fleet();
        let mut request = Request::default();
        let failed = |host: &super::HostState| matches!(host.record.condition, HostCondition::Failed { .. });
        request.failed = self.hosts.iter().filter(|(_, host)| failed(host)).map(|(name, _)| name.clone()).collect();
        for vm in &mut fleet.vms {
            let Some(record) = self.vms.get(&vm.name) else { continue };
            let wants = self.wants_place(&vm.name, record);
            let doubt = self.in_doubt(record).filter(|_| wants);
            match &record.phase {
                Phase::Lost { .. } if wants => {}
                Phase::Preparing { .. } | Phase::Stopped if doubt.is_some() => vm.host = doubt.cloned(),
                Phase::Lost { .. } | Phase::Preparing { .. } | Phase::Stopped => vm.host = None,
                Phase::Running { ready: Some(_), .. } if record.enabled => continue,
                Phase::Starting { host } | Phase::Running { host, .. } | Phase::Stopping { host } => {
                    // It is not to be moved, or not now: it makes room for nobody.
                    vm.preemptible = false;
                    vm.requires.insert("host".to_owned(), OneOrMany::One(host.to_string()));
                    continue;
                }
            }
            if wants && doubt.is_none() && !matches!(record.phase, Phase::Lost { .. }) {
                request.place.insert(vm.name.clone(), self.pin(&vm.name, record));
            }
            if wants && !record.avoid.is_empty() {
                request.avoid.insert(vm.name.clone(), record.avoid.clone());
            }
        }
        let lost: BTreeSet<&HostName> = fleet.vms.iter().filter_map(|vm| vm.host.as_ref()).collect();
        request.failed.retain(|host| lost.contains(host));
        (fleet, request)
    }

    /// Makes a new plan if the current one no longer fits.
    pub(super) fn plan_if_needed(&mut self) {
        let Some(why) = self.replan.take() else { return };
        self.drain_due = true;
        let (fleet, mut request) = self.request();
        if request.failed.is_empty() && request.place.is_empty() {
            self.replace_execution(None);
            self.unplaced.clear();
            return;
        }
        let Some(mut plan) = self.plan(&fleet, &request, RoomMaking::Never) else { return };
        // A VM that cannot have the host that it would go to by itself may go anywhere.
        let stuck: Vec<VmName> = plan
            .unplaced
            .iter()
            .map(|unplaced| unplaced.vm.clone())
            .filter(|vm| matches!(request.place.get(vm), Some(Some(_))))
            .collect();
        if !plan.unplaced.is_empty() {
            request.place.extend(stuck.into_iter().map(|vm| (vm, None)));
            // Nor does one wait for ever that would fit only where it failed before: how often it may fail is counted.
            for unplaced in &plan.unplaced {
                request.avoid.remove(&unplaced.vm);
            }
            let Some(again) = self.plan(&fleet, &request, RoomMaking::Stop) else { return };
            plan = again;
        }
        self.adopt(why, request, plan);
    }

    /// A plan that the checker has accepted; none: it was refused, which is reported.
    fn plan(&mut self, fleet: &Fleet, request: &Request, room: RoomMaking) -> Option<Plan> {
        let options = Options { effort: effort(fleet, request), room, ..Options::default() };
        let problem = match lifeboat_planner::plan(fleet, request, &options) {
            Ok(plan) => {
                let violations = lifeboat_plancheck::check(fleet, request, &plan);
                match violations.first() {
                    None => return Some(plan),
                    Some(first) => {
                        format!("the plan checker refused it ({} violations; the first: {first})", violations.len())
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        self.timers.set(Timer::Settle, self.now + REFUSED_PAUSE);
        self.tell(
            Severity::Critical,
            format!("No plan could be made: {problem}. Nothing is started until one can. Please report this with the output of lifeboat export"),
            |_| {},
        );
        None
    }

    fn adopt(&mut self, why: String, request: Request, plan: Plan) {
        self.note_unplaced(&plan);
        self.counters.plans += 1;
        self.journal.counters = true;
        let id = PlanId(self.counters.plans);
        let parent = self.execution.as_ref().map(|execution| execution.id);
        let made = self.now;
        let execution = Execution::new(id, parent, made, &plan);
        let (starts, makespan) = (plan.placements.len(), plan.summary.makespan_s);
        if starts > 0 {
            let starts = lifeboat_model::text::count(starts, "VM");
            let text = format!("Plan {id} ({why}): {starts} to start, the last to be up in {makespan}");
            self.tell(Severity::Info, text, |_| {});
        }
        self.plans.insert(id, PlanRecord { id, parent, made, why, request, plan });
        self.journal.new_plans.push(id);
        self.replace_execution((starts > 0).then_some(execution));
        self.note_in_recoveries(id, made + makespan);
    }

    /// Tells of VMs that have no place now and had none of that reason before.
    fn note_unplaced(&mut self, plan: &Plan) {
        let now: BTreeMap<_, _> =
            plan.unplaced.iter().map(|unplaced| (unplaced.vm.clone(), unplaced.reason.clone())).collect();
        let before = std::mem::replace(&mut self.unplaced, now.clone());
        for (vm, reason) in now {
            if before.get(&vm) == Some(&reason) {
                continue;
            }
            let recovery = self.vms.get(&vm).and_then(|record| record.recovery);
            let text = format!("{vm} has no place: {reason}. It is placed as soon as there is room");
            self.tell(Severity::Warning, text, |event| (event.vm, event.recovery) = (Some(vm.clone()), recovery));
        }
    }

    fn note_in_recoveries(&mut self, plan: PlanId, expected: lifeboat_model::Time) {
        let open: Vec<_> = self.open_recoveries().map(|recovery| recovery.id).collect();
        for id in open {
            if let Some(recovery) = self.recoveries.get_mut(&id) {
                recovery.plan = Some(plan);
                recovery.expected = Some(expected);
                self.journal.recoveries.insert(id);
            }
        }
    }

    /// Why a VM that is wanted does not run, for a person; none: it runs, or is not wanted.
    #[must_use]
    pub fn why_not(&self, name: &VmName) -> Option<String> {
        let vm = self.vms.get(name)?;
        if let Some(why) = &vm.given_up {
            return Some(format!("given up: {why}. When the cause is mended: lifeboat vm start {name}"));
        }
        if !vm.enabled || vm.wanted != Wanted::Running {
            return None;
        }
        match &vm.phase {
            Phase::Running { .. } | Phase::Stopping { .. } | Phase::Starting { .. } => vm.problem.clone(),
            Phase::Lost { host, .. } => self.fence_wait(host),
            Phase::Preparing { .. } | Phase::Stopped => {
                if let Some(host) = self.in_doubt(vm) {
                    return self.fence_wait(host);
                }
                if let Some(reason) = self.unplaced.get(name) {
                    return Some(format!("no place: {reason}"));
                }
                if let Some(lost) = self.stage_lost(name) {
                    return Some(format!("waits for {lost} of an earlier stage of its group, which was given up"));
                }
                let waits_for = self.first_host(name, vm).filter(|_| self.must_wait(name, vm));
                waits_for.map(|host| format!("waits for the agent of {host} to join")).or_else(|| vm.problem.clone())
            }
        }
    }
}
