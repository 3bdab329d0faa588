//! Fleet to plan: where every lost VM goes, in which order, and why not where it cannot.
//!
//! # Theory of operation
//!
//! A plan is one joint decision for all VMs of a request. Names become numbers once (`index`, `case`). Every class has a
//! target time; from the targets follows how urgent each VM is (`priority`). In that order each VM is booked on the host
//! where it is ready first (`schedule`), its volumes ahead of its start, on lanes of hosts and arrays (`timeline`), as
//! far as capacity, NUMA nodes, volume limits and rules allow (`room`). Where not all fits, groups that are of no use in
//! part give their room back and what is next in importance takes it (`settle`), and what stays without a place gets its
//! reason (`reasons`). `bounds` says how much better any plan could be.
//!
//! Nothing here reads a clock or draws a random number that is not of [`Options::seed`]: the same input gives the same
//! plan, byte for byte, on every machine.

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Plan, Request};
use lifeboat_model::{HostName, VmName};

mod bounds;
mod case;
mod dice;
pub mod drill;
mod emit;
pub mod explain;
pub mod gantt;
mod index;
mod make_room;
mod names;
mod pack;
mod polish;
mod priority;
mod queue;
mod reach;
mod reasons;
mod refine;
pub mod rolling;
mod room;
mod schedule;
mod schemes;
mod score;
mod search;
mod settle;
mod solve;
mod timeline;
mod wishes;

/// How a plan is made. [`Scheme::Lifeboat`] is the one to use; the others exist to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// One joint plan.
    #[default]
    Lifeboat,
    /// One VM and one volume after the other.
    Serial,
    /// One stream for each destination, one volume after the other in it.
    Parallel,
    /// One stream for each destination, up to 4 volumes of a VM at a time.
    Paper,
}

/// What decides between places that are equally good for everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The emptiest host first: even load.
    #[default]
    Spread,
    /// The fullest host first: few hosts in use.
    Pack,
}

/// How to plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the plan is made.
    pub scheme: Scheme,
    /// How much to search, in steps; a step costs well below a microsecond. More of it gives a plan no worse.
    pub effort: u64,
    /// Seed of the search.
    pub seed: u64,
    /// What decides between equals.
    pub policy: Policy,
    /// What running VMs may be asked to do for VMs that have no place.
    pub room: RoomMaking,
}

/// What running VMs may be asked to do for VMs that have no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomMaking {
    /// Nothing.
    Never,
    /// Preemptible ones of a lower class may be stopped.
    Stop,
    /// That, and any may be moved while it runs.
    StopAndMigrate,
}

impl Options {
    /// What [`Options::default`] searches.
    pub const DEFAULT_EFFORT: u64 = 3_000_000;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheme: Scheme::Lifeboat,
            effort: Self::DEFAULT_EFFORT,
            seed: 0,
            policy: Policy::Spread,
            room: RoomMaking::StopAndMigrate,
        }
    }
}

/// Why there is no plan at all. A VM without a place is no such error: the plan says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The request names a host that the fleet does not have.
    #[error("the request names host `{0}`, which the fleet does not have")]
    UnknownHost(HostName),
    /// The request names a VM that the fleet does not have.
    #[error("the request names VM `{0}`, which the fleet does not have")]
    UnknownVm(VmName),
    /// The request asks to place a VM that runs.
    #[error("VM `{vm}` runs on `{host}`; only a VM that runs nowhere can be placed")]
    Runs {
        /// The VM.
        vm: VmName,
        /// Where it runs.
        host: HostName,
    },
    /// The fleet names what it does not have; validate it first.
    #[error("{kind} `{name}` names {to_kind} `{to}`, which the fleet does not have")]
    Dangling {
        /// The kind of what names it.
        kind: &'static str,
        /// What names it.
        name: String,
        /// The kind of what is named.
        to_kind: &'static str,
        /// What is named.
        to: String,
    },
    /// A drill of every pair would be too long.
    #[error("there are {count} pairs to drill, {most} at most; drill by a label such as rack instead", most = drill::MAX_WHAT_IFS)]
    TooManyWhatIfs {
        /// How many pairs there are.
        count: usize,
    },
    /// The times of all steps together are beyond what a plan can hold.
    #[error(
        "the steps of this plan would take more than {} years; check remap_s, configure_s, start_s and fence_s",
        solve::MAX_YEARS
    )]
    TooLong,
}

pub use drill::drill;
pub use explain::explain;
pub use rolling::rolling;

/// Plans the recovery that a request asks for.
///
/// # Errors
/// [`PlanError`] when the request does not match the fleet, or the fleet has not been validated.
pub fn plan(fleet: &Fleet, request: &Request, options: &Options) -> Result<Plan, PlanError> {
    let index = index::Index::new(fleet)?;
    let case = case::Case::new(&index, request)?;
    let solution = solve::solve(&case, options)?;
    Ok(emit::plan(&case, &solution))
}
