//! `lifeboat fence test`: would a host be fenced if it failed now.

use clap::{Args, Subcommand};
use lifeboat_model::HostName;

use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
Reads the power at each of the host's fence devices and says, rung by rung of its ladder, what would work if the host failed
now. Nothing is cut. The controller looks by itself too, every 10 minutes, and warns. Exit code 1 says that only an
operator's word would be left.

Examples:
  lifeboat fence test h5
  lifeboat get hosts -o json | jq -r '.[].name' | xargs -n1 lifeboat fence test";

/// Arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read a host's fence devices and say what would work; nothing is cut
    #[command(after_help = HELP)]
    Test {
        /// The host
        host: HostName,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let What::Test { host } = &arguments.what;
    let test = context.client()?.fence_test(host).await?;
    context.show(&test, render::fence::test)?;
    if test.works() { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}
