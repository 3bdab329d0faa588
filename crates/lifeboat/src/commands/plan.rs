//! `lifeboat plan`: what would be done if hosts failed, from the controller's fleet or from a document.

use std::path::PathBuf;

use clap::Args;
use lifeboat_model::{
    HostName,
    fleet::Fleet,
    plan::{Plan, Request},
};

use super::{
    file::{self, Readers},
    get::{matches, no_such},
};
use crate::{
    context::{Context, json_text},
    failure::{Exit, Failure, Outcome},
    render::plan,
};

const HELP: &str = "\
Nothing is changed, and nothing fails: it is a what-if. The plan is the one that a recovery would follow, from the fleet
as it is now. Exit code 1 says that some VM would have no place.

Examples:
  lifeboat plan --fail h2                          one host
  lifeboat plan --fail h3,h5                       two at once
  lifeboat plan --fail 'rack2-*'                   all whose names begin so
  lifeboat plan --fail h2 --output plan.json       the whole plan as plan/v1
  lifeboat plan --fail h2 --fleet fleet.json       for a fleet/v1 document, without a controller";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Hosts that fail, all at once; * stands for anything
    #[arg(long, required = true, value_delimiter = ',', value_name = "HOST")]
    fail: Vec<String>,
    /// A fleet/v1 document to plan for, instead of the controller's fleet; `-` is standard input
    #[arg(long, value_name = "FILE")]
    fleet: Option<PathBuf>,
    /// Write the whole plan as plan/v1 to a file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let (fleet, plan) = match &arguments.fleet {
        Some(path) => {
            let fleet = read_fleet(path)?;
            let failed = chosen(&arguments.fail, &fleet)?;
            let plan = offline(&fleet, failed)?;
            (fleet, plan)
        }
        None => {
            let client = context.client()?;
            let fleet = client.fleet().await?;
            let plan = client.plan(chosen(&arguments.fail, &fleet)?).await?;
            (fleet, plan)
        }
    };
    if let Some(path) = &arguments.output {
        file::write(path, &json_text(&plan)?, Readers::All)?;
    }
    context.show(&plan, |plan, look| plan::summary(plan, &fleet, look))?;
    if plan.unplaced.is_empty() { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}

fn read_fleet(path: &std::path::Path) -> Outcome<Fleet> {
    let bytes = file::read(path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Exit::BadInput, format!("{}: this is not text.", path.display())))?;
    Fleet::from_json(&text).map_err(|error| {
        Failure::new(Exit::BadInput, format!("{}: {error}.", path.display()))
            .advice("`lifeboat export` writes such a document; docs/formats.md describes it")
    })
}

/// The hosts that the patterns stand for, in the fleet's order.
fn chosen(patterns: &[String], fleet: &Fleet) -> Outcome<Vec<HostName>> {
    let names = || fleet.hosts.iter().map(|host| host.name.as_str());
    if let Some(none) = patterns.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
        return Err(no_such("host", none, names()));
    }
    let fails = |host: &&lifeboat_model::fleet::Host| patterns.iter().any(|it| matches(it, host.name.as_str()));
    Ok(fleet.hosts.iter().filter(fails).map(|host| host.name.clone()).collect())
}

fn offline(fleet: &Fleet, failed: Vec<HostName>) -> Outcome<Plan> {
    let request = Request { failed, ..Request::default() };
    lifeboat_planner::plan(fleet, &request, &lifeboat_planner::Options::default())
        .map_err(|error| Failure::caused(Exit::BadInput, &error))
}
