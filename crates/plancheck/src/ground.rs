//! What a plan is held to, by number: the fleet, the request, and the plan's steps by VM.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use lifeboat_model::fleet::{Fleet, HostState};
use lifeboat_model::plan::{Action, Plan, Request, Step};
use lifeboat_model::{HostName, Seconds};

use crate::Violation;

/// A quick hash of short texts: each eight bytes are mixed in by a multiplication.
#[derive(Default)]
pub(crate) struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        let mut mix = |word: [u8; 8]| {
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        };
        for chunk in &mut chunks {
            mix(std::array::from_fn(|at| chunk[at]));
        }
        let rest = chunks.remainder();
        mix(std::array::from_fn(|at| rest.get(at).copied().unwrap_or(bytes.len() as u8)));
    }

    fn write_u8(&mut self, _: u8) {
        // The end of a text; its length is mixed in already.
    }
}

/// Name to position; looked up, never walked.
pub(crate) type Names<'a> = HashMap<&'a str, usize, BuildHasherDefault<Quick>>;

fn names<'a>(names: impl Iterator<Item = &'a str>) -> Names<'a> {
    names.enumerate().map(|(at, name)| (name, at)).collect()
}

/// The steps of one VM, as positions in the plan.
#[derive(Default)]
pub(crate) struct Deeds {
    pub(crate) vm: usize,
    pub(crate) remaps: Vec<usize>,
    pub(crate) configures: Vec<usize>,
    pub(crate) starts: Vec<usize>,
    pub(crate) stops: Vec<usize>,
    pub(crate) migrates: Vec<usize>,
    /// Where it is in the end, when the plan starts or moves it.
    pub(crate) placed: Option<usize>,
    /// When it is ready, when the plan starts it on a host that is up.
    pub(crate) ready: Option<Seconds>,
    /// When it has left its host, when the plan stops or moves it.
    pub(crate) left: Option<Seconds>,
}

/// What a step names, by number; none where the fleet does not have it, or the step names none.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    pub(crate) host: Option<u32>,
    pub(crate) vm: Option<u32>,
    /// The array of its volume.
    pub(crate) array: Option<u32>,
}

/// Fleet, request and plan by number.
pub(crate) struct Ground<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) request: &'a Request,
    pub(crate) plan: &'a Plan,
    pub(crate) hosts: Names<'a>,
    pub(crate) vms: Names<'a>,
    /// What each step names.
    pub(crate) named: Vec<Named>,
    /// Whether each host has failed, by the request.
    pub(crate) failed: Vec<bool>,
    /// Where each VM runs.
    pub(crate) host_of: Vec<Option<usize>>,
    /// The VMs that the plan must start or say why not.
    pub(crate) wanted: Vec<bool>,
    /// The step that fences each host.
    pub(crate) fence: Vec<Option<usize>>,
    pub(crate) deeds: Vec<Deeds>,
    /// The deeds of each VM that has some.
    pub(crate) deeds_of: Vec<Option<usize>>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(fleet: &'a Fleet, request: &'a Request, plan: &'a Plan, bad: &mut Vec<Violation>) -> Self {
        let hosts = names(fleet.hosts.iter().map(|host| host.name.as_str()));
        let vms = names(fleet.vms.iter().map(|vm| vm.name.as_str()));
        let host_of: Vec<Option<usize>> =
            fleet.vms.iter().map(|vm| vm.host.as_ref().and_then(|host| hosts.get(host.as_str()).copied())).collect();
        let mut failed = vec![false; fleet.hosts.len()];
        for host in &request.failed {
            match hosts.get(host.as_str()) {
                Some(at) => failed[*at] = true,
                None => bad.push(unknown("the request", "host", host.as_str())),
            }
        }
        let mut wanted: Vec<bool> = host_of.iter().map(|host| host.is_some_and(|host| failed[host])).collect();
        for vm in request.place.keys() {
            match vms.get(vm.as_str()) {
                Some(at) => wanted[*at] = true,
                None => bad.push(unknown("the request", "VM", vm.as_str())),
            }
        }
        let mut ground = Self {
            fence: vec![None; fleet.hosts.len()],
            deeds: Vec::new(),
            deeds_of: vec![None; fleet.vms.len()],
            named: Vec::with_capacity(plan.steps.len()),
            fleet,
            request,
            plan,
            hosts,
            vms,
            failed,
            host_of,
            wanted,
        };
        let volumes = names(fleet.volumes.iter().map(|volume| volume.name.as_str()));
        let arrays = names(fleet.arrays.iter().map(|array| array.name.as_str()));
        for at in 0..plan.steps.len() {
            ground.file(at, &volumes, &arrays, bad);
        }
        ground
    }

    /// Files a step under its VM or host.
    fn file(&mut self, at: usize, volumes: &Names<'_>, arrays: &Names<'_>, bad: &mut Vec<Violation>) {
        let step = &self.plan.steps[at];
        let by = || format!("step {}", step.id);
        let host = self.host(step.action.host());
        if host.is_none() {
            bad.push(unknown(by(), "host", step.action.host().as_str()));
        }
        let mut array = None;
        if let Action::Remap { volume, .. } = &step.action {
            match volumes.get(volume.as_str()) {
                Some(volume) => array = arrays.get(self.fleet.volumes[*volume].array.as_str()).copied(),
                None => bad.push(unknown(by(), "volume", volume.as_str())),
            }
        }
        let vm = step.action.vm().and_then(|name| self.vms.get(name.as_str()).copied());
        let number = |at: Option<usize>| at.map(|at| at as u32);
        self.named.push(Named { host: number(host), vm: number(vm), array: number(array) });
        let Some(name) = step.action.vm() else {
            if let Some(host) = host {
                if !self.failed[host] {
                    bad.push(Violation::FenceUnasked { host: step.action.host().clone() });
                }
                self.fence[host] = Some(at);
            }
            return;
        };
        let Some(vm) = vm else {
            bad.push(unknown(by(), "VM", name.as_str()));
            return;
        };
        let slot = *self.deeds_of[vm].get_or_insert_with(|| {
            self.deeds.push(Deeds { vm, ..Deeds::default() });
            self.deeds.len() - 1
        });
        let deeds = &mut self.deeds[slot];
        match &step.action {
            Action::Remap { .. } => deeds.remaps.push(at),
            Action::Configure { .. } => deeds.configures.push(at),
            Action::Start { .. } => deeds.starts.push(at),
            Action::Stop { .. } => deeds.stops.push(at),
            Action::Migrate { .. } => deeds.migrates.push(at),
            Action::Fence { .. } => {}
        }
    }

    pub(crate) fn host(&self, name: &HostName) -> Option<usize> {
        self.hosts.get(name.as_str()).copied()
    }

    pub(crate) fn step(&self, at: usize) -> &'a Step {
        &self.plan.steps[at]
    }

    /// Whether a host runs nothing: it failed, or was down before.
    pub(crate) fn is_down(&self, host: usize) -> bool {
        self.failed[host] || self.fleet.hosts[host].state == HostState::Down
    }

    /// Whether a host may take VMs.
    pub(crate) fn takes(&self, host: usize) -> bool {
        !self.failed[host] && self.fleet.hosts[host].state == HostState::Up
    }

    /// Whether a VM is one of a failed host.
    pub(crate) fn is_lost(&self, vm: usize) -> bool {
        self.host_of[vm].is_some_and(|host| self.failed[host])
    }

    /// What the plan does with a VM.
    pub(crate) fn deeds(&self, vm: usize) -> Option<&Deeds> {
        self.deeds_of[vm].map(|at| &self.deeds[at])
    }

    /// When the plan has a VM ready.
    pub(crate) fn ready(&self, vm: usize) -> Option<Seconds> {
        self.deeds(vm).and_then(|deeds| deeds.ready)
    }

    /// Where a VM is in the end.
    pub(crate) fn ends_at(&self, vm: usize) -> Option<usize> {
        let deeds = self.deeds(vm);
        if let Some(placed) = deeds.and_then(|deeds| deeds.placed) {
            return Some(placed);
        }
        let stays = deeds.is_none_or(|deeds| deeds.left.is_none());
        self.host_of[vm].filter(|host| stays && !self.is_down(*host))
    }
}

pub(crate) fn unknown(by: impl Into<String>, kind: &'static str, name: &str) -> Violation {
    Violation::Unknown { by: by.into(), kind, name: name.to_owned() }
}
