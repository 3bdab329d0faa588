//! What goes into the brain's fleet side and what comes out of it.

use std::{fmt, path::PathBuf, sync::Arc};

use lifeboat_model::{
    BootId, Epoch, FenceName, Generation, HostName, Seconds, Time, VmName,
    attach::Attachment,
    drill::Report,
    fleet::Fleet,
    hardware::HardwareReading,
    health::CheckReport,
    liveness::{EvidenceSource, Saying},
    spec::{ArraySpec, CheckSpec, FenceSpec, VolumeSpec},
    trace::TraceEvent,
};
use serde::{Deserialize, Serialize};

use super::{
    orders::{Answer, OperatorOrder, Refusal},
    records::{EventRecord, Severity},
};
use crate::message::{FromAgent, Pledge, ToAgent};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }
    )*};
}

numbers! {
    /// One connection of an agent; the body numbers them upwards.
    LinkId, "link-";
    /// One operation at an array.
    OpId, "op-";
    /// One recovery.
    RecoveryId, "r-";
    /// One plan.
    PlanId, "p-";
    /// One request of an operator; the body numbers them.
    RequestId, "q-";
}

/// What happens to the brain.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// An agent said something on its link; the link's certificate is the host's.
    AgentSaid {
        /// The host.
        host: HostName,
        /// The link.
        link: LinkId,
        /// What it said.
        message: FromAgent,
    },
    /// A link broke or was closed.
    LinkClosed {
        /// The host.
        host: HostName,
        /// The link.
        link: LinkId,
    },
    /// An [`Effect::Fence`] ended.
    FenceEnded {
        /// The host.
        host: HostName,
        /// The attempt.
        attempt: u64,
        /// Nothing when the device was read and says off; otherwise what went wrong.
        result: Result<(), String>,
    },
    /// An [`Effect::ReadFence`] ended, or an operator had a device read.
    FenceRead {
        /// The host.
        host: HostName,
        /// The look; 0 for one in peace.
        look: u64,
        /// The device.
        device: FenceName,
        /// Whether the power is on; otherwise what went wrong.
        result: Result<bool, String>,
    },
    /// An [`Effect::Volume`] ended.
    VolumeEnded {
        /// The operation.
        op: OpId,
        /// How.
        outcome: VolumeOutcome,
    },
    /// An [`Effect::Check`] ended.
    CheckEnded {
        /// The VM.
        vm: VmName,
        /// The generation that was looked at.
        generation: Generation,
        /// Nothing when the VM answered; otherwise what was seen last.
        result: Result<(), String>,
    },
    /// The body has met something that people should know.
    Noted {
        /// How much it matters.
        severity: Severity,
        /// What, as a sentence.
        text: String,
        /// The trouble that lasts.
        trouble: String,
        /// Whether it is over.
        over: bool,
    },
    /// An [`Effect::Drill`] ended, or somebody else has drilled.
    DrillEnded {
        /// What was found, or why nothing was.
        result: Result<Box<Report>, String>,
    },
    /// An [`Effect::Look`] ended.
    Looked {
        /// Its number.
        sequence: u64,
        /// What was seen.
        report: CheckReport,
    },
    /// A source has said something of a host.
    Evidence {
        /// The host.
        host: HostName,
        /// The source.
        source: EvidenceSource,
        /// What it says.
        says: Saying,
        /// More, for a person.
        detail: Option<String>,
    },
    /// A host's BMC tells of its sensors, after an [`Effect::ReadFence`] of a device that can.
    Hardware {
        /// The host.
        host: HostName,
        /// What they say.
        reading: HardwareReading,
    },
    /// An [`Effect::AskReferences`] ended.
    References {
        /// How many took a connection.
        reached: u64,
    },
    /// An operator wants something.
    Operator {
        /// The request, for [`Effect::Answer`].
        request: RequestId,
        /// What is wanted.
        order: OperatorOrder,
    },
}

/// How an operation at an array ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeOutcome {
    /// It is mapped; this is the way to it.
    Mapped(Attachment),
    /// It is unmapped, and no write of the host can reach it any more.
    Unmapped,
    /// Another host has it.
    MappedElsewhere(HostName),
    /// It failed, or nobody knows.
    Failed {
        /// What went wrong and what to do, for a person.
        problem: String,
        /// Whether the same operation may succeed later.
        retry_may_help: bool,
    },
}

/// What the brain wants done. The body carries effects out only after the writes of the same output are durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Say something to an agent.
    Say {
        /// The host.
        host: HostName,
        /// On this link; if it is gone, so is the message.
        link: LinkId,
        /// What.
        message: ToAgent,
    },
    /// Close an agent's link.
    CloseLink {
        /// The host.
        host: HostName,
        /// The link.
        link: LinkId,
    },
    /// Cut a host's power by one device and read back until it is off, within the device's time limit.
    Fence {
        /// The host.
        host: HostName,
        /// The attempt, for [`Input::FenceEnded`].
        attempt: u64,
        /// The device.
        device: FenceSpec,
    },
    /// End an attempt to cut a host's power that is no longer wanted: the device is given no further orders. It is still
    /// answered with [`Input::FenceEnded`], once nothing that was sent before can act any more.
    EndFence {
        /// The host.
        host: HostName,
        /// The attempt.
        attempt: u64,
    },
    /// Read a fence device, within its time limit. Nothing is cut.
    ReadFence {
        /// The host.
        host: HostName,
        /// The look, for [`Input::FenceRead`].
        look: u64,
        /// The device.
        device: FenceSpec,
    },
    /// Read a host's power by one device, once, within 10 s or its own time limit. Always answered, with
    /// [`Input::Evidence`] of that device.
    ReadPower {
        /// The host.
        host: HostName,
        /// The device.
        device: FenceSpec,
    },
    /// Look at a VM once, within a second: does it answer? Always answered, with [`Input::Evidence`] of that VM.
    AskVm {
        /// The host that it runs on.
        host: HostName,
        /// The VM.
        vm: VmName,
        /// How.
        check: CheckSpec,
    },
    /// Look whether a host's agent lives, within a second; always answered, with [`Input::Evidence`] of that network.
    LookAtAgent {
        /// The host.
        host: HostName,
        /// Where its agent listens, `address:port`.
        address: String,
        /// The boot that it is in, which its agent shows that it knows.
        boot: BootId,
    },
    /// Read a host's slot of the heartbeat block; always answered, with [`Input::Evidence`] of it.
    ReadBlock {
        /// The host.
        host: HostName,
        /// The block.
        path: PathBuf,
    },
    /// See which of these addresses take a connection within half a second; answered with [`Input::References`].
    AskReferences {
        /// `address:port` each.
        addresses: Vec<String>,
    },
    /// Map or unmap a volume.
    Volume {
        /// The operation, for [`Input::VolumeEnded`].
        op: OpId,
        /// Map or unmap.
        change: VolumeChange,
        /// The array.
        array: Arc<ArraySpec>,
        /// The volume.
        volume: Arc<VolumeSpec>,
        /// The host.
        host: HostName,
        /// The leader's epoch.
        epoch: Epoch,
        /// The volume's generation.
        generation: Generation,
    },
    /// Look at a VM until it answers or the time is over.
    Check {
        /// The VM.
        vm: VmName,
        /// Its generation, for [`Input::CheckEnded`].
        generation: Generation,
        /// How.
        check: CheckSpec,
        /// Until when.
        until: Time,
    },
    /// Plan the failure of each host, rack and site of a fleet, aside, and say what was found.
    Drill {
        /// The fleet.
        fleet: Arc<Fleet>,
    },
    /// Look at a VM, once, within a limit that counts from when the look begins.
    Look {
        /// The look, for [`Input::Looked`].
        sequence: u64,
        /// The VM.
        vm: VmName,
        /// How.
        look: CheckSpec,
        /// How long it may take.
        limit: Seconds,
    },
    /// Tell people.
    Tell(EventRecord),
    /// Add to the trace.
    Trace(TraceEvent),
    /// Answer an operator.
    Answer {
        /// The request.
        request: RequestId,
        /// The answer.
        result: Result<Answer, Refusal>,
    },
}

/// Map or unmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeChange {
    /// Let the host open it.
    Map,
    /// Take it from the host.
    Unmap,
}

/// What one call of the brain gives: first the writes, all or none; then, when they are durable, the effects in order.
#[derive(Debug, Default)]
pub struct Output {
    /// Keys with their new values; none: the key is removed.
    pub writes: Vec<(String, Option<Vec<u8>>)>,
    /// What to do then.
    pub effects: Vec<Effect>,
}

/// How a host's inability to run its VMs was proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum FenceProof {
    /// A fence device was told to cut the power, and read back as off.
    Power {
        /// The device.
        device: FenceName,
    },
    /// Several fence devices were told to cut the power, and all were read back as off together.
    Together {
        /// The devices.
        devices: Vec<FenceName>,
    },
    /// Its volumes were cut at their arrays after its lease had run out.
    Storage {
        /// How many volumes its VMs have.
        volumes: u64,
    },
    /// Its lease has run out.
    Lease {
        /// What its agent had pledged.
        pledge: Pledge,
    },
    /// An operator has said so.
    Operator,
    /// The host came back in another boot than the one that its VMs ran in.
    Rebooted,
}

impl FenceProof {
    /// The method's name in a trace.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Power { .. } | Self::Together { .. } => "power",
            Self::Storage { .. } => "storage",
            Self::Lease { .. } => "lease",
            Self::Operator => "operator",
            Self::Rebooted => "rebooted",
        }
    }
}

impl fmt::Display for FenceProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power { device } => write!(f, "power off confirmed by {device}"),
            Self::Together { devices } => {
                write!(f, "power off confirmed by {} together", super::fencing::list(devices))
            }
            Self::Storage { volumes: 1 } => f.write_str("its lease has run out, and its volume is cut at its array"),
            Self::Storage { volumes } => {
                write!(f, "its lease has run out, and its {volumes} volumes are cut at their arrays")
            }
            Self::Lease { pledge: Pledge::Watchdog } => f.write_str("its lease has run out, with its watchdog armed"),
            Self::Lease { .. } => f.write_str("its lease has run out, with a guard beside its agent"),
            Self::Operator => f.write_str("an operator has said that it is off"),
            Self::Rebooted => f.write_str("it has booted anew"),
        }
    }
}
