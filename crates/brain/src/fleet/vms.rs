//! VMs: from wanting a place to being up, and what happens when one fails.
//!
//! ```text
//!            plan: first step          start ordered            process exists      check answered
//!  Stopped ───────────────► Preparing ─────────────► Starting ───────────────► Running ─────────► Running, ready
//!     ▲                                                 │ failed                  │ died              │
//!     │◄────────────────────────────────────────────────┴─────────────────────────┘                   │
//!     │◄──── process gone ───── Stopping ◄───────────────── stop ordered ─────────────────────────────┤
//!     │◄──── host proven off ── Lost ◄───────────────────── host declared failed ─────────────────────┘
//! ```

use lifeboat_model::{
    Generation, HostName, Seconds, Time, VmName, running::RunningVm, running::VmRunState, trace::What,
};

use super::{
    Brain, Effect,
    records::{EntryState, Phase, Severity, VmRecord, Wanted},
    timers::Timer,
};
use crate::message::Order;

/// The news of a guest's shutdown may be on its way for so long, until its link is given up. What an operator has ordered
/// meanwhile is the later word.
const NEWS_TAKE: Seconds = Seconds::new(15);

impl Brain {
    /// Changes a VM's phase, and all that is counted by phase.
    pub(super) fn set_phase(&mut self, name: &VmName, phase: Phase) {
        let now = self.now;
        let Some(vm) = self.vms.get_mut(name) else { return };
        if let Some(host) = vm.phase.may_run_on() {
            vm.last_host = Some(host.clone());
        }
        if let Some(host) = phase.may_run_on() {
            vm.last_host = Some(host.clone());
            if matches!(phase, Phase::Running { .. }) {
                vm.was_on.clear();
            }
            vm.was_on.insert(host.clone());
        }
        if let Some(host) = vm.phase.may_run_on().filter(|_| Self::is_starting(vm))
            && let Some(names) = self.starting.get_mut(host)
        {
            names.remove(name);
        }
        if let Some(host) = vm.phase.may_run_on()
            && let Some(names) = self.may_run.get_mut(host)
        {
            names.remove(name);
        }
        let before = std::mem::replace(&mut vm.phase, phase.clone());
        vm.since = now;
        vm.paused = None;
        vm.halted = None;
        if let Some(host) = vm.phase.may_run_on().filter(|_| Self::is_starting(vm)) {
            self.starting.entry(host.clone()).or_default().insert(name.clone());
        }
        if let Some(host) = vm.phase.may_run_on() {
            self.may_run.entry(host.clone()).or_default().insert(name.clone());
        }
        self.journal.vms.insert(name.clone());
        self.terms_due.extend(self.vms.get(name).and_then(|vm| vm.last_host.clone()));
        self.moves(&before, &phase);
        self.execution_changed();
    }

    /// Whether a VM takes one of its host's start slots: its start is ordered and it is not up yet.
    pub(super) fn is_starting(vm: &VmRecord) -> bool {
        match vm.phase {
            Phase::Starting { .. } => true,
            // One that was given up is waited for no longer.
            Phase::Running { ready: None, .. } => vm.given_up.is_none(),
            _ => false,
        }
    }

    /// Orders the start of a prepared VM.
    ///
    /// This is the fencing gate's last post: only a VM whose process surely exists nowhere is `Preparing`.
    pub(super) fn order_start(&mut self, name: &VmName, host: &HostName) {
        let Some(vm) = self.vms.get(name) else { return };
        let prepared = vm.phase == Phase::Preparing { host: host.clone() };
        let again = vm.phase == Phase::Starting { host: host.clone() };
        assert!(prepared || again, "{name} is ordered to start on {host} while it is {:?}", vm.phase);
        if prepared {
            self.set_phase(name, Phase::Starting { host: host.clone() });
        }
        self.command(name, host, Order::Start);
    }

    /// Orders the stop of a VM whose process may exist.
    pub(super) fn order_stop(&mut self, name: &VmName, graceful: bool) {
        let Some(host) = self.vms.get(name).and_then(|vm| vm.phase.may_run_on().cloned()) else { return };
        self.commands.forget_vm(name);
        self.set_phase(name, Phase::Stopping { host: host.clone() });
        self.command(name, &host, Order::Stop { graceful });
    }

    /// A VM's process was seen to exist on its host.
    pub(super) fn vm_seen(&mut self, host: &HostName, name: &VmName, state: VmRunState) {
        self.note_paused(name, state);
        let Some(vm) = self.vms.get(name) else { return };
        let unwanted = vm.enabled && vm.wanted != Wanted::Running;
        match vm.phase {
            Phase::Starting { .. } | Phase::Running { .. } if unwanted => self.order_stop(name, true),
            Phase::Starting { .. } if state == VmRunState::Running => self.vm_started(name, host),
            Phase::Starting { .. } if !self.commands.has(name, vm.generation) => self.order_start(name, host),
            Phase::Running { .. } if state == VmRunState::Watchdog => self.vm_hangs(name),
            Phase::Running { ready: None, .. } => self.begin_check(name),
            Phase::Stopping { .. } if !self.commands.has(name, vm.generation) => self.order_stop(name, true),
            _ => {}
        }
    }

    /// A VM's process exists and its guest executes.
    pub(super) fn vm_started(&mut self, name: &VmName, host: &HostName) {
        self.commands.forget_vm(name);
        self.set_phase(name, Phase::Running { host: host.clone(), ready: None });
        let event = self.trace(What::VmStarted).host(host).vm(name);
        self.add_trace(event);
        self.begin_check(name);
    }

    /// How long a VM has to answer its check.
    pub(super) fn start_limit(&self, start: Seconds) -> Seconds {
        self.settings.retries.start_timeout_s.max(start * 4)
    }

    /// Looks again at a VM that runs and has not answered.
    pub(super) fn look_again(&mut self, name: &VmName) {
        if self.vms.get(name).is_some_and(|vm| matches!(vm.phase, Phase::Running { ready: None, .. })) {
            self.begin_check(name);
        }
    }

    fn begin_check(&mut self, name: &VmName) {
        let (Some(vm), Some(spec)) = (self.vms.get(name), self.declared.vms.get(name)) else { return };
        let Some(check) = spec.check.clone() else {
            self.vm_ready(name);
            return;
        };
        let generation = vm.generation;
        if !self.commands.begin_check(name, generation) {
            return;
        }
        let until = self.now + self.start_limit(spec.start_s);
        self.journal.effects.push(Effect::Check { vm: name.clone(), generation, check, until });
    }

    pub(super) fn check_ended(&mut self, name: &VmName, generation: Generation, result: Result<(), String>) {
        if !self.commands.end_check(name, generation) {
            return;
        }
        let Some(vm) = self.vms.get(name) else { return };
        let Phase::Running { host, ready: None } = vm.phase.clone() else { return };
        if !vm.enabled && result.is_err() {
            return;
        }
        match result {
            Ok(()) => self.vm_ready(name),
            Err(seen) => {
                let why = format!("it runs on {host} but does not answer its check: {seen}");
                if self.count_failure(name, &host, &why, false) {
                    self.order_stop(name, false);
                } else {
                    self.give_up(name, &why);
                }
            }
        }
    }

    /// A VM is up.
    fn vm_ready(&mut self, name: &VmName) {
        let now = self.now;
        let Some(vm) = self.vms.get_mut(name) else { return };
        let Phase::Running { host, ready: None } = vm.phase.clone() else { return };
        vm.avoid.clear();
        vm.problem = None;
        vm.given_up = None;
        vm.move_to = None;
        self.drain_due = true;
        let recovery = vm.recovery;
        self.set_phase(name, Phase::Running { host: host.clone(), ready: Some(now) });
        self.settle_entry(name, EntryState::Ready { host: host.clone(), at: now });
        self.is_home(name, &host);
        let event = self.trace(What::VmReady).host(&host).vm(name);
        self.add_trace(event);
        let after = recovery.and_then(|id| self.recoveries.get(&id)).map(|recovery| now.since(recovery.declared));
        let text = match after {
            Some(after) => format!("{name} is up on {host}, {after} after its host was declared failed"),
            None => format!("{name} is up on {host}"),
        };
        self.tell(Severity::Info, text, |event| {
            (event.host, event.vm, event.recovery) = (Some(host), Some(name.clone()), recovery);
        });
        self.start_step_done(name);
        self.unpark_starts();
    }

    /// A VM's process ended, or was found to be gone, without an order.
    pub(super) fn vm_exited(
        &mut self,
        host: &HostName,
        name: &VmName,
        generation: Generation,
        by_guest: bool,
        detail: &str,
    ) {
        let Some(vm) = self.vms.get(name) else { return };
        if vm.generation != generation || vm.phase.may_run_on() != Some(host) {
            return;
        }
        let was = vm.phase.clone();
        self.commands.forget_vm(name);
        if let Phase::Stopping { .. } = was {
            self.vm_stopped(name, host);
            return;
        }
        self.set_phase(name, Phase::Stopped);
        let event = self.trace(What::VmStopped).host(host).vm(name);
        self.add_trace(event);
        let Some(vm) = self.vms.get_mut(name) else { return };
        if !vm.enabled {
            self.want_plan(format!("{name} has ended"));
            return;
        }
        let ordered = vm.ordered.is_some_and(|at| self.now.since(at) < NEWS_TAKE);
        if by_guest && ordered {
            let text = format!("{name} shut itself down on {host} when it was ordered to run: it is started again");
            self.tell(Severity::Info, text, |event| (event.host, event.vm) = (Some(host.clone()), Some(name.clone())));
            self.want_plan(format!("{name} was ordered to run"));
            return;
        }
        if by_guest {
            vm.wanted = Wanted::ShutDown;
            self.settle_entry(name, EntryState::Released);
            self.drop_from_plan(name);
            let text = format!("{name} shut itself down on {host}. It is left off: lifeboat vm start {name} starts it");
            self.tell(Severity::Info, text, |event| (event.host, event.vm) = (Some(host.clone()), Some(name.clone())));
            self.want_plan(format!("{name} has shut itself down"));
            return;
        }
        let why = format!("it died on {host}: {detail}");
        self.failed_on(name, host, &why, true);
    }

    /// A VM failed on a host and its process is gone: tries again there or elsewhere, or gives it up.
    pub(super) fn failed_on(&mut self, name: &VmName, host: &HostName, why: &str, here_again: bool) {
        self.drop_from_plan(name);
        self.doubt_volumes(name, host);
        if self.count_failure(name, host, why, here_again) {
            self.want_plan(format!("{name} has failed"));
        } else {
            self.give_up(name, why);
        }
    }

    /// Counts a failure; whether the VM may be tried again. Its host is avoided when trying there again is no use, or was
    /// tried often enough.
    pub(super) fn count_failure(&mut self, name: &VmName, host: &HostName, why: &str, here_again: bool) -> bool {
        let now = self.now;
        let retries = self.settings.retries.clone();
        let Some(vm) = self.vms.get_mut(name) else { return false };
        vm.failures.retain(|at: &Time| now.since(*at) < retries.window_s);
        vm.failures.push(now);
        vm.move_to = None;
        vm.problem = Some(why.to_owned());
        let failures = vm.failures.len();
        let moves = !here_again || failures > retries.restarts_in_place as usize;
        self.journal.vms.insert(name.clone());
        if moves {
            self.avoid(name, host);
        }
        if failures >= retries.attempts as usize {
            return false;
        }
        let next = if moves { "It is started elsewhere" } else { "It is restarted there" };
        let text = format!("{name} has failed: {why}. {next} (failure {failures} of {} allowed)", retries.attempts);
        self.tell(Severity::Warning, text, |event| (event.host, event.vm) = (Some(host.clone()), Some(name.clone())));
        true
    }

    /// Keeps a VM from a host. When that would leave it no host at all, the others are forgiven, and this one too when
    /// there is no other.
    pub(super) fn avoid(&mut self, name: &VmName, host: &HostName) {
        let takers: Vec<HostName> = self.hosts.keys().filter(|host| self.takes_vms(host)).cloned().collect();
        let Some(vm) = self.vms.get_mut(name) else { return };
        vm.avoid.insert(host.clone());
        if takers.iter().all(|host| vm.avoid.contains(host)) {
            vm.avoid.clear();
            if takers.iter().any(|other| other != host) {
                vm.avoid.insert(host.clone());
            }
        }
        self.journal.vms.insert(name.clone());
    }

    pub(super) fn give_up(&mut self, name: &VmName, why: &str) {
        let Some(vm) = self.vms.get_mut(name) else { return };
        vm.given_up = Some(why.to_owned());
        if let Some(names) = vm.phase.may_run_on().and_then(|host| self.starting.get_mut(host)) {
            names.remove(name);
        }
        self.journal.vms.insert(name.clone());
        self.execution_changed();
        self.drop_from_plan(name);
        self.settle_entry(name, EntryState::GivenUp { why: why.to_owned() });
        let text = format!("{name} is given up: {why}. When the cause is mended: lifeboat vm start {name}");
        self.tell(Severity::Critical, text, |event| event.vm = Some(name.clone()));
        // Others of its group that wait for it learn that they wait in vain.
        self.want_plan(format!("{name} is given up"));
    }

    /// A VM that was ordered to stop is gone.
    pub(super) fn vm_stopped(&mut self, name: &VmName, host: &HostName) {
        self.set_phase(name, Phase::Stopped);
        let event = self.trace(What::VmStopped).host(host).vm(name);
        self.add_trace(event);
        let wanted = self.vms.get(name).is_some_and(|vm| vm.wanted == Wanted::Running);
        if !wanted {
            let text = format!("{name} is stopped, as an operator asked");
            self.tell(Severity::Info, text, |event| event.vm = Some(name.clone()));
        }
        self.want_plan(format!("{name} has stopped"));
    }

    /// Notes whether a VM's guest executes. One that is still being started does not yet, which is as it should be.
    fn note_paused(&mut self, name: &VmName, state: VmRunState) {
        let now = self.now;
        let Some(vm) = self.vms.get_mut(name) else { return };
        let halted = Some(state).filter(|state| !state.executes() && matches!(vm.phase, Phase::Running { .. }));
        if halted != vm.halted {
            vm.halted = halted;
            vm.paused = halted.map(|_| vm.paused.unwrap_or(now));
            self.journal.vms.insert(name.clone());
            let goes_on = halted.is_none();
            if let Some(host) = vm.phase.may_run_on().cloned() {
                self.doubt_paths(&host);
            }
            if goes_on {
                self.paths_are_back(name);
            }
        }
    }

    /// A VM's guest stopped executing, or goes on.
    pub(super) fn vm_changed(&mut self, host: &HostName, report: &RunningVm) {
        let Some(vm) = self.vms.get_mut(&report.vm) else { return };
        if vm.generation != report.generation || vm.phase.may_run_on() != Some(host) {
            return;
        }
        let (severity, text) = match report.state {
            VmRunState::Paused => {
                vm.problem = Some("its guest is paused".to_owned());
                (Severity::Warning, format!("{} is paused on {host}", report.vm))
            }
            VmRunState::IoError => {
                vm.problem = Some("its guest is paused because a volume gave an I/O error".to_owned());
                (Severity::Warning, format!("{} is paused on {host} because a volume gave an I/O error", report.vm))
            }
            VmRunState::Watchdog => {
                vm.problem = Some("its guest hangs: its watchdog ran out".to_owned());
                (Severity::Warning, format!("{} hangs on {host}: its watchdog ran out", report.vm))
            }
            VmRunState::Running => {
                vm.problem = None;
                (Severity::Info, format!("{} goes on running on {host}", report.vm))
            }
        };
        self.journal.vms.insert(report.vm.clone());
        self.note_paused(&report.vm, report.state);
        self.tell(severity, text, |event| (event.host, event.vm) = (Some(host.clone()), Some(report.vm.clone())));
        if report.state == VmRunState::Watchdog {
            self.vm_hangs(&report.vm);
        }
    }

    /// A VM's stop did not go well: orders it again.
    pub(super) fn vm_timer(&mut self, name: &VmName) {
        let Some(vm) = self.vms.get(name) else { return };
        if matches!(vm.phase, Phase::Stopping { .. }) && !self.commands.has(name, vm.generation) {
            self.order_stop(name, false);
        }
    }

    pub(super) fn stop_failed(&mut self, name: &VmName, problem: &str) {
        if let Some(vm) = self.vms.get_mut(name) {
            vm.problem = Some(problem.to_owned());
            self.journal.vms.insert(name.clone());
        }
        self.timers.set(Timer::Vm(name.clone()), self.now + self.settings.retries.longest_pause_s);
    }
}
