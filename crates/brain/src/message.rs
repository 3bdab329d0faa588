//! What a controller and an agent say to each other, over one link that the agent opens.
//!
//! ```text
//! agent                                   controller
//!   │ Hello (who, which boot, what runs)        │
//!   ├──────────────────────────────────────────►│
//!   │          Welcome (epoch, what to keep)    │   anything else that runs is stopped by the agent
//!   │◄──────────────────────────────────────────┤
//!   │ Heartbeat n (what it pledges) ───────────►│
//!   │◄──────── Heard n (its lease is renewed)   │
//!   │◄──────────────────────────────── Command  │   obeyed unless its epoch or generation is old
//!   │ Done ────────────────────────────────────►│
//!   │ VmExited, VmChanged ─────────────────────►│
//! ```
//!
//! Links may break at any time and messages be repeated; a new link begins with a Hello, and commands without a Done
//! are sent again: with the link that breaks, an agent drops those that it has not begun.

use lifeboat_model::{
    BootId, Epoch, Generation, HostName, Seconds, VmName,
    attach::Attachment,
    hardware::HardwareReading,
    health::CheckReport,
    liveness::Saying,
    running::RunningVm,
    spec::{CheckSpec, Isolation, MachineSpec},
};
use serde::{Deserialize, Serialize};

/// Version of these messages. A controller refuses an agent that speaks another.
pub const PROTOCOL: u32 = 1;

/// Number of a command, unique within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// What an agent pledges to do when its lease runs out, and what enforces it. Ordered by strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pledge {
    /// It keeps its VMs, or has no lease.
    #[default]
    None,
    /// The agent kills its VMs. One that hangs does not.
    Agent,
    /// So does a guard: a process of its own, which outlives a hung agent. On a host that stands still as a whole both
    /// do it only when the host goes on.
    Guard,
    /// So does a hardware watchdog, which resets a host that stands still.
    Watchdog,
}

/// What an agent is to do when it cannot renew its lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerms {
    /// What it does with its VMs.
    pub isolation: Isolation,
    /// With [`Isolation::StopCriticalLast`]: the VMs that are stopped last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<VmName>,
}

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
    /// What it pledges under the terms that it knows.
    #[serde(default)]
    pub pledge: Pledge,
    /// The port on which other agents may look whether it lives; none: it listens on none.
    #[serde(default)]
    pub probe_port: Option<u16>,
    /// Where that port is reached, `address:port`: first as the controller sees it, then over the host's other networks as
    /// the agent says.
    #[serde(default)]
    pub probe_addresses: Vec<String>,
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
        /// What it pledges under the terms that it knows.
        #[serde(default)]
        pledge: Pledge,
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
    /// What a [`ToAgent::Look`] saw; told only on the link that it came over.
    Looked {
        /// The look's number.
        sequence: u64,
        /// What was seen.
        report: CheckReport,
    },
    /// What its sources say of the hardware.
    Hardware {
        /// The readings, one a source.
        readings: Vec<HardwareReading>,
    },
    /// Its host is about to go, or stays after all. Said again on each new link.
    Leaving {
        /// Which.
        going: Going,
    },
    /// Whether its hypervisor answers; said when that changes, and after a Welcome while it does not.
    Hypervisor {
        /// Why not, for a person; none: it answers.
        problem: Option<String>,
    },
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

/// What a host is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Going {
    /// It shuts down, and stays so.
    Shutdown,
    /// It comes back by itself.
    Reboot,
    /// It stays: what it said before was called off.
    Stays,
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
        /// How long the agent's lease runs, from when it said its Hello; 0: no lease is granted by this.
        #[serde(default)]
        lease_ms: u64,
        /// What it is to do when it cannot renew its lease.
        #[serde(default)]
        terms: LeaseTerms,
    },
    /// The terms of the agent's lease have changed.
    Terms(LeaseTerms),
    /// The controller does not take this agent.
    Rejected {
        /// Why, and what to do, for a person.
        why: String,
    },
    /// It has heard a heartbeat.
    Heard {
        /// The heartbeat's number.
        sequence: u64,
        /// How long the agent's lease runs, from when it said that heartbeat; 0: no lease is granted by this.
        #[serde(default)]
        lease_ms: u64,
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
    /// A host that leaves may: nothing that runs there is waited for.
    MayGo,
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
    /// Look at a VM, once. A look that is lost with its link is asked for again.
    Look {
        /// Its number, never used twice by any leader.
        sequence: u64,
        /// The VM.
        vm: VmName,
        /// How.
        look: CheckSpec,
        /// How long it may take.
        limit: Seconds,
    },
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
        machine: Box<MachineSpec>,
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
