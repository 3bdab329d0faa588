//! `lifeboat trace`.

use std::path::PathBuf;

use clap::Args;

use super::file::{self, Readers};
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
};

const HELP: &str = "\
What really happened, as the controller knows it: trace/v1, one JSON document a line (docs/formats.md). Checkers read it, \
and so does whoever wants to know afterwards what came first.

Examples:
  lifeboat trace > trace.ndjson
  lifeboat trace --output trace.ndjson
  lifeboat trace --follow";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Go on with what is to come
    #[arg(long, short)]
    follow: bool,
    /// Write to a file, whole or not at all, instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    output: Option<PathBuf>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let mut stream = context.client()?.trace(arguments.follow).await?;
    let mut text = String::new();
    while let Some(event) = stream.next().await? {
        if arguments.output.is_none() {
            context.print_line(&event)?;
            continue;
        }
        text += &serde_json::to_string(&event).map_err(|error| Failure::caused(Exit::Failed, &error))?;
        text.push('\n');
    }
    match &arguments.output {
        Some(path) => file::write(path, &text, Readers::All),
        None => Ok(()),
    }
}
