//! Points in time at which the brain wants to be woken.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, binary_heap::PeekMut},
};

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
    /// The brake has held nothing for a while.
    Brake,
    /// New hosts have had time to appear; placements that do not hurry may be planned.
    Settle,
}

/// All timers that are set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: BTreeMap<Timer, Time>,
    /// By time, and with them some that have been set anew or cancelled since; the first is none of these.
    due: BinaryHeap<Reverse<(Time, Timer)>>,
    /// How many those are.
    stale: usize,
}

impl Timers {
    /// Sets a timer, in place of the one of the same kind.
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        match self.at.insert(timer.clone(), at) {
            Some(old) if old == at => return,
            Some(_) => self.stale += 1,
            None => {}
        }
        self.due.push(Reverse((at, timer)));
        self.tidy();
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if self.at.remove(timer).is_some() {
            self.stale += 1;
            self.tidy();
        }
    }

    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.at.contains_key(timer)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The first timer, if it is due.
    pub(super) fn first(&self, now: Time) -> Option<&Timer> {
        self.due.peek().filter(|Reverse((at, _))| *at <= now).map(|Reverse((_, timer))| timer)
    }

    /// Takes the first timer that is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<Timer> {
        self.first(now)?;
        let Reverse((_, timer)) = self.due.pop()?;
        self.at.remove(&timer);
        self.tidy();
        Some(timer)
    }

    /// Puts the first timer off. What is put off again and again costs less so than if it were taken and set.
    pub(super) fn put_off(&mut self, to: Time) {
        let Some(mut first) = self.due.peek_mut() else { return };
        let Reverse((at, timer)) = &mut *first;
        if let Some(known) = self.at.get_mut(timer) {
            (*known, *at) = (to, to);
        }
        drop(first);
        self.tidy();
    }

    /// Takes away what is no longer so, where it stands first or is the most of all.
    fn tidy(&mut self) {
        if self.stale == 0 {
            return;
        }
        let at = &self.at;
        let holds = |due: &Reverse<(Time, Timer)>| at.get(&due.0.1) == Some(&due.0.0);
        if self.stale > at.len() + 64 {
            self.due.retain(holds);
            self.stale = self.due.len() - at.len();
        }
        while let Some(first) = self.due.peek_mut()
            && !holds(&first)
        {
            PeekMut::pop(first);
            self.stale -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A timer for each number, of which there are few.
    fn timer(number: u64) -> Timer {
        Timer::Command(CommandId(number))
    }

    #[test]
    fn timers_come_when_they_are_due_however_often_they_were_set_put_off_and_cancelled() {
        let (mut timers, mut plain) = (Timers::default(), BTreeMap::new());
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for now in 0..20_000 {
            let (number, at) = (random(300), Time::from_micros(now + random(2000)));
            match random(4) {
                0 => {
                    timers.cancel(&timer(number));
                    plain.remove(&timer(number));
                }
                1 => {
                    let first = timers.due.peek().map(|Reverse((_, timer))| timer.clone());
                    timers.put_off(at);
                    plain.extend(first.map(|first| (first, at)));
                }
                _ => {
                    timers.set(timer(number), at);
                    plain.insert(timer(number), at);
                }
            }
            assert_eq!(timers.next(), plain.values().min().copied());
            assert_eq!(timers.at, plain);
            while let Some(due) = timers.pop(Time::from_micros(now)) {
                assert!(plain.remove(&due).is_some_and(|at| at <= Time::from_micros(now)), "{due:?}");
            }
            assert!(plain.values().all(|at| *at > Time::from_micros(now)));
            assert!(timers.due.len() <= 2 * timers.at.len() + 65, "what was cancelled does not pile up");
        }
    }
}
