//! Cuts a host's power by one device and reads it back until it is off or the device's time is over.

use std::{sync::Arc, time::Duration};

use lifeboat_brain::fleet::Input;
use lifeboat_model::{HostName, spec::FenceSpec};
use lifeboat_ports::{FenceDevice, PowerState, Retry};
use tokio::time::{Instant, sleep};

use crate::{handle::Handle, run::chain};

/// The first pause between two looks at the power; it doubles up to [`LONGEST_PAUSE`]. Devices have no way to tell unasked.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn spawn(handle: Handle, host: HostName, attempt: u64, spec: FenceSpec) {
    tokio::spawn(async move {
        let device = lifeboat_drivers::fence::device(&spec);
        let result = cut(device, spec.timeout().into()).await;
        handle.input(Input::FenceEnded { host, attempt, result }).await;
    });
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
