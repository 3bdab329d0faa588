//! The swarm keeps all promises, and is the same however it is run.

use std::{collections::BTreeMap, sync::Mutex};

use lifeboat_sim::swarm::{Case, Outcome, Profile, Tally, run_many, shrink, world_of};

fn cases(profile: Profile, seeds: std::ops::Range<u64>, minutes: u64) -> Vec<Case> {
    seeds.map(|seed| Case { minutes, ..Case::new(seed, profile) }).collect()
}

#[track_caller]
fn hold(profile: Profile, seeds: std::ops::Range<u64>, minutes: u64) {
    let failed = run_many(&cases(profile, seeds, minutes), 1, false, |_| {});
    let told = |outcome: &Outcome| {
        outcome.failure.as_ref().map(|failure| format!("{failure}\n  {}", outcome.case.command())).unwrap_or_default()
    };
    assert!(failed.is_empty(), "{}", failed.iter().map(told).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_hundred_calm_seeds_keep_all_promises() {
    hold(Profile::Calm, 1000..1100, 15);
}

#[test]
fn a_hundred_stormy_seeds_keep_all_promises() {
    hold(Profile::Stormy, 2000..2100, 8);
}

#[test]
fn a_hundred_hell_seeds_keep_all_promises() {
    hold(Profile::Hell, 3000..3100, 4);
}

#[test]
fn the_same_seed_gives_the_same_trace_at_any_number_of_threads() {
    let mut all: Vec<Case> = Vec::new();
    for profile in Profile::ALL {
        all.extend(cases(profile, 0..4, 5));
    }
    let traces = |threads: usize| {
        let traces = Mutex::new(BTreeMap::new());
        let tally = Mutex::new(Tally::default());
        run_many(&all, threads, true, |outcome| {
            let key = (outcome.case.profile, outcome.case.seed);
            traces.lock().unwrap().insert(key, outcome.trace.clone());
            tally.lock().unwrap().add(outcome);
        });
        (traces.into_inner().unwrap(), tally.into_inner().unwrap())
    };
    let (alone, tally) = traces(1);
    assert_eq!(alone.len(), all.len());
    assert!(alone.values().all(|trace| trace.lines().count() > 10), "each tells of something");
    assert!(tally.mishaps > 0 && tally.events > 0);
    for threads in [2, 5] {
        assert!(traces(threads) == (alone.clone(), tally.clone()), "{threads} threads give something else");
    }
}

#[test]
fn mishaps_that_are_left_out_change_no_other() {
    for profile in Profile::ALL {
        let case = Case { minutes: 30, ..Case::new(7, profile) };
        let all = world_of(&case).1;
        let some = world_of(&Case { only: Some(vec![0]), ..case.clone() }).1;
        assert_eq!(all, some);
        assert_eq!(shrink(&case, |_| {}), case, "a seed that holds is not made smaller");
    }
}

#[test]
fn every_kind_of_mishap_is_drawn() {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..60 {
        let case = Case { minutes: 60, ..Case::new(seed, Profile::Hell) };
        for mishap in world_of(&case).1 {
            *kinds.entry(mishap.kind).or_default() += 1;
        }
    }
    assert_eq!(kinds.len(), 45, "{kinds:#?}");
}
