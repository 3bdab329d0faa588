//! Every plan is sound, whatever the fleet.

mod fleets;

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Action, Plan, Request, Step};
use lifeboat_planner::{Options, Policy};
use proptest::prelude::*;
use serde_json::json;

/// How many VMs of each class a plan leaves out.
fn left_out(fleet: &Fleet, plan: &Plan) -> Vec<usize> {
    let class_of = |vm| fleet.vms.iter().find(|row| &row.name == vm).map(|row| &row.class);
    let out = |class| plan.unplaced.iter().filter(|out| class_of(&out.vm) == Some(class)).count();
    fleet.classes.iter().map(|class| out(&class.name)).collect()
}

#[test]
fn a_host_may_lose_vms_by_stops_and_by_moves_at_once() {
    for seed in [20313, 24151, 26172, 52011] {
        let (fleet, request) = fleets::random(seed);
        let policy = if seed % 2 == 0 { Policy::Pack } else { Policy::Spread };
        let options = Options { policy, effort: 3000, ..Options::default() };
        let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
        assert_eq!(lifeboat_plancheck::check(&fleet, &request, &plan), [], "seed {seed}");
    }
}

/// 200 hosts that are alike but for their names and racks of two, and three VMs on the one that fails, one of which belongs beside a fourth.
fn wishful() -> (Fleet, Request) {
    let host = |n: usize| json!({"name": format!("h{n:03}"), "state": "up", "labels": {"rack": format!("r{}", n / 2)}, "capacity": {"memory_mib": 8192}});
    let vm = |n: usize, host: &str, prefers: serde_json::Value| json!({"name": format!("v{n}"), "host": host, "class": "gold", "demand": {"memory_mib": 1024}, "start_s": 10, "prefers": prefers});
    let fleet = json!({
        "format": "lifeboat/fleet/v1",
        "volumes": [],
        "arrays": [],
        "limits": Fleet::empty().limits,
        "classes": [{"name": "gold", "rto_s": 600}],
        "hosts": (0..200).map(host).collect::<Vec<_>>(),
        "vms": [
            vm(0, "h000", json!([{"label": "host", "value": "h150", "weight": 5}])),
            vm(1, "h000", json!([])),
            vm(2, "h000", json!([{"label": "rack", "value": "r90", "weight": 1}])),
            vm(3, "h120", json!([])),
        ],
        "rules": [{"kind": "together", "scope": "rack", "vms": ["v1", "v3"], "required": false}],
    });
    let fleet: Fleet = serde_json::from_value(fleet).expect("a fleet");
    fleet.validate().expect("a sound one");
    (fleet, Request { failed: vec!["h000".parse().expect("a name")], ..Request::default() })
}

#[test]
fn wishes_are_granted_among_many_hosts_that_are_as_good() {
    let (fleet, request) = wishful();
    let plan = lifeboat_planner::plan(&fleet, &request, &Options::default()).expect("a plan");
    assert_eq!(lifeboat_plancheck::check(&fleet, &request, &plan), []);
    let host_of = |name: &str| {
        let placed = &plan.placements[name];
        fleet.hosts.iter().find(|host| host.name == *placed).expect("a host")
    };
    assert_eq!(host_of("v0").name.as_str(), "h150");
    assert_eq!(host_of("v1").labels["rack"], "r60", "beside v3");
    assert_eq!(host_of("v2").labels["rack"], "r90");
    let quick = Options { effort: 0, ..Options::default() };
    let quick = lifeboat_planner::plan(&fleet, &request, &quick).expect("a plan");
    assert_eq!(quick.summary.makespan_s, plan.summary.makespan_s, "wishes make nobody wait");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_checker_accepts_every_plan(seed: u64, pack: bool) {
        let (fleet, request) = fleets::random(seed);
        prop_assert_eq!(fleet.validate(), Ok(()));
        let policy = if pack { Policy::Pack } else { Policy::Spread };
        let options = Options { policy, effort: 3000, ..Options::default() };
        let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
        let violations = lifeboat_plancheck::check(&fleet, &request, &plan);
        prop_assert!(violations.is_empty(), "seed {}: {}", seed, violations[0]);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        let options = Options { effort: 2000, ..Options::default() };
        let plan = || {
            let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
            serde_json::to_string(&plan).expect("JSON")
        };
        prop_assert_eq!(plan(), plan());
    }

    #[test]
    fn more_effort_gives_no_worse_a_plan(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        let mut before: Option<(Vec<usize>, usize, Vec<bool>)> = None;
        for effort in [0, 1, 20_000, 200_000, 1_000_000] {
            let options = Options { effort, ..Options::default() };
            let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
            let missed: Vec<bool> = plan.summary.classes.iter().map(|class| !class.met).collect();
            let gives_way = |step: &&Step| matches!(step.action, Action::Stop { .. } | Action::Migrate { .. });
            let worth = (left_out(&fleet, &plan), plan.steps.iter().filter(gives_way).count(), missed);
            if let Some(before) = &before {
                prop_assert!(worth <= *before, "seed {}, effort {}: {:?} after {:?}", seed, effort, worth, before);
            }
            before = Some(worth);
        }
    }
}
