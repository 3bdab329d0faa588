//! The arrays of the world.

use lifeboat_brain::fleet::{VolumeChange, VolumeOutcome};
use lifeboat_model::{
    HostName, VolumeName,
    attach::{Attachment, VolumePath},
};

use super::World;

impl World {
    pub(super) fn array(
        &mut self,
        volume: &VolumeName,
        host: &HostName,
        change: VolumeChange,
        fails: bool,
    ) -> VolumeOutcome {
        if fails || !self.array_works || self.dead_volumes.contains(volume) {
            return VolumeOutcome::Failed { problem: "the array is busy".to_owned(), retry_may_help: true };
        }
        let mapped = self.mapped.entry(volume.clone()).or_default();
        match change {
            VolumeChange::Unmap => {
                mapped.remove(host);
                VolumeOutcome::Unmapped
            }
            VolumeChange::Map => match mapped.iter().find(|other| *other != host) {
                Some(other) => VolumeOutcome::MappedElsewhere(other.clone()),
                None => {
                    mapped.insert(host.clone());
                    let path = VolumePath::File { path: format!("/volumes/{volume}") };
                    VolumeOutcome::Mapped(Attachment { volume: volume.clone(), path })
                }
            },
        }
    }
}
