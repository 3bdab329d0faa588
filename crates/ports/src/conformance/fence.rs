//! What every fence device must do, shown on a machine whose power can be seen and set without the device.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{FenceDevice, FenceError, PowerState, Retry};

/// A machine with a fence device, seen from behind the device.
#[async_trait]
pub trait FenceBench: Send + Sync {
    /// The device, with a time limit of a few seconds.
    fn device(&self) -> Arc<dyn FenceDevice>;

    /// Puts the power on; nothing when it is on.
    async fn power_on(&self);

    /// Whether the machine really has power.
    async fn has_power(&self) -> bool;

    /// Makes the device deaf, as one whose network or power is gone, or lets it hear again.
    async fn set_deaf(&self, deaf: bool);
}

/// How long a device may take until what was ordered is read back.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// Drives a device through all that the contract of [`FenceDevice`] promises.
///
/// # Panics
/// When a promise is broken; the message says which.
pub async fn conforms(bench: &dyn FenceBench) {
    cuts_the_power_and_reads_it_back(bench).await;
    an_order_repeated_is_a_success(bench).await;
    orders_at_once_do_not_disturb_each_other(bench).await;
    a_deaf_device_is_an_error_that_may_pass(bench).await;
}

/// The power that is read is the power that there is.
///
/// # Panics
/// When it is not.
pub async fn cuts_the_power_and_reads_it_back(bench: &dyn FenceBench) {
    let device = bench.device();
    bench.power_on().await;
    assert_eq!(device.power_state().await.expect("read the power"), PowerState::On, "a machine that is on reads on");
    assert!(bench.has_power().await, "reading the power leaves it as it is");
    device.power_off().await.expect("cut the power");
    read_back_off(device.as_ref()).await;
    assert!(!bench.has_power().await, "the power that reads off is off");
    bench.power_on().await;
    assert_eq!(device.power_state().await.expect("read the power"), PowerState::On, "and on again reads on again");
}

/// A crashed controller repeats its orders.
///
/// # Panics
/// When a repeated order fails or puts the power on.
pub async fn an_order_repeated_is_a_success(bench: &dyn FenceBench) {
    let device = bench.device();
    bench.power_on().await;
    for _ in 0..3 {
        device.power_off().await.expect("cutting the power of a machine that is off is a success");
        read_back_off(device.as_ref()).await;
        assert!(!bench.has_power().await, "a repeated order never puts the power on");
    }
}

/// Two controllers, or a controller and a person, may fence at the same moment.
///
/// # Panics
/// When one of two orders at once fails.
pub async fn orders_at_once_do_not_disturb_each_other(bench: &dyn FenceBench) {
    let (one, other) = (bench.device(), bench.device());
    bench.power_on().await;
    let (first, second, read) = futures::join!(one.power_off(), other.power_off(), one.power_state());
    first.expect("the first of two orders at once");
    second.expect("the second of two orders at once");
    read.expect("a reading beside two orders");
    read_back_off(one.as_ref()).await;
}

/// No answer is never taken for a good one.
///
/// # Panics
/// When a deaf device reads as anything, its error says that a retry is futile, or it stays lost when it hears again.
pub async fn a_deaf_device_is_an_error_that_may_pass(bench: &dyn FenceBench) {
    let device = bench.device();
    bench.power_on().await;
    bench.set_deaf(true).await;
    let errors = [device.power_state().await.map(|_| ()), device.power_off().await];
    let has_power = bench.has_power().await;
    bench.set_deaf(false).await;
    for result in errors {
        let error: FenceError = result.expect_err("a deaf device does not answer");
        assert_eq!(error.retry, Retry::MayHelp, "a deaf device may hear again: {error}");
    }
    assert!(has_power, "an order that a deaf device did not hear is not carried out");
    device.power_off().await.expect("a device that hears again obeys again");
    read_back_off(device.as_ref()).await;
}

/// Reads until the power is off, as the contract asks of callers, for a bounded number of times.
async fn read_back_off(device: &dyn FenceDevice) {
    let started = std::time::Instant::now();
    while device.power_state().await.expect("read the power back") != PowerState::Off {
        assert!(started.elapsed() < SETTLES_WITHIN, "the power was not off {SETTLES_WITHIN:?} after the order");
    }
}
