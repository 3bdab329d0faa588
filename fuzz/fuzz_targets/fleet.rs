//! Any bytes as a fleet: refused with an error, or planned soundly.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::Request;

fuzz_target!(|text: &str| {
    let Ok(fleet) = Fleet::from_json(text) else { return };
    let failed = fleet.hosts.iter().take(1).map(|host| host.name.clone()).collect();
    let request = Request { failed, ..Request::default() };
    let options = lifeboat_planner::Options { effort: 0, ..lifeboat_planner::Options::default() };
    if let Ok(plan) = lifeboat_planner::plan(&fleet, &request, &options) {
        assert_eq!(lifeboat_plancheck::check(&fleet, &request, &plan), Vec::new());
    }
});
