//! How a guest says that it is not well: its watchdog, its panic device, its channel to a guest agent.

use std::time::Duration;

use lifeboat_drivers::check::GuestAgentCheck;
use lifeboat_model::{health::CheckStatus, running::VmRunState, spec::HealthAction};
use lifeboat_ports::{Check as _, Hypervisor as _, StopHow, VmEvent, VmExit};

use crate::{bench::Bench, guests, lifecycle::start};

#[tokio::test]
async fn a_guest_that_does_not_feed_its_watchdog_is_told_as_hung_and_stays_for_its_leader_to_judge() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let mut config = bench.booting("hung", 3, guests::STARVES_ITS_WATCHDOG);
    config.machine.watchdog = Some(HealthAction::Restart);
    start(&qemu, &config).await;
    let event = qemu.next_event().await;
    let (vm, generation) = (config.vm.clone(), config.generation);
    assert_eq!(event, VmEvent::StateChanged { vm, generation, state: VmRunState::Watchdog });
    assert_eq!(qemu.list().await.unwrap()[0].state, VmRunState::Watchdog);
    drop(qemu);
    let qemu = bench.qemu().await;
    assert_eq!(qemu.list().await.unwrap()[0].state, VmRunState::Watchdog, "the next agent finds it so");
    qemu.stop(&config.vm, StopHow::Kill).await.unwrap();
    assert_eq!(bench.pids(None).len(), 0);
}

#[tokio::test]
async fn a_guest_that_panics_is_ended_with_the_reason() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.booting("panicked", 2, guests::PANICS);
    start(&qemu, &config).await;
    let detail = "the guest's kernel panicked".to_owned();
    let exited = VmEvent::Exited { vm: config.vm, generation: config.generation, exit: VmExit::ProcessDied { detail } };
    assert_eq!(qemu.next_event().await, exited);
    assert_eq!(bench.pids(None).len(), 0);
}

#[tokio::test]
async fn a_channel_to_a_guest_agent_is_there_where_it_is_asked_for_and_a_guest_without_one_is_silent_on_it() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let (mut with, without) = (bench.idle("with"), bench.idle("without"));
    with.machine.guest_agent = true;
    start(&qemu, &with).await;
    start(&qemu, &without).await;
    let mut seen = Vec::new();
    for config in [&with, &without, &with] {
        let socket = qemu.guest_agent(&config.vm).expect("QEMU has such channels");
        let check = GuestAgentCheck { socket, sync: 7, limit: Duration::from_millis(300) };
        let report = check.look().await;
        seen.push((report.status, report.output));
    }
    let silent = (CheckStatus::Critical, "the guest agent did not answer within 300ms".to_owned());
    assert_eq!((&seen[0], &seen[2]), (&silent, &silent), "the channel can be used again");
    assert_eq!(seen[1].0, CheckStatus::Unknown, "{seen:?}");
    assert!(seen[1].1.contains("machine.guest_agent"), "{seen:?}");
}
