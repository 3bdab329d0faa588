//! `lifeboat recoveries watch`: a running recovery, to its end.

use clap::{Args, Subcommand};
use lifeboat_client::api::{RecoveryState, RecoveryView};

use super::watch;
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render::recovery,
};

const HELP: &str = "\
Where output is no terminal there is one line for each thing that happens. It ends when the recovery ends, with a table of \
its VMs; exit code 1 says that some have no place.

Examples:
  lifeboat recoveries watch            the recoveries that run now
  lifeboat recoveries watch --wait     wait for one to begin first
  lifeboat recoveries watch 7          this one";

/// Arguments.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show a recovery as it runs, until it ends
    #[command(after_help = HELP)]
    Watch {
        /// The recovery; without it, those that run now
        id: Option<u64>,
        /// Wait for a recovery to begin, if none runs
        #[arg(long, conflicts_with = "id")]
        wait: bool,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let What::Watch { id, wait } = &arguments.what;
    let client = context.client()?;
    if let Some(id) = id {
        let view = watch::recovery(context, &client, *id).await?;
        return end(context, &[view]);
    }
    let mut ended = Vec::new();
    let mut running = watch::running(&client, *wait).await?;
    if running.is_empty() {
        return context.print(" No recovery is running.\n");
    }
    while let Some(id) = running.first() {
        ended.push(watch::recovery(context, &client, *id).await?);
        running = watch::running(&client, false).await?;
        running.retain(|id| !ended.iter().any(|view| view.row.id == *id));
    }
    end(context, &ended)
}

fn end(context: &Context, views: &[RecoveryView]) -> Outcome {
    for view in views {
        context.show(view, recovery::whole)?;
    }
    let incomplete = views.iter().any(|view| view.row.state == RecoveryState::Incomplete);
    if incomplete { Err(Failure::Said(Exit::Failed)) } else { Ok(()) }
}
