//! Looks at VMs: at one that starts until it answers or its time is over, and once for a health check.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use lifeboat_brain::fleet::Input;
use lifeboat_drivers::check;
use lifeboat_model::{
    Generation, Seconds, VmName,
    health::{CheckReport, CheckStatus},
    spec::CheckSpec,
};
use lifeboat_ports::Check;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{config::HealthConfig, handle::Handle};

/// The pause between two looks at a VM that starts: short, since every look that is too early costs its users that much.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that one such look takes, when it is only a connection; others have more to do.
const CONNECT: Duration = Duration::from_millis(500);
const OTHER: Duration = Duration::from_secs(10);
/// How long a look waits for its turn.
const TURN: Duration = Duration::from_secs(60);
/// What a driver may take beyond a look's time limit, to end what it has started.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// Who looks.
pub(crate) struct Checks {
    plugin_directories: Arc<[PathBuf]>,
    turns: Arc<Semaphore>,
}

impl Checks {
    pub(crate) fn new(config: &HealthConfig) -> Self {
        let turns = Arc::new(Semaphore::new(config.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { plugin_directories: config.plugin_directories.clone().into(), turns }
    }

    /// What looks once, within a limit.
    pub(crate) fn check(&self, spec: &CheckSpec, limit: Duration) -> Box<dyn Check> {
        check::check(spec, limit, &self.plugin_directories, None)
    }

    /// Looks at a VM that starts.
    pub(crate) fn until_up(
        &self,
        handle: Handle,
        vm: VmName,
        generation: Generation,
        spec: &CheckSpec,
        until: Instant,
    ) {
        let limit = if matches!(spec, CheckSpec::Tcp { .. }) { CONNECT } else { OTHER };
        let check = self.check(spec, limit);
        tokio::spawn(async move {
            let result = loop {
                let report = check.look().await;
                if report.answers() {
                    break Ok(());
                }
                if Instant::now() >= until {
                    break Err(report.output);
                }
                sleep(PAUSE).await;
            };
            handle.input(Input::CheckEnded { vm, generation, result }).await;
        });
    }

    /// Looks once, when it is its turn.
    pub(crate) fn once(&self, handle: Handle, sequence: u64, spec: &CheckSpec, limit: Seconds) {
        let check = self.check(spec, limit.into());
        let turns = Arc::clone(&self.turns);
        let longest = Duration::from(limit) + CLEAN_UP;
        tokio::spawn(async move {
            // By then the brain has given it up and asks again: who waits is bounded by that.
            let Ok(Ok(_turn)) = timeout(TURN, turns.acquire_owned()).await else { return };
            let report = timeout(longest, check.look()).await;
            let late = |_| CheckReport::new(CheckStatus::Unknown, "the look did not end in time");
            handle.input(Input::Looked { sequence, report: report.unwrap_or_else(late) }).await;
        });
    }
}
