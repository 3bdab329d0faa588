//! Any bytes as a plan: refused with an error, or checked without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Plan, Request};

fuzz_target!(|text: &str| {
    let Ok(plan) = Plan::from_json(text) else { return };
    let _ = lifeboat_plancheck::check(&Fleet::empty(), &Request::default(), &plan);
});
