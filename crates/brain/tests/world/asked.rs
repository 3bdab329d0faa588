//! What a test asks of the world.

use lifeboat_brain::fleet::records::Phase;
use lifeboat_model::{Seconds, VmName};

use super::World;

impl World {
    /// How many outputs the brain has given.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Runs until something holds; panics with the log when it does not within a time.
    pub fn until(&mut self, seconds: u64, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + Seconds::new(seconds);
        while !holds(self) {
            assert!(self.now < end && self.step(), "not within {seconds} s: {what}\n{}", self.log.join("\n"));
        }
    }

    /// Whether the brain says that all of these VMs are up, and the world agrees.
    pub fn all_up(&self, vms: &[VmName]) -> bool {
        let Some(brain) = &self.brain else { return false };
        vms.iter().all(|name| match brain.vms().get(name).map(|record| &record.phase) {
            Some(Phase::Running { ready: Some(_), host }) => self.where_is(name) == [host.clone()],
            _ => false,
        })
    }

    /// Whether all recoveries have ended.
    pub fn no_open_recovery(&self) -> bool {
        self.brain.as_ref().is_some_and(|brain| brain.open_recoveries().next().is_none())
    }

    pub fn said(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}
