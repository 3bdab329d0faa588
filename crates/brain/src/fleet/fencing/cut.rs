//! The storage cut: every volume of a failed host's VMs is taken from it at its array.
//!
//! It begins when the host's lease has run out, so that what it costs a VM that lives is nothing: there is none. From then
//! on until it is done the host is not taken back, for its VMs would find their disks gone.

use lifeboat_model::{HostName, VolumeName};

use super::super::{Brain, FenceProof, records::VolumePlace};
use super::{Rung, RungState};

impl Brain {
    /// Begins to cut a failed host off from the volumes of its VMs.
    pub(super) fn begin_cut(&mut self, name: &HostName) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.cutting = true;
        }
        self.note_rung(name, &Rung::Storage, |record| {
            record.state = RungState::Trying;
            record.tries += 1;
            record.said = Some("its volumes are being cut at their arrays".to_owned());
        });
        self.go_on_cutting(name);
    }

    fn volumes_to_cut(&self, name: &HostName) -> (usize, Vec<VolumeName>) {
        let vms = self.vms_that_may_run_on(name);
        let all = vms.iter().filter_map(|vm| self.declared.vms.get(vm)).flat_map(|spec| &spec.volumes);
        let all: Vec<&VolumeName> = all.collect();
        let here = |volume: &&&VolumeName| {
            self.volumes.get(**volume).is_some_and(|volume| volume.record.place.host() == Some(name))
        };
        (all.len(), all.iter().filter(here).map(|volume| (*volume).clone()).collect())
    }

    /// Takes the next volumes from a host that is being cut off, as far as their arrays have room; with the last it is
    /// proven unable to write.
    pub(in crate::fleet) fn go_on_cutting(&mut self, name: &HostName) {
        if self.hosts.get(name).is_none_or(|host| !host.cutting) || self.failed_recovery(name).is_none() {
            return;
        }
        let (all, left) = self.volumes_to_cut(name);
        if left.is_empty() {
            return self.proven(name, FenceProof::Storage { volumes: all as u64 });
        }
        for volume in left {
            let under_way = self.volumes.get(&volume).is_none_or(super::super::VolumeState::is_under_way);
            if !under_way && !self.pauses(&volume) && self.array_has_room(&volume) {
                self.cut_volume(&volume, name);
            }
        }
    }

    /// An operation on a volume has ended, or its pause is over: a cut that waits for it goes on.
    pub(in crate::fleet) fn cut_step(&mut self, volume: &VolumeName) {
        let cutting: Vec<HostName> =
            self.hosts.iter().filter(|(_, host)| host.cutting).map(|(name, _)| name.clone()).collect();
        for name in cutting {
            let problem = self.volumes.get(volume).filter(|it| it.record.place.host() == Some(&name));
            if let Some(problem) = problem.and_then(|it| it.record.problem.clone()) {
                self.note_rung(&name, &Rung::Storage, |record| {
                    record.said = Some(format!("{volume} is not cut yet: {problem}"));
                });
            }
            self.go_on_cutting(&name);
        }
    }

    /// The host that a volume is being cut off from.
    pub(in crate::fleet) fn is_being_cut(&self, volume: &VolumeName) -> bool {
        let Some(place) = self.volumes.get(volume).map(|volume| &volume.record.place) else { return false };
        let VolumePlace::Unmapping { host } = place else { return false };
        self.hosts.get(host).is_some_and(|host| host.cutting)
    }
}
