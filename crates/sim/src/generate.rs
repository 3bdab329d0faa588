//! Fleets made to measure: hosts `h1`…, VMs `v1`…, volumes `v1-d0`…, in turn on the hosts and in turn of each class.

use std::collections::BTreeMap;

use lifeboat_model::{
    ArrayName, ClassName, FenceName, HostName, NameError, Seconds, VmName, VolumeName,
    fleet::{Class, Limits},
    spec::{
        ArrayBackend, ArraySpec, CheckSpec, Declaration, FenceSpec, HostSpec, MachineSpec, RedfishFence, VmSpec,
        VolumeSpec,
    },
};
use serde::Deserialize;

/// What kind of fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    /// Hosts.
    pub hosts: u32,
    /// VMs.
    pub vms: u32,
    /// Volumes a VM.
    pub volumes: u32,
    /// Arrays; a VM's volumes are spread over them.
    pub arrays: u32,
    /// Operations that an array takes at once.
    pub max_ops: u64,
    /// A host's memory.
    pub host_memory_mib: u64,
    /// A VM's memory.
    pub vm_memory_mib: u64,
    /// Racks; host `h1` is in `r1`, `h2` in `r2`, …
    pub racks: u32,
    /// VMs starting at once on a host.
    pub starts_per_host: u64,
    /// Volumes being remapped at once for a host.
    pub maps_per_host: u64,
    /// Whether each host has a BMC that Lifeboat knows.
    pub fences: bool,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            hosts: 3,
            vms: 6,
            volumes: 1,
            arrays: 1,
            max_ops: 8,
            host_memory_mib: 16_384,
            vm_memory_mib: 1024,
            racks: 1,
            starts_per_host: 2,
            maps_per_host: 4,
            fences: true,
        }
    }
}

/// The classes where nobody declares others.
#[must_use]
pub fn classes() -> Vec<Class> {
    let class = |(name, rto_s): (&str, u64)| {
        Some(Class { name: ClassName::new(name).ok()?, rto_s: Seconds::new(rto_s), liveness: None })
    };
    [("gold", 60), ("silver", 120), ("bronze", 600)].into_iter().filter_map(class).collect()
}

/// A host's BMC.
///
/// # Errors
/// When the host's name is too long for its BMC's.
pub fn bmc(host: &HostName) -> Result<FenceSpec, NameError> {
    Ok(FenceSpec::Redfish(RedfishFence {
        name: FenceName::new(&format!("bmc-{host}"))?,
        timeout_s: Seconds::new(30),
        url: format!("https://bmc-{host}.example"),
        system: "1".to_owned(),
        user: "lifeboat".to_owned(),
        password_file: "/etc/lifeboat/bmc".to_owned(),
        ca_file: None,
        pin_sha256: Some("0".repeat(64)),
    }))
}

/// What serves a simulated array's volumes.
#[must_use]
pub fn backend() -> ArrayBackend {
    ArrayBackend::Nbd { directory: "/volumes".to_owned(), hosts: BTreeMap::new() }
}

/// How one sees that a simulated VM is up.
#[must_use]
pub fn check() -> CheckSpec {
    CheckSpec::Tcp { address: "192.0.2.1:7".to_owned() }
}

impl Generate {
    /// The most hosts, VMs and volumes that are made.
    pub const MOST: u32 = 200_000;

    /// Checks that the numbers make a fleet that may be run.
    ///
    /// # Errors
    /// A sentence that names the number and what it must be.
    pub fn validate(&self) -> Result<(), String> {
        let most = Self::MOST;
        let of = [("hosts", self.hosts), ("vms", self.vms), ("arrays", self.arrays), ("racks", self.racks)];
        if let Some((name, number)) = of.iter().find(|(_, number)| *number > most) {
            return Err(format!("[generate] {name} is {number}; it is {most} at most"));
        }
        if u64::from(self.volumes) * u64::from(self.vms.max(1)) > u64::from(most) {
            return Err(format!("[generate] makes more than {most} volumes"));
        }
        if self.hosts == 0 {
            return Err("[generate] hosts must be 1 at least".to_owned());
        }
        if self.max_ops == 0 || self.starts_per_host == 0 || self.maps_per_host == 0 {
            return Err("[generate] max_ops, starts_per_host and maps_per_host must be 1 at least".to_owned());
        }
        Ok(())
    }

    /// The fleet.
    ///
    /// # Errors
    /// Never for numbers that are drawn here; a name that is not one is told.
    pub fn declaration(&self) -> Result<Declaration, NameError> {
        let mut declaration = Declaration {
            limits: Some(Limits {
                starts_per_host: self.starts_per_host,
                maps_per_host: self.maps_per_host,
                fence_s: Seconds::new(4),
            }),
            classes: classes(),
            ..Declaration::default()
        };
        for n in 1..=self.hosts {
            declaration.hosts.push(self.host(n)?);
        }
        for n in 1..=self.arrays.max(1) {
            declaration.arrays.push(array(&ArrayName::new(&format!("a{n}"))?, self.max_ops));
        }
        for n in 1..=self.vms {
            self.vm(n, &mut declaration)?;
        }
        Ok(declaration)
    }

    fn host(&self, n: u32) -> Result<HostSpec, NameError> {
        let name = HostName::new(&format!("h{n}"))?;
        let rack = format!("r{}", (n - 1) % self.racks.max(1) + 1);
        let fences = if self.fences { vec![bmc(&name)?] } else { Vec::new() };
        Ok(HostSpec {
            name,
            site: String::new(),
            labels: BTreeMap::from([("rack".to_owned(), rack)]),
            capacity: BTreeMap::from([
                ("cpu_milli".to_owned(), 64_000),
                ("memory_mib".to_owned(), self.host_memory_mib),
            ]),
            max_volumes: None,
            starts: None,
            maps: None,
            numa: Vec::new(),
            reserve: BTreeMap::new(),
            spare: false,
            maintenance: None,
            liveness: None,
            on_leave: None,
            fences,
            ladder: Vec::new(),
            isolation: None,
        })
    }

    fn vm(&self, n: u32, declaration: &mut Declaration) -> Result<(), NameError> {
        let name = VmName::new(&format!("v{n}"))?;
        let mut volumes = Vec::new();
        for d in 0..self.volumes {
            let volume = VolumeName::new(&format!("{name}-d{d}"))?;
            let array = ArrayName::new(&format!("a{}", (n + d) % self.arrays.max(1) + 1))?;
            declaration.volumes.push(VolumeSpec { name: volume.clone(), array, size_gib: 10, file: None });
            volumes.push(volume);
        }
        let class = ["gold", "silver", "bronze"][(n as usize - 1) % 3];
        let host = (self.hosts > 0).then(|| HostName::new(&format!("h{}", (n - 1) % self.hosts + 1))).transpose()?;
        declaration.vms.push(VmSpec {
            name,
            host,
            demand: BTreeMap::from([("cpu_milli".to_owned(), 1000), ("memory_mib".to_owned(), self.vm_memory_mib)]),
            class: ClassName::new(class)?,
            volumes,
            labels: BTreeMap::new(),
            requires: BTreeMap::new(),
            prefers: Vec::new(),
            preemptible: false,
            configure_s: Seconds::ZERO,
            start_s: Seconds::new(5),
            numa: None,
            machine: MachineSpec::default(),
            check: Some(check()),
        });
        Ok(())
    }
}

/// An array that is simulated.
#[must_use]
pub fn array(name: &ArrayName, max_ops: u64) -> ArraySpec {
    ArraySpec { name: name.clone(), max_ops, remap_s: Seconds::from_millis(200), backend: Some(backend()) }
}
