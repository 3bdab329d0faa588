//! Every plan is sound, whatever the fleet.

mod fleets;

use lifeboat_planner::{Options, Policy};
use proptest::prelude::*;

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
}
