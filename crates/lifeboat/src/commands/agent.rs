//! `lifeboat agent`: the daemon of a host.

use std::path::PathBuf;

use clap::Args;
use lifeboat_agent::AgentConfig;

use super::daemon;
use crate::failure::{Exit, Failure, Outcome};

const HELP: &str = "\
It joins with a one-time token at its first start, and needs none afterwards. It starts nothing by itself: it does what \
the controller orders. It ends on SIGTERM or Ctrl-C, and its VMs run on.

Every setting is in docs/settings.md. LIFEBOAT_LOG sets what is logged (`info`).

Examples:
  lifeboat agent --config /etc/lifeboat/agent.toml";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Settings
    #[arg(long, value_name = "FILE", default_value = "/etc/lifeboat/agent.toml")]
    config: PathBuf,
}

/// Runs it, until it is asked to end.
pub fn run(arguments: &Arguments) -> Outcome {
    daemon::log()?;
    let mut config = AgentConfig::read(&arguments.config).map_err(|error| Failure::caused(Exit::BadInput, &error))?;
    // Of an agent that was upgraded while it runs this path may lead nowhere; then it has no guard, and says so.
    config.guard_program = std::env::current_exe().ok();
    lifeboat_agent::serve(&config).map_err(|error| Failure::caused(Exit::Failed, &error))
}
