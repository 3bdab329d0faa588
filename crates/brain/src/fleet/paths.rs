//! Storage paths: a host that has lost its way to an array that others reach.
//!
//! A VM that stands still because a volume gave an I/O error says little: the volume, the array or the host's paths may be
//! at fault. So all VMs of the array are looked at together, a while later:
//!
//! - on this host every VM with a volume at the array stands still, and on other hosts VMs with volumes there run: this host
//!   has lost its paths. Its VMs are stopped and started elsewhere, each only when it has a place there;
//! - nobody's runs: the array is down, or every path to it. Nothing is stopped and nobody is fenced; all wait, and go on;
//! - others on this very host run: it is the volume. It waits for a person.

use std::collections::BTreeMap;

use lifeboat_model::{ArrayName, HostName, Seconds, VmName, running::VmRunState};

use super::{
    Brain,
    records::{Phase, Severity},
    timers::Timer,
};

/// How long VMs must stand still before their host's paths are judged: less than a guest's own patience with a disk, and
/// longer than a switch takes to fail over.
const PATIENCE: Seconds = Seconds::new(10);

/// How the VMs with volumes at one array do on one host.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    runs: usize,
    halted: usize,
}

impl Brain {
    /// A VM has come to stand still, or goes on: its host's paths may have to be judged.
    pub(super) fn doubt_paths(&mut self, host: &HostName) {
        let timer = Timer::Paths(host.clone());
        if !self.timers.is_set(&timer) && !self.stalled_on(host).is_empty() {
            self.timers.set(timer, self.now + PATIENCE);
        }
    }

    /// A VM that stood still because of an I/O error goes on.
    pub(super) fn paths_are_back(&mut self, vm: &VmName) {
        let volumes = self.declared.vms.get(vm).into_iter().flat_map(|spec| &spec.volumes);
        let arrays = volumes.filter_map(|volume| self.declared.volumes.get(volume)).map(|spec| spec.array.clone());
        let arrays: Vec<ArrayName> = arrays.collect();
        for array in arrays {
            self.arrays_back.insert(array, self.now);
        }
    }

    /// VMs that have stood still on a host for long enough, because of an I/O error.
    fn stalled_on(&self, host: &HostName) -> Vec<VmName> {
        let stalled = self.vms.iter().filter(|(_, vm)| {
            let here = matches!(&vm.phase, Phase::Running { host: at, .. } if at == host);
            here && vm.enabled && vm.halted == Some(VmRunState::IoError)
        });
        stalled.map(|(name, _)| name.clone()).collect()
    }

    /// Looks whether a host has lost its paths to an array that others reach.
    pub(super) fn judge_paths(&mut self, host: &HostName) {
        let stalled = self.stalled_on(host);
        if stalled.is_empty() {
            return;
        }
        // Room may come, and others may lose their paths or get them back.
        self.timers.set(Timer::Paths(host.clone()), self.now + PATIENCE);
        let seen = self.seen_by_array();
        let lost: Vec<ArrayName> = seen
            .iter()
            .filter(|(_, hosts)| {
                let here = hosts.get(host).copied().unwrap_or_default();
                let elsewhere = hosts.iter().filter(|(at, _)| *at != host).any(|(_, seen)| seen.runs > 0);
                here.halted > 0 && here.runs == 0 && elsewhere
            })
            // Where others have only just gone on, the array has come back, and with it these.
            .filter(|(array, _)| self.arrays_back.get(*array).is_none_or(|at| self.now.since(*at) >= PATIENCE))
            .map(|(array, _)| array.clone())
            .collect();
        for vm in stalled {
            let waited = self.vms.get(&vm).and_then(|vm| vm.paused).is_some_and(|at| self.now.since(at) >= PATIENCE);
            if let Some(array) = lost.iter().find(|array| self.uses(&vm, array)).filter(|_| waited) {
                self.leave_lost_paths(&vm, host, array);
            }
        }
    }

    fn uses(&self, vm: &VmName, array: &ArrayName) -> bool {
        let volumes = self.declared.vms.get(vm).into_iter().flat_map(|spec| &spec.volumes);
        volumes.filter_map(|volume| self.declared.volumes.get(volume)).any(|spec| spec.array == *array)
    }

    fn seen_by_array(&self) -> BTreeMap<ArrayName, BTreeMap<HostName, Seen>> {
        let mut seen: BTreeMap<ArrayName, BTreeMap<HostName, Seen>> = BTreeMap::new();
        for (name, vm) in &self.vms {
            let (Phase::Running { host, ready: Some(_) }, Some(spec)) = (&vm.phase, self.declared.vms.get(name)) else {
                continue;
            };
            let mut arrays: Vec<&ArrayName> = spec
                .volumes
                .iter()
                .filter_map(|volume| self.declared.volumes.get(volume))
                .map(|it| &it.array)
                .collect();
            arrays.sort_unstable();
            arrays.dedup();
            for array in arrays {
                let seen = seen.entry(array.clone()).or_default().entry(host.clone()).or_default();
                match vm.halted {
                    None => seen.runs += 1,
                    Some(VmRunState::IoError) => seen.halted += 1,
                    // Paused for another reason it says nothing of its volumes.
                    Some(_) => {}
                }
            }
        }
        seen
    }

    /// Stops a VM whose host has lost its paths, so that it is started where they are, if there is room for it.
    fn leave_lost_paths(&mut self, vm: &VmName, host: &HostName, array: &ArrayName) {
        self.avoid(vm, host);
        let places = self.places(&BTreeMap::from([(vm.clone(), None)])).0;
        if places.get(vm).is_none_or(|to| to == host) {
            return;
        }
        let text = format!(
            "{host} has lost its paths to array {array}, which other hosts reach: {vm} is stopped there and started elsewhere"
        );
        self.tell(Severity::Warning, text, |event| (event.host, event.vm) = (Some(host.clone()), Some(vm.clone())));
        self.order_stop(vm, false);
    }
}
