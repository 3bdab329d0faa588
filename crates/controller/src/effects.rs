//! Carries out what the brain wants done, each in a task of its own, and tells the engine how it ended.
//!
//! How much runs at once is bounded by the brain's budgets; nothing here decides.

use std::sync::Arc;

use lifeboat_brain::fleet::{Effect, records::Severity};

use crate::{
    asking,
    checks::Checks,
    clock::Clock,
    drill, fencing,
    handle::{EventLog, Handle},
    heartbeat_block::Blocks,
    links::Links,
    volumes::Arrays,
};

pub(crate) struct Effects {
    pub(crate) handle: Handle,
    pub(crate) clock: Clock,
    pub(crate) links: Links,
    pub(crate) arrays: Arrays,
    pub(crate) checks: Checks,
    pub(crate) blocks: Blocks,
    pub(crate) fences: fencing::Attempts,
    pub(crate) log: Arc<EventLog>,
}

impl Effects {
    pub(crate) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Say { host, link, message } => self.links.say(&host, link, message),
            Effect::CloseLink { link, .. } => self.links.close(link),
            Effect::Fence { host, attempt, device } => self.fences.begin(self.handle.clone(), host, attempt, &device),
            Effect::EndFence { host, attempt } => self.fences.call_off(host, attempt),
            Effect::ReadFence { host, look, device } => fencing::spawn_read(self.handle.clone(), host, look, device),
            Effect::ReadPower { host, device } => asking::power(self.handle.clone(), host, device),
            Effect::AskVm { host, vm, check } => {
                asking::vm(self.handle.clone(), host, vm, self.checks.check(&check, asking::VM));
            }
            Effect::LookAtAgent { host, address, boot } => asking::agent(self.handle.clone(), host, address, boot),
            Effect::ReadBlock { host, path } => self.blocks.read(self.handle.clone(), host, path),
            Effect::AskReferences { addresses } => asking::references(self.handle.clone(), addresses),
            Effect::Volume { op, change, array, volume, host, epoch, generation } => {
                let order = lifeboat_ports::MapOrder { epoch, generation };
                self.arrays.spawn(self.handle.clone(), op, change, array, volume, host, order);
            }
            Effect::Check { vm, generation, check, until } => {
                let until = self.clock.instant(until);
                self.checks.until_up(self.handle.clone(), vm, generation, &check, until);
            }
            Effect::Look { sequence, look, limit, vm: _ } => {
                self.checks.once(self.handle.clone(), sequence, &look, limit);
            }
            Effect::Drill { fleet } => drill::spawn(self.handle.clone(), fleet),
            Effect::Tell(event) => {
                match event.severity {
                    Severity::Info => tracing::info!(sequence = event.sequence, "{}", event.text),
                    Severity::Warning => tracing::warn!(sequence = event.sequence, "{}", event.text),
                    Severity::Critical => tracing::error!(sequence = event.sequence, "{}", event.text),
                }
                self.log.tell(event);
            }
            Effect::Trace(event) => self.log.trace(event),
            // The engine answers by itself.
            Effect::Answer { .. } => {}
        }
    }
}
