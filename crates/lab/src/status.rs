use std::{path::PathBuf, time::Duration};

use lifeboat_model::{HostName, VmName};
use serde::Serialize;

use crate::{Lab, LabError, bmc, host::power::cut_file, layout, network, sequence, sequence::Sequences};

/// How a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// The host.
    pub host: HostName,
    /// Whether it has power.
    pub power: bool,
    /// Whether it hangs: frozen by [`Lab::hang`].
    pub hung: bool,
    /// Whether its cable is cut.
    pub cut: bool,
    /// Whether its BMC answers.
    pub bmc: bool,
    /// The VMs whose processes live on it.
    pub vms: Vec<VmName>,
}

/// How a VM is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmStatus {
    /// The VM.
    pub vm: VmName,
    /// The hosts on which a process of it lives: more than one is what must never be.
    pub hosts: Vec<HostName>,
    /// What its guest says; none: it does not answer.
    pub answer: Option<Sequences>,
}

/// How a lab is, as seen from outside of what it tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabStatus {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether its controller lives.
    pub controller: bool,
    /// Its hosts.
    pub hosts: Vec<HostStatus>,
    /// Its VMs.
    pub vms: Vec<VmStatus>,
}

/// How long a VM may take to answer when it is only asked how it is.
const LOOK: Duration = Duration::from_millis(500);

impl Lab {
    /// How everything is, looked at from outside.
    ///
    /// # Errors
    /// [`LabError`] when the machine cannot be looked at.
    pub fn status(&self) -> Result<LabStatus, LabError> {
        let mut hosts = Vec::new();
        for host in self.hosts() {
            let vms = self.processes(host)?.into_iter().filter_map(|(vm, _)| VmName::new(&vm).ok()).collect();
            hosts.push(HostStatus {
                host: host.clone(),
                power: self.has_power(host)?,
                hung: self.layout.host_cgroup(host)?.is_frozen(),
                cut: cut_file(&self.layout, host).exists(),
                bmc: !bmc::deaf_file(&self.layout, host).exists(),
                vms,
            });
        }
        let addresses: Vec<_> = (0..self.vms().len()).map(layout::vm_address).collect();
        let answers = network::in_fabric(&self.layout, || sequence::ask_all(&addresses, LOOK))?;
        let on =
            |vm: &VmName| hosts.iter().filter(|host| host.vms.contains(vm)).map(|host| host.host.clone()).collect();
        let vms = self.vms().iter().zip(answers);
        let vms = vms.map(|(vm, answer)| VmStatus { vm: vm.clone(), hosts: on(vm), answer: answer.ok() }).collect();
        let controller = self.layout.cgroup_of("controller")?.is_populated()?;
        Ok(LabStatus { name: self.layout.name.clone(), dir: self.layout.dir.clone(), controller, hosts, vms })
    }
}
