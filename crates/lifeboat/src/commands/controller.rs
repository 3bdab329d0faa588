//! `lifeboat controller`: the daemon that looks after a fleet.

use std::path::PathBuf;

use clap::Args;
use lifeboat_controller::{ControllerConfig, RunError, memory};

use super::daemon;
use crate::failure::{Exit, Failure, Outcome};

const HELP: &str = "\
Its store and its certificate authority are made on first start. It ends on SIGTERM or Ctrl-C, and may be killed at any \
moment: what it was doing is taken up where it was. VMs run on while there is no controller.

Every setting is in docs/settings.md. LIFEBOAT_LOG sets what is logged (`info`).

Examples:
  lifeboat controller
  lifeboat controller --config /etc/lifeboat/controller.toml";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Settings; without it, every setting has its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs it, until it is asked to end.
pub fn run(arguments: &Arguments) -> Outcome {
    memory::share_one_heap();
    daemon::log()?;
    daemon::open_many_files();
    let config = arguments.config.as_deref().map(ControllerConfig::read).transpose();
    let config = config.map_err(|error| Failure::caused(Exit::BadInput, &error))?.unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    let listening = format!("listening on {} and {}", config.socket.display(), config.listen);
    let ready = move || tracing::info!("ready, {listening}");
    runtime.block_on(lifeboat_controller::run(config, daemon::asked_to_end(), ready)).map_err(|error| failed(&error))
}

fn failed(error: &RunError) -> Failure {
    let failure = Failure::caused(Exit::Failed, error);
    match error {
        RunError::Directory { .. } => {
            failure.advice("run it as root, or set `state_dir` and `socket` to places of its own")
        }
        _ => failure,
    }
}
