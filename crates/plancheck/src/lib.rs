//! Holds a plan to its fleet and its request, independently of the planner.
//!
//! # Theory of operation
//!
//! Nothing of a plan is believed: not its summary, not that names exist, not that steps stand in some order. `ground`
//! files the steps by VM; then come the steps by themselves (`steps`), each VM's steps (`vms`), what holds at every
//! instant (`limits`), and what binds VMs to each other (`bonds`). It shares only the model with the planner, so that one
//! mistake cannot hide in both, and runs on every plan before its first step; its cost grows with the size of fleet and
//! plan, times a logarithm.
//!
//! Times are what the planner foresees; what is executed is `after`. So both are held to the order of things: a step must
//! begin late enough *and* say what it waits for.

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{FORMAT, Plan, Request};

mod bonds;
mod ground;
mod limits;
mod steps;
mod violation;
mod vms;

pub use violation::{Limit, Violation};

/// Every way in which a plan breaks what it must keep; none when it is sound.
#[must_use]
pub fn check(fleet: &Fleet, request: &Request, plan: &Plan) -> Vec<Violation> {
    let mut bad = Vec::new();
    if plan.format != FORMAT {
        bad.push(Violation::Unknown { by: "the plan".to_owned(), kind: "format", name: plan.format.clone() });
    }
    let mut ground = ground::Ground::new(fleet, request, plan, &mut bad);
    steps::check(&ground, &mut bad);
    vms::check(&mut ground, &mut bad);
    limits::check(&ground, &mut bad);
    limits::check_numa(&ground, &mut bad);
    bonds::check(&ground, &mut bad);
    bad
}
