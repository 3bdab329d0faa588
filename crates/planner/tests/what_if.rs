//! Drills, rolling groups and the schemes to compare with, on random fleets.

mod fleets;

use std::collections::BTreeMap;

use lifeboat_model::fleet::HostState;
use lifeboat_model::plan::Request;
use lifeboat_planner::drill::{By, drill, worse};
use lifeboat_planner::{Options, Scheme, rolling};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_scheme_gives_a_sound_plan(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        for scheme in [Scheme::Serial, Scheme::Parallel, Scheme::Paper] {
            let options = Options { scheme, ..Options::default() };
            let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
            let violations = lifeboat_plancheck::check(&fleet, &request, &plan);
            prop_assert!(violations.is_empty(), "seed {} {:?}: {}", seed, scheme, violations[0]);
        }
    }

    #[test]
    fn more_effort_gives_a_plan_no_worse(seed: u64) {
        let (fleet, request) = fleets::random(seed);
        let cost = |effort| {
            let options = Options { effort, ..Options::default() };
            let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
            let over = |class: &lifeboat_model::plan::ClassSummary| {
                let part = class.ready_s.as_f64() / class.lower_bound_s.as_f64().max(1e-6) - 1.0;
                part + 4.0 * part * part
            };
            let missed = plan.summary.classes.iter().filter(|class| !class.met).count();
            (missed, plan.unplaced.len(), plan.summary.classes.iter().map(over).sum::<f64>())
        };
        let (quick, long) = (cost(20_000), cost(200_000));
        prop_assert_eq!(quick.1, long.1);
        prop_assert!(long.0 < quick.0 || long.2 <= quick.2 * 1.001 + 0.01, "seed {}: {:?}, with more {:?}", seed, quick, long);
    }

    #[test]
    fn a_drill_says_what_the_plan_of_that_failure_says(seed: u64) {
        let (fleet, _) = fleets::random(seed);
        let options = Options { effort: 0, ..Options::default() };
        let answer = drill(&fleet, &By::Host, 1, &options).expect("a drill");
        for what_if in &answer.what_ifs {
            let request = Request { failed: what_if.failed.clone(), ..Request::default() };
            let plan = lifeboat_planner::plan(&fleet, &request, &options).expect("a plan");
            prop_assert_eq!(&plan.unplaced, &what_if.unplaced);
            prop_assert_eq!(&plan.summary.classes, &what_if.classes);
        }
        prop_assert!(worse(&answer, &answer).is_empty());
    }

    #[test]
    fn the_hosts_of_a_rolling_group_can_all_be_down(seed: u64) {
        let (fleet, _) = fleets::random(seed);
        let found = rolling(&fleet).expect("groups");
        let mut seen: BTreeMap<_, u32> = BTreeMap::new();
        for host in found.groups.iter().flatten().chain(&found.stuck) {
            *seen.entry(host.clone()).or_default() += 1;
        }
        let there = fleet.hosts.iter().filter(|host| host.state != HostState::Down).count();
        prop_assert_eq!(seen.len(), there);
        prop_assert!(seen.values().all(|times| *times == 1));
        // What a group moves fits by capacity: all VMs of the fleet fit on the hosts outside it.
        for group in &found.groups {
            for resource in ["cpu_milli", "memory_mib"] {
                let outside = fleet.hosts.iter().filter(|host| host.state != HostState::Down && !group.contains(&host.name));
                let room: u64 = outside.map(|host| host.capacity[resource]).sum();
                let inside = fleet.vms.iter().filter(|vm| vm.host.as_ref().is_some_and(|host| group.contains(host)));
                let need: u64 = inside.map(|vm| vm.demand[resource]).sum();
                prop_assert!(need <= room);
            }
        }
    }
}
