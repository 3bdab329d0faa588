//! What every hypervisor must do, shown on a host whose processes can be seen and killed without the hypervisor.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use lifeboat_model::{
    Generation, VmName,
    running::{RunningVm, VmRunState},
};

use crate::{Hypervisor, HypervisorError, Retry, StopHow, VmConfig, VmEvent, VmExit};

/// A host with a hypervisor, seen from behind the hypervisor.
#[async_trait]
pub trait HypervisorBench: Send + Sync {
    /// A new value for the same host, as an agent makes one that begins again.
    async fn open(&self) -> Arc<dyn Hypervisor>;

    /// A VM whose guest runs for ever and does not heed a request to shut down; the same name gives the same VM.
    fn vm(&self, name: &str, generation: Generation) -> VmConfig;

    /// A VM whose guest shuts itself down soon after it began.
    fn short_lived_vm(&self, name: &str, generation: Generation) -> VmConfig;

    /// The VM, changed so that it cannot start for want of something that only a start can miss.
    fn spoilt(&self, config: VmConfig) -> VmConfig;

    /// How many processes really run the VM.
    async fn processes(&self, vm: &VmName) -> usize;

    /// Kills the VM's process from outside.
    async fn kill(&self, vm: &VmName);
}

const FIRST: Generation = Generation(1);
const SECOND: Generation = Generation(2);

/// Drives a hypervisor through all that the contract of [`Hypervisor`] promises. Leaves no VM running.
///
/// # Panics
/// When a promise is broken; the message says which.
pub async fn conforms(bench: &dyn HypervisorBench) {
    starts_once_and_stops(bench).await;
    generations_are_kept_to(bench).await;
    a_failed_start_leaves_nothing(bench).await;
    a_death_is_told_and_a_stop_is_not(bench).await;
    a_guests_own_shutdown_is_told(bench).await;
    vms_outlive_the_value_that_started_them(bench).await;
    starts_at_once_do_not_disturb_each_other(bench).await;
    a_request_that_the_guest_ignores_ends_in_a_kill(bench).await;
}

async fn start(hypervisor: &dyn Hypervisor, config: &VmConfig) {
    hypervisor.configure(config).await.expect("configure a VM");
    hypervisor.start(&config.vm, config.generation).await.expect("start a VM");
}

async fn kill(hypervisor: &dyn Hypervisor, vm: &VmName) {
    hypervisor.stop(vm, StopHow::Kill).await.expect("kill a VM");
}

async fn list(hypervisor: &dyn Hypervisor) -> Vec<RunningVm> {
    hypervisor.list().await.expect("list VMs")
}

fn running(config: &VmConfig) -> RunningVm {
    RunningVm { vm: config.vm.clone(), generation: config.generation, state: VmRunState::Running }
}

/// The next event that is not a change of state.
async fn next_exit(hypervisor: &dyn Hypervisor) -> (VmName, Generation, VmExit) {
    loop {
        if let VmEvent::Exited { vm, generation, exit } = hypervisor.next_event().await {
            return (vm, generation, exit);
        }
    }
}

/// A VM runs from the moment that its start has returned until its stop has; repeating either changes nothing.
///
/// # Panics
/// When it does not.
pub async fn starts_once_and_stops(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let config = bench.vm("once", FIRST);
    kill(&*hypervisor, &config.vm).await;
    start(&*hypervisor, &config).await;
    assert_eq!(list(&*hypervisor).await, [running(&config)], "a started VM is listed as running");
    hypervisor.start(&config.vm, FIRST).await.expect("starting a VM that runs is a success");
    hypervisor.configure(&config).await.expect("configuring a VM that runs with this generation is a success");
    assert_eq!(bench.processes(&config.vm).await, 1, "a second start starts nothing");
    kill(&*hypervisor, &config.vm).await;
    assert_eq!(bench.processes(&config.vm).await, 0, "a stop returns when the process is gone");
    assert_eq!(list(&*hypervisor).await, [], "a stopped VM is not listed");
    hypervisor.stop(&config.vm, StopHow::Graceful).await.expect("stopping what does not run is a success");
    hypervisor.start(&config.vm, FIRST).await.expect("a VM that is still configured starts again");
    kill(&*hypervisor, &config.vm).await;
}

/// Only what was configured starts, and what runs is never replaced.
///
/// # Panics
/// When a generation is mixed up.
pub async fn generations_are_kept_to(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let (first, second) = (bench.vm("generations", FIRST), bench.vm("generations", SECOND));
    let vm = &first.vm;
    let not_configured = |outcome| matches!(outcome, Err(HypervisorError::NotConfigured { generation: SECOND, .. }));
    let runs_first = |outcome| matches!(outcome, Err(HypervisorError::AlreadyRunning { running: FIRST, .. }));
    assert!(not_configured(hypervisor.start(vm, SECOND).await), "an unknown VM does not start");
    hypervisor.configure(&first).await.expect("configure");
    assert!(not_configured(hypervisor.start(vm, SECOND).await), "another generation does not start");
    hypervisor.start(vm, FIRST).await.expect("start");
    assert!(runs_first(hypervisor.configure(&second).await), "a running VM is not configured anew");
    assert!(runs_first(hypervisor.start(vm, SECOND).await), "nor started with another generation");
    assert_eq!(list(&*hypervisor).await, [running(&first)], "and goes on as it was");
    kill(&*hypervisor, vm).await;
    hypervisor.configure(&second).await.expect("configure a stopped VM with a new generation");
    let outcome = hypervisor.start(vm, FIRST).await;
    assert!(matches!(outcome, Err(HypervisorError::NotConfigured { .. })), "a replaced generation does not start");
    hypervisor.start(vm, SECOND).await.expect("start the new generation");
    assert_eq!(list(&*hypervisor).await, [running(&second)], "it runs with its new generation");
    kill(&*hypervisor, vm).await;
}

/// After a failed start there is no process, and a repaired VM starts.
///
/// # Panics
/// When something is left, or the error says nothing.
pub async fn a_failed_start_leaves_nothing(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let sound = bench.vm("spoilt", SECOND);
    let spoilt = bench.spoilt(bench.vm("spoilt", FIRST));
    hypervisor.configure(&spoilt).await.expect("configure what only a start can find wrong");
    match hypervisor.start(&spoilt.vm, FIRST).await {
        Err(HypervisorError::Failed {
            operation: "start",
            vm,
            problem,
            retry: Retry::MayHelp | Retry::IsFutile,
            ..
        }) => {
            assert!(vm == spoilt.vm && !problem.is_empty(), "the error says what failed");
        }
        other => panic!("a start that cannot succeed failed in another way: {other:?}"),
    }
    assert_eq!(bench.processes(&spoilt.vm).await, 0, "a failed start leaves no process");
    assert_eq!(list(&*hypervisor).await, [], "and nothing is listed");
    start(&*hypervisor, &sound).await;
    kill(&*hypervisor, &sound.vm).await;
}

/// A process that dies alone is told of, once; one that was stopped is not.
///
/// # Panics
/// When an event is missing or too many.
pub async fn a_death_is_told_and_a_stop_is_not(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let (stopped, dying) = (bench.vm("stopped", FIRST), bench.vm("dying", SECOND));
    start(&*hypervisor, &stopped).await;
    start(&*hypervisor, &dying).await;
    kill(&*hypervisor, &stopped.vm).await;
    bench.kill(&dying.vm).await;
    let (vm, generation, exit) = next_exit(&*hypervisor).await;
    assert_eq!((&vm, generation), (&dying.vm, SECOND), "the VM that died is told of, not the one that was stopped");
    assert!(matches!(exit, VmExit::ProcessDied { .. }), "a killed process has died, not shut down: {exit:?}");
    assert_eq!(list(&*hypervisor).await, [], "a VM that is told to have ended is not listed");
    hypervisor.start(&dying.vm, SECOND).await.expect("a VM that died starts again in place");
    kill(&*hypervisor, &dying.vm).await;
}

/// A guest's own shutdown is told of as such.
///
/// # Panics
/// When it is not.
pub async fn a_guests_own_shutdown_is_told(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let config = bench.short_lived_vm("short", FIRST);
    start(&*hypervisor, &config).await;
    assert_eq!(next_exit(&*hypervisor).await, (config.vm.clone(), FIRST, VmExit::GuestShutdown), "a shutdown is told");
    assert_eq!(bench.processes(&config.vm).await, 0, "and its process is gone");
}

/// A new value finds what an earlier one started, keeps it from being started again, and tells of its end.
///
/// # Panics
/// When it does not.
pub async fn vms_outlive_the_value_that_started_them(bench: &dyn HypervisorBench) {
    let first = bench.open().await;
    let (one, other) = (bench.vm("outlives-1", FIRST), bench.vm("outlives-2", SECOND));
    start(&*first, &one).await;
    start(&*first, &other).await;
    drop(first);
    let second = bench.open().await;
    assert_eq!(list(&*second).await, [running(&one), running(&other)], "what ran before is found, in order of name");
    second.start(&one.vm, FIRST).await.expect("starting what was found is a success");
    assert_eq!(bench.processes(&one.vm).await, 1, "and starts nothing");
    bench.kill(&one.vm).await;
    let (vm, generation, exit) = next_exit(&*second).await;
    assert_eq!((vm, generation), (one.vm.clone(), FIRST), "the end of what was found is told");
    assert!(matches!(exit, VmExit::ProcessDied { .. }), "as what it was: {exit:?}");
    drop(second);
    let third = bench.open().await;
    kill(&*third, &other.vm).await;
    assert_eq!(bench.processes(&other.vm).await, 0, "what was never listed can be stopped");
    assert_eq!(list(&*third).await, [], "and is gone");
}

/// Calls for one VM at once start it once; calls for several do not wait for each other's outcome.
///
/// # Panics
/// When a VM runs twice or not at all.
pub async fn starts_at_once_do_not_disturb_each_other(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let (one, other) = (bench.vm("at-once-1", FIRST), bench.vm("at-once-2", FIRST));
    for config in [&one, &other] {
        hypervisor.configure(config).await.expect("configure");
    }
    let starts = [&one, &other, &one].map(|config| hypervisor.start(&config.vm, FIRST));
    for outcome in join_all(starts).await {
        outcome.expect("each start is a success");
    }
    assert_eq!((bench.processes(&one.vm).await, bench.processes(&other.vm).await), (1, 1), "each runs once");
    assert_eq!(list(&*hypervisor).await, [running(&one), running(&other)], "both run");
    kill(&*hypervisor, &one.vm).await;
    kill(&*hypervisor, &other.vm).await;
}

/// A graceful stop of a guest that does not listen ends all the same, by force.
///
/// # Panics
/// When the process stays.
pub async fn a_request_that_the_guest_ignores_ends_in_a_kill(bench: &dyn HypervisorBench) {
    let hypervisor = bench.open().await;
    let config = bench.vm("stubborn", FIRST);
    start(&*hypervisor, &config).await;
    hypervisor.stop(&config.vm, StopHow::Graceful).await.expect("stop a guest that does not listen");
    assert_eq!(bench.processes(&config.vm).await, 0, "it is gone when the stop returns");
}
