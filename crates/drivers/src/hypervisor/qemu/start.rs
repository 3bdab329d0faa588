//! Starting a VM: lock, taps, process, handshake, go.
//!
//! QEMU begins with its guest held (`-S`), so that everything that can fail has failed before the guest executes its first
//! instruction; `cont` then lets it go. From the spawn on the process is known to the VM's slot, so that a kill reaches it,
//! and a guard dooms it on every way out but success: an error, or a caller that has gone away.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt as _, net::UnixListener, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use command_fds::{CommandFdExt as _, FdMapping};
use lifeboat_model::{Generation, VmName, running::VmRunState};
use lifeboat_ports::{Cause, HypervisorError, Retry, VmConfig};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    command_line::{self, FIRST_TAP_FD, GUEST_AGENT_FD, QMP_FD},
    directory::{LOCK_FD, Launch, VmDirectory},
    failure::{because, failed, files, of_start},
    logs,
    process::Process,
    settings::QemuSettings,
    slot::{Monitor, Running, Slot},
    tap, volumes,
    watch::{GuestState, ask},
};
use crate::qmp::QmpError;

/// How long QEMU may take until it answers: it opens all volumes first.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(60);

/// How many of QEMU's last lines an error carries.
const LINES_TOLD: usize = 5;

/// Why a process that was spawned did not come up.
enum Unfit {
    /// It ended.
    Ended,
    /// It does not do what it is told.
    Monitor(QmpError),
    /// The guest is not running, though it was let go.
    Stopped,
    /// Somebody asked for a kill meanwhile.
    Killed,
}

/// Starts a VM that does not run. Only with its slot's `operation` in hand; `kills` was read when the caller began.
pub(super) async fn start(
    settings: &Arc<QemuSettings>,
    slot: &Slot,
    generation: Generation,
    kvm: bool,
    kills: u64,
) -> Result<Arc<Running>, HypervisorError> {
    let vm = &slot.vm;
    let config = slot.directory.config().map_err(files("start", vm))?;
    let not_configured = || HypervisorError::NotConfigured { vm: vm.clone(), generation };
    let config = config.filter(|config| config.generation == generation).ok_or_else(not_configured)?;

    let (of_task, task_settings) = (vm.clone(), Arc::clone(settings));
    let spawned = spawn_blocking(move || spawn(&task_settings, &config, kvm)).await;
    let aborted =
        |cause| failed("start", &of_task, "the task was ended", Retry::MayHelp, Some(Box::new(cause) as Cause));
    let running = spawned.map_err(aborted)??.into_running();
    slot.remember(&running);
    let guard = DoomUnlessKept { slot, running: Some(Arc::clone(&running)) };

    let outcome = tokio::select! {
        // First what the monitor says: a QEMU that refuses its arguments has ended by then as well.
        biased;
        up = bring_up(slot, &running, kills) => up,
        () = running.process.ended() => Err(Unfit::Ended),
    };
    let Err(unfit) = outcome else { return Ok(guard.keep()) };
    // A monitor that closes is most often the first sign of the end; the true cause is then the process's.
    let unfit = if slot.kills() == kills { unfit } else { Unfit::Killed };
    drop(guard);
    running.process.ended().await;
    let how = running.process.reap();
    slot.forget(&running);
    Err(explain(slot, &running, unfit, how).await)
}

async fn bring_up(slot: &Slot, running: &Running, kills: u64) -> Result<(), Unfit> {
    let qmp = running.monitor.qmp_within(HANDSHAKE_LIMIT).await.map_err(Unfit::Monitor)?;
    // A kill that comes after this finds the process in the slot.
    if slot.kills() != kills {
        return Err(Unfit::Killed);
    }
    qmp.execute("cont", json!({})).await.map_err(Unfit::Monitor)?;
    match ask(&qmp).await.map_err(Unfit::Monitor)? {
        GuestState::Lives(VmRunState::Running) => {
            running.set_state(VmRunState::Running);
            Ok(())
        }
        // It executed, and is done already: the watcher tells.
        GuestState::ShutDown | GuestState::Panicked => Ok(()),
        GuestState::Lives(_) | GuestState::NotBegun => Err(Unfit::Stopped),
    }
}

async fn explain(slot: &Slot, running: &Running, unfit: Unfit, how: Option<String>) -> HypervisorError {
    let log = slot.directory.qemu_log();
    let said = logs::tail(log.clone(), running.log_from, LINES_TOLD).await;
    let log = log.display().to_string();
    let ended = how.unwrap_or_else(|| "ended".to_owned());
    match unfit {
        Unfit::Killed => failed("start", &slot.vm, "it was stopped while it started", Retry::MayHelp, None),
        Unfit::Ended | Unfit::Monitor(QmpError::Closed { .. }) => of_start(&slot.vm, &ended, &said, &log, None),
        Unfit::Monitor(error) => {
            of_start(&slot.vm, "did not come up and was killed", &said, &log, Some(Box::new(error)))
        }
        Unfit::Stopped => of_start(
            &slot.vm,
            "stopped its guest at once, most likely for an I/O error, and was killed",
            &said,
            &log,
            None,
        ),
    }
}

/// Kills a process when dropped.
struct DoomUnlessKept<'a> {
    slot: &'a Slot,
    running: Option<Arc<Running>>,
}

impl DoomUnlessKept<'_> {
    fn keep(mut self) -> Arc<Running> {
        self.running.take().expect("it is taken here only, and this takes the guard")
    }
}

impl Drop for DoomUnlessKept<'_> {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            tracing::debug!(vm = %self.slot.vm, "a start failed; killing its process");
            running.doom();
        }
    }
}

/// A process that was just spawned; killed when dropped before it is known to the slot.
struct Spawned(Option<Running>);

impl Spawned {
    fn into_running(mut self) -> Arc<Running> {
        Arc::new(self.0.take().expect("it is taken here only, and this takes the value"))
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.0.iter().for_each(Running::doom);
    }
}

/// All that blocks: files, taps, the fork.
fn spawn(settings: &QemuSettings, config: &VmConfig, kvm: bool) -> Result<Spawned, HypervisorError> {
    let vm = &config.vm;
    let directory = VmDirectory::new(settings, vm);
    let lock = directory.lock().map_err(files("start", vm))?;
    let busy = "another program on this host runs it or is starting it; see that only one agent runs here";
    let lock = lock.ok_or_else(|| failed("start", vm, busy, Retry::MayHelp, None))?;
    let volumes = volumes::describe(&config.attachments, settings).map_err(because("start", vm, Retry::MayHelp))?;
    let taps = open_taps(config)?;

    let log = directory.qemu_log();
    let arguments = command_line::arguments(config, &volumes, kvm, &directory.console_log());
    let program = std::iter::once(settings.binary.display().to_string());
    let launch = Launch {
        generation: config.generation,
        log_from: logs::length(&log),
        command_line: program.chain(arguments.iter().cloned()).collect(),
    };
    directory.write_launch(&launch).map_err(files("start", vm))?;
    let socket = directory.socket().map_err(files("start", vm))?;
    let listener = listen(socket.as_path()).map_err(files("start", vm))?;

    let fds = std::iter::once((LOCK_FD, lock)).chain([(QMP_FD, listener)]).chain((FIRST_TAP_FD..).zip(taps));
    let mut fds: Vec<_> = fds.collect();
    if config.machine.guest_agent {
        let channel = directory.guest_agent().and_then(|socket| listen(socket.as_path()));
        fds.push((GUEST_AGENT_FD, channel.map_err(files("start", vm))?));
    }
    let child = run(settings, &arguments, log, fds).map_err(|source| {
        let problem = format!("{} cannot be run", settings.binary.display());
        failed("start", vm, problem, Retry::MayHelp, Some(Box::new(source)))
    })?;
    let process = own(vm, child)?;
    let spawned = Spawned(Some(Running::new(process, &launch, Monitor::new(socket))));
    let id = spawned.0.as_ref().map(|running| running.process.id());
    id.map_or(Ok(()), |id| directory.write_process(id)).map_err(files("start", vm))?;
    Ok(spawned)
}

fn open_taps(config: &VmConfig) -> Result<Vec<OwnedFd>, HypervisorError> {
    let open = |(index, nic): (usize, &lifeboat_model::spec::NicSpec)| {
        tap::open(&tap::name(&config.vm, index), &nic.bridge).map_err(because("start", &config.vm, Retry::MayHelp))
    };
    config.machine.nics.iter().enumerate().map(open).collect()
}

/// Listens before QEMU runs, so that connecting needs no waiting for it; and when QEMU ends, so does the connection.
fn listen(socket: &std::path::Path) -> io::Result<OwnedFd> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(socket).map(OwnedFd::from),
    }
}

fn run(
    settings: &QemuSettings,
    arguments: &[String],
    log: PathBuf,
    fds: Vec<(i32, OwnedFd)>,
) -> io::Result<std::process::Child> {
    let log = File::options().create(true).append(true).mode(0o600).open(log)?;
    let mappings = fds.into_iter().map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    let mut command = Command::new(&settings.binary);
    command
        .args(arguments)
        .current_dir("/")
        // Nothing of the agent's environment; and QEMU's words as the advice about them knows them.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        // Signals to the agent's group, a Ctrl-C for one, are not for its VMs.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    // Dropping the command on return closes our copies of what QEMU inherits: the lock and the socket are its alone.
    command.spawn()
}

/// Takes hold of a child. One that is gone already has most likely refused its arguments, which its log then tells.
fn own(vm: &VmName, mut child: std::process::Child) -> Result<Process, HypervisorError> {
    let pid = i32::try_from(child.id()).unwrap_or_default();
    match Process::of_child(pid) {
        Ok(process) => Ok(process),
        Err(source) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(failed("start", vm, "its process cannot be watched", Retry::MayHelp, Some(Box::new(source))))
        }
    }
}
