//! The QEMU driver against real QEMU, emulating, with guests that fit into a boot sector.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod bench;
mod guests;
mod health;
mod lifecycle;
mod network;
mod storage;

use lifeboat_ports::conformance::hypervisor as suite;

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            suite::$name(&bench::Bench::new()).await;
        }
    )*};
}

conformance! {
    starts_once_and_stops,
    generations_are_kept_to,
    a_failed_start_leaves_nothing,
    a_death_is_told_and_a_stop_is_not,
    a_guests_own_shutdown_is_told,
    vms_outlive_the_value_that_started_them,
    starts_at_once_do_not_disturb_each_other,
    a_request_that_the_guest_ignores_ends_in_a_kill,
}
