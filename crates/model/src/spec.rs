//! What an operator declares and `lifeboat apply` takes: classes, hosts with their fences, arrays, volumes, VMs, groups,
//! rules, restart rules, checks. A spec never changes by itself; what is so at a moment is kept apart from it, by the brain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ArrayName, ClassName, FenceName, HostName, RuleName, Seconds, VmName, VolumeName,
    fleet::{Class, Group, Labels, Limits, OneOrMany, Preference, Resources, Rule, RuleKind},
};

mod defaults;
mod fencing;
mod health;
mod restart;

pub use fencing::{Isolation, RungSpec};
pub use health::{CheckFrom, CheckSpec, HealthAction, HealthCheck};
pub use restart::{Amount, RestartRule, StartOrder};

/// A host, as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// Its name; its agent's certificate is made out to it.
    pub name: HostName,
    /// Its site.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// What it has for VMs of each resource.
    pub capacity: Resources,
    /// The most volumes mapped to it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_volumes: Option<u64>,
    /// VMs starting on it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
    /// Volumes being remapped for it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps: Option<u64>,
    /// Its NUMA nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numa: Vec<Resources>,
    /// What of its capacity a recovery leaves free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserve: Resources,
    /// Whether it is kept empty: a recovery uses it only for what would otherwise stay without a place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
    /// Why it takes no new VMs for now (it keeps those that it runs): a note for other people; none: it takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
    /// How quickly it is judged, whatever runs there; none: as the strictest class of its VMs says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<crate::liveness::PolicyName>,
    /// What becomes of its VMs when it says that it is about to shut down or reboot; none: what the controller's settings
    /// say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_leave: Option<LeavePolicy>,
    /// Its fence devices, in the order in which they are tried.
    #[serde(default, rename = "fence", skip_serializing_if = "Vec::is_empty")]
    pub fences: Vec<FenceSpec>,
    /// The ways to be sure that it cannot run its VMs, in the order in which they are tried; empty: the fleet's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<RungSpec>,
    /// What it does when it is cut off from the controller; none: as the fleet's hosts do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// What becomes of the VMs of a host that says that it is about to shut down or reboot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavePolicy {
    /// They move elsewhere first, as far as there is time.
    #[default]
    Move,
    /// They go down with it and wait for it, for a time.
    Freeze,
    /// They are all stopped at once and start elsewhere.
    FailOver,
}

/// A fence device: a way to cut a host's power and to read back that it is off. Passwords are named by a file on the
/// controller's machine, never written here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FenceSpec {
    /// A BMC that speaks Redfish.
    Redfish(RedfishFence),
    /// An installed `fence_*` agent.
    Agent(AgentFence),
}

impl FenceSpec {
    /// Its name, unique among the host's fences.
    #[must_use]
    pub const fn name(&self) -> &FenceName {
        match self {
            Self::Redfish(fence) => &fence.name,
            Self::Agent(fence) => &fence.name,
        }
    }

    /// How long an attempt to cut the power and confirm it may take until it is given up, and the next device tried.
    #[must_use]
    pub const fn timeout(&self) -> Seconds {
        match self {
            Self::Redfish(fence) => fence.timeout_s,
            Self::Agent(fence) => fence.timeout_s,
        }
    }
}

/// A BMC that speaks Redfish (DMTF DSP0266) over HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedfishFence {
    /// Its name.
    pub name: FenceName,
    /// See [`FenceSpec::timeout`].
    #[serde(default = "defaults::fence_timeout")]
    pub timeout_s: Seconds,
    /// `https://address[:port]`.
    pub url: String,
    /// The `ComputerSystem` to cut: the last part of its `/redfish/v1/Systems/…` path.
    #[serde(default = "defaults::redfish_system")]
    pub system: String,
    /// User.
    pub user: String,
    /// File with the password, on the controller's machine.
    pub password_file: String,
    /// File with the PEM certificate authority that the BMC's certificate must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// SHA-256 of the BMC's own certificate, as 64 hex digits, colons allowed: a pin for a self-signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_sha256: Option<String>,
}

/// Any installed `fence_*` agent of the ClusterLabs collection, with its options on standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFence {
    /// Its name.
    pub name: FenceName,
    /// See [`FenceSpec::timeout`].
    #[serde(default = "defaults::fence_timeout")]
    pub timeout_s: Seconds,
    /// The program: `fence_ipmilan`, `fence_apc`, …
    pub agent: String,
    /// Its options, as in its manual, but for `action` and secrets.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Option to file that has its value (`password`), on the controller's machine.
    #[serde(default)]
    pub secret_files: BTreeMap<String, String>,
}

/// An array, as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArraySpec {
    /// Its name.
    pub name: ArrayName,
    /// Map or unmap operations that it takes at once.
    #[serde(default = "defaults::max_ops")]
    pub max_ops: u64,
    /// Seconds to unmap one volume and map it elsewhere, for planning.
    #[serde(default = "defaults::remap")]
    pub remap_s: Seconds,
    /// What serves it; none for an array that is only planned with (from a fleet/v1 file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<ArrayBackend>,
}

impl ArraySpec {
    /// Whether taking a volume from a host stops the writes of a host that still runs. Files in a directory that all
    /// hosts see can always be written by those that have them open.
    #[must_use]
    pub const fn cuts_writes(&self) -> bool {
        matches!(self.backend, Some(ArrayBackend::Nbd { .. }))
    }
}

/// What serves an array's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArrayBackend {
    /// `qemu-storage-daemon`, one a host as that host's LUN mask, exporting over NBD.
    Nbd {
        /// Directory with the volumes' image files, as the daemons see it.
        directory: String,
        /// The daemon of each host.
        hosts: BTreeMap<HostName, NbdTarget>,
    },
    /// Files in a directory that all hosts (and the controller) see.
    Shared {
        /// The directory.
        directory: String,
    },
}

/// The storage daemon that serves one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NbdTarget {
    /// Its QMP socket, on the controller's machine.
    pub qmp: String,
    /// Address at which the host reaches its NBD server.
    pub host: String,
    /// TCP port of it.
    pub port: u16,
    /// Whether it asks for TLS with the host's pre-shared key.
    #[serde(default)]
    pub tls_psk: bool,
}

/// A volume, as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// Its name.
    pub name: VolumeName,
    /// The array that serves it.
    pub array: ArrayName,
    /// Its size in GiB.
    #[serde(default)]
    pub size_gib: u64,
    /// File name in the array's directory; none: the volume's name and `.raw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl VolumeSpec {
    /// The volume's file name in its array's directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.file.clone().unwrap_or_else(|| format!("{}.raw", self.name))
    }
}

/// A VM, as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmSpec {
    /// Its name.
    pub name: VmName,
    /// Where it first goes, or runs already; none: the planner chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// What it takes of each resource; `memory_mib` is also its RAM and `cpu_milli`, rounded up, its vCPUs, unless
    /// `machine` says otherwise.
    pub demand: Resources,
    /// Its SLA class.
    pub class: ClassName,
    /// Its volumes, the first to boot from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeName>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// What it requires of its host's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requires: BTreeMap<String, OneOrMany>,
    /// Where it would rather be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefers: Vec<Preference>,
    /// Whether it may be stopped to make room for a higher class.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preemptible: bool,
    /// Seconds to prepare it, for planning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub configure_s: Seconds,
    /// Seconds from start to ready, for planning; also what its start time-out is reckoned from.
    #[serde(default = "defaults::start", skip_serializing_if = "is_default_start")]
    pub start_s: Seconds,
    /// How many NUMA nodes it spans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa: Option<u32>,
    /// How it boots.
    #[serde(default, skip_serializing_if = "MachineSpec::is_default")]
    pub machine: MachineSpec,
    /// How one sees that it is up; none: its hypervisor says that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckSpec>,
}

fn is_zero(span: &Seconds) -> bool {
    *span == Seconds::ZERO
}

fn is_default_start(span: &Seconds) -> bool {
    *span == defaults::start()
}

/// How a VM boots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// vCPUs; none: `cpu_milli` of the demand, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    /// RAM in MiB; none: `memory_mib` of the demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Kernel to boot directly, a path on every host; none: firmware boots from the first volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Initial RAM disk for that kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
    /// Command line for that kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Whether it has a channel to a QEMU guest agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guest_agent: bool,
    /// What is done when its watchdog device (i6300esb) runs out; none: it has no such device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<HealthAction>,
    /// Network cards.
    #[serde(default, rename = "nic", skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicSpec>,
}

impl MachineSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A network card of a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicSpec {
    /// The host's bridge that its tap joins.
    pub bridge: String,
    /// Its MAC address, the same wherever the VM runs.
    pub mac: String,
}

/// What an operator's files declare, all together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Limits on what is done at once; none: as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// SLA classes, the most important first.
    #[serde(default, rename = "class", skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// Hosts.
    #[serde(default, rename = "host", skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostSpec>,
    /// Arrays.
    #[serde(default, rename = "array", skip_serializing_if = "Vec::is_empty")]
    pub arrays: Vec<ArraySpec>,
    /// Volumes.
    #[serde(default, rename = "volume", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeSpec>,
    /// VMs.
    #[serde(default, rename = "vm", skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<VmSpec>,
    /// Dependency groups.
    #[serde(default, rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Rules, by name.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<NamedRule>,
    /// Restart rules.
    #[serde(default, rename = "restart", skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<RestartRule>,
    /// Start orders.
    #[serde(default, rename = "order", skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<StartOrder>,
    /// Checks of VMs.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
}

/// A rule with a name, so that it can be declared again without being doubled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRule {
    /// Its name, unique among rules.
    pub name: RuleName,
    /// Apart or together.
    pub kind: RuleKind,
    /// What a place is: `host`, or a host label's key such as `rack`.
    #[serde(default = "defaults::scope")]
    pub scope: String,
    /// Whom it binds.
    pub vms: Vec<VmName>,
    /// Members of one set may share a place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<Vec<VmName>>,
    /// Whether it must hold; otherwise it is a wish.
    #[serde(default = "defaults::required")]
    pub required: bool,
}

impl NamedRule {
    /// The rule as a fleet has it, without its name.
    #[must_use]
    pub fn rule(&self) -> Rule {
        Rule {
            kind: self.kind,
            scope: self.scope.clone(),
            vms: self.vms.clone(),
            sets: self.sets.clone(),
            required: self.required,
        }
    }
}
