//! Commands and operations: what is taken in, what waits, what runs, what is answered.

use lifeboat_model::{Generation, Seconds, Time, VmName};

use super::{
    Act, HostBrain, HostEffect, HostOutput, LinkId, Notice, Operation, OperationId, OperationResult,
    vm::{Busy, Cause, CommandKey, Doom, Exit, MAX_QUEUED, Repeat, Vm, has_ended},
};
use crate::message::{Command, FromAgent, Order, Outcome};

/// How long after a failed kill the next is tried.
const KILL_AGAIN: Seconds = Seconds::new(1);

impl HostBrain {
    /// Takes in a command.
    pub(super) fn command(&mut self, now: Time, link: LinkId, command: Command, out: &mut HostOutput) {
        let generation = self.memory.generation(&command.vm);
        if command.epoch < self.memory.epoch() || command.generation < generation {
            let refused = Outcome::Refused { epoch: self.memory.epoch(), generation };
            out.effects
                .push(HostEffect::Send { link, message: FromAgent::Done { command: command.id, outcome: refused } });
            out.effects.push(HostEffect::Tell(Notice::OldCommand {
                vm: command.vm,
                epoch: command.epoch,
                generation: command.generation,
            }));
            return;
        }
        self.obey_epoch(command.epoch, out);
        let vm = self.vms.entry(command.vm.clone()).or_default();
        let key = CommandKey::of(&command);
        match vm.repeat(key, &command.order) {
            Repeat::Wait => return,
            Repeat::Answer(outcome) => {
                self.answer(key, outcome, out);
                return;
            }
            Repeat::Do => {}
        }
        if vm.queue.len() >= MAX_QUEUED {
            let problem = format!("{MAX_QUEUED} commands for VM {} wait already on this host", command.vm);
            self.answer(key, Outcome::Failed { problem, retry_may_help: true }, out);
            return;
        }
        self.memory.raise(&command.vm, command.generation, &mut out.writes);
        let superseded = match command.order {
            Order::Stop { .. } => take_starts(vm),
            Order::Start | Order::Configure { .. } => Vec::new(),
        };
        let name = command.vm.clone();
        vm.queue.push_back(command);
        for start in superseded {
            let problem = format!("VM {name} was to be stopped before its start began");
            self.finish(&name, start, Outcome::Failed { problem, retry_may_help: false }, out);
        }
        self.pump(now, &name, out);
        self.bound_memory(out);
    }

    /// Begins the next operation on a VM, if there is one and nothing runs.
    pub(super) fn pump(&mut self, now: Time, name: &VmName, out: &mut HostOutput) {
        while let Some(vm) = self.vms.get_mut(name) {
            if vm.busy.is_some() {
                return;
            }
            let generation = vm.process.map_or(Generation(0), |process| process.generation);
            if vm.hint.as_ref().is_some_and(|hint| hint.look_at <= now) {
                self.begin(name, generation, Act::Look, Cause::Hint, out);
                return;
            }
            if let Some((_, kill_at)) = &vm.doom {
                if *kill_at <= now {
                    let kill = Act::Order(Order::Stop { graceful: false });
                    self.begin(name, generation, kill, Cause::Doom, out);
                }
                return;
            }
            let Some(command) = vm.queue.pop_front() else { return };
            let key = CommandKey::of(&command);
            let running = vm.process.map(|process| process.generation);
            if let Some(outcome) = self.objection(&command) {
                self.finish(name, key, outcome, out);
                continue;
            }
            if let Some(running) = running.filter(|running| *running != command.generation)
                && command.order == Order::Start
            {
                self.kill_before_start(now, name, key, running);
                continue;
            }
            self.begin(name, command.generation, Act::Order(command.order), Cause::Command(key), out);
        }
    }

    /// Why a command that has waited is not carried out after all.
    fn objection(&self, command: &Command) -> Option<Outcome> {
        let (epoch, generation) = (self.memory.epoch(), self.memory.generation(&command.vm));
        if command.epoch < epoch || command.generation < generation {
            return Some(Outcome::Refused { epoch, generation });
        }
        // Another leader's start of the same intent may have waited behind the first one's.
        let ended = self.vms.get(&command.vm).is_some_and(|vm| vm.ended >= command.generation);
        if ended && command.order == Order::Start {
            return Some(has_ended());
        }
        (self.lease.is_over() && command.order == Order::Start).then(|| Outcome::Failed {
            problem: "the lease of this host has run out, and its leader has not renewed it".to_owned(),
            retry_may_help: true,
        })
    }

    /// A start finds a process of an earlier intent, of which the leader believes that it has ended. It is killed before the
    /// leader learns that the start failed: the leader may start the VM elsewhere then.
    fn kill_before_start(&mut self, now: Time, name: &VmName, command: CommandKey, running: Generation) {
        let Some(vm) = self.vms.get_mut(name) else { return };
        let problem = format!("VM {name} still ran on this host with generation {running} and was killed first");
        vm.doom =
            Some((Doom::StartFailed { command, failure: Outcome::Failed { problem, retry_may_help: true } }, now));
        self.timed.insert(name.clone());
    }

    fn begin(&mut self, name: &VmName, generation: Generation, act: Act, cause: Cause, out: &mut HostOutput) {
        self.last_operation = OperationId(self.last_operation.0 + 1);
        let id = self.last_operation;
        let Some(vm) = self.vms.get_mut(name) else { return };
        vm.begin(Busy { operation: id, generation, act: act.clone(), cause });
        out.effects.push(HostEffect::Operate(Operation {
            id,
            vm: name.clone(),
            epoch: self.memory.epoch(),
            generation,
            act,
        }));
    }

    /// Asks a guest to shut down, if nothing else is being done with its VM.
    pub(super) fn ask_to_stop(&mut self, name: &VmName, out: &mut HostOutput) {
        let Some(vm) = self.vms.get(name).filter(|vm| vm.busy.is_none() && vm.doom.is_none()) else { return };
        let generation = vm.process.map_or(Generation(0), |process| process.generation);
        self.begin(name, generation, Act::Order(Order::Stop { graceful: true }), Cause::Isolated, out);
    }

    /// Takes in how an operation ended.
    pub(super) fn ended(
        &mut self,
        now: Time,
        name: &VmName,
        operation: OperationId,
        result: &OperationResult,
        out: &mut HostOutput,
    ) {
        let Some(vm) = self.vms.get_mut(name) else { return };
        let Some(busy) = vm.busy.take_if(|busy| busy.operation == operation) else { return };
        let before = vm.running(name);
        vm.settle(now, &busy, result);
        if vm.hint.is_some() {
            self.timed.insert(name.clone());
        }
        let gone = before.as_ref().filter(|_| vm.process.is_none()).map(|before| before.generation);
        vm.ended = vm.ended.max(gone.unwrap_or(vm.ended));
        let mut exit = gone.map(|generation| (generation, vm.take_exit(generation)));
        if let (Some((_, exit)), Cause::Isolated) = (&mut exit, &busy.cause) {
            // Its owner did not mean it.
            *exit =
                Exit { by_guest: false, detail: "it was asked to shut down, since its host was cut off".to_owned() };
        }
        let told = match busy.cause {
            Cause::Command(key) => self.command_ended(now, name, key, &busy, result, out),
            Cause::Doom => self.kill_ended(now, name, result, out),
            Cause::Hint | Cause::Isolated => false,
        };
        let after = self.vms.get(name).and_then(|vm| vm.running(name));
        if after.is_none() {
            self.undo_doom(name, out);
        }
        match (exit, after) {
            (Some((generation, exit)), _) if !told => self.tell_exit(name, generation, exit, out),
            (_, Some(after)) if !told && before.as_ref() != Some(&after) => self.tell(FromAgent::VmChanged(after), out),
            _ => {}
        }
        self.pump(now, name, out);
    }

    /// Answers a command whose operation has ended; whether that tells the leader what became of the process.
    fn command_ended(
        &mut self,
        now: Time,
        name: &VmName,
        key: CommandKey,
        busy: &Busy,
        result: &OperationResult,
        out: &mut HostOutput,
    ) -> bool {
        let Some(vm) = self.vms.get_mut(name) else { return false };
        let outcome = outcome_of(result);
        let still_there = vm.process.is_some_and(|process| process.generation == busy.generation);
        let tells = matches!(busy.act, Act::Order(Order::Start | Order::Stop { .. }));
        if busy.act == Act::Order(Order::Start) && outcome != Outcome::Done && still_there {
            vm.doom = Some((Doom::StartFailed { command: key, failure: outcome }, now));
            self.timed.insert(name.clone());
            return true;
        }
        self.finish(name, key, outcome, out) && tells
    }

    /// Takes in how a kill ended; whether that tells the leader what became of the process.
    fn kill_ended(&mut self, now: Time, name: &VmName, result: &OperationResult, out: &mut HostOutput) -> bool {
        let Some(vm) = self.vms.get_mut(name) else { return false };
        if vm.process.is_none() {
            return self.undo_doom(name, out);
        }
        let OperationResult::Failed { problem, .. } = result else { return false };
        if let Some((_, kill_at)) = &mut vm.doom {
            *kill_at = now + KILL_AGAIN;
        }
        out.effects.push(HostEffect::Tell(Notice::KillFailed { vm: name.clone(), problem: problem.clone() }));
        for command in std::mem::take(&mut vm.queue) {
            let problem = format!("VM {name} must first be killed on this host, which failed: {problem}");
            let outcome = Outcome::Failed { problem, retry_may_help: true };
            self.finish(name, CommandKey::of(&command), outcome, out);
        }
        false
    }

    /// The process of a doomed VM is gone; whether an answer to its leader has told that.
    pub(super) fn undo_doom(&mut self, name: &VmName, out: &mut HostOutput) -> bool {
        match self.vms.get_mut(name).and_then(|vm| vm.doom.take()) {
            Some((Doom::StartFailed { command, failure }, _)) => self.finish(name, command, failure, out),
            Some((Doom::NotKept | Doom::LeaseOver, _)) | None => false,
        }
    }

    /// Notes how a command ended and answers it; whether it could be answered.
    fn finish(&mut self, name: &VmName, key: CommandKey, outcome: Outcome, out: &mut HostOutput) -> bool {
        if let Some(vm) = self.vms.get_mut(name) {
            vm.note(key, &outcome);
        }
        self.answer(key, outcome, out)
    }

    /// Answers a command, if its own leader listens: command numbers mean nothing to another.
    fn answer(&self, key: CommandKey, outcome: Outcome, out: &mut HostOutput) -> bool {
        let link = self.links.led().filter(|_| key.epoch == self.memory.epoch());
        let Some(link) = link else { return false };
        out.effects.push(HostEffect::Send { link, message: FromAgent::Done { command: key.id, outcome } });
        true
    }

    /// Says something on the link, if a Hello was said on it; else the next Hello says it.
    pub(super) fn tell(&self, message: FromAgent, out: &mut HostOutput) {
        if let Some(link) = self.links.greeted() {
            out.effects.push(HostEffect::Send { link, message });
        }
    }

    /// Tells of the end of a VM's process.
    pub(super) fn tell_exit(&self, vm: &VmName, generation: Generation, exit: Exit, out: &mut HostOutput) {
        let Exit { by_guest, detail } = exit;
        self.tell(FromAgent::VmExited { vm: vm.clone(), generation, by_guest, detail }, out);
    }

    /// Obeys a leader's epoch from now on. What earlier leaders wanted and has not begun is dropped unanswered.
    pub(super) fn obey_epoch(&mut self, epoch: lifeboat_model::Epoch, out: &mut HostOutput) {
        if epoch > self.memory.epoch() {
            self.memory.raise_epoch(epoch, &mut out.writes);
            self.drop_waiting();
        }
    }

    /// Drops all commands that have not begun: their leader sends them again on its next link.
    pub(super) fn drop_waiting(&mut self) {
        for vm in self.vms.values_mut() {
            vm.queue.clear();
        }
    }

    fn bound_memory(&mut self, out: &mut HostOutput) {
        let in_use = |vm: &VmName| self.vms.get(vm).is_some_and(Vm::in_use);
        if let Some(vm) = self.memory.forget_surplus(in_use, &mut out.writes) {
            self.vms.remove(&vm);
        }
    }
}

fn take_starts(vm: &mut Vm) -> Vec<CommandKey> {
    let starts = vm.queue.iter().filter(|command| command.order == Order::Start);
    let starts = starts.map(CommandKey::of).collect();
    vm.queue.retain(|command| command.order != Order::Start);
    starts
}

fn outcome_of(result: &OperationResult) -> Outcome {
    match result {
        OperationResult::Done | OperationResult::Seen(_) => Outcome::Done,
        OperationResult::Failed { problem, retry_may_help, .. } => {
            Outcome::Failed { problem: problem.clone(), retry_may_help: *retry_may_help }
        }
    }
}
