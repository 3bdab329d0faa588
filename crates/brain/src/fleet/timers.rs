//! Points in time at which the brain wants to be woken.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{CheckName, GroupName, HostName, Time, VmName, VolumeName};

use crate::message::CommandId;

/// What a timer is for. There is one of each at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A host may have been silent for long enough.
    Silence(HostName),
    /// A host's fencing is tried again.
    Fence(HostName),
    /// The lease of a failed host may have run out.
    Lease(HostName),
    /// A host's paths to its arrays are judged.
    Paths(HostName),
    /// A host's fence devices are looked at.
    FenceCheck(HostName),
    /// Something is written to show that this controller leads.
    Lead,
    /// A volume's operation is tried again.
    Volume(VolumeName),
    /// A command has had no answer.
    Command(CommandId),
    /// A host's maintenance ends by itself.
    Maintenance(HostName),
    /// A host that is held out is let in.
    HeldOut(HostName),
    /// VMs may go home to a host.
    Failback(HostName),
    /// A host that leaves is looked at.
    Leaving(HostName),
    /// A stage's delay is over.
    Stage(GroupName),
    /// A VM is tried again.
    Vm(VmName),
    /// The daily drill.
    Drill,
    /// A VM is to be looked at.
    Look(CheckName, VmName),
    /// Somebody who cannot see its VMs well may see them again: the agent of a host, or the controller (none).
    Trouble(Option<HostName>),
    /// New hosts have had time to appear; placements that do not hurry may be planned.
    Settle,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Time, Timer)>,
    at: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets a timer, in place of the one of the same kind.
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        if let Some(old) = self.at.insert(timer.clone(), at) {
            self.due.remove(&(old, timer.clone()));
        }
        self.due.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(old) = self.at.remove(timer) {
            self.due.remove(&(old, timer.clone()));
        }
    }

    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.at.contains_key(timer)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the first timer that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<Timer> {
        if self.due.first()?.0 > now {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}
