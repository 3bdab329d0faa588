//! `lifeboat drill`: what if each host, rack or site failed now.

use clap::Args;
use lifeboat_planner::{
    Options,
    drill::{self, By},
};

use super::what_if::{Source, value};
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
Plans the failure of every host, one after the other, and changes nothing: what would not come back, and which class \
would be late. The controller does the same every day, keeps what it finds, and warns when it got worse; without \
--fleet this is one of its drills. --depth 2 also takes every two together. Exit code 1 says that some VM would not \
come back.

Examples:
  lifeboat drill
  lifeboat drill --depth 2                 also any two hosts together
  lifeboat drill --by rack                 all hosts with the same label `rack`
  lifeboat drill --by site
  lifeboat drill --fleet fleet.json        for a fleet/v1 document, without a controller
  lifeboat drill -o json | jq -r '.what_ifs[] | select(.unplaced != []) | .name[]'";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// How many fail at once, at most: 1 or 2
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2))]
    depth: u32,
    /// What fails as one: host, site, or a label of hosts such as rack
    #[arg(long, default_value = "host", value_name = "host|site|LABEL")]
    by: String,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let fleet = arguments.source.read(context).await?;
    let by = match arguments.by.as_str() {
        "host" => By::Host,
        "site" => By::Site,
        label => By::Label(label.to_owned()),
    };
    if by != By::Host && !fleet.hosts.iter().any(|host| value(host, &arguments.by).is_some()) {
        let message = format!("No host has a label `{}`.", arguments.by);
        return Err(Failure::new(Exit::Unknown, message).advice("--by takes host, site, or a label that hosts have"));
    }
    let answer = drill::drill(&fleet, &by, arguments.depth, &Options::default())
        .map_err(|error| Failure::caused(Exit::BadInput, &error))?;
    // The controller keeps its drills of single hosts; with each it is told what changed.
    let kept = match (&arguments.source.fleet, &by, arguments.depth) {
        (None, By::Host, 1) => context.client()?.drill().await.ok(),
        _ => None,
    };
    context.show(&answer, |answer, look| {
        let since = kept.as_ref().map(|view| render::drilled::since(view, look)).unwrap_or_default();
        render::drill::text(answer, &arguments.by, arguments.depth, &fleet, look) + &since
    })?;
    if answer.what_ifs.iter().all(|it| it.unplaced.is_empty()) { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}
