//! A host: a machine whose VMs live in memory, and agents that come and go on it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use lifeboat_agent::{AgentConfig, AgentError, CheckSettings, ControllerAddress, LeavingConfig, run_over};
use lifeboat_drivers::hypervisor::qemu::QemuSettings;
use lifeboat_model::{
    Generation, HostName, VmName,
    running::{RunningVm, VmRunState},
};
use lifeboat_ports::{Hypervisor, HypervisorError, Retry, StopHow, VmConfig, VmEvent, VmExit};
use lifeboat_transport::{Identity, ca::Authority, credentials::KeyAndRequest};
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use crate::soon;

pub fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a name")
}

pub fn host_name(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

#[derive(Debug, Default)]
struct Vms {
    configured: BTreeMap<VmName, Generation>,
    running: BTreeMap<VmName, Generation>,
}

/// What goes on when agents end.
pub struct Machine {
    vms: Mutex<Vms>,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<VmEvent>>,
    tell: mpsc::UnboundedSender<VmEvent>,
    /// A start takes one permit before it acts.
    pub starts: Semaphore,
    pub start_begins: Notify,
}

impl Machine {
    fn new() -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        Self {
            vms: Mutex::default(),
            events: tokio::sync::Mutex::new(events),
            tell,
            starts: Semaphore::new(1000),
            start_begins: Notify::new(),
        }
    }

    fn vms(&self) -> MutexGuard<'_, Vms> {
        self.vms.lock().expect("not poisoned")
    }

    /// What really runs.
    pub fn running(&self) -> Vec<String> {
        self.vms().running.iter().map(|(vm, generation)| format!("{vm}/{generation}")).collect()
    }

    /// A VM's process dies.
    pub fn crash(&self, vm: &VmName) {
        let generation = self.vms().running.remove(vm).expect("it runs");
        let exit = VmExit::ProcessDied { detail: "signal 9".to_owned() };
        self.tell.send(VmEvent::Exited { vm: vm.clone(), generation, exit }).expect("the machine is there");
    }
}

#[async_trait]
impl Hypervisor for Machine {
    async fn list(&self) -> Result<Vec<RunningVm>, HypervisorError> {
        let vms = self.vms();
        let running = vms.running.iter();
        Ok(running
            .map(|(vm, generation)| RunningVm { vm: vm.clone(), generation: *generation, state: VmRunState::Running })
            .collect())
    }

    async fn configure(&self, config: &VmConfig) -> Result<(), HypervisorError> {
        self.vms().configured.insert(config.vm.clone(), config.generation);
        Ok(())
    }

    async fn start(&self, vm: &VmName, generation: Generation) -> Result<(), HypervisorError> {
        self.start_begins.notify_one();
        self.starts.acquire().await.expect("not closed").forget();
        let mut vms = self.vms();
        if vms.configured.get(vm) != Some(&generation) {
            return Err(HypervisorError::NotConfigured { vm: vm.clone(), generation });
        }
        if vm.as_str() == "broken" {
            let problem = "its first volume does not open; look at the array".to_owned();
            let (operation, retry) = ("start", Retry::MayHelp);
            return Err(HypervisorError::Failed { operation, vm: vm.clone(), problem, retry, source: None });
        }
        vms.running.insert(vm.clone(), generation);
        Ok(())
    }

    async fn stop(&self, vm: &VmName, _: StopHow) -> Result<(), HypervisorError> {
        self.vms().running.remove(vm);
        Ok(())
    }

    async fn next_event(&self) -> VmEvent {
        self.events.lock().await.recv().await.expect("the machine is there")
    }
}

/// A machine and its agent's directories.
pub struct Host {
    pub machine: Arc<Machine>,
    pub config: AgentConfig,
    dir: tempfile::TempDir,
}

impl Host {
    /// A host that knows where controllers listen, but has not joined.
    pub fn new(controllers: &[ControllerAddress]) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let boot_id_file = dir.path().join("boot_id");
        std::fs::write(&boot_id_file, "boot-1\n").expect("written");
        let config = AgentConfig {
            host: host_name("h1"),
            controllers: controllers.to_vec(),
            state_dir: dir.path().join("state"),
            run_dir: dir.path().join("run"),
            token_file: None,
            probe_port: 0,
            networks: Vec::new(),
            heartbeat_block: None,
            watchdog: None,
            boot_id_file,
            checks: CheckSettings::default(),
            hardware: lifeboat_drivers::hardware::HardwareConfig { every_s: 0, ..Default::default() },
            leaving: LeavingConfig { wait_s: 600, jobs_command: vec!["true".to_owned()] },
            qemu: QemuSettings::default(),
            guard_program: None,
        };
        Self { machine: Arc::new(Machine::new()), config, dir }
    }

    /// A host with credentials of a pod.
    pub fn joined(controllers: &[ControllerAddress], authority: &Authority, name: &str) -> Self {
        let host = Self::new(controllers);
        let key = KeyAndRequest::generate().expect("a key");
        let identity = Identity::Host(host_name(name));
        let certificate = authority.sign_csr(key.request_pem(), &identity).expect("signed");
        let credentials = key.into_credentials(&certificate, authority.certificate_pem(), &authority.fingerprint());
        credentials.expect("they fit").store(&host.config.state_dir).expect("stored");
        host
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file that only its owner may read.
    pub fn private_file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        path
    }

    pub fn start_agent(&self) -> Agent {
        let (end, ended) = oneshot::channel::<()>();
        let (config, machine) = (self.config.clone(), Arc::clone(&self.machine));
        let task = tokio::spawn(async move {
            run_over(&config, machine, async {
                let _ = ended.await;
            })
            .await
        });
        Agent { task, end }
    }
}

/// A running agent.
pub struct Agent {
    task: JoinHandle<Result<(), AgentError>>,
    end: oneshot::Sender<()>,
}

impl Agent {
    /// Ends it in order.
    pub async fn end(self) {
        self.end.send(()).expect("it runs");
        soon("the agent's end", self.task).await.expect("no panic").expect("no error");
    }

    /// Kills it.
    pub async fn kill(self) {
        self.task.abort();
        assert!(soon("the agent's death", self.task).await.expect_err("killed").is_cancelled());
    }

    /// Waits until it gives up; why, with all causes.
    pub async fn gives_up(self) -> (AgentError, String) {
        let error = soon("an error", self.task).await.expect("no panic").expect_err("an error");
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        (error, text)
    }
}
