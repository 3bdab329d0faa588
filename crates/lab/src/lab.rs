use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_model::{HostName, VmName, spec::FenceSpec};

use crate::{
    LabError, bmc, fleet,
    host::{
        Power,
        cgroup::{kill_vm_process, vm_of},
        power::cut_file,
    },
    layout::{self, Layout},
    network,
    sequence::{self, Sequences},
    settings::Settings,
};

/// A farm on one machine.
#[derive(Clone, Debug)]
pub struct Lab {
    pub(crate) layout: Layout,
    pub(crate) settings: Settings,
}

impl Lab {
    /// The lab of this name.
    ///
    /// # Errors
    /// [`LabError::Unknown`] when there is none.
    pub fn open(name: &str) -> Result<Self, LabError> {
        Layout::check_name(name)?;
        let unknown = || LabError::Unknown { name: name.to_owned() };
        let registry = fs::read_to_string(Layout::registry(name)).map_err(|_| unknown())?;
        let dir: PathBuf = serde_json::from_str(&registry).map_err(|_| unknown())?;
        Self::in_directory(&dir)
    }

    /// Names of all labs of this machine.
    #[must_use]
    pub fn list() -> Vec<String> {
        Layout::registered()
    }

    pub(crate) fn in_directory(dir: &Path) -> Result<Self, LabError> {
        let marker = dir.join("lab.json");
        let operation = format!("read {}", marker.display());
        let text = fs::read_to_string(&marker).map_err(LabError::system(&*operation))?;
        let settings: Settings =
            serde_json::from_str(&text).map_err(std::io::Error::from).map_err(LabError::system(operation))?;
        Ok(Self { layout: Layout { name: settings.name.clone(), dir: dir.to_owned() }, settings })
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.layout.name
    }

    /// Its directory: configurations, logs (`logs/`), images.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// Its hosts: h1, h2, …
    #[must_use]
    pub fn hosts(&self) -> &[HostName] {
        &self.settings.hosts
    }

    /// Its VMs: vm-1, vm-2, …
    #[must_use]
    pub fn vms(&self) -> &[VmName] {
        &self.settings.vms
    }

    /// The controller's socket, for `lifeboat --socket`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.layout.controller_socket()
    }

    /// The fleet's declaration, for `lifeboat apply`.
    #[must_use]
    pub fn fleet_file(&self) -> PathBuf {
        self.layout.dir.join("fleet.toml")
    }

    pub(crate) fn host(&self, host: &HostName) -> Result<usize, LabError> {
        self.hosts()
            .iter()
            .position(|known| known == host)
            .ok_or_else(|| self.no_such("host", host.as_str(), self.hosts()))
    }

    pub(crate) fn vm(&self, vm: &VmName) -> Result<usize, LabError> {
        self.vms().iter().position(|known| known == vm).ok_or_else(|| self.no_such("VM", vm.as_str(), self.vms()))
    }

    fn no_such(&self, kind: &'static str, name: &str, known: &[impl ToString]) -> LabError {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        LabError::NoSuch { lab: self.layout.name.clone(), kind, name: name.to_owned(), known }
    }

    pub(crate) fn power<'a>(&'a self, host: &'a HostName) -> Result<Power<'a>, LabError> {
        self.host(host)?;
        let with_agent = self.settings.control_plane;
        Ok(Power { layout: &self.layout, host, entry: &self.settings.entry, with_agent })
    }

    /// Cuts a host's power, frozen or not: its link, its processes, its RAM. Returns when no process of it lives. Nothing
    /// when it is off.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown, or a process outlives it.
    pub fn power_off(&self, host: &HostName) -> Result<(), LabError> {
        self.power(host)?.off()
    }

    /// Puts a host's power on: a new boot, its link (unless its cable is cut), its agent. Nothing when it is on.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown, or its agent cannot be started.
    pub fn power_on(&self, host: &HostName) -> Result<(), LabError> {
        self.power(host)?.on()
    }

    /// Whether a host has power, as its BMC sees it.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn has_power(&self, host: &HostName) -> Result<bool, LabError> {
        self.power(host)?.is_on()
    }

    /// Makes a host hang: every process of it stops where it is. It still answers ping and takes TCP connections.
    ///
    /// # Errors
    /// [`LabError::Refused`] when it has no power.
    pub fn hang(&self, host: &HostName) -> Result<(), LabError> {
        if !self.has_power(host)? {
            let why = "it has no power; put it on first".to_owned();
            return Err(LabError::Refused { operation: format!("make {host} hang"), why });
        }
        self.layout.host_cgroup(host)?.freeze(true)
    }

    /// Lets a hanging host go on.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn thaw(&self, host: &HostName) -> Result<(), LabError> {
        self.host(host)?;
        self.layout.host_cgroup(host)?.freeze(false)
    }

    /// Cuts a host's cable, at the fabric's end. It stays cut over power cycles, until [`Lab::heal`].
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn cut(&self, host: &HostName) -> Result<(), LabError> {
        self.host(host)?;
        let file = cut_file(&self.layout, host);
        fs::write(&file, "").map_err(LabError::system(format!("write {}", file.display())))?;
        network::set_uplink(&self.layout, host, false)
    }

    /// Mends a host's cable.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn heal(&self, host: &HostName) -> Result<(), LabError> {
        let file = cut_file(&self.layout, host);
        if file.exists() {
            fs::remove_file(&file).map_err(LabError::system(format!("remove {}", file.display())))?;
        }
        if self.has_power(host)? {
            network::set_uplink(&self.layout, host, true)?;
        }
        Ok(())
    }

    /// Makes a host's BMC deaf (`false`) or lets it answer again (`true`).
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn bmc(&self, host: &HostName, answers: bool) -> Result<(), LabError> {
        self.host(host)?;
        bmc::set_deaf(&self.layout, host, !answers)
    }

    /// Starts a program on a host, as its agent is started: in its cgroup, its network and under its name. It is lost
    /// with the host's power. What it prints goes to the host's log.
    ///
    /// # Errors
    /// [`LabError`] when the host has no power, or the program cannot be started.
    pub fn run_on(&self, host: &HostName, command: Vec<String>) -> Result<(), LabError> {
        if !self.has_power(host)? {
            let why = "it has no power; put it on first".to_owned();
            return Err(LabError::Refused { operation: format!("start a program on {host}"), why });
        }
        self.power(host)?.start(command)
    }

    /// The VMs whose processes live on a host, with the processes.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn processes(&self, host: &HostName) -> Result<Vec<(String, i32)>, LabError> {
        self.host(host)?;
        let processes = self.layout.host_cgroup(host)?.processes();
        Ok(processes.into_iter().filter_map(|process| vm_of(process).map(|vm| (vm, process))).collect())
    }

    /// Kills the process of a VM, wherever it is. Gives the hosts where there was one.
    ///
    /// # Errors
    /// [`LabError`] when the VM is unknown or a process cannot be killed.
    pub fn kill_vm(&self, vm: &VmName) -> Result<Vec<HostName>, LabError> {
        self.vm(vm)?;
        let mut hosts = Vec::new();
        for host in self.hosts() {
            for (name, process) in self.processes(host)? {
                if name == vm.as_str()
                    && kill_vm_process(process, &name)
                        .map_err(LabError::system(format!("kill process {process} of VM {vm}")))?
                {
                    hosts.push(host.clone());
                }
            }
        }
        Ok(hosts)
    }

    /// What a VM's guest says of its volumes, asked through the fabric; an error when it does not answer in time.
    ///
    /// # Errors
    /// [`LabError`] when the VM is unknown or does not answer.
    pub fn sequences(&self, vm: &VmName, limit: Duration) -> Result<Sequences, LabError> {
        let address = layout::vm_address(self.vm(vm)?);
        network::in_fabric(&self.layout, || sequence::ask(address, limit))?
            .map_err(LabError::system(format!("ask the guest of VM {vm}")))
    }

    /// The fences of a host, as the lab declares them.
    ///
    /// # Errors
    /// [`LabError`] when the host is unknown.
    pub fn fences(&self, host: &HostName) -> Result<Vec<FenceSpec>, LabError> {
        Ok(fleet::fences(self, self.host(host)?, host))
    }

    /// Runs something in the fabric's network, where the BMCs, the storage and the controller are, on a thread of its own.
    ///
    /// # Errors
    /// [`LabError`] when the fabric cannot be entered.
    pub fn in_fabric<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        network::in_fabric(&self.layout, work)
    }
}
