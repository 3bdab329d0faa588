//! The checker refuses spoiled plans, and what is explained and drawn of a plan is so.

mod fleets;
mod mutants;

use lifeboat_model::plan::Action;
use lifeboat_planner::explain::{Outcome, class_bounds, explain};
use lifeboat_planner::{Options, gantt};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_checker_refuses_every_spoiled_plan(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        let options = Options { effort: 0, ..Options::default() };
        let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
        for (how, spoiled) in mutants::broken(&fleet, &plan) {
            let violations = lifeboat_plancheck::check(&fleet, &request, &spoiled);
            prop_assert!(!violations.is_empty(), "seed {}: {} was accepted", seed, how);
            prop_assert!(violations.iter().all(|violation| !violation.to_string().is_empty()));
        }
    }

    #[test]
    fn every_vm_of_a_plan_is_explained(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        let options = Options { effort: 0, ..Options::default() };
        let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
        for step in plan.steps.iter().filter(|step| matches!(step.action, Action::Start { .. })) {
            let vm = step.action.vm().expect("a VM");
            let told = explain(&fleet, &request, &plan, vm).expect("an explanation");
            let Outcome::Ready { ready_s, path, elsewhere, bound, .. } = told.outcome else { panic!("{vm} is started") };
            prop_assert_eq!(ready_s, step.end_s);
            prop_assert_eq!(path.last().map(|link| link.step), Some(step.id));
            prop_assert!(path.windows(2).all(|pair| pair[0].end_s <= pair[1].start_s));
            prop_assert_eq!(elsewhere.len(), fleet.hosts.len() - 1);
            let summary = plan.summary.classes.iter().find(|class| class.name == told.class);
            prop_assert_eq!(bound.map(|bound| bound.bound_s), summary.map(|class| class.lower_bound_s));
        }
        for out in &plan.unplaced {
            let told = explain(&fleet, &request, &plan, &out.vm).expect("an explanation");
            prop_assert_eq!(told.outcome, Outcome::LeftOut { reason: out.reason.clone() });
        }
        let bounds = class_bounds(&fleet, &request, &plan).expect("bounds");
        for (bound, class) in bounds.iter().zip(&plan.summary.classes) {
            prop_assert_eq!(bound.bound_s, class.lower_bound_s);
            prop_assert!(class.ready_s >= class.lower_bound_s, "seed {}: {:?} beats {:?}", seed, class, bound);
        }
    }

    #[test]
    fn a_picture_has_a_bar_for_every_step(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        let plan = lifeboat_planner::plan(&fleet, &request, &Options { effort: 0, ..Options::default() }).expect("a plan");
        let picture = gantt::svg(&fleet, &plan);
        let remaps = plan.steps.iter().filter(|step| matches!(step.action, Action::Remap { .. })).count();
        prop_assert_eq!(picture.matches("<title>").count(), plan.steps.len() + remaps);
        prop_assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    }
}
