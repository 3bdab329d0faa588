//! Typed answers to "why not".

use serde::{Deserialize, Serialize};

use crate::{ArrayName, GroupName, HostName, VmName};

/// Why a VM has no place in a plan. Serialised in plan/v1 as `code` and `detail`; see [`Reason::code`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reason {
    /// Every eligible host is short of some resource.
    NoCapacity {
        /// The resource that is short on the nearest host.
        resource: String,
        /// By how much.
        short_by: u64,
        /// The host where least is missing.
        nearest: HostName,
    },
    /// No host that is up has what the VM requires.
    NoEligibleHost {
        /// The label that no host that is up has rightly; none when no host is up at all.
        requires: Option<String>,
    },
    /// A required rule forbids every host that has room.
    Rule {
        /// The rule, as a position in the fleet's `rules`.
        rule: usize,
        /// The host that has room.
        nearest: HostName,
    },
    /// The VM is part of a group that is all or nothing, and another part has no place.
    GroupIncomplete {
        /// The group.
        group: GroupName,
        /// The member without a place.
        missing: VmName,
    },
    /// An earlier stage of its group has a member without a place.
    StageBlocked {
        /// The group.
        group: GroupName,
        /// The member without a place.
        missing: VmName,
    },
    /// Every eligible host with room would exceed the volumes that it can map.
    VolumeLimit {
        /// The nearest host.
        nearest: HostName,
        /// By how many volumes.
        short_by: u64,
    },
    /// No host has enough NUMA nodes with room.
    Numa {
        /// The nearest host.
        nearest: HostName,
        /// How many nodes the VM spans.
        nodes: u32,
    },
    /// An array that the VM needs takes no operations.
    ArrayUnavailable {
        /// The array.
        array: ArrayName,
    },
}

impl Reason {
    /// The stable code that plan/v1 carries.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoCapacity { .. } => "no_capacity",
            Self::NoEligibleHost { .. } => "no_eligible_host",
            Self::Rule { .. } => "rule",
            Self::GroupIncomplete { .. } => "group_incomplete",
            Self::StageBlocked { .. } => "stage_blocked",
            Self::VolumeLimit { .. } => "volume_limit",
            Self::Numa { .. } => "numa",
            Self::ArrayUnavailable { .. } => "array_unavailable",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoCapacity { resource, short_by, nearest } => {
                write!(f, "no host has room: {nearest} comes nearest, short of {short_by} {resource}")
            }
            Self::NoEligibleHost { requires: Some(label) } => {
                write!(f, "no host that is up has the {label} it requires")
            }
            Self::NoEligibleHost { requires: None } => write!(f, "no host is up and takes VMs"),
            Self::Rule { rule, nearest } => write!(f, "rule {rule} forbids every host with room, {nearest} among them"),
            Self::GroupIncomplete { group, missing } => {
                write!(f, "group {group} is all or nothing, and {missing} has no place")
            }
            Self::StageBlocked { group, missing } => {
                write!(f, "an earlier stage of group {group} is incomplete: {missing} has no place")
            }
            Self::VolumeLimit { nearest, short_by } => {
                write!(f, "{nearest} comes nearest, {short_by} volumes over what it can map")
            }
            Self::Numa { nearest, nodes } => {
                write!(f, "no host has {nodes} NUMA nodes with room; {nearest} comes nearest")
            }
            Self::ArrayUnavailable { array } => write!(f, "array {array} takes no operations"),
        }
    }
}
