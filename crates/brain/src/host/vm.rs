//! One VM on this host: its process, the one operation that runs on it, and what waits behind that.

use std::{
    collections::VecDeque,
    mem::{Discriminant, discriminant},
};

use lifeboat_model::{
    Epoch, Generation, Seconds, Time, VmName,
    running::{RunningVm, VmRunState},
};

use super::{Act, OperationId, OperationResult, ProcessNow};
use crate::message::{Command, CommandId, Order, Outcome};

/// The most commands that wait behind an operation on one VM.
pub(super) const MAX_QUEUED: usize = 8;
/// The most outcomes of earlier commands that are kept for repeats.
const MAX_ANSWERED: usize = 8;
/// How long after a look that saw nothing the next is taken.
const LOOK_AGAIN: Seconds = Seconds::new(1);

/// Which command it is. Its number alone would do, were it not better to do a thing twice than to answer for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommandKey {
    pub epoch: Epoch,
    pub id: CommandId,
    generation: Generation,
    order: Discriminant<Order>,
}

impl CommandKey {
    pub(super) fn of(command: &Command) -> Self {
        let Command { id, epoch, generation, order, .. } = command;
        Self { epoch: *epoch, id: *id, generation: *generation, order: discriminant(order) }
    }
}

/// A VM's process, as far as it is known. One that is being started counts as there, not executing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub generation: Generation,
    pub state: VmRunState,
}

/// Why an operation runs.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// A command asks for it.
    Command(CommandKey),
    /// The VM is doomed.
    Doom,
    /// The hypervisor has told something.
    Hint,
    /// Half of the lease is over: the guest is asked to shut down.
    Isolated,
}

/// The operation that runs.
#[derive(Clone, Debug)]
pub(super) struct Busy {
    pub operation: OperationId,
    pub generation: Generation,
    pub act: Act,
    pub cause: Cause,
}

/// Why a VM's process is to be killed, without a command to stop it.
#[derive(Clone, Debug)]
pub(super) enum Doom {
    /// The leader's Welcome does not keep it.
    NotKept,
    /// The host's lease has run out. No Welcome undoes that: the kill is under way.
    LeaseOver,
    /// Its start failed, and the failure may not be told before the process is surely gone.
    StartFailed { command: CommandKey, failure: Outcome },
}

/// How a process ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub by_guest: bool,
    pub detail: String,
}

/// The hypervisor has told something of the VM: what is so shows a look. Between the event and its coming here another
/// process may have been started, so nothing is believed of an event alone.
#[derive(Clone, Debug)]
pub(super) struct Hint {
    /// How the process is said to have ended.
    pub exit: Option<(Generation, Exit)>,
    /// When to look.
    pub look_at: Time,
}

/// A VM.
#[derive(Clone, Debug, Default)]
pub(super) struct Vm {
    pub process: Option<Process>,
    pub busy: Option<Busy>,
    pub queue: VecDeque<Command>,
    pub doom: Option<(Doom, Time)>,
    pub hint: Option<Hint>,
    /// Whether its process is being killed since the lease has run out.
    pub lease_killed: bool,
    /// The newest generation whose process has ended here. None of it begins again: a leader that was told of the end may
    /// have started the VM elsewhere.
    pub ended: Generation,
    /// The hint that the running look follows.
    looking: Option<Hint>,
    answered: VecDeque<(CommandKey, Outcome)>,
}

/// What is to be done with a command that has been taken in before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It is not a repeat, or nothing has happened since: do it (again).
    Do,
    /// It waits or runs: its answer will come.
    Wait,
    /// Later commands were carried out since: only its answer is repeated.
    Answer(Outcome),
}

/// The answer to a start of what was started and is no more.
pub(super) fn has_ended() -> Outcome {
    Outcome::Failed { problem: "it was started here and has ended since".to_owned(), retry_may_help: true }
}

impl Vm {
    /// Whether anything here is more than memory.
    pub(super) fn in_use(&self) -> bool {
        self.process.is_some()
            || self.busy.is_some()
            || !self.queue.is_empty()
            || self.doom.is_some()
            || self.hint.is_some()
    }

    /// As a leader is told of it.
    pub(super) fn running(&self, vm: &VmName) -> Option<RunningVm> {
        self.process.map(|process| RunningVm { vm: vm.clone(), generation: process.generation, state: process.state })
    }

    /// Whether a command is a repeat.
    pub(super) fn repeat(&self, key: CommandKey, order: &Order) -> Repeat {
        let runs = matches!(&self.busy, Some(Busy { cause: Cause::Command(running), .. }) if *running == key);
        let waits = self.queue.iter().any(|command| CommandKey::of(command) == key);
        let cleans = matches!(&self.doom, Some((Doom::StartFailed { command, .. }, _)) if *command == key);
        if runs || waits || cleans {
            return Repeat::Wait;
        }
        match self.answered.iter().position(|(answered, _)| *answered == key) {
            Some(at) if at + 1 < self.answered.len() || self.busy.is_some() || !self.queue.is_empty() => {
                Repeat::Answer(self.answered[at].1.clone())
            }
            // A start is never done twice: its leader may know already how it ended, and want the VM elsewhere by now.
            Some(at) if *order == Order::Start => Repeat::Answer(match &self.answered[at].1 {
                Outcome::Done if self.process.is_none() => has_ended(),
                outcome => outcome.clone(),
            }),
            _ => Repeat::Do,
        }
    }

    /// Notes how a command ended.
    pub(super) fn note(&mut self, key: CommandKey, outcome: &Outcome) {
        self.answered.retain(|(answered, _)| *answered != key);
        if self.answered.len() == MAX_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back((key, outcome.clone()));
    }

    /// Begins an operation.
    pub(super) fn begin(&mut self, busy: Busy) {
        match busy.act {
            Act::Order(Order::Start) if self.process.is_none() => {
                self.process = Some(Process { generation: busy.generation, state: VmRunState::Paused });
                self.lease_killed = false;
            }
            // What is told from now on may be later than what is seen.
            Act::Look => self.looking = self.hint.take(),
            Act::Order(_) => {}
        }
        self.busy = Some(busy);
    }

    /// Takes in how an operation ended.
    pub(super) fn settle(&mut self, now: Time, busy: &Busy, result: &OperationResult) {
        match (&busy.act, result) {
            (Act::Order(Order::Stop { .. }), OperationResult::Done) => self.process = None,
            (Act::Order(Order::Start), OperationResult::Done) => {
                self.process = Some(Process { generation: busy.generation, state: VmRunState::Running });
            }
            (_, OperationResult::Done) => {}
            (_, OperationResult::Seen(process) | OperationResult::Failed { process, .. }) => match process {
                ProcessNow::Gone => self.process = None,
                ProcessNow::There(there) => {
                    self.process = Some(Process { generation: there.generation, state: there.state });
                }
                ProcessNow::Unknown if busy.act == Act::Look => {
                    let exit = self.looking.take().and_then(|hint| hint.exit);
                    self.hint(exit, now + LOOK_AGAIN);
                }
                ProcessNow::Unknown => {}
            },
        }
    }

    /// How the process ended that is gone now.
    pub(super) fn take_exit(&mut self, generation: Generation) -> Exit {
        let hints = [self.looking.take(), self.hint.take()];
        let mut exits = hints.into_iter().flatten().filter_map(|hint| hint.exit);
        let fits = exits.rfind(|(ended, _)| *ended == generation);
        fits.map_or_else(|| Exit { by_guest: false, detail: "its process is gone".to_owned() }, |(_, exit)| exit)
    }

    /// Takes in what the hypervisor has told. An exit is not forgotten for a later change.
    pub(super) fn hint(&mut self, exit: Option<(Generation, Exit)>, look_at: Time) {
        let earlier = self.hint.take();
        let look_at = earlier.as_ref().map_or(look_at, |hint| hint.look_at.min(look_at));
        self.hint = Some(Hint { exit: exit.or(earlier.and_then(|hint| hint.exit)), look_at });
    }

    /// When something must be done that no operation holds up.
    pub(super) fn deadline(&self) -> Option<Time> {
        let doom = self.doom.as_ref().map(|(_, kill_at)| *kill_at);
        let look = self.hint.as_ref().map(|hint| hint.look_at);
        if self.busy.is_some() { None } else { doom.into_iter().chain(look).min() }
    }
}
