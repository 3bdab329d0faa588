//! What is QEMU's own about starting, finding again and ending.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, task::Poll};

use lifeboat_drivers::{
    hypervisor::qemu::{Accelerator, Qemu, QemuSettings},
    qmp::Qmp,
};
use lifeboat_model::{Generation, Seconds, running::VmRunState};
use lifeboat_ports::{Hypervisor as _, HypervisorError, StopHow, VmConfig, VmEvent, VmExit};
use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::{bench::Bench, guests};

pub async fn start(qemu: &Qemu, config: &VmConfig) {
    qemu.configure(config).await.unwrap();
    qemu.start(&config.vm, config.generation).await.unwrap();
}

fn text(error: &HypervisorError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Waits for a guest's words. A file has no event that says that it has grown.
async fn until_console_says(bench: &Bench, vm: &str, words: &str) {
    let console = bench.state_file(vm, "console.log");
    while !fs::read_to_string(&console).unwrap_or_default().contains(words) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_guest_that_heeds_the_request_shuts_down_within_the_grace() {
    let mut bench = Bench::new();
    // So long that only the guest can be what ends it.
    bench.settings.shutdown_grace_s = Seconds::new(3600);
    let qemu = bench.qemu().await;
    let config = bench.booting("polite", 1, guests::HEEDS_THE_BUTTON);
    start(&qemu, &config).await;
    until_console_says(&bench, "polite", "!").await;
    qemu.stop(&config.vm, StopHow::Graceful).await.unwrap();
    assert_eq!(bench.pids(Some("polite")).len(), 0);
}

#[tokio::test]
async fn a_kill_overtakes_a_graceful_stop_that_hangs() {
    let mut bench = Bench::new();
    bench.settings.shutdown_grace_s = Seconds::new(3600);
    let qemu = bench.qemu().await;
    let config = bench.idle("stubborn");
    start(&qemu, &config).await;
    let graceful = qemu.stop(&config.vm, StopHow::Graceful);
    let kill = async {
        tokio::task::yield_now().await;
        qemu.stop(&config.vm, StopHow::Kill).await
    };
    let (graceful, kill) = tokio::join!(graceful, kill);
    assert!(graceful.is_ok() && kill.is_ok());
    assert_eq!(bench.pids(Some("stubborn")).len(), 0);
}

#[tokio::test]
async fn a_kill_reaches_a_start_that_waits_for_its_volume() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let mut config = bench.idle("waiting");
    // It takes the connection and never says a word: QEMU waits for the NBD greeting.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (host, export) = ("127.0.0.1".to_owned(), "d0".to_owned());
    config.attachments[0].path = lifeboat_model::attach::VolumePath::Nbd { host, port, export, tls_psk: false };
    qemu.configure(&config).await.unwrap();
    let killed = async {
        let _connection = silent.accept().await.unwrap();
        let listed = qemu.list().await.unwrap();
        assert_eq!((listed.len(), listed[0].state), (1, VmRunState::Paused), "a VM that starts is there, not running");
        qemu.stop(&config.vm, StopHow::Kill).await.unwrap();
    };
    let (started, ()) = tokio::join!(qemu.start(&config.vm, config.generation), killed);
    let error = text(&started.unwrap_err());
    assert!(error.contains("stopped while it started"), "{error}");
    assert_eq!(bench.pids(None).len(), 0);
}

#[tokio::test]
async fn a_start_that_its_caller_gives_up_leaves_nothing_behind() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let mut config = bench.idle("given-up");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let (host, export) = ("127.0.0.1".to_owned(), "d0".to_owned());
    config.attachments[0].path = lifeboat_model::attach::VolumePath::Nbd { host, port, export, tls_psk: false };
    qemu.configure(&config).await.unwrap();
    let connection = tokio::select! {
        started = qemu.start(&config.vm, config.generation) => panic!("no guest can run: {started:?}"),
        connection = silent.accept() => connection.unwrap(),
    };
    // The start was dropped; the next operation finds the process gone, or sees to it.
    drop(connection);
    let sound = bench.booting("given-up", 2, guests::IDLE);
    start(&qemu, &sound).await;
    assert_eq!(bench.pids(None).len(), 1);
}

#[tokio::test]
async fn a_vm_that_was_paused_while_the_agent_was_away_is_found_paused() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.idle("paused");
    start(&qemu, &config).await;
    drop(qemu);
    // One client at a time: the agent is away while an operator is at the monitor.
    let monitor = Qmp::connect(&bench.run_file("paused", "qmp"), std::time::Duration::from_secs(30)).await.unwrap();
    monitor.execute("stop", json!({})).await.unwrap();
    drop(monitor);
    let qemu = bench.qemu().await;
    assert_eq!(qemu.list().await.unwrap()[0].state, VmRunState::Paused, "what is found is found as it is");
}

#[tokio::test]
async fn a_guest_that_shut_down_while_the_agent_was_away_is_told() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.booting("left", 7, guests::POWER_OFF);
    start(&qemu, &config).await;
    drop(qemu);
    let monitor = Qmp::connect(&bench.run_file("left", "qmp"), std::time::Duration::from_secs(30)).await.unwrap();
    let mut events = monitor.events();
    while monitor.execute("query-status", json!({})).await.unwrap()["status"] != "shutdown" {
        events.next().await;
    }
    drop(monitor);
    let qemu = bench.qemu().await;
    qemu.list().await.unwrap();
    let exited = VmEvent::Exited { vm: config.vm, generation: Generation(7), exit: VmExit::GuestShutdown };
    assert_eq!(qemu.next_event().await, exited);
    assert_eq!(bench.pids(None).len(), 0);
}

#[tokio::test]
async fn a_start_that_an_agent_did_not_live_to_finish_is_cleared_away() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.idle("half");
    qemu.configure(&config).await.unwrap();
    let process = bench.run_file("half", "process.json");
    let mut started = Box::pin(qemu.start(&config.vm, config.generation));
    std::future::poll_fn(|context| match process.exists() {
        true => Poll::Ready(()),
        false => started.as_mut().poll(context).map(|early| panic!("started before its process was known: {early:?}")),
    })
    .await;
    // As a kill of the agent would have it: nothing of it runs on, not even what cleans up.
    std::mem::forget(started);
    std::mem::forget(qemu);
    bench.hang_up("half");
    assert_eq!(bench.pids(Some("half")).len(), 1);
    let qemu = bench.qemu().await;
    assert_eq!(qemu.list().await.unwrap(), [], "its guest never executed, so it does not run");
    assert_eq!(bench.pids(None).len(), 0);
    qemu.start(&config.vm, config.generation).await.unwrap();
}

#[tokio::test]
async fn a_death_says_how_it_came() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    for (signal, words) in [(Signal::KILL, "killed by signal 9"), (Signal::TERM, "terminating on signal 15")] {
        let config = bench.idle("dying");
        start(&qemu, &config).await;
        kill_process(bench.pids(Some("dying"))[0], signal).unwrap();
        match qemu.next_event().await {
            VmEvent::Exited { exit: VmExit::ProcessDied { detail }, .. } => assert!(detail.contains(words), "{detail}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_process_whose_record_was_lost_is_found_by_its_lock() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.booting("unrecorded", 3, guests::IDLE);
    start(&qemu, &config).await;
    drop(qemu);
    for record in [None, Some(r#"{"pid":1,"started_ticks":1}"#)] {
        match record {
            None => fs::remove_file(bench.run_file("unrecorded", "process.json")).unwrap(),
            Some(stale) => fs::write(bench.run_file("unrecorded", "process.json"), stale).unwrap(),
        }
        let qemu = bench.qemu().await;
        let listed = qemu.list().await.unwrap();
        assert_eq!((listed.len(), listed[0].generation), (1, Generation(3)));
    }
    let qemu = bench.qemu().await;
    qemu.stop(&config.vm, StopHow::Kill).await.unwrap();
    assert_eq!(bench.pids(None).len(), 0);
}

#[tokio::test]
async fn what_a_power_cycle_leaves_is_not_taken_for_a_running_vm() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.idle("stale");
    start(&qemu, &config).await;
    drop(qemu);
    bench.kill_now("stale");
    // A process of this number lives: ours. Only the start time tells that it is another.
    let stale = json!({ "pid": std::process::id(), "started_ticks": 1 }).to_string();
    fs::write(bench.run_file("stale", "process.json"), stale).unwrap();
    let qemu = bench.qemu().await;
    assert_eq!(qemu.list().await.unwrap(), []);
    start(&qemu, &config).await;
}

#[tokio::test]
async fn a_vm_keeps_out_of_the_agents_group_and_its_files_are_private() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let name = "n".repeat(128);
    let config = bench.booting(&name, 1, guests::IDLE);
    start(&qemu, &config).await;
    let pid = bench.pids(Some(&name))[0];
    assert_eq!(rustix::process::getpgid(Some(pid)).unwrap(), pid);
    for file in
        [bench.run_file(&name, "launch.json"), bench.state_file(&name, "qemu.log"), bench.run_file(&name, "lock")]
    {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
    let kept = fs::read_to_string(bench.run_file(&name, "launch.json")).unwrap();
    assert!(kept.contains("aux-ram-share=on") && kept.contains("memory-backend-memfd"));
    qemu.stop(&config.vm, StopHow::Kill).await.unwrap();
}

#[tokio::test]
async fn the_serial_console_is_kept_in_a_file() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.booting("talks", 1, guests::SAYS_HELLO);
    start(&qemu, &config).await;
    until_console_says(&bench, "talks", "hello\n").await;
}

#[tokio::test]
async fn a_guest_boots_with_what_the_probe_chose() {
    let mut bench = Bench::new();
    bench.settings.accelerator = Accelerator::Auto;
    let qemu = bench.qemu().await;
    let config = bench.booting("auto", 1, guests::POWER_OFF);
    start(&qemu, &config).await;
    let exited = VmEvent::Exited { vm: config.vm, generation: Generation(1), exit: VmExit::GuestShutdown };
    assert_eq!(qemu.next_event().await, exited);
    assert!(bench.settings.run_dir.join("accelerator.json").exists());
}

#[tokio::test]
async fn mistakes_are_told_with_the_way_out() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let mut config = bench.idle("wrong");
    fs::remove_file(bench.disk("wrong")).unwrap();
    let error = text(&qemu.configure(&config).await.unwrap_err());
    assert!(
        error.contains("cannot configure VM wrong") && error.contains("wrong.raw") && error.contains("No such file"),
        "{error}"
    );

    config = bench.idle("wrong");
    qemu.configure(&config).await.unwrap();
    fs::remove_file(bench.disk("wrong")).unwrap();
    let error = text(&qemu.start(&config.vm, config.generation).await.unwrap_err());
    assert!(error.contains("wrong.raw") && error.contains("mapped to this host"), "{error}");

    let mut huge = bench.idle("huge");
    huge.memory_mib = 32 << 20;
    let error = text(&qemu.configure(&huge).await.unwrap_err());
    assert!(error.contains("are more than the"), "{error}");

    let (first, mut second) = (bench.idle("first"), bench.idle("second"));
    second.attachments.clone_from(&first.attachments);
    start(&qemu, &first).await;
    qemu.configure(&second).await.unwrap();
    let error = text(&qemu.start(&second.vm, second.generation).await.unwrap_err());
    assert!(error.contains("another process has this volume's file open"), "{error}");
}

#[tokio::test]
async fn an_unusable_host_is_told_at_once() {
    let bench = Bench::new();
    let wrong = |change: fn(&mut QemuSettings)| {
        let mut settings = bench.settings.clone();
        change(&mut settings);
        settings
    };
    let old = bench.root.path().join("old-qemu");
    fs::write(&old, "#!/bin/sh\necho QEMU emulator version 7.2.15\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let mut too_old = bench.settings.clone();
    too_old.binary = old;
    for (settings, words) in [
        (wrong(|settings| settings.binary = PathBuf::from("/nowhere/qemu")), "install QEMU 10"),
        (wrong(|settings| settings.binary = PathBuf::from("bin/qemu")), "`binary`"),
        (wrong(|settings| settings.run_dir = PathBuf::from("run")), "`run_dir`"),
        (wrong(|settings| settings.state_dir = PathBuf::from("/proc/lifeboat")), "/proc/lifeboat"),
        (wrong(|settings| settings.binary = PathBuf::from("true")), "does not say its version"),
        (too_old, "version 7.2"),
    ] {
        let error = text(&Qemu::open(settings).await.err().expect(words));
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_record_never_hides_a_vm() {
    let bench = Bench::new();
    let qemu = bench.qemu().await;
    let config = bench.idle("damaged");
    start(&qemu, &config).await;
    drop(qemu);
    fs::write(bench.run_file("damaged", "process.json"), "{").unwrap();
    let qemu = bench.qemu().await;
    assert_eq!(qemu.list().await.unwrap()[0].vm, config.vm, "the process is found without it");
    drop(qemu);
    fs::write(bench.run_file("damaged", "launch.json"), "{").unwrap();
    let error = text(&bench.qemu().await.list().await.unwrap_err());
    assert!(error.contains("launch.json is damaged"), "no list is better than one that leaves it out: {error}");
}
