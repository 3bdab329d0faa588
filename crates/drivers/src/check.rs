//! Checks: whether a VM is well.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use lifeboat_model::spec::CheckSpec;
use lifeboat_ports::Check;

pub mod guest_agent;
pub mod http;
pub mod nagios;
pub mod tcp;

pub use guest_agent::GuestAgentCheck;
pub use http::HttpCheck;
pub use nagios::{NagiosCheck, PLUGIN_DIRECTORIES};
pub use tcp::TcpCheck;

/// Numbers for conversations with guest agents: each look its own.
static SYNC: AtomicU32 = AtomicU32::new(1);

/// Where plugins are looked for unless a machine's settings say otherwise.
#[must_use]
pub fn plugin_directories() -> Vec<PathBuf> {
    PLUGIN_DIRECTORIES.iter().map(PathBuf::from).collect()
}

/// The check of a declaration: its time limit, where this machine keeps plugins, and the channel to the VM's guest agent
/// where this machine has it.
#[must_use]
pub fn check(
    spec: &CheckSpec,
    limit: Duration,
    plugin_directories: &[PathBuf],
    guest_agent: Option<PathBuf>,
) -> Box<dyn Check> {
    match spec.clone() {
        CheckSpec::Tcp { address } => Box::new(TcpCheck { address, limit }),
        CheckSpec::Http { url, status, text, ca_file } => {
            Box::new(HttpCheck { url, status, text, ca_file: ca_file.map(PathBuf::from), limit })
        }
        CheckSpec::Nagios { plugin, arguments } => {
            Box::new(NagiosCheck { plugin, arguments, directories: plugin_directories.to_vec(), limit })
        }
        CheckSpec::GuestAgent {} => {
            let sync = SYNC.fetch_add(1, Ordering::Relaxed);
            // Nothing listens at an empty path: a machine without the channel says that it has none.
            Box::new(GuestAgentCheck { socket: guest_agent.unwrap_or_default(), sync, limit })
        }
    }
}
