//! What the host's side is told and what it wants done.

use std::{fmt, num::NonZeroUsize};

use lifeboat_model::{
    BootId, Epoch, Generation, HostName, Seconds, Time, VmName, hardware::HardwareReading, health::CheckReport,
    liveness::Saying, running::RunningVm, spec::CheckSpec, text::count,
};

use super::{Guard, HostRecord};
use crate::message::{FromAgent, Going, Order, ToAgent};

/// What a [`HostBrain`](super::HostBrain) knows from the start.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// The host.
    pub host: HostName,
    /// The boot that it is in.
    pub boot: BootId,
    /// The agent's version, for the Hello.
    pub version: String,
    /// How many controllers the body can connect to.
    pub controllers: NonZeroUsize,
    /// The port on which other agents may look whether this one lives; none: it listens on none.
    pub probe_port: Option<u16>,
    /// Where that port is reached over the host's other networks, `address:port`.
    pub probe_addresses: Vec<String>,
}

/// One connection, or one attempt at it; never used twice in an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// One operation on the hypervisor; never used twice in an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(pub u64);

/// What a [`HostBrain`](super::HostBrain) is told.
#[derive(Clone, Debug)]
pub enum HostInput {
    /// The hypervisor's list when the agent started. Must come first; before it nothing is done.
    Found {
        /// Every VM whose process exists.
        vms: Vec<RunningVm>,
        /// When the lease ends under which they run, as the last [`HostEffect::Guard`] of this boot said; none: there
        /// was none.
        lease: Option<Time>,
    },
    /// What watches beside the agent has come or gone.
    Guard {
        /// What there is now.
        guard: Guard,
    },
    /// A connection stands.
    LinkOpened {
        /// The link that was to be connected.
        link: LinkId,
    },
    /// A connection is gone, or was never made.
    LinkClosed {
        /// The link.
        link: LinkId,
    },
    /// The controller says something.
    Message {
        /// Over which link.
        link: LinkId,
        /// What it says.
        message: ToAgent,
    },
    /// An operation is over.
    OperationEnded {
        /// The VM.
        vm: VmName,
        /// The operation.
        operation: OperationId,
        /// How it ended.
        result: OperationResult,
    },
    /// A VM's process ended without having been asked to. A hint: which process it was, and whether another has been
    /// started since, shows only a look.
    VmExited {
        /// The VM.
        vm: VmName,
        /// Its generation.
        generation: Generation,
        /// Whether its guest shut itself down.
        by_guest: bool,
        /// What is known, for a person.
        detail: String,
    },
    /// A VM's guest stopped executing, or goes on. A hint too.
    VmChanged {
        /// The VM.
        vm: VmName,
    },
    /// An [`HostEffect::Look`] ended.
    Looked {
        /// Its number.
        sequence: u64,
        /// What was seen.
        report: CheckReport,
    },
    /// What the host's sources say of its hardware.
    Hardware {
        /// The readings, one a source.
        readings: Vec<HardwareReading>,
    },
    /// Whether the hypervisor answers has changed.
    Hypervisor {
        /// Why not, for a person; none: it answers.
        problem: Option<String>,
    },
    /// The host is about to go, or stays after all.
    Announce {
        /// Which.
        going: Going,
    },
    /// A [`HostEffect::LookAt`] has ended.
    PeerSeen {
        /// The other host.
        host: HostName,
        /// What was seen of its agent.
        says: Saying,
        /// More, for a person.
        detail: Option<String>,
    },
    /// Time has passed.
    Tick,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationResult {
    /// It is done.
    Done,
    /// What a [`Act::Look`] saw.
    Seen(ProcessNow),
    /// It failed.
    Failed {
        /// What went wrong and what to do, for a person.
        problem: String,
        /// Whether the same operation may succeed later.
        retry_may_help: bool,
        /// What the hypervisor's list says of the VM's process, read after the failure.
        process: ProcessNow,
    },
}

/// What is known of a VM's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessNow {
    /// It does not exist.
    Gone,
    /// It exists.
    There(RunningVm),
    /// The hypervisor could not be asked.
    Unknown,
}

/// What is to be done: first the writes, and when they are durable the effects, in order.
#[derive(Clone, Debug, Default)]
pub struct HostOutput {
    /// What to remember. Until it is durable no effect may be carried out, of this output or of a later one; only what
    /// [`HostEffect::is_urgent`] says need not wait.
    pub writes: Vec<HostRecord>,
    /// What to do.
    pub effects: Vec<HostEffect>,
}

/// Something to be done in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEffect {
    /// Connect to a controller, within [`CONNECT_LIMIT`](super::CONNECT_LIMIT); answer with
    /// [`HostInput::LinkOpened`] or [`HostInput::LinkClosed`].
    Connect {
        /// The link's number.
        link: LinkId,
        /// Which controller, counted from 0.
        controller: usize,
    },
    /// Close a connection, or give up connecting. No answer is needed.
    Disconnect {
        /// The link.
        link: LinkId,
    },
    /// Say something to the controller. When that cannot be done the link is to be closed.
    Send {
        /// Over which link.
        link: LinkId,
        /// What to say.
        message: FromAgent,
    },
    /// Let the guard know when everything that runs here is to be killed; none: never. It must outlive the agent.
    Guard {
        /// When.
        until: Option<Time>,
    },
    /// Kill a VM's process now, whatever else is being done with it. No answer is needed.
    Kill {
        /// The VM.
        vm: VmName,
    },
    /// Look whether another host's agent lives, within a second; always answered with [`HostInput::PeerSeen`].
    LookAt {
        /// The other host.
        host: HostName,
        /// Where its agent listens, `address:port`.
        address: String,
        /// The boot that it is in, which its agent shows that it knows.
        boot: BootId,
    },
    /// Have the hypervisor do something; answer with [`HostInput::OperationEnded`].
    Operate(Operation),
    /// Look at a VM, once; answer with [`HostInput::Looked`].
    Look {
        /// Its number.
        sequence: u64,
        /// The VM.
        vm: VmName,
        /// How.
        look: CheckSpec,
        /// How long it may take, from when it begins.
        limit: Seconds,
    },
    /// The leader has said that the host may go.
    MayGo,
    /// Tell the host's operator.
    Tell(Notice),
}

impl HostEffect {
    /// Whether it says only that the agent lives, or follows from the lease alone, so that it need not wait for anything to
    /// become durable.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::Guard { .. } | Self::Kill { .. } | Self::LookAt { .. } => true,
            Self::Send { message, .. } => {
                matches!(message, FromAgent::Heartbeat { .. } | FromAgent::Probed { .. } | FromAgent::PeerSeen { .. })
            }
            _ => false,
        }
    }
}

/// An operation on one VM. There is never more than one at a time for the same VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// The VM.
    pub vm: VmName,
    /// The epoch of the leader that is obeyed with it.
    pub epoch: Epoch,
    /// The generation that it is for.
    pub generation: Generation,
    /// What to do.
    pub act: Act,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// It carries out an order; ends with [`OperationResult::Done`] or [`OperationResult::Failed`].
    Order(Order),
    /// It reads from the hypervisor's list whether the VM's process exists; ends with [`OperationResult::Seen`].
    Look,
}

/// Something that the host's operator should be able to read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A leader has taken this host.
    Led {
        /// Which controller, counted from 0.
        controller: usize,
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// A controller that is no longer the leader wanted this host.
    OldLeader {
        /// Which controller, counted from 0.
        controller: usize,
        /// Its epoch.
        epoch: Epoch,
        /// The highest epoch that was obeyed here.
        obeyed: Epoch,
    },
    /// A controller does not take this agent.
    Rejected {
        /// Which controller, counted from 0.
        controller: usize,
        /// Why, in its words.
        why: String,
    },
    /// A controller gave a command before its Welcome.
    CommandBeforeWelcome {
        /// Which controller, counted from 0.
        controller: usize,
    },
    /// A controller did not answer a connection or a Hello in time.
    NoAnswer {
        /// Which controller, counted from 0.
        controller: usize,
    },
    /// A controller said nothing for too long.
    Silent {
        /// Which controller, counted from 0.
        controller: usize,
    },
    /// An old command came, and was refused.
    OldCommand {
        /// The VM.
        vm: VmName,
        /// The command's epoch.
        epoch: Epoch,
        /// The command's generation.
        generation: Generation,
    },
    /// A VM is killed because the leader does not keep it here.
    NotKept {
        /// The VM.
        vm: VmName,
        /// Its generation.
        generation: Generation,
    },
    /// The lease has run out: what ran here is killed.
    LeaseOver {
        /// How many VMs.
        vms: usize,
    },
    /// Half of the lease is over: VMs that are not the most important are asked to shut down.
    LeaseHalf {
        /// How many.
        vms: usize,
    },
    /// A VM that must not run here could not be killed; it is tried again.
    KillFailed {
        /// The VM.
        vm: VmName,
        /// What went wrong.
        problem: String,
    },
}

impl Notice {
    /// Whether somebody may have to do something about it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::Led { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Led { epoch, .. } => write!(f, "led by the controller of epoch {epoch}"),
            Self::OldLeader { epoch, obeyed, .. } => {
                write!(f, "refused a controller of epoch {epoch}: this host has obeyed epoch {obeyed}")
            }
            Self::Rejected { why, .. } => write!(f, "the controller does not take this agent: {why}"),
            Self::CommandBeforeWelcome { .. } => f.write_str("a controller gave a command before its Welcome"),
            Self::NoAnswer { .. } => f.write_str("the controller does not answer; trying the next"),
            Self::Silent { .. } => f.write_str("the controller has fallen silent; connecting anew"),
            Self::OldCommand { vm, epoch, generation } => {
                write!(f, "refused an old command for VM {vm} (epoch {epoch}, generation {generation})")
            }
            Self::NotKept { vm, generation } => {
                write!(f, "killing VM {vm} (generation {generation}): the leader does not keep it on this host")
            }
            Self::LeaseOver { vms } => {
                write!(
                    f,
                    "the lease of this host has run out without a controller that renews it: killing {}",
                    count(*vms, "VM")
                )
            }
            Self::LeaseHalf { vms } => {
                write!(
                    f,
                    "no controller renews the lease of this host: asking {} of lesser classes to shut down",
                    count(*vms, "VM")
                )
            }
            Self::KillFailed { vm, problem } => {
                write!(f, "VM {vm} must not run here but could not be killed, trying again: {problem}")
            }
        }
    }
}
