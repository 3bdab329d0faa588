//! `lifeboat rolling`: which hosts can be down together.

use clap::Args;

use super::what_if::Source;
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
Groups of hosts for a round of reboots: all VMs of a group's hosts fit elsewhere at once with every rule kept. Empty one \
group, reboot it, let its VMs back, go on with the next. Nothing is changed. Exit code 1 says that some host cannot be \
emptied as things are.

Examples:
  lifeboat rolling
  lifeboat rolling --fleet fleet.json      for a fleet/v1 document, without a controller
  lifeboat rolling -o json | jq -r '.groups[0][]'";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let fleet = arguments.source.read(context).await?;
    let found = lifeboat_planner::rolling(&fleet).map_err(|error| Failure::caused(Exit::BadInput, &error))?;
    context.show(&found, render::rolling::text)?;
    if found.stuck.is_empty() { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}
