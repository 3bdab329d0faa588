use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_model::{HostName, Seconds, VmName, spec::FenceSpec};
use serde::{Deserialize, Serialize};

use crate::{
    LabError, bmc, fleet,
    guest::{Accelerator, GuestImage},
    host::{
        Power,
        cgroup::{kill_vm_process, vm_of},
        power::cut_file,
    },
    layout::{self, Layout},
    network,
    process::{Enter, EntryPoint, last_lines, wait_for},
    sequence::{self, Sequences},
};

/// What a lab shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabOptions {
    /// Its name: 1 to 16 lower-case letters, digits or `-`. Labs of different names stand side by side.
    pub name: String,
    /// Directory for its files, made anew; none: `/var/lib/lifeboat-lab/NAME`. At most 60 characters, for sockets' sake.
    pub dir: Option<PathBuf>,
    /// Where built guest images are kept between labs.
    pub cache: PathBuf,
    /// Hosts, 1 to [`MAX_HOSTS`](crate::MAX_HOSTS).
    pub hosts: usize,
    /// VMs, at most [`MAX_VMS`](crate::MAX_VMS).
    pub vms: usize,
    /// Volumes of each VM, at most 8.
    pub volumes_per_vm: usize,
    /// The `lifeboat` binary: controller, agents and the lab's own processes are run from it.
    pub binary: PathBuf,
    /// Whether a controller and agents are started and the fleet applied. Without, the lab is hosts, storage and BMCs alone.
    pub control_plane: bool,
    /// Time between heartbeats.
    pub heartbeat_s: Seconds,
    /// Time without a heartbeat until a host is lost.
    pub lost_after_s: Seconds,
    /// How long [`Lab::up`] waits for all VMs to answer; none: it does not wait.
    pub wait_vms: Option<Duration>,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            name: "lab".to_owned(),
            dir: None,
            cache: PathBuf::from("/var/cache/lifeboat-lab"),
            hosts: 3,
            vms: 6,
            volumes_per_vm: 1,
            binary: PathBuf::from("lifeboat"),
            control_plane: true,
            heartbeat_s: Seconds::new(1),
            lost_after_s: Seconds::new(3),
            wait_vms: Some(Duration::from_secs(180)),
        }
    }
}

/// What a lab is, as its directory remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) hosts: Vec<HostName>,
    pub(crate) vms: Vec<VmName>,
    pub(crate) volumes_per_vm: usize,
    pub(crate) entry: EntryPoint,
    pub(crate) control_plane: bool,
    pub(crate) heartbeat_s: Seconds,
    pub(crate) lost_after_s: Seconds,
    /// Known once the image is built.
    pub(crate) image: Option<GuestImage>,
    pub(crate) accelerator: Accelerator,
}

/// A farm on one machine.
#[derive(Clone, Debug)]
pub struct Lab {
    pub(crate) layout: Layout,
    pub(crate) settings: Settings,
}

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

    /// Kills the controller (`SIGKILL`). Nothing when there is none.
    ///
    /// # Errors
    /// [`LabError`] when it does not die.
    pub fn kill_controller(&self) -> Result<(), LabError> {
        self.layout.cgroup_of("controller")?.kill()
    }

    /// Starts the controller and returns when it takes connections. Nothing when it runs.
    ///
    /// # Errors
    /// [`LabError`] when it cannot be started or does not listen.
    pub fn start_controller(&self) -> Result<(), LabError> {
        let cgroup = self.layout.cgroup_of("controller")?;
        cgroup.create()?;
        let log = self.layout.log("controller");
        if !cgroup.is_populated()? {
            let config = self.layout.dir.join("controller.toml");
            let binary = self.settings.entry.binary.to_string_lossy().into_owned();
            let enter = Enter {
                cgroup: cgroup.path().to_owned(),
                netns: Layout::netns_file(&self.layout.fabric_netns()),
                hostname: None,
                log: log.clone(),
                wait: false,
                command: vec![
                    binary,
                    "controller".to_owned(),
                    "--config".to_owned(),
                    config.to_string_lossy().into_owned(),
                ],
            };
            enter.start(&self.settings.entry)?;
        }
        let socket = self.socket();
        let hint = format!("its log is {}", log.display());
        let limit = Duration::from_secs(30);
        wait_for("the controller listening on its socket", &hint, limit, || {
            if UnixStream::connect(&socket).is_ok() {
                return Some(Ok(()));
            }
            let ended = || LabError::Program {
                operation: "start the controller".to_owned(),
                detail: format!("it ended: {}", last_lines(&log)),
            };
            (!cgroup.is_populated().unwrap_or(true)).then(|| Err(ended()))
        })?
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
