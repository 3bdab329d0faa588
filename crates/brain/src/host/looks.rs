//! Looks at VMs, for the leader: asked over a link, answered over the same link or not at all.

use lifeboat_model::{
    Seconds, VmName,
    health::{CheckReport, CheckStatus},
    spec::CheckSpec,
};

use super::{HostBrain, HostEffect, HostOutput, LinkId};
use crate::message::FromAgent;

/// The most looks that are under way; the body may let them wait for their turn.
const MAX_LOOKS: usize = 512;

impl HostBrain {
    pub(super) fn look(
        &mut self,
        link: LinkId,
        sequence: u64,
        vm: VmName,
        look: CheckSpec,
        limit: Seconds,
        out: &mut HostOutput,
    ) {
        if self.links.led() != Some(link) || self.looks.contains(&sequence) {
            return;
        }
        if self.looks.len() >= MAX_LOOKS {
            let text = format!("{MAX_LOOKS} looks wait already on this host");
            let report = CheckReport::new(CheckStatus::Unknown, &text);
            out.effects.push(HostEffect::Send { link, message: FromAgent::Looked { sequence, report } });
            return;
        }
        self.looks.insert(sequence);
        out.effects.push(HostEffect::Look { sequence, vm, look, limit });
    }

    /// A look has ended. What an earlier link's leader asked is of no use to this one's.
    pub(super) fn looked(&mut self, sequence: u64, report: CheckReport, out: &mut HostOutput) {
        if let Some(link) = self.links.led().filter(|_| self.looks.remove(&sequence)) {
            out.effects.push(HostEffect::Send { link, message: FromAgent::Looked { sequence, report } });
        }
    }
}
