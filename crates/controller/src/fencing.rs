//! Cuts a host's power by one device and reads it back until it is off, the device's time is over, or it is called off.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lifeboat_brain::fleet::Input;
use lifeboat_model::{HostName, spec::FenceSpec};
use lifeboat_ports::{FenceDevice, PowerState, Retry};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{handle::Handle, run::chain};

/// The first pause between two looks at the power; it doubles up to [`LONGEST_PAUSE`]. Devices have no way to tell unasked.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long what was sent to a device may still reach it after its connection was dropped: as long as TCP goes on sending.
/// See `tune_tcp`.
const STILL_ACTS: Duration = Duration::from_secs(20);

/// The attempts that are under way.
#[derive(Clone, Default)]
pub(crate) struct Attempts {
    open: Arc<Mutex<BTreeMap<(HostName, u64), CancellationToken>>>,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(HostName, u64), CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one.
    pub(crate) fn begin(&self, handle: Handle, host: HostName, attempt: u64, spec: &FenceSpec) {
        self.attempt(handle, host, attempt, lifeboat_drivers::fence::device(spec), spec.timeout().into());
    }

    fn attempt(&self, handle: Handle, host: HostName, attempt: u64, device: Arc<dyn FenceDevice>, limit: Duration) {
        let called_off = CancellationToken::new();
        let key = (host.clone(), attempt);
        self.lock().insert(key.clone(), called_off.clone());
        let attempts = self.clone();
        tokio::spawn(async move {
            let ended = called_off.run_until_cancelled(cut(device, limit)).await;
            attempts.lock().remove(&key);
            let result = match ended {
                Some(result) => result,
                None => {
                    sleep(STILL_ACTS).await;
                    Err("it was called off: the host was proven off by something else".to_owned())
                }
            };
            handle.input(Input::FenceEnded { host, attempt, result }).await;
        });
    }

    /// Ends one without another order to its device.
    pub(crate) fn call_off(&self, host: HostName, attempt: u64) {
        // One that is not there has just ended.
        if let Some(called_off) = self.lock().remove(&(host, attempt)) {
            called_off.cancel();
        }
    }
}

/// Reads a device within its time limit: whether the power is on. Nothing is cut.
pub(crate) async fn read(spec: &FenceSpec) -> Result<bool, String> {
    let device = lifeboat_drivers::fence::device(spec);
    let limit: Duration = spec.timeout().into();
    match tokio::time::timeout(limit, device.power_state()).await {
        Ok(Ok(state)) => Ok(state == PowerState::On),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("it did not answer within {} s", limit.as_secs_f64())),
    }
}

/// Reads a device and tells the engine.
pub(crate) fn spawn_read(handle: Handle, host: HostName, look: u64, spec: FenceSpec) {
    tokio::spawn(async move {
        let result = read(&spec).await;
        let (device, answers) = (spec.name().clone(), result.is_ok());
        handle.input(Input::FenceRead { host: host.clone(), look, device, result }).await;
        // A BMC that answers is asked for its sensors too, after what matters more.
        if let (FenceSpec::Redfish(bmc), true) = (spec, answers) {
            let reading = lifeboat_drivers::fence::RedfishDevice::new(bmc).sensors().await;
            handle.input(Input::Hardware { host, reading }).await;
        }
    });
}

/// Cuts the power and confirms it; otherwise what went wrong, for a person.
async fn cut(device: Arc<dyn FenceDevice>, limit: Duration) -> Result<(), String> {
    let end = Instant::now() + limit;
    let mut problem = format!("it was not confirmed off within {} s", limit.as_secs());
    let confirmed = tokio::time::timeout_at(end, async {
        let mut pause = FIRST_PAUSE;
        let mut ordered = false;
        loop {
            if !ordered {
                match device.power_off().await {
                    Ok(()) => ordered = true,
                    Err(error) if error.retry == Retry::IsFutile => return Err(chain(&error)),
                    Err(error) => problem = chain(&error),
                }
            }
            match device.power_state().await {
                Ok(PowerState::Off) => return Ok(()),
                Ok(PowerState::On) => {}
                Err(error) if error.retry == Retry::IsFutile => return Err(chain(&error)),
                Err(error) => problem = chain(&error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })
    .await;
    match confirmed {
        Ok(result) => result,
        Err(_) => Err(problem),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use lifeboat_ports::FenceError;
    use tokio::{
        sync::{mpsc, watch},
        task::yield_now,
    };

    use super::*;
    use crate::handle::{EventLog, Message};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A BMC that is dead: each order is an error after a second.
    #[derive(Default)]
    struct Dead {
        orders: AtomicU64,
    }

    fn nothing(operation: &'static str) -> FenceError {
        let device = "bmc-h1".parse().expect("a name");
        FenceError { device, operation, problem: "nothing answers".to_owned(), retry: Retry::MayHelp, source: None }
    }

    #[async_trait::async_trait]
    impl FenceDevice for Dead {
        async fn power_off(&self) -> Result<(), FenceError> {
            self.orders.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            Err(nothing("cut the power"))
        }

        async fn power_state(&self) -> Result<PowerState, FenceError> {
            Err(nothing("read the power"))
        }
    }

    /// An attempt with a dead BMC, called off after its first order or not: how it ended, after how long, and the orders.
    async fn attempted(called_off: bool) -> (String, Duration, u64) {
        let (inbox, mut messages) = mpsc::channel(8);
        let handle = Handle::new(inbox, watch::channel(None).1, EventLog::new([]));
        let (attempts, device, host) = (Attempts::default(), Arc::new(Dead::default()), "h1".parse::<HostName>());
        let host = host.expect("a name");
        let begin = Instant::now();
        attempts.attempt(handle, host.clone(), 7, Arc::clone(&device) as Arc<dyn FenceDevice>, LIMIT);
        while device.orders.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
        if called_off {
            attempts.call_off(host, 7);
        }
        let Some(Message::Input(Input::FenceEnded { attempt: 7, result: Err(problem), .. })) = messages.recv().await
        else {
            panic!("the attempt ends, and not well")
        };
        assert!(attempts.lock().is_empty());
        (problem, begin.elapsed(), device.orders.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_called_off_gives_no_further_order_and_ends_when_nothing_sent_can_act() {
        let (problem, after, orders) = attempted(true).await;
        assert!(problem.contains("called off"), "{problem}");
        assert_eq!((after, orders), (STILL_ACTS, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_not_called_off_goes_on_until_its_time_is_over() {
        let (problem, after, orders) = attempted(false).await;
        assert!(problem.contains("nothing answers"), "{problem}");
        assert!(after == LIMIT && orders > 20, "{orders} orders in {after:?}");
    }
}
