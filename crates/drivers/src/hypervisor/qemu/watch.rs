//! Watching a QEMU process: its end, and what its guest does.
//!
//! Events only wake the watcher; what it then tells is what QEMU says when asked (`query-status`), so that a lost or
//! doubled event changes nothing. A guest that has ended leaves its process paused (`-action shutdown=pause`), so that how
//! it ended is seen even when the agent was not there; the watcher then ends the process.
//!
//! A guest that stands still because a volume gave an I/O error has lost nothing: QEMU keeps what failed and repeats it when it
//! is told to go on. So it is told so every few seconds, for as long as it stands still, and goes on when its array is back.
//! While it fails again nobody is told anything new.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use lifeboat_model::running::VmRunState;
use lifeboat_ports::{VmEvent, VmExit};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    logs,
    slot::{Running, Slot},
};
use crate::qmp::{Events, Notice, Qmp, QmpError};

/// How often a monitor that cannot be reached is tried again.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// How often a guest that stands still for an I/O error is told to go on.
const GO_ON_EVERY: Duration = Duration::from_secs(5);

/// How long an I/O that is repeated may take to fail again.
const FAILS_WITHIN: Duration = Duration::from_millis(500);

/// How often the VM's logs are looked at for their size.
const BOUND_LOGS_EVERY: Duration = Duration::from_secs(30);

/// What a guest does, as QEMU says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestState {
    /// It executes, or stands still and may go on.
    Lives(VmRunState),
    /// QEMU waits for the word to let it begin.
    NotBegun,
    /// It has shut itself down.
    ShutDown,
    /// Its kernel has given up.
    Panicked,
}

/// Asks what the guest does.
pub(super) async fn ask(qmp: &Qmp) -> Result<GuestState, QmpError> {
    let answer = qmp.execute("query-status", json!({})).await?;
    Ok(match answer["status"].as_str() {
        Some("running") => GuestState::Lives(VmRunState::Running),
        Some("io-error") => GuestState::Lives(VmRunState::IoError),
        Some("watchdog") => GuestState::Lives(VmRunState::Watchdog),
        Some("prelaunch") => GuestState::NotBegun,
        Some("shutdown") => GuestState::ShutDown,
        Some("guest-panicked") => GuestState::Panicked,
        _ => GuestState::Lives(VmRunState::Paused),
    })
}

/// Watches a process until it is gone, and tells.
pub(super) async fn watch(
    slot: Arc<Slot>,
    running: Arc<Running>,
    events: mpsc::Sender<VmEvent>,
    cancelled: CancellationToken,
) {
    let exit = tokio::select! {
        () = cancelled.cancelled() => return,
        exit = until_end(&slot, &running, &events) => exit,
    };
    let asked_for = running.is_being_stopped() || running.is_doomed();
    slot.forget(&running);
    if !asked_for {
        let event = VmEvent::Exited { vm: slot.vm.clone(), generation: running.generation, exit };
        // It fails when nobody will ever listen again.
        let _ = events.send(event).await;
    }
}

async fn until_end(slot: &Slot, running: &Running, events: &mpsc::Sender<VmEvent>) -> VmExit {
    tokio::select! {
        biased;
        () = running.process.ended() => died(slot, running).await,
        exit = guest_end(slot, running, events) => {
            running.process.kill();
            running.process.ended().await;
            running.process.reap();
            exit
        }
        never = keep_logs_bounded(slot) => match never {},
    }
}

async fn died(slot: &Slot, running: &Running) -> VmExit {
    let how = running.process.reap().unwrap_or_else(|| "ended".to_owned());
    let said = logs::tail(slot.directory.qemu_log(), running.log_from, 1).await;
    let said = said.first().map(|line| format!("; the last that it said: {line}")).unwrap_or_default();
    VmExit::ProcessDied { detail: format!("QEMU {how}{said}") }
}

/// Follows what the guest does until it has ended.
async fn guest_end(slot: &Slot, running: &Running, events: &mpsc::Sender<VmEvent>) -> VmExit {
    let mut warned = false;
    loop {
        let followed = match running.monitor.qmp().await {
            Ok(qmp) => follow(slot, running, &qmp, events).await,
            Err(error) => Err(error),
        };
        match followed {
            Ok(exit) => return exit,
            Err(error) if !std::mem::replace(&mut warned, true) => {
                tracing::warn!(vm = %slot.vm, %error, "lost the monitor of a VM; trying again");
            }
            Err(_) => {}
        }
        sleep(RECONNECT_AFTER).await;
    }
}

async fn follow(slot: &Slot, running: &Running, qmp: &Qmp, events: &mpsc::Sender<VmEvent>) -> Result<VmExit, QmpError> {
    // Before the question, so that no change falls between the two.
    let mut notices = qmp.events();
    loop {
        let found = ask(qmp).await?;
        match found {
            GuestState::Lives(state) => {
                if running.set_state(state) {
                    let event = VmEvent::StateChanged { vm: slot.vm.clone(), generation: running.generation, state };
                    let _ = events.send(event).await;
                }
            }
            // A QEMU that was told to end says so, too, while it does: then its end is what is to be told.
            GuestState::ShutDown if was_told_to_end(&mut notices) => pending().await,
            GuestState::ShutDown => return Ok(VmExit::GuestShutdown),
            GuestState::Panicked => {
                return Ok(VmExit::ProcessDied { detail: "the guest's kernel panicked".to_owned() });
            }
            // A start that nobody waits for any more: its guest never executed.
            GuestState::NotBegun => {
                return Ok(VmExit::ProcessDied { detail: "its start was never finished".to_owned() });
            }
        }
        let ends = match found {
            GuestState::Lives(VmRunState::IoError) => until_it_goes_on(running, qmp, &mut notices).await?,
            _ => wake(&mut notices).await,
        };
        if ends {
            pending().await
        }
    }
}

/// Tells a guest that stands still for an I/O error to go on, now and then, until it does or something else has happened;
/// true when QEMU itself was told to end.
async fn until_it_goes_on(running: &Running, qmp: &Qmp, notices: &mut Events) -> Result<bool, QmpError> {
    loop {
        tokio::select! {
            ends = wake(notices) => if ends || ask(qmp).await? != GuestState::Lives(VmRunState::IoError) {
                return Ok(ends);
            },
            () = sleep(GO_ON_EVERY) => {
                if running.is_being_stopped() || running.is_doomed() {
                    continue;
                }
                // Refused, it stands still as before.
                let _ = qmp.execute("cont", json!({})).await;
                if timeout(FAILS_WITHIN, stands_still_again(notices)).await.unwrap_or(false) {
                    return Ok(true);
                }
                if ask(qmp).await? != GuestState::Lives(VmRunState::IoError) {
                    return Ok(false);
                }
            }
        }
    }
}

/// Waits until something may have changed; true when it is that QEMU itself was told to end.
async fn wake(notices: &mut Events) -> bool {
    loop {
        match notices.next().await {
            Some(Notice::Event(event)) if !is_of_state(&event.name) => {}
            Some(notice) => return is_end_from_outside(&notice),
            None => return false,
        }
    }
}

/// Waits until a guest that was told to go on has stopped once more, or QEMU was told to end, which is true.
async fn stands_still_again(notices: &mut Events) -> bool {
    loop {
        match notices.next().await {
            Some(Notice::Event(event)) if event.name == "STOP" => return false,
            Some(notice) if is_end_from_outside(&notice) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

fn was_told_to_end(notices: &mut Events) -> bool {
    std::iter::from_fn(|| notices.next_now()).any(|notice| is_end_from_outside(&notice))
}

/// Whether QEMU says that a signal or a `quit` ends it, not its guest. Those two end the process, whatever `-action` says.
fn is_end_from_outside(notice: &Notice) -> bool {
    let Notice::Event(event) = notice else { return false };
    event.name == "SHUTDOWN" && matches!(event.data["reason"].as_str(), Some("host-signal" | "host-qmp-quit"))
}

fn is_of_state(event: &str) -> bool {
    matches!(
        event,
        "STOP" | "RESUME" | "SHUTDOWN" | "GUEST_PANICKED" | "BLOCK_IO_ERROR" | "SUSPEND" | "WAKEUP" | "WATCHDOG"
    )
}

async fn keep_logs_bounded(slot: &Slot) -> Infallible {
    loop {
        for log in [slot.directory.qemu_log(), slot.directory.console_log()] {
            if let Err(error) = logs::bound(log.clone()).await {
                tracing::warn!(vm = %slot.vm, log = %log.display(), %error, "cannot cut a log that has grown too long");
            }
        }
        sleep(BOUND_LOGS_EVERY).await;
    }
}
