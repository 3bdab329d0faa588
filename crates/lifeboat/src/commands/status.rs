//! `lifeboat status`: one screen.

use clap::Args;
use lifeboat_client::api::{Overall, StatusView};

use super::watch;
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render::status,
};

const HELP: &str = "\
The first line says how it is: ALL WELL; ATTENTION (have a look by day); RECOVERING (VMs are being brought back); \
NEEDS YOU (VMs stay down until somebody acts: exit code 1).

Examples:
  lifeboat status
  lifeboat status --watch        follow it; ends when the recoveries that run have ended
  lifeboat status -o json";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Show it again as it changes; ends when the recoveries that run have ended, or with Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let client = context.client()?;
    let view = if arguments.watch { watch::status(context, &client).await? } else { client.status().await? };
    context.show(&view, status::screen)?;
    judge(&view)
}

fn judge(view: &StatusView) -> Outcome {
    if view.overall == Overall::Stuck { Err(Failure::Said(Exit::Failed)) } else { Ok(()) }
}
