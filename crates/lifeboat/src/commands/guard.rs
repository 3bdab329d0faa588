//! `lifeboat guard`: the process beside an agent that ends VMs with their host's lease. Started by the agent.

use std::path::PathBuf;

use clap::Args;
use lifeboat_agent::{GuardOptions, WatchdogConfig};

use crate::failure::{Exit, Failure, Outcome};

/// Arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The agent's directory
    #[arg(long)]
    run_dir: PathBuf,
    /// The hypervisor's directory
    #[arg(long)]
    qemu_run_dir: PathBuf,
    /// The machine's watchdog device
    #[arg(long)]
    watchdog: Option<PathBuf>,
    /// Seconds after which it resets the machine
    #[arg(long, default_value_t = 10)]
    watchdog_timeout_s: u16,
}

/// Runs it, until the directory is wiped.
pub fn run(arguments: Arguments) -> Outcome {
    let watchdog = arguments.watchdog.map(|device| WatchdogConfig { device, timeout_s: arguments.watchdog_timeout_s });
    let options = GuardOptions { run_dir: arguments.run_dir, qemu_run_dir: arguments.qemu_run_dir, watchdog };
    lifeboat_agent::guard(&options).map_err(|error| Failure::caused(Exit::Failed, &error))
}
