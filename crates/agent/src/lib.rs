//! The agent: a host's daemon, the body of the brain's host side.
//!
//! # Theory of operation
//!
//! [`serve`] takes the host's directories for itself, joins its pod if it has not yet, reads what was obeyed, asks the
//! hypervisor what runs, and then feeds [`HostBrain`] until it is to end:
//!
//! ```text
//!   link ◄──► controller (frames over mutual TLS)
//!     │ messages              ▲ Send, Connect, Disconnect
//!     ▼                       │
//!  ┌────── body: one loop ────┴──────┐   records first   ┌─────────┐
//!  │  input ─► HostBrain ─► output   ├──────────────────►│ journal │──► STATE_DIR/obeyed.log
//!  └──▲───────────────────────┬──────┘   then effects    └─────────┘
//!     │ ends, events          ▼ Operate
//!   hypervisor: a task for each operation
//! ```
//!
//! The agent decides nothing itself, and it outlives none of its VMs: they run on when it ends, and the next agent finds
//! them. Where its leader grants a lease, a [`guard`] beside it ends them with the lease, also when the agent hangs. What passes by itself, such as a controller that is away or a full disk, is told in the log at a bounded rate
//! and tried again; only what a person must mend ends the agent ([`AgentError`]).

mod body;
mod config;
mod error;
mod guard;
mod hardware;
mod heartbeat_block;
mod hypervisor_pulse;
mod join;
mod journal;
mod leaving;
mod link;
mod lock;
mod looks;
mod operations;
mod records;
mod report;

use std::{fs, future::Future, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use lifeboat_brain::host::{HostBrain, HostInput, HostSettings};
use lifeboat_drivers::hypervisor::qemu::Qemu;
use lifeboat_model::BootId;
use lifeboat_ports::Hypervisor;
use lifeboat_transport::agent_look;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tracing::{info, warn};

pub use config::{AgentConfig, CheckSettings, ConfigError, ControllerAddress, NotAnAddress};
pub use error::AgentError;
pub use guard::{GuardError, GuardOptions, WatchdogConfig, guard};
pub use leaving::{LeavingConfig, SOCKET};
pub use lock::LockError;
pub use records::{RECORDS_FILE, RecordsError};

use crate::{
    body::{Beside, Body},
    guard::GuardWatch,
    leaving::Leaving,
    lock::DirLock,
    looks::Looker,
    records::RecordFile,
};

/// Threads for writing files and the like, at most.
const BLOCKING_THREADS: usize = 64;
/// How long such threads may take to end with the agent.
const LAST_THREADS: Duration = Duration::from_secs(1);

/// Runs the agent as this process, over QEMU, until SIGTERM or SIGINT. VMs keep running.
///
/// # Errors
/// [`AgentError`] when something must be mended by a person first.
pub fn serve(config: &AgentConfig) -> Result<(), AgentError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(BLOCKING_THREADS).build().map_err(AgentError::Runtime)?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Runtime)?;
        let signalled = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        run(config, signalled).await
    });
    runtime.shutdown_timeout(LAST_THREADS);
    ended
}

/// Runs the agent over QEMU until `shutdown` is ready. VMs keep running.
///
/// # Errors
/// [`AgentError`] when something must be mended by a person first.
pub async fn run(config: &AgentConfig, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let locks = take_dirs(config)?;
    let hypervisor = Qemu::open(config.qemu.clone()).await.map_err(AgentError::Hypervisor)?;
    run_locked(config, locks, Arc::new(hypervisor), shutdown).await
}

/// Runs the agent over any hypervisor until `shutdown` is ready. VMs keep running.
///
/// # Errors
/// [`AgentError`] when something must be mended by a person first.
pub async fn run_over(
    config: &AgentConfig,
    hypervisor: Arc<dyn Hypervisor>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    run_locked(config, take_dirs(config)?, hypervisor, shutdown).await
}

fn take_dirs(config: &AgentConfig) -> Result<Vec<DirLock>, LockError> {
    let mut dirs = vec![&config.state_dir, &config.run_dir];
    dirs.dedup();
    dirs.into_iter().map(|dir| DirLock::take(dir)).collect()
}

async fn run_locked(
    config: &AgentConfig,
    _locks: Vec<DirLock>,
    hypervisor: Arc<dyn Hypervisor>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let controllers = NonZeroUsize::new(config.controllers.len()).ok_or(AgentError::NoController)?;
    let boot = boot_id(config)?;
    let (file, records) = RecordFile::open(&config.state_dir)?;
    let Some(credentials) = join::credentials(config, shutdown.as_mut()).await? else { return Ok(()) };
    let tls = link::client_config(&credentials)?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let (turns, asked) = tokio::sync::mpsc::channel(agent_look::AT_ONCE);
    let listener = listen(config.probe_port).await;
    let probe_port = listener.as_ref().map(|_| config.probe_port);
    let mut listening = tokio::task::JoinSet::new();
    if let Some(listener) = listener {
        listening.spawn(agent_look::serve(listener, config.host.clone(), boot.clone(), turns.clone()));
    }
    let port = probe_port.unwrap_or_default();
    let networks = config.networks.iter().filter(|_| port != 0).map(|ip| SocketAddr::new(*ip, port).to_string());
    let probe_addresses = networks.collect();
    if let Some(block) = &config.heartbeat_block {
        listening.spawn(heartbeat_block::write(block.clone(), config.host.clone(), turns));
    }
    let settings = HostSettings { host: config.host.clone(), boot, version, controllers, probe_port, probe_addresses };
    let brain = HostBrain::restore(settings, records);
    let vms = tokio::select! {
        vms = first_list(hypervisor.as_ref()) => vms?,
        () = shutdown.as_mut() => return Ok(()),
    };
    let options = GuardOptions {
        run_dir: config.run_dir.clone(),
        qemu_run_dir: config.qemu.run_dir.clone(),
        watchdog: config.watchdog.clone(),
    };
    let (guard, until_ns) = GuardWatch::open(options, config.guard_program.clone())
        .map_err(|source| AgentError::Guard { dir: config.run_dir.clone(), source })?;
    info!(host = %config.host, vms = vms.len(), epoch = %brain.memory().epoch(), "the agent begins");
    let mut tasks = tokio::task::JoinSet::new();
    let answers = hypervisor_pulse::begin(Arc::clone(&hypervisor), &mut tasks);
    let looker = Looker::new(config.checks.clone(), hypervisor);
    let leaving = Leaving::begin(config.leaving.clone(), &config.run_dir, &mut tasks);
    let readings = hardware::begin(config.hardware.clone(), &mut tasks);
    let beside = Beside { looker, guard, leaving, readings, answers, asked };
    let body = Body::new(brain, file, config.controllers.clone(), tls, beside);
    let lease = until_ns.map(|until| body.at_boottime(until));
    body.run(HostInput::Found { vms, lease }, shutdown).await;
    Ok(())
}

/// Listens for other agents. An agent that cannot does without: others can then not say for it that it lives.
async fn listen(port: u16) -> Option<tokio::net::TcpListener> {
    if port == 0 {
        return None;
    }
    let both = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
    let bound = match tokio::net::TcpListener::bind(both).await {
        Ok(listener) => Ok(listener),
        // A machine without IPv6.
        Err(_) => tokio::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port)).await,
    };
    bound
        .inspect_err(|error| {
            warn!(
                "other agents cannot look whether this one lives: cannot listen on port {port} (probe_port): {error}"
            );
        })
        .ok()
}

/// What runs here. Without that nothing can be done, so it is asked until it is known.
async fn first_list(hypervisor: &dyn Hypervisor) -> Result<Vec<lifeboat_model::running::RunningVm>, AgentError> {
    loop {
        match timeout(operations::LIST_LIMIT, hypervisor.list()).await {
            Ok(list) => return list.map_err(AgentError::List),
            Err(_) => warn!("the hypervisor does not say which VMs run here, asking again"),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn boot_id(config: &AgentConfig) -> Result<BootId, AgentError> {
    let path = &config.boot_id_file;
    let failed = |source| AgentError::BootId { path: path.clone(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    match text.trim() {
        "" => Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is empty"))),
        id => Ok(BootId(error::clean(id))),
    }
}
