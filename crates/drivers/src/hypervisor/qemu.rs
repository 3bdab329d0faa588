//! VMs as QEMU processes, managed over QMP.
//!
//! # Theory of operation
//! Each VM has a directory on its host and in it a lock that its QEMU process itself holds, by an inherited descriptor
//! (`directory`). So there is never a second QEMU for a VM, and whether one runs is asked of the kernel, not of a file
//! that may be stale. The agent may end and begin again meanwhile: a QEMU process has its own process group, inherits no
//! pipe of the agent, and is found again with its generation and its QMP socket. A process is held by a pidfd, and a
//! process number is believed only together with its start time (`process`).
//!
//! Starting (`start`) ends in a guest that executes or in no process at all. A task per VM watches its process and its
//! guest (`watch`) and is the one source of events. VMs start and stop side by side; for one VM there is one operation at
//! a time, but a kill is never kept waiting (`slot`).
//!
//! Under systemd the agent's unit needs `KillMode=process`, or stopping the agent ends its VMs.

mod accelerator;
mod checks;
mod command_line;
mod directory;
mod failure;
mod kill_all;
mod logs;
mod process;
mod settings;
mod slot;
mod start;
mod tap;
mod volumes;
mod watch;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lifeboat_model::{Generation, VmName, running::RunningVm};
use lifeboat_ports::{Cause, Hypervisor, HypervisorError, Retry, StopHow, VmConfig, VmEvent};
use serde_json::json;
use tokio::{
    process::Command,
    sync::{OnceCell, mpsc},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use kill_all::kill_all;
pub use settings::{Accelerator, QemuSettings};
use slot::{Running, Settled, Slot};
use watch::GuestState;

use crate::qmp::QmpError;

/// Events that wait to be fetched; the watchers wait when there are more.
const EVENTS_QUEUED: usize = 256;

/// The oldest QEMU that has all that the command line uses (`aux-ram-share`, for live update).
const OLDEST_QEMU: [u64; 2] = [10, 0];

/// How long a VM that was found again may take to say what its guest does, before it is believed to run.
const ADOPTION_LIMIT: Duration = Duration::from_secs(3);

/// How often a guest is asked to shut down: one that is still booting does not hear the first time.
const PRESS_EVERY: Duration = Duration::from_secs(5);

/// The VMs of this host, as QEMU processes.
pub struct Qemu {
    shared: Arc<Shared>,
    events: tokio::sync::Mutex<mpsc::Receiver<VmEvent>>,
    /// Ends the watchers.
    _end: DropGuard,
}

struct Shared {
    settings: Arc<QemuSettings>,
    slots: Mutex<BTreeMap<VmName, Arc<Slot>>>,
    kvm: OnceCell<bool>,
    sender: mpsc::Sender<VmEvent>,
    end: CancellationToken,
}

impl Qemu {
    /// Makes ready to run VMs: makes the directories, looks at QEMU's version and begins to find out whether KVM works.
    ///
    /// # Errors
    /// [`HypervisorError::Unusable`] when a setting cannot be, QEMU is missing or too old, or a directory cannot be
    /// written.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn open(settings: QemuSettings) -> Result<Self, HypervisorError> {
        check_paths(&settings)?;
        for directory in [&settings.run_dir, &settings.state_dir] {
            let problem = format!("directory {} cannot be made or written", directory.display());
            directory::create_private(&directory::vms(directory))
                .map_err(|error| unusable(problem, Some(Box::new(error))))?;
        }
        check_version(&settings.binary).await?;
        let (sender, receiver) = mpsc::channel(EVENTS_QUEUED);
        let end = CancellationToken::new();
        let shared = Arc::new(Shared {
            settings: Arc::new(settings),
            slots: Mutex::default(),
            kvm: OnceCell::new(),
            sender,
            end: end.clone(),
        });
        // Ahead of the first start, which may be one of a recovery.
        let ahead = Arc::clone(&shared);
        tokio::spawn(async move { ahead.kvm().await });
        Ok(Self { shared, events: tokio::sync::Mutex::new(receiver), _end: end.drop_guard() })
    }
}

impl Shared {
    async fn kvm(&self) -> bool {
        *self.kvm.get_or_init(|| accelerator::choose(&self.settings)).await
    }

    fn slot(&self, vm: &VmName) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(vm.clone()).or_insert_with(|| Arc::new(Slot::new(&self.settings, vm.clone())));
        Arc::clone(slot)
    }

    fn watch(&self, slot: &Arc<Slot>, running: &Arc<Running>) {
        tokio::spawn(watch::watch(Arc::clone(slot), Arc::clone(running), self.sender.clone(), self.end.clone()));
    }

    /// The process that runs a VM, watched from now on. Only with the slot's `operation` in hand.
    async fn settle(&self, slot: &Arc<Slot>, operation: &'static str) -> Result<Option<Arc<Running>>, HypervisorError> {
        match slot.settle(operation).await? {
            Settled::Absent => Ok(None),
            Settled::Known(running) => Ok(Some(running)),
            Settled::Found(running) => Ok(self.adopt(slot, running).await),
        }
    }

    async fn adopt(&self, slot: &Arc<Slot>, running: Arc<Running>) -> Option<Arc<Running>> {
        let ask = async { watch::ask(&running.monitor.qmp().await?).await };
        match timeout(ADOPTION_LIMIT, ask).await {
            // The start of an earlier program, never finished: its guest has not executed, and nobody waits for it.
            Ok(Ok(GuestState::NotBegun)) => {
                running.doom();
                running.process.ended().await;
                slot.forget(&running);
                return None;
            }
            Ok(Ok(GuestState::Lives(state))) => drop(running.set_state(state)),
            // The watcher tells how it ended, or what it does once it answers.
            Ok(Ok(GuestState::ShutDown | GuestState::Panicked) | Err(_)) | Err(_) => {}
        }
        tracing::info!(vm = %slot.vm, generation = %running.generation, "found a VM that runs already");
        self.watch(slot, &running);
        Some(running)
    }

    /// Every VM that has a directory here.
    fn known_here(&self) -> io::Result<Vec<VmName>> {
        let names = fs::read_dir(directory::vms(&self.settings.run_dir))?;
        let mut names: Vec<VmName> =
            names.filter_map(|name| VmName::new(name.ok()?.file_name().to_str()?).ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn found(&self, vm: &VmName) -> Result<Option<RunningVm>, HypervisorError> {
        let slot = self.slot(vm);
        let running = match slot.running() {
            Some(running) => Some(running),
            // While an operation is under way and no process is known, there is none.
            None => match slot.operation.try_lock() {
                Ok(_turn) => self.settle(&slot, "list").await?,
                Err(_) => None,
            },
        };
        let listed = |running: Arc<Running>| RunningVm {
            vm: vm.clone(),
            generation: running.generation,
            state: running.state(),
        };
        Ok(running.map(listed))
    }

    async fn stop_gracefully(&self, slot: &Slot, running: &Arc<Running>) {
        let grace = Duration::from_micros(self.settings.shutdown_grace_s.micros());
        let ended = async {
            loop {
                if let Err(error) = press_power_button(running).await {
                    tracing::warn!(vm = %slot.vm, %error, "cannot ask a guest to shut down; killing it");
                    return;
                }
                if timeout(PRESS_EVERY, running.process.ended()).await.is_ok() {
                    return;
                }
            }
        };
        if timeout(grace, ended).await.is_err() {
            tracing::info!(vm = %slot.vm, "its guest did not shut down in time; killing it");
        }
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    async fn list(&self) -> Result<Vec<RunningVm>, HypervisorError> {
        let names = self.shared.known_here().map_err(|error| {
            let problem = format!("{} cannot be read", self.shared.settings.run_dir.display());
            HypervisorError::Unusable { operation: "list VMs", problem, source: Some(Box::new(error)) }
        })?;
        // One VM that cannot be seen fails the whole: a list that leaves it out would say that it does not run.
        let found = futures::future::try_join_all(names.iter().map(|vm| self.shared.found(vm))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn configure(&self, config: &VmConfig) -> Result<(), HypervisorError> {
        let slot = self.shared.slot(&config.vm);
        let _turn = slot.operation.lock().await;
        if let Some(running) = self.shared.settle(&slot, "configure").await? {
            return same_generation(&slot, &running, config.generation);
        }
        let (settings, task_slot, config) = (Arc::clone(&self.shared.settings), Arc::clone(&slot), config.clone());
        let checked = spawn_blocking(move || {
            let vm = &config.vm;
            checks::check(&config, &settings).map_err(failure::because("configure", vm, Retry::IsFutile))?;
            task_slot.directory.create().map_err(failure::files("configure", vm))?;
            task_slot.directory.write_config(&config).map_err(failure::files("configure", vm))
        });
        let aborted = |cause| {
            failure::failed("configure", &slot.vm, "the task was ended", Retry::MayHelp, Some(Box::new(cause) as Cause))
        };
        checked.await.map_err(aborted)?
    }

    async fn start(&self, vm: &VmName, generation: Generation) -> Result<(), HypervisorError> {
        let slot = self.shared.slot(vm);
        // Before the turn: a kill that comes while this waits for it is meant for this, too.
        let kills = slot.kills();
        let _turn = slot.operation.lock().await;
        if let Some(running) = self.shared.settle(&slot, "start").await? {
            return same_generation(&slot, &running, generation);
        }
        let kvm = self.shared.kvm().await;
        let running = start::start(&self.shared.settings, &slot, generation, kvm, kills).await?;
        self.shared.watch(&slot, &running);
        Ok(())
    }

    async fn stop(&self, vm: &VmName, how: StopHow) -> Result<(), HypervisorError> {
        let slot = self.shared.slot(vm);
        // Without waiting for a turn: a kill must reach even a start or a graceful stop that hangs.
        let known = slot.running();
        let _known_end_is_no_news = known.as_ref().map(Running::stopping);
        if how == StopHow::Kill {
            slot.kill();
        }
        let _turn = slot.operation.lock().await;
        let Some(running) = self.shared.settle(&slot, "stop").await? else { return Ok(()) };
        let _end_is_no_news = running.stopping();
        if how == StopHow::Graceful {
            self.shared.stop_gracefully(&slot, &running).await;
        }
        running.doom();
        running.process.ended().await;
        running.process.reap();
        slot.forget(&running);
        Ok(())
    }

    fn guest_agent(&self, vm: &VmName) -> Option<PathBuf> {
        Some(directory::VmDirectory::new(&self.shared.settings, vm).guest_agent_path())
    }

    async fn next_event(&self) -> VmEvent {
        match self.events.lock().await.recv().await {
            Some(event) => event,
            // Not while this value lives: it has a sender itself.
            None => std::future::pending().await,
        }
    }
}

async fn press_power_button(running: &Running) -> Result<(), QmpError> {
    let qmp = running.monitor.qmp().await?;
    // A guest that stands still cannot shut down.
    qmp.execute("cont", json!({})).await?;
    qmp.execute("system_powerdown", json!({})).await.map(drop)
}

fn same_generation(slot: &Slot, running: &Running, wanted: Generation) -> Result<(), HypervisorError> {
    if running.generation == wanted {
        return Ok(());
    }
    Err(HypervisorError::AlreadyRunning { vm: slot.vm.clone(), running: running.generation })
}

fn unusable(problem: impl Into<String>, source: Option<Cause>) -> HypervisorError {
    HypervisorError::Unusable { operation: "run QEMU", problem: problem.into(), source }
}

fn check_paths(settings: &QemuSettings) -> Result<(), HypervisorError> {
    let directories = [
        ("run_dir", Some(&settings.run_dir)),
        ("state_dir", Some(&settings.state_dir)),
        ("psk_dir", settings.psk_dir.as_ref()),
    ];
    for (name, path) in directories {
        if let Some(path) = path.filter(|path| !path.is_absolute()) {
            return Err(unusable(format!("setting `{name}` is not an absolute path: {}", path.display()), None));
        }
    }
    if settings.binary.is_relative() && settings.binary.components().count() != 1 {
        let problem = format!("setting `binary` is neither a name nor an absolute path: {}", settings.binary.display());
        return Err(unusable(problem, None));
    }
    Ok(())
}

async fn check_version(binary: &Path) -> Result<(), HypervisorError> {
    let told = Command::new(binary).arg("--version").kill_on_drop(true).output().await.map_err(|error| {
        let problem = format!(
            "{} cannot be run; install QEMU 10 (Debian: qemu-system-x86), or mend the setting `binary`",
            binary.display()
        );
        unusable(problem, Some(Box::new(error)))
    })?;
    let text = String::from_utf8_lossy(&told.stdout);
    match version(&text) {
        Some(version) if version >= OLDEST_QEMU => Ok(()),
        Some([major, minor]) => Err(unusable(
            format!(
                "{} is version {major}.{minor}; install 10.0 or later (Debian 12: from backports)",
                binary.display()
            ),
            None,
        )),
        None => Err(unusable(
            format!("{} does not say its version as QEMU does; mend the setting `binary`", binary.display()),
            None,
        )),
    }
}

fn version(text: &str) -> Option<[u64; 2]> {
    let mut numbers = text.split_once("version ")?.1.split(|character: char| !character.is_ascii_digit());
    Some([numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_qemu_says() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), Some([10, 0]));
        assert_eq!(version("QEMU emulator version 7.2.15"), Some([7, 2]));
        for other in ["", "version ", "bash, version x", "version 99999999999999999999999.1"] {
            assert_eq!(version(other), None);
        }
    }
}
