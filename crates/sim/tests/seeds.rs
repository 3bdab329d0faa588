//! Seeds that once broke a promise, each with what it found. `docs/bugs-found.md` tells the stories.

use lifeboat_sim::swarm::{Case, Profile, run};

fn holds(seed: u64, profile: Profile, minutes: u64, only: &[usize]) {
    let only = (!only.is_empty()).then(|| only.to_vec());
    let case = Case { minutes, only, ..Case::new(seed, profile) };
    let outcome = run(&case, true);
    let told: Vec<String> =
        outcome.timeline.iter().map(|line| format!("{:9.3} {}", line.at.as_f64(), line.text)).collect();
    assert_eq!(outcome.failure, None, "{}\n{}", case.command(), told.join("\n"));
}

#[test]
fn vms_whose_host_is_declared_failed_wait_for_its_fence_even_if_they_ended_before() {
    holds(10, Profile::Stormy, 10, &[2, 3, 4]);
    holds(29, Profile::Hell, 8, &[1, 9, 26]);
}

#[test]
fn a_vm_that_is_planned_elsewhere_while_it_is_prepared_is_prepared_anew() {
    holds(20, Profile::Stormy, 20, &[1, 4, 6, 7, 9, 11]);
    holds(12, Profile::Hell, 10, &[32, 33, 34]);
}

#[test]
fn a_hello_that_the_network_repeats_is_taken_once() {
    holds(134, Profile::Hell, 10, &[0, 3, 6, 7, 8, 9, 14, 15]);
}

#[test]
fn a_start_that_the_network_repeats_is_done_once() {
    holds(181, Profile::Hell, 10, &[0, 1, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 17, 18, 20, 21, 22, 23, 24, 25, 27, 28]);
}

#[test]
fn a_vm_that_was_given_up_comes_back_when_an_operator_starts_it() {
    holds(183, Profile::Stormy, 20, &[]);
    holds(122, Profile::Hell, 10, &[4, 10, 12, 17, 28, 32, 33, 35]);
}

#[test]
fn a_vm_that_fits_only_where_it_failed_is_tried_there_again() {
    holds(171, Profile::Hell, 10, &[5]);
}

#[test]
fn a_vm_that_waits_for_hosts_is_planned_when_they_are_back() {
    holds(175, Profile::Hell, 10, &[0, 5, 6, 8, 10, 19, 24, 36, 37]);
}

#[test]
fn what_a_controller_had_stored_when_it_died_is_in_the_trace() {
    holds(3011, Profile::Hell, 4, &[21]);
    holds(244, Profile::Stormy, 30, &[]);
}

#[test]
fn volumes_that_an_array_forgot_are_mapped_again_before_the_next_start() {
    holds(1010, Profile::Calm, 15, &[]);
    holds(3003, Profile::Hell, 4, &[]);
}

#[test]
fn a_vm_that_did_not_start_elsewhere_still_waits_for_the_fence_of_the_host_that_it_ran_on() {
    holds(33, Profile::Hell, 10, &[2, 3, 4, 7, 39, 40, 41, 42]);
    holds(111, Profile::Hell, 10, &[1, 3, 12, 13, 15, 16, 17, 30, 31, 36, 37, 38, 39, 41, 45, 48]);
}

#[test]
fn a_vm_that_is_being_prepared_elsewhere_when_its_last_host_fails_is_not_started_before_the_fence() {
    holds(74, Profile::Hell, 10, &[14, 18, 43, 44]);
    holds(145, Profile::Hell, 10, &[2, 3, 6, 26, 27, 35, 44, 45, 48, 53, 54, 56]);
}

#[test]
fn a_generation_that_has_ended_on_a_host_is_not_begun_there_again_by_another_leaders_start() {
    holds(529, Profile::Hell, 10, &[1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 16, 17, 18, 19, 20, 22, 24, 40, 41, 42, 44, 46]);
    holds(49, Profile::Hell, 10, &[4, 6, 7, 45, 46, 47, 48]);
    holds(191, Profile::Hell, 10, &[0, 2, 3, 6, 42, 43, 44]);
}

#[test]
fn a_start_that_is_undone_before_its_process_begins_takes_no_slot() {
    holds(214, Profile::Hell, 10, &[]);
}

#[test]
fn an_order_that_has_no_answer_yet_may_have_undone_one_that_was_acknowledged() {
    holds(365, Profile::Hell, 10, &[0, 1, 2, 4, 6]);
}

#[test]
fn an_order_to_start_is_not_forgotten_for_the_news_of_an_earlier_shutdown() {
    holds(1041, Profile::Hell, 6, &[]);
}

#[test]
fn vms_that_are_started_all_at_once_do_not_fill_the_queues_of_their_agents() {
    holds(544, Profile::Hell, 10, &[]);
}

#[test]
fn a_few_seeds_of_each_profile_keep_all_promises() {
    for seed in 0..8 {
        holds(seed, Profile::Calm, 20, &[]);
        holds(seed, Profile::Stormy, 10, &[]);
        holds(seed, Profile::Hell, 5, &[]);
    }
}
