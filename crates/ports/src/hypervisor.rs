use std::path::PathBuf;

use async_trait::async_trait;
use lifeboat_model::{
    Generation, VmName,
    attach::Attachment,
    running::{RunningVm, VmRunState},
    spec::MachineSpec,
};
use serde::{Deserialize, Serialize};

use crate::{Cause, Retry};

/// Everything that a hypervisor needs to run one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmConfig {
    /// The VM.
    pub vm: VmName,
    /// The generation of the intent to run it here.
    pub generation: Generation,
    /// vCPUs.
    pub vcpus: u32,
    /// RAM in MiB.
    pub memory_mib: u64,
    /// Kernel, network cards and the like (its own `vcpus` and `memory_mib` are already resolved into the above).
    pub machine: MachineSpec,
    /// The volumes, the first to boot from.
    pub attachments: Vec<Attachment>,
}

/// How to stop a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopHow {
    /// Ask the guest to shut down; kill its process when it has not within the driver's grace time.
    Graceful,
    /// Kill its process at once.
    Kill,
}

/// Why a VM's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum VmExit {
    /// The guest shut itself down.
    GuestShutdown,
    /// The process died: killed, crashed, or ended with an error. The text is for a person.
    ProcessDied {
        /// What is known: a signal, an exit code, the last line it printed.
        detail: String,
    },
}

/// What a hypervisor tells unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum VmEvent {
    /// A VM's process ended without [`Hypervisor::stop`].
    Exited {
        /// The VM.
        vm: VmName,
        /// Its generation.
        generation: Generation,
        /// Why.
        exit: VmExit,
    },
    /// A VM's guest stopped executing or goes on, without anybody here having asked for it.
    StateChanged {
        /// The VM.
        vm: VmName,
        /// Its generation.
        generation: Generation,
        /// What it does now.
        state: VmRunState,
    },
}

/// Runs VMs on the host that it is on.
///
/// The processes of VMs outlive the value, and the program, that started them: a new value for the same host finds them
/// again in [`list`](Self::list) and tells of their end. A power cycle ends all.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Every VM whose process exists here, in order of name.
    async fn list(&self) -> Result<Vec<RunningVm>, HypervisorError>;

    /// Prepares a VM: checks and keeps all that [`start`](Self::start) needs. Repeating it replaces what was kept. A
    /// running VM is not touched: that is an error of kind [`HypervisorError::AlreadyRunning`] when it runs with
    /// another generation, and success with the same.
    async fn configure(&self, config: &VmConfig) -> Result<(), HypervisorError>;

    /// Starts a prepared VM and returns when its guest executes. Success when it runs already with this generation.
    async fn start(&self, vm: &VmName, generation: Generation) -> Result<(), HypervisorError>;

    /// Stops a VM and returns when its process is gone. Success when there is none.
    async fn stop(&self, vm: &VmName, how: StopHow) -> Result<(), HypervisorError>;

    /// The socket of a VM's channel to a guest agent on this host, whether the VM runs or not; none where there are no such
    /// channels.
    fn guest_agent(&self, _vm: &VmName) -> Option<PathBuf> {
        None
    }

    /// Waits for the next event. Cancelling the wait loses none. Events of VMs that ran before this value was made are
    /// told from the first [`list`](Self::list) on.
    async fn next_event(&self) -> VmEvent;
}

/// Why a hypervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// The VM runs, with another generation than was asked for.
    #[error("VM {vm} runs already, with generation {running}")]
    AlreadyRunning {
        /// The VM.
        vm: VmName,
        /// The generation that it runs with.
        running: Generation,
    },
    /// The VM was not prepared with this generation.
    #[error("VM {vm} is not configured with generation {generation} on this host")]
    NotConfigured {
        /// The VM.
        vm: VmName,
        /// The generation that was asked for.
        generation: Generation,
    },
    /// An operation on a VM failed; its process is not running unless [`Hypervisor::list`] says otherwise.
    #[error("cannot {operation} VM {vm}: {problem}")]
    Failed {
        /// `configure`, `start`, `stop`.
        operation: &'static str,
        /// The VM.
        vm: VmName,
        /// What went wrong and what to do, for a person.
        problem: String,
        /// Whether the same call may succeed later.
        retry: Retry,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// The hypervisor as a whole does not work here.
    #[error("cannot {operation} on this host: {problem}")]
    Unusable {
        /// What was tried.
        operation: &'static str,
        /// What went wrong and what to do, for a person.
        problem: String,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
}
