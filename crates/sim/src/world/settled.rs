//! A world in which everything runs already when it begins.

use lifeboat_brain::fleet::{
    Brain, Input, OperatorOrder, Output, RequestId,
    records::{HostCondition, HostRecord, Phase, VmRecord, VolumePlace, VolumeRecord},
};
use lifeboat_model::{
    BootId, Generation,
    attach::{Attachment, VolumePath},
    spec::Declaration,
};

use super::World;

impl World {
    /// Begins a world in which everything runs already: as a controller would have written it down.
    pub(super) fn settle(&mut self, declaration: &Declaration) {
        let mut output = Output::default();
        let order = OperatorOrder::Apply(Box::new(declaration.clone()));
        if let Ok(mut brain) =
            Brain::restore(self.settings.settings.clone(), lifeboat_model::Epoch(0), super::START, Vec::new())
        {
            brain.handle(super::START, Input::Operator { request: RequestId(0), order }, &mut output);
        }
        self.store.write(&output.writes);
        let mut records: Vec<(String, Option<Vec<u8>>)> = Vec::new();
        let mut put = |key: String, value: Result<Vec<u8>, serde_json::Error>| {
            if let Ok(value) = value {
                records.push((key, Some(value)));
            }
        };
        for host in &declaration.hosts {
            let boot = Some(BootId(format!("{}-1", host.name)));
            let record = HostRecord { condition: HostCondition::Up, boot, ..HostRecord::default() };
            put(format!("state/host/{}", host.name), serde_json::to_vec(&record));
        }
        for vm in &declaration.vms {
            let Some(host) = &vm.host else { continue };
            let phase = Phase::Running { host: host.clone(), ready: Some(super::START) };
            let generation = Generation(1);
            let record = VmRecord { generation, phase, last_host: Some(host.clone()), ..VmRecord::default() };
            put(format!("state/vm/{}", vm.name), serde_json::to_vec(&record));
            for volume in &vm.volumes {
                let path = VolumePath::File { path: format!("/volumes/{volume}") };
                let attachment = Attachment { volume: volume.clone(), path };
                let place = VolumePlace::Mapped { host: host.clone(), attachment };
                let record = VolumeRecord { generation, place, ..VolumeRecord::default() };
                put(format!("state/volume/{volume}"), serde_json::to_vec(&record));
            }
        }
        self.store.write(&records);
        for vm in &declaration.vms {
            let Some(host) = vm.host.as_ref().and_then(|host| self.ix(host)) else { continue };
            for volume in &vm.volumes {
                self.map_at_once(volume, host);
            }
            self.create_process(host, &vm.name, Generation(1), lifeboat_model::Epoch(0), true);
            self.settle_ready(&vm.name, host);
        }
    }
}
