//! The words that every part of Lifeboat uses.
//!
//! Pure values only: no clock, no I/O, no entropy, no hash maps. The same value always has the same bytes.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`name`] | names of hosts, VMs, volumes, … as distinct types |
//! | [`time`] | spans and points in time, in whole microseconds |
//! | [`order`] | epochs, generations and boot ids: what makes an old command recognisable |
//! | [`fleet`] | `lifeboat/fleet/v1`: what is, as a planner sees it |
//! | [`plan`] | `lifeboat/plan/v1`: what to do about it, an immutable value |
//! | [`reason`] | typed answers to "why not" |
//! | [`trace`] | `lifeboat/trace/v1`: what really happened |
//! | [`spec`] | what an operator declares: classes, hosts, fences, arrays, volumes, VMs, groups, rules, checks |
//! | [`declaration`] | operators' files into a spec, and what is wrong with them |
//! | [`action`] | what an operator may order for a VM |
//! | [`drill`] | what a drill found, and how it got worse |
//! | [`health`] | what a look at a VM saw |
//! | [`liveness`] | what is judged of a host, by which rule, on what evidence |
//! | [`running`] | what a VM's process is doing |
//! | [`attach`] | how a mapped volume is reached from its host |
//! | [`text`] | words that depend on a number |

pub mod action;
pub mod attach;
pub mod declaration;
pub mod drill;
pub mod fleet;
pub mod hardware;
pub mod health;
mod json;
pub mod liveness;
pub mod name;
pub mod notice;
pub mod order;
pub mod plan;
pub mod reason;
pub mod running;
pub mod spec;
pub mod text;
pub mod time;
pub mod trace;

pub use name::{
    ArrayName, CheckName, ClassName, FenceName, GroupName, HostName, MAX_NAME_CHARS, NameError, OperatorName, RuleName,
    VmName, VolumeName,
};
pub use order::{BootId, Epoch, Generation};
pub use time::{Seconds, Time};
