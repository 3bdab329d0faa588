//! Fence devices: how a host's power is cut and read back.
//!
//! Theory of operation: a device is a value made of its declaration and nothing else. It keeps no connection and no
//! secret between calls: passwords and certificates are read when they are needed, so that a changed password file needs
//! no restart, and a device whose files are missing fails when it is asked, with the file's name, rather than at start.
//! Every call ends within the declaration's `timeout_s`. A call that is dropped leaves nothing running.

mod agents;
mod redfish;

use std::sync::Arc;

pub use agents::AgentDevice;
use lifeboat_model::{FenceName, spec::FenceSpec};
use lifeboat_ports::{Cause, FenceDevice, FenceError, Retry};
pub use redfish::RedfishDevice;

/// The device that a declaration names. Making it reads and asks nothing.
#[must_use]
pub fn device(spec: &FenceSpec) -> Arc<dyn FenceDevice> {
    match spec {
        FenceSpec::Redfish(fence) => Arc::new(RedfishDevice::new(fence.clone())),
        FenceSpec::Agent(fence) => Arc::new(AgentDevice::new(fence.clone())),
    }
}

const CUT: &str = "cut the power";
const READ: &str = "read the power";

/// What went wrong within a call, before it is known which device and operation it belongs to.
#[derive(Debug)]
struct Fault {
    problem: String,
    retry: Retry,
    source: Option<Cause>,
}

impl Fault {
    /// The cause may pass.
    fn passing(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), retry: Retry::MayHelp, source: None }
    }

    /// Somebody must change something first.
    fn lasting(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), retry: Retry::IsFutile, source: None }
    }

    fn because(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn of(self, device: &FenceName, operation: &'static str) -> FenceError {
        FenceError { device: device.clone(), operation, problem: self.problem, retry: self.retry, source: self.source }
    }
}

/// The beginning of a text that came from outside, as one line fit for an error.
fn excerpt(text: &str) -> String {
    const MOST: usize = 200;
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST + 1).collect();
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
