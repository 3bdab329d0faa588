//! `lifeboat plan show`: a plan that was written to a file, as text and as a picture.

use std::path::PathBuf;

use clap::Args;
use lifeboat_model::plan::Plan;
use lifeboat_planner::gantt;

use crate::{
    commands::{
        file::{self, Readers},
        what_if::{self, Source},
    },
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
The picture has time to the right and a row for each host and array; a browser shows what each bar is when the mouse \
rests on it. It needs the fleet that the plan was made for.

Examples:
  lifeboat plan show plan.json
  lifeboat plan show plan.json --svg plan.svg
  lifeboat plan show plan.json --fleet fleet.json --svg plan.svg      without a controller";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// A plan/v1 document; `-` is standard input
    #[arg(value_name = "FILE")]
    plan: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Write it as a picture to a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let path = &arguments.plan;
    let plan = Plan::from_json(&what_if::text(path)?).map_err(|error| {
        Failure::new(Exit::BadInput, format!("{}: {error}.", path.display()))
            .advice("`lifeboat plan --output FILE` writes such a document; docs/formats.md describes it")
    })?;
    let fleet = arguments.source.read(context).await?;
    if let Some(svg) = &arguments.svg {
        file::write(svg, &gantt::svg(&fleet, &plan), Readers::All)?;
    }
    context.show(&plan, |plan, look| render::plan::summary(plan, &fleet, look))
}
