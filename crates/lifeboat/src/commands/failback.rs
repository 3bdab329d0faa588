//! `lifeboat failback HOST`.

use clap::Args;
use lifeboat_model::HostName;

use crate::{context::Context, failure::Outcome};

const HELP: &str = "\
A VM that a failure, a reboot or a drain took from its host remembers where it belongs, until it is there again or you move
it. This brings all that belong to a host back to it: by a stop and a start, a few at a time, each only where there is room.

Examples:
  lifeboat failback h7
  lifeboat events --follow          how it goes";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The host
    host: HostName,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let ordered = context.client()?.failback(&arguments.host).await?;
    context.show(&ordered, |ordered, _| {
        let name = &ordered.host.name;
        if ordered.changed {
            format!(" The VMs that belong to {name} go back to it, a few at a time.\n   → lifeboat events --follow\n")
        } else {
            format!(" No VM that belongs to {name} is elsewhere, or they are on their way already.\n")
        }
    })
}
