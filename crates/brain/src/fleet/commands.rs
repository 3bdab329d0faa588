//! Commands to agents that have had no answer, and checks that are under way.
//!
//! A command is said again, with the same number, when its agent comes back on a new link and when it has had no answer
//! for long; agents obey a repeated command once.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{Generation, HostName, VmName};

use super::{
    Brain,
    records::{Phase, Severity},
    timers::Timer,
};
use crate::message::{Command, CommandId, Order, Outcome, ToAgent};

#[derive(Debug)]
struct Pending {
    host: HostName,
    command: Command,
}

/// What was ordered and has not ended.
#[derive(Debug, Default)]
pub(super) struct Commands {
    next: u64,
    pending: BTreeMap<CommandId, Pending>,
    of_vm: BTreeMap<VmName, BTreeSet<CommandId>>,
    checks: BTreeMap<VmName, Generation>,
}

impl Commands {
    /// Whether a command for this intent of the VM has had no answer.
    pub(super) fn has(&self, vm: &VmName, generation: Generation) -> bool {
        self.of_vm
            .get(vm)
            .into_iter()
            .flatten()
            .any(|id| self.pending.get(id).is_some_and(|pending| pending.command.generation == generation))
    }

    /// Whether this very order for this intent of the VM has had no answer.
    pub(super) fn has_order(&self, vm: &VmName, generation: Generation, order: &Order) -> bool {
        let commands = self.of_vm.get(vm).into_iter().flatten().filter_map(|id| self.pending.get(id));
        commands.into_iter().any(|pending| {
            let Command { generation: of, order: given, .. } = &pending.command;
            *of == generation && given == order
        })
    }

    fn take(&mut self, id: CommandId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(ids) = self.of_vm.get_mut(&pending.command.vm) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of_vm.remove(&pending.command.vm);
            }
        }
        Some(pending)
    }

    /// Forgets all that was ordered of a VM, its check too: what comes of it no longer matters.
    pub(super) fn forget_vm(&mut self, vm: &VmName) {
        for id in self.of_vm.remove(vm).unwrap_or_default() {
            self.pending.remove(&id);
        }
        self.checks.remove(vm);
    }

    /// Notes that a check begins; false when one for this generation is under way.
    pub(super) fn begin_check(&mut self, vm: &VmName, generation: Generation) -> bool {
        self.checks.insert(vm.clone(), generation) != Some(generation)
    }

    /// Notes that a check has ended; false when it is not the one that matters.
    pub(super) fn end_check(&mut self, vm: &VmName, generation: Generation) -> bool {
        if self.checks.get(vm) != Some(&generation) {
            return false;
        }
        self.checks.remove(vm);
        true
    }
}

impl Brain {
    /// Orders something of a VM's agent.
    pub(super) fn command(&mut self, vm: &VmName, host: &HostName, order: Order) {
        let Some(generation) = self.vms.get(vm).map(|record| record.generation) else { return };
        self.commands.next += 1;
        let id = CommandId(self.commands.next);
        let command = Command { id, epoch: self.epoch, vm: vm.clone(), generation, order };
        self.commands.of_vm.entry(vm.clone()).or_default().insert(id);
        self.commands.pending.insert(id, Pending { host: host.clone(), command: command.clone() });
        self.timers.set(Timer::Command(id), self.now + self.settings.retries.command_timeout_s);
        self.say(host, ToAgent::Command(command));
    }

    /// A command has had no answer for long: says it again.
    pub(super) fn repeat_command(&mut self, id: CommandId) {
        let Some(pending) = self.commands.pending.get(&id) else { return };
        let (host, command) = (pending.host.clone(), pending.command.clone());
        self.timers.set(Timer::Command(id), self.now + self.settings.retries.command_timeout_s);
        self.say(&host, ToAgent::Command(command));
    }

    /// Says all commands again that a host's agent has not answered.
    pub(super) fn repeat_commands_of(&mut self, host: &HostName) {
        let open: Vec<CommandId> =
            self.commands.pending.iter().filter(|(_, pending)| pending.host == *host).map(|(id, _)| *id).collect();
        for id in open {
            self.repeat_command(id);
        }
    }

    /// Forgets the commands to a host that has failed.
    pub(super) fn drop_commands_of(&mut self, host: &HostName) {
        let vms: BTreeSet<VmName> = self
            .commands
            .pending
            .values()
            .filter(|pending| pending.host == *host)
            .map(|pending| pending.command.vm.clone())
            .collect();
        for vm in vms {
            self.commands.forget_vm(&vm);
        }
    }

    /// An agent says how a command ended.
    pub(super) fn command_done(&mut self, host: &HostName, id: CommandId, outcome: Outcome) {
        if self.commands.pending.get(&id).is_none_or(|pending| pending.host != *host) {
            return;
        }
        let Some(Pending { command, .. }) = self.commands.take(id) else { return };
        self.timers.cancel(&Timer::Command(id));
        let name = command.vm;
        let Some(vm) = self.vms.get(&name) else { return };
        if vm.generation != command.generation {
            return;
        }
        let phase = vm.phase.clone();
        let problem = match outcome {
            Outcome::Done => None,
            Outcome::Failed { problem, retry_may_help } => Some((problem, retry_may_help)),
            Outcome::Refused { epoch, generation } => {
                let text = format!(
                    "the agent of {host} refused an order for {name}: it has obeyed epoch {epoch}, generation {generation}"
                );
                self.tell(Severity::Warning, text.clone(), |event| {
                    (event.host, event.vm) = (Some(host.clone()), Some(name.clone()));
                });
                Some((text, false))
            }
        };
        match (command.order, phase, problem) {
            (Order::Configure { .. }, Phase::Preparing { .. }, None) => self.configure_step_done(&name),
            (Order::Start, Phase::Starting { .. }, None) => self.vm_started(&name, host),
            (Order::Stop { .. }, Phase::Stopping { .. }, None) => self.vm_stopped(&name, host),
            (Order::Configure { .. }, Phase::Preparing { .. }, Some((problem, again))) => {
                self.set_phase(&name, Phase::Stopped);
                self.failed_on(&name, host, &format!("it could not be configured on {host}: {problem}"), again);
            }
            // A failed start leaves no process: that is the agent's promise.
            (Order::Start, Phase::Starting { .. }, Some((problem, again))) => {
                self.set_phase(&name, Phase::Stopped);
                self.failed_on(&name, host, &format!("it did not start on {host}: {problem}"), again);
            }
            (Order::Stop { .. }, Phase::Stopping { .. }, Some((problem, _))) => self.stop_failed(&name, &problem),
            _ => {}
        }
    }
}
