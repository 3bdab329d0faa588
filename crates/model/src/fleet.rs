//! `lifeboat/fleet/v1`: what is, as a planner sees it. A public format; see `docs/formats.md`.
//!
//! Reading is strict: an unknown field or version is an error that names it, a bad reference one that names both ends.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{ArrayName, ClassName, GroupName, HostName, Seconds, VmName, VolumeName};

mod validate;

pub use validate::{FleetError, MAX_RESOURCE};

/// The version that this build reads and writes.
pub const FORMAT: &str = "lifeboat/fleet/v1";

/// Resource name to whole number: `cpu_milli`, `memory_mib`, and any others.
pub type Resources = BTreeMap<String, u64>;

/// Label key to value.
pub type Labels = BTreeMap<String, String>;

/// A fleet as it is at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// [`FORMAT`].
    pub format: String,
    /// Hosts.
    pub hosts: Vec<Host>,
    /// VMs.
    pub vms: Vec<Vm>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Arrays.
    pub arrays: Vec<Array>,
    /// SLA classes, the most important first.
    pub classes: Vec<Class>,
    /// Dependency groups.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Placement rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Default limits.
    pub limits: Limits,
}

/// What a host is doing, as far as planning goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Runs VMs and takes new ones.
    Up,
    /// Runs nothing.
    Down,
    /// Keeps what it runs and takes nothing new.
    Maintenance,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its name, unique among hosts.
    pub name: HostName,
    /// What it is doing.
    pub state: HostState,
    /// Its site.
    #[serde(default)]
    pub site: String,
    /// Its labels (`rack`, `cpu`, …).
    #[serde(default)]
    pub labels: Labels,
    /// What it has of each resource. A resource that is not named here is not limited here.
    pub capacity: Resources,
    /// The most volumes mapped to it at once; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_volumes: Option<u64>,
    /// VMs starting on it at once; none: [`Limits::starts_per_host`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
    /// Volumes being remapped for it at once; none: [`Limits::maps_per_host`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maps: Option<u64>,
    /// Its NUMA nodes, each with its share of the capacity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numa: Vec<Resources>,
    /// What of its capacity a recovery leaves free; none: nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserve: Resources,
    /// Whether it is kept empty: a recovery uses it only for what would otherwise stay without a place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
}

/// One value or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// Just this.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Whether the value is among these.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Self::One(one) => one == value,
            Self::Many(many) => many.iter().any(|one| one == value),
        }
    }

    /// All values, as a slice.
    #[must_use]
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A wish: where a VM would rather be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    /// A host label's key, or `host` for the host's own name.
    pub label: String,
    /// The value that the label should have.
    pub value: String,
    /// How much it matters beside other wishes.
    pub weight: u32,
}

/// A VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vm {
    /// Its name, unique among VMs.
    pub name: VmName,
    /// Where it runs.
    pub host: Option<HostName>,
    /// What it takes of each resource.
    pub demand: Resources,
    /// Its SLA class.
    pub class: ClassName,
    /// Its volumes, the first to boot from.
    #[serde(default)]
    pub volumes: Vec<VolumeName>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Host label to the values that will do; the reserved label `host` is the host's own name.
    #[serde(default)]
    pub requires: BTreeMap<String, OneOrMany>,
    /// Where it would rather be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefers: Vec<Preference>,
    /// Whether it may be stopped to make room for a higher class.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preemptible: bool,
    /// Seconds to prepare it on a host.
    #[serde(default)]
    pub configure_s: Seconds,
    /// Seconds from start to ready.
    #[serde(default)]
    pub start_s: Seconds,
    /// How many NUMA nodes it spans; its demand is split evenly over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa: Option<u32>,
    /// The nodes that it now has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa_at: Option<Vec<u32>>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its name, unique among volumes.
    pub name: VolumeName,
    /// The array that serves it.
    pub array: ArrayName,
    /// Its size in GiB.
    pub size_gib: u64,
}

/// An array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    /// Its name, unique among arrays.
    pub name: ArrayName,
    /// Simultaneous map or unmap operations that its management interface takes.
    pub max_ops: u64,
    /// Seconds for one volume: unmap from the old host, map to the new.
    pub remap_s: Seconds,
}

/// An SLA class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name, unique among classes.
    pub name: ClassName,
    /// Recovery time objective: seconds from the failure being declared to the VM being ready.
    pub rto_s: Seconds,
    /// How quickly hosts with VMs of this class are judged; none: as the controller's settings say for all. Declared only,
    /// never exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<crate::liveness::PolicyName>,
}

/// A dependency group: VMs that form an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, unique among groups.
    pub name: GroupName,
    /// How much it matters beside other groups, higher first.
    #[serde(default)]
    pub importance: i64,
    /// A stage may start only when all of the stage before is ready, plus [`Group::stage_delay_s`].
    pub stages: Vec<Vec<VmName>>,
    /// Seconds between a stage being ready and the next being started.
    #[serde(default)]
    pub stage_delay_s: Seconds,
    /// Whether a part of the group is of no use.
    #[serde(default)]
    pub all_or_nothing: bool,
}

/// What a rule asks of its VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// No two in one place.
    Apart,
    /// All in one place.
    Together,
}

/// A placement rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Apart or together.
    pub kind: RuleKind,
    /// What a place is: `host`, or a host label's key such as `rack`.
    pub scope: String,
    /// Whom it binds.
    pub vms: Vec<VmName>,
    /// Members of one set may share a place (fault domains).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<Vec<VmName>>,
    /// Whether it must hold; otherwise it is a wish.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// Default limits on what is done at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// VMs starting at once on one host.
    pub starts_per_host: u64,
    /// Volumes being remapped at once for one destination.
    pub maps_per_host: u64,
    /// Seconds until a failed host is confirmed off.
    pub fence_s: Seconds,
}

impl Default for Limits {
    /// 4 starts and 4 maps a host, 15 s to fence.
    fn default() -> Self {
        Self { starts_per_host: 4, maps_per_host: 4, fence_s: Seconds::new(15) }
    }
}

impl Fleet {
    /// A fleet with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            format: FORMAT.to_owned(),
            hosts: Vec::new(),
            vms: Vec::new(),
            volumes: Vec::new(),
            arrays: Vec::new(),
            classes: Vec::new(),
            groups: Vec::new(),
            rules: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Reads a fleet and checks its references.
    ///
    /// # Errors
    /// [`FleetError`] when the text is not JSON, not this format, has an unknown field, a name twice, a bad reference,
    /// or a number out of range.
    pub fn from_json(text: &str) -> Result<Self, FleetError> {
        #[derive(Deserialize)]
        struct Head {
            format: Option<String>,
        }
        let head: Head = serde_json::from_str(text).map_err(|e| FleetError::Json(e.to_string()))?;
        match head.format.as_deref() {
            Some(FORMAT) => {}
            other => return Err(FleetError::Format { found: other.map(str::to_owned) }),
        }
        let fleet: Self = serde_json::from_str(text).map_err(|e| FleetError::Json(e.to_string()))?;
        fleet.validate()?;
        Ok(fleet)
    }

    /// The names of all hosts.
    #[must_use]
    pub fn host_names(&self) -> BTreeSet<&HostName> {
        self.hosts.iter().map(|host| &host.name).collect()
    }
}
