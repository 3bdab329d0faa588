//! `lifeboat host`: one host, closely.

use clap::{Args, Subcommand};
use lifeboat_model::HostName;

use crate::{context::Context, failure::Outcome, render::evidence};

const HELP: &str = "\
Each source with what it said last and when, the verdict, and the rule that led to it. A host that was declared failed shows
also what its sources said then.

Examples:
  lifeboat host evidence h2
  lifeboat host evidence h2 -o json | jq -r .judgement.verdict";

/// Arguments.
#[derive(Debug, Args)]
#[command(subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what each source says of a host, and the verdict
    #[command(after_help = HELP)]
    Evidence {
        /// The host
        host: HostName,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let What::Evidence { host } = &arguments.what;
    let view = context.client()?.evidence(host).await?;
    context.show(&view, evidence::text)
}
