//! `lifeboat export`.

use std::path::PathBuf;

use clap::Args;

use super::file::{self, Readers};
use crate::{
    context::{Context, json_text},
    failure::Outcome,
};

const HELP: &str = "\
The fleet as it is at this moment, with where each VM runs: fleet/v1 (docs/formats.md), which `lifeboat plan --fleet` \
reads.

Examples:
  lifeboat export > fleet.json
  lifeboat export --output fleet.json";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Write to a file, whole or not at all, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let fleet = context.client()?.fleet().await?;
    match &arguments.output {
        Some(path) => file::write(path, &json_text(&fleet)?, Readers::All),
        None => context.print_json(&fleet),
    }
}
