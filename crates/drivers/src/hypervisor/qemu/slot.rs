//! What this program knows of one VM: its process, if any, and whose turn it is to change that.
//!
//! ```text
//!            start                 guest executes
//!   absent ────────► starting ────────────────────► running ◄──► paused
//!     ▲                  │ failed, killed              │ killed     │
//!     │                  ▼                             ▼            │
//!     └───────────── doomed ◄──────────────────────────┴────────────┘
//!   (process gone)
//! ```
//!
//! One operation at a time (`operation`) starts or stops a VM. A kill does not wait for its turn: it dooms whatever
//! process there is at once, and a start that has none yet sees from `kills` that it must not go on. A doomed process
//! counts as running until it is gone.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lifeboat_model::{Generation, VmName, running::VmRunState};
use lifeboat_ports::{HypervisorError, Retry};
use tokio::time::sleep;

use super::{
    directory::{Held, Launch, SocketPath, VmDirectory},
    failure::{failed, files},
    process::Process,
    settings::QemuSettings,
};
use crate::qmp::{Qmp, QmpError};

/// How long a monitor may take to answer a command that does no I/O, on a busy host.
const MONITOR_LIMIT: Duration = Duration::from_secs(10);

/// How often, and how far apart, it is looked who holds a lock that has no process yet: a passing state without event.
const HOLDER_LOOKS: usize = 20;
const HOLDER_LOOKS_APART: Duration = Duration::from_millis(50);

/// One VM on this host.
pub(super) struct Slot {
    pub(super) vm: VmName,
    pub(super) directory: VmDirectory,
    /// Held by whoever starts or stops the VM.
    pub(super) operation: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    running: Option<Arc<Running>>,
    kills: u64,
}

/// A QEMU process and what is known about its guest.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) generation: Generation,
    /// Where its words begin in `qemu.log`.
    pub(super) log_from: u64,
    pub(super) monitor: Monitor,
    now: Mutex<Now>,
}

struct Now {
    state: VmRunState,
    /// Killed by us, and not to be taken for running any more.
    doomed: bool,
    /// How many calls of `stop` wait for its end, which is then no event.
    stops: usize,
}

impl Slot {
    pub(super) fn new(settings: &QemuSettings, vm: VmName) -> Self {
        let directory = VmDirectory::new(settings, &vm);
        Self { vm, directory, operation: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process, as long as it is there.
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        let running = self.known().running.clone()?;
        if running.process.is_alive() {
            return Some(running);
        }
        if running.is_doomed() {
            running.process.reap();
            self.forget(&running);
        }
        None
    }

    pub(super) fn remember(&self, running: &Arc<Running>) {
        self.known().running = Some(Arc::clone(running));
    }

    /// Forgets a process that is gone, unless there is another by now.
    pub(super) fn forget(&self, gone: &Arc<Running>) {
        let mut known = self.known();
        if known.running.as_ref().is_some_and(|running| Arc::ptr_eq(running, gone)) {
            known.running = None;
        }
    }

    /// How often a kill was asked for.
    pub(super) fn kills(&self) -> u64 {
        self.known().kills
    }

    /// Dooms the process that there is, and every start that is under way.
    pub(super) fn kill(&self) -> Option<Arc<Running>> {
        let mut known = self.known();
        known.kills += 1;
        known.running.iter().for_each(|running| running.doom());
        known.running.clone()
    }

    /// The process that runs the VM, found again if an earlier program started it. Only with `operation` in hand: then a
    /// doomed one is waited for, and what is found stays so.
    pub(super) async fn settle(&self, operation: &'static str) -> Result<Settled, HypervisorError> {
        if let Some(running) = self.running() {
            if !running.is_doomed() {
                return Ok(Settled::Known(running));
            }
            running.doom();
            running.process.ended().await;
            self.forget(&running);
        }
        match self.holder().await.map_err(files(operation, &self.vm))? {
            Held::Free => Ok(Settled::Absent),
            Held::By(process, launch) => {
                let socket = self.directory.socket().map_err(files(operation, &self.vm))?;
                let running = Arc::new(Running::new(process, &launch, Monitor::new(socket)));
                // The safe belief, until QEMU says better.
                running.set_state(VmRunState::Running);
                self.remember(&running);
                Ok(Settled::Found(running))
            }
            Held::Unknown => {
                let problem = "another program on this host is starting it; see that only one agent runs here";
                Err(failed(operation, &self.vm, problem, Retry::MayHelp, None))
            }
        }
    }
}

impl Slot {
    /// Who holds the VM's lock, once that is clear.
    async fn holder(&self) -> io::Result<Held> {
        for _ in 0..HOLDER_LOOKS {
            match self.directory.holder()? {
                Held::Unknown => sleep(HOLDER_LOOKS_APART).await,
                clear => return Ok(clear),
            }
        }
        Ok(Held::Unknown)
    }
}

/// What runs a VM.
pub(super) enum Settled {
    /// Nothing.
    Absent,
    /// A process that was known.
    Known(Arc<Running>),
    /// A process that an earlier program started, and that nobody watches yet.
    Found(Arc<Running>),
}

impl Running {
    pub(super) fn new(process: Process, launch: &Launch, monitor: Monitor) -> Self {
        let now = Mutex::new(Now { state: VmRunState::Paused, doomed: false, stops: 0 });
        Self { process, generation: launch.generation, log_from: launch.log_from, monitor, now }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> VmRunState {
        self.now().state
    }

    /// Notes what the guest does, and says whether that is new.
    pub(super) fn set_state(&self, state: VmRunState) -> bool {
        std::mem::replace(&mut self.now().state, state) != state
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.now().doomed
    }

    /// Kills it, and counts it as gone from now on but for waiting until it is.
    pub(super) fn doom(&self) {
        self.now().doomed = true;
        self.process.kill();
    }

    /// Whether somebody waits for its end, so that it is no news.
    pub(super) fn is_being_stopped(&self) -> bool {
        self.now().stops > 0
    }

    /// Makes its end no news for as long as the value lives: a stop that is given up half-way must not hide it.
    pub(super) fn stopping(self: &Arc<Self>) -> Stopping {
        self.now().stops += 1;
        Stopping(Arc::clone(self))
    }
}

pub(super) struct Stopping(Arc<Running>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.now().stops -= 1;
    }
}

/// The QMP connection of a process, made when it is first needed and again when it was lost.
pub(super) struct Monitor {
    socket: SocketPath,
    connection: tokio::sync::Mutex<Option<Qmp>>,
}

impl Monitor {
    pub(super) fn new(socket: SocketPath) -> Self {
        Self { socket, connection: tokio::sync::Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        self.socket.as_path()
    }

    /// The connection.
    pub(super) async fn qmp(&self) -> Result<Qmp, QmpError> {
        self.qmp_within(MONITOR_LIMIT).await
    }

    /// The connection; `limit` is for a process that may still be opening its volumes.
    pub(super) async fn qmp_within(&self, limit: Duration) -> Result<Qmp, QmpError> {
        let mut connection = self.connection.lock().await;
        if let Some(qmp) = connection.as_ref().filter(|qmp| !qmp.has_ended()) {
            return Ok(qmp.clone());
        }
        let qmp = Qmp::connect(self.path(), limit).await?;
        Ok(connection.insert(qmp).clone())
    }
}
