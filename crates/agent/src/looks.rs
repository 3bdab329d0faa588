//! Looks at VMs, carried out: so many at once, the others wait for their turn.

use std::sync::Arc;

use lifeboat_brain::host::HostInput;
use lifeboat_drivers::check;
use lifeboat_model::{
    Seconds, VmName,
    health::{CheckReport, CheckStatus},
    spec::CheckSpec,
};
use lifeboat_ports::Hypervisor;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::config::CheckSettings;

/// How long a look waits for its turn.
const TURN: std::time::Duration = std::time::Duration::from_secs(60);
/// What a driver may take beyond a look's time limit, to end what it has started.
const CLEAN_UP: std::time::Duration = std::time::Duration::from_secs(5);

/// Who looks.
pub(crate) struct Looker {
    settings: CheckSettings,
    hypervisor: Arc<dyn Hypervisor>,
    turns: Arc<Semaphore>,
    looks: JoinSet<HostInput>,
}

impl Looker {
    pub(crate) fn new(settings: CheckSettings, hypervisor: Arc<dyn Hypervisor>) -> Self {
        let turns = Arc::new(Semaphore::new(settings.at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { settings, hypervisor, turns, looks: JoinSet::new() }
    }

    /// The hypervisor whose VMs are looked at.
    pub(crate) fn hypervisor(&self) -> Arc<dyn Hypervisor> {
        Arc::clone(&self.hypervisor)
    }

    /// Begins a look when it is its turn.
    pub(crate) fn begin(&mut self, sequence: u64, vm: &VmName, look: &CheckSpec, limit: Seconds) {
        let channel = self.hypervisor.guest_agent(vm);
        let check = check::check(look, limit.into(), &self.settings.plugin_directories, channel);
        let turns = Arc::clone(&self.turns);
        let longest = std::time::Duration::from(limit) + CLEAN_UP;
        self.looks.spawn(async move {
            // By then the leader has given it up and asks again.
            let Ok(Ok(_turn)) = timeout(TURN, turns.acquire_owned()).await else {
                let report = CheckReport::new(CheckStatus::Unknown, "too many looks wait for their turn on this host");
                return HostInput::Looked { sequence, report };
            };
            // Within its own task, so that a driver's fault is a look that could not be made.
            let inner = tokio::spawn(async move { timeout(longest, check.look()).await });
            let unknown = |text: &str| CheckReport::new(CheckStatus::Unknown, text);
            let report = match AbortOnDrop(inner).wait().await {
                Ok(Ok(report)) => report,
                Ok(Err(_)) => unknown("the look did not end in time"),
                Err(_) => unknown("the check's driver has a fault; the agent's log says more"),
            };
            HostInput::Looked { sequence, report }
        });
    }

    /// The next look that ends; never, while there is none.
    pub(crate) async fn next(&mut self) -> HostInput {
        match self.looks.join_next().await {
            Some(Ok(input)) => input,
            // Only at the end of the runtime, and with it of this future.
            Some(Err(_)) => HostInput::Tick,
            None => std::future::pending().await,
        }
    }
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn wait(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
