//! Every plan is sound, whatever the fleet.

mod fleets;

use lifeboat_model::fleet::Fleet;
use lifeboat_model::plan::{Action, Plan, Step};
use lifeboat_planner::{Options, Policy};
use proptest::prelude::*;

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
