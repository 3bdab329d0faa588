//! What a controller and an agent say to each other, over one link that the agent opens.
//!
//! ```text
//! agent                                   controller
//!   │ Hello (who, which boot, what runs)        │
//!   ├──────────────────────────────────────────►│
//!   │          Welcome (epoch, what to keep)    │   anything else that runs is stopped by the agent
//!   │◄──────────────────────────────────────────┤
//!   │ Heartbeat n ─────────────────────────────►│
//!   │◄───────────────────────────────── Heard n │
//!   │◄──────────────────────────────── Command  │   obeyed unless its epoch or generation is old
//!   │ Done ────────────────────────────────────►│
//!   │ VmExited, VmChanged ─────────────────────►│
//! ```
//!
//! Links may break at any time and messages be repeated; a new link begins with a Hello, and commands without a Done
//! are sent again: with the link that breaks, an agent drops those that it has not begun.

use lifeboat_model::{
    BootId, Epoch, Generation, HostName, VmName, attach::Attachment, liveness::Saying, running::RunningVm,
    spec::MachineSpec,
};
use serde::{Deserialize, Serialize};

/// Version of these messages. A controller refuses an agent that speaks another.
pub const PROTOCOL: u32 = 1;

/// Number of a command, unique within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// What an agent says first on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The agent's host; the link's certificate must say the same.
    pub host: HostName,
    /// The boot that the host is in.
    pub boot: BootId,
    /// The agent's version.
    pub version: String,
    /// The highest epoch that the agent has obeyed.
    pub epoch: Epoch,
    /// Every VM whose process exists.
    pub vms: Vec<RunningVm>,
    /// The port on which other agents may look whether it lives; none: it listens on none.
    #[serde(default)]
    pub probe_port: Option<u16>,
    /// Where that port is reached, `address:port`: as the controller sees it, whatever the agent says.
    #[serde(default)]
    pub probe_address: Option<String>,
}

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromAgent {
    /// Who it is, first on every link.
    Hello(Hello),
    /// It lives.
    Heartbeat {
        /// Counts up from 1 on each link.
        sequence: u64,
    },
    /// It answers a [`ToAgent::Probe`].
    Probed {
        /// The probe's number.
        nonce: u64,
    },
    /// How a command ended; told only to a leader of the command's own epoch, on whichever of its links is open then.
    Done {
        /// The command.
        command: CommandId,
        /// How it ended.
        outcome: Outcome,
    },
    /// A VM's process ended without a command of this leader: by itself, because the Welcome did not keep it, or because
    /// an earlier leader had it stopped.
    VmExited {
        /// The VM.
        vm: VmName,
        /// Its generation.
        generation: Generation,
        /// Whether its guest shut itself down, rather than its process dying.
        by_guest: bool,
        /// What is known, for a person.
        detail: String,
    },
    /// A VM's guest stopped executing, or goes on.
    VmChanged(RunningVm),
    /// What came of a [`ToAgent::LookAt`].
    PeerSeen {
        /// The other host.
        host: HostName,
        /// What was seen of its agent.
        says: Saying,
        /// More, for a person.
        detail: Option<String>,
    },
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It is done (or was already).
    Done,
    /// The agent has obeyed a later epoch or generation; nothing was done.
    Refused {
        /// The highest epoch that it has obeyed.
        epoch: Epoch,
        /// The highest generation of the VM that it has obeyed.
        generation: Generation,
    },
    /// It failed. After a failed start no process of the VM is there.
    Failed {
        /// What went wrong and what to do, for a person.
        problem: String,
        /// Whether the same command may succeed later on this host.
        retry_may_help: bool,
    },
}

/// What a controller says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToAgent {
    /// The answer to a Hello: the agent belongs to this leader now.
    Welcome {
        /// The leader's epoch.
        epoch: Epoch,
        /// How often the agent shall say Heartbeat.
        heartbeat_ms: u64,
        /// The VMs that may go on running here, each with its generation. All others that run are to be stopped at once:
        /// they have a place elsewhere, or nobody knows them.
        keep: Vec<(VmName, Generation)>,
        /// VMs that run here and are not this leader's to stop: disabled ones.
        leave: Vec<VmName>,
    },
    /// The controller does not take this agent.
    Rejected {
        /// Why, and what to do, for a person.
        why: String,
    },
    /// It has heard a heartbeat.
    Heard {
        /// The heartbeat's number.
        sequence: u64,
    },
    /// Are you there?
    Probe {
        /// Its number.
        nonce: u64,
    },
    /// From now on say Heartbeat so often.
    Pace {
        /// How often.
        heartbeat_ms: u64,
    },
    /// Look whether another host's agent lives; always answered with [`FromAgent::PeerSeen`], within a second.
    LookAt {
        /// The other host.
        host: HostName,
        /// Where its agent listens, `address:port`.
        address: String,
        /// The boot that it is in, which its agent shows that it knows.
        boot: BootId,
    },
    /// Do something.
    Command(Command),
}

/// A command to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Its number; a repeated command has the same.
    pub id: CommandId,
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The VM.
    pub vm: VmName,
    /// The generation of the intent behind it.
    pub generation: Generation,
    /// What to do.
    pub order: Order,
}

/// What to do with a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Prepare it.
    Configure {
        /// vCPUs.
        vcpus: u32,
        /// RAM in MiB.
        memory_mib: u64,
        /// How it boots.
        machine: MachineSpec,
        /// Its volumes.
        attachments: Vec<Attachment>,
    },
    /// Start it.
    Start,
    /// Stop it.
    Stop {
        /// Whether its guest is asked first.
        graceful: bool,
    },
}
