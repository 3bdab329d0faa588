//! A host with QEMU in directories of its own, and its processes seen from outside.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use lifeboat_drivers::hypervisor::qemu::{Accelerator, Qemu, QemuSettings};
use lifeboat_model::{
    Generation, Seconds, VmName, VolumeName,
    attach::{Attachment, VolumePath},
    spec::MachineSpec,
};
use lifeboat_ports::{Hypervisor, VmConfig, conformance::hypervisor::HypervisorBench};
use rustix::{
    net::{Shutdown, SocketAddrUnix, getpeername, shutdown},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, kill_process, pidfd_getfd, pidfd_open},
};

use crate::guests;

pub struct Bench {
    pub root: tempfile::TempDir,
    pub settings: QemuSettings,
}

impl Bench {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("lifeboat-qemu-").tempdir().unwrap();
        let settings = QemuSettings {
            run_dir: root.path().join("run"),
            state_dir: root.path().join("state"),
            accelerator: Accelerator::Tcg,
            shutdown_grace_s: Seconds::new(1),
            ..QemuSettings::default()
        };
        Self { root, settings }
    }

    pub async fn qemu(&self) -> Qemu {
        Qemu::open(self.settings.clone()).await.unwrap()
    }

    pub fn disk(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.raw"))
    }

    /// A VM whose one volume boots the code.
    pub fn booting(&self, name: &str, generation: u64, code: &[u8]) -> VmConfig {
        let disk = self.disk(name);
        if !disk.exists() {
            guests::write_disk(&disk, code);
        }
        let path = VolumePath::File { path: disk.display().to_string() };
        VmConfig {
            vm: VmName::new(name).unwrap(),
            generation: Generation(generation),
            vcpus: 1,
            memory_mib: 32,
            machine: MachineSpec::default(),
            attachments: vec![Attachment { volume: VolumeName::new("d0").unwrap(), path }],
        }
    }

    pub fn idle(&self, name: &str) -> VmConfig {
        self.booting(name, 1, guests::IDLE)
    }

    pub fn run_file(&self, vm: &str, file: &str) -> PathBuf {
        self.settings.run_dir.join("vms").join(vm).join(file)
    }

    pub fn state_file(&self, vm: &str, file: &str) -> PathBuf {
        self.settings.state_dir.join("vms").join(vm).join(file)
    }

    /// The processes that run a VM of this bench, found by looking at all.
    pub fn pids(&self, vm: Option<&str>) -> Vec<Pid> {
        let console = self.settings.state_dir.display().to_string();
        let is_of = |line: &str| {
            line.contains(&console)
                && line.contains("guest=")
                && vm.is_none_or(|vm| line.contains(&format!("guest={vm},")))
        };
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let line = |pid: &i32| fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        pids.filter(|pid| is_of(&String::from_utf8_lossy(&line(pid)))).filter_map(Pid::from_raw).collect()
    }

    /// Ends the connections to a VM's QMP socket that this process has, as the kernel does for one that is killed: QEMU
    /// serves one at a time.
    pub fn hang_up(&self, vm: &str) {
        let socket = self.run_file(vm, "qmp");
        let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let files =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let files: Vec<i32> = files.collect();
        for file in files {
            let Ok(copy) = pidfd_getfd(&this, file, PidfdGetfdFlags::empty()) else { continue };
            let peer = getpeername(&copy).ok().flatten().and_then(|peer| SocketAddrUnix::try_from(peer).ok());
            if peer.is_some_and(|peer| peer.path_bytes() == Some(socket.as_os_str().as_bytes())) {
                shutdown(&copy, Shutdown::Both).unwrap();
            }
        }
    }

    pub fn kill_now(&self, vm: &str) {
        let pids = self.pids(Some(vm));
        assert_eq!(pids.len(), 1, "one process runs {vm}");
        kill_process(pids[0], Signal::KILL).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for pid in self.pids(None) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[async_trait]
impl HypervisorBench for Bench {
    async fn open(&self) -> Arc<dyn Hypervisor> {
        Arc::new(self.qemu().await)
    }

    fn vm(&self, name: &str, generation: Generation) -> VmConfig {
        guests::write_disk(&self.disk(name), guests::IDLE);
        self.booting(name, generation.0, guests::IDLE)
    }

    fn short_lived_vm(&self, name: &str, generation: Generation) -> VmConfig {
        self.booting(name, generation.0, guests::POWER_OFF)
    }

    fn spoilt(&self, mut config: VmConfig) -> VmConfig {
        // Nobody listens at port 1.
        let (host, export) = ("127.0.0.1".to_owned(), "d0".to_owned());
        config.attachments[0].path = VolumePath::Nbd { host, port: 1, export, tls_psk: false };
        config
    }

    async fn processes(&self, vm: &VmName) -> usize {
        self.pids(Some(vm.as_str())).len()
    }

    async fn kill(&self, vm: &VmName) {
        self.kill_now(vm.as_str());
    }
}
