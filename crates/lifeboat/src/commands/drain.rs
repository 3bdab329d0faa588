//! `lifeboat drain HOST`.

use clap::Args;
use lifeboat_model::HostName;

use super::maintenance::said;
use crate::{context::Context, failure::Outcome};

const HELP: &str = "\
The host gets no new VMs, and those that it has move elsewhere: they are stopped and started, a few at a time, each only when
there is a place for it. What has no place stays and is told of. `lifeboat maintenance HOST off` ends it.

Examples:
  lifeboat drain h7
  lifeboat get hosts h7            how many VMs are left
  lifeboat maintenance h7 off      it takes VMs again";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The host
    host: HostName,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let ordered = context.client()?.drain(&arguments.host).await?;
    context.show(&ordered, said)
}
