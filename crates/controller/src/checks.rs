//! Looks at a VM until it answers or its time is over.

use std::time::{Duration, Instant};

use lifeboat_brain::fleet::Input;
use lifeboat_drivers::check::tcp::TcpCheck;
use lifeboat_model::{Generation, VmName, spec::CheckSpec};
use lifeboat_ports::Check;

use crate::handle::Handle;

/// The pause between two looks: short, since every look that is too early costs the VM's users that much.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that one look takes.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn spawn(handle: Handle, vm: VmName, generation: Generation, check: &CheckSpec, until: Instant) {
    let check: Box<dyn Check> = match check {
        CheckSpec::Tcp { address } => Box::new(TcpCheck { address: address.clone(), limit: LOOK }),
    };
    tokio::spawn(async move {
        let result = loop {
            match check.look().await {
                Ok(()) => break Ok(()),
                Err(failure) if Instant::now() >= until => break Err(failure.to_string()),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        handle.input(Input::CheckEnded { vm, generation, result }).await;
    });
}
