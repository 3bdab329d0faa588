//! A host of the lab: a network namespace, a UTS namespace and a cgroup, with a power switch.

pub(crate) mod cgroup;
pub(crate) mod power;

pub(crate) use power::Power;
