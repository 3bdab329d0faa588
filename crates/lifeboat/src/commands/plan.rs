//! `lifeboat plan`: what would be done if hosts failed, from the controller's fleet or from a document.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lifeboat_model::plan::Request;
use lifeboat_planner::Options;

use super::{
    file::{self, Readers},
    what_if::{self, Fails, Source},
};
use crate::{
    context::{Context, json_text},
    failure::{Exit, Failure, Outcome},
    render::plan,
};

mod explain;
mod show;

const HELP: &str = "\
Nothing is changed, and nothing fails: it is a what-if. The plan is the one that a recovery would follow, from the fleet \
as it is now. Exit code 1 says that some VM would have no place.

Examples:
  lifeboat plan --fail h2                          one host
  lifeboat plan --fail h3,h5                       two at once
  lifeboat plan --fail 'rack2-*'                   all whose names begin so
  lifeboat plan --fail-label rack=r3               all that have this label
  lifeboat plan --fail h2 --output plan.json       the whole plan as plan/v1
  lifeboat plan --fail h2 --fleet fleet.json       for a fleet/v1 document, without a controller
  lifeboat plan explain web-12 --fail h2           why it is ready when it is, and where
  lifeboat plan show plan.json --svg plan.svg      a plan as a picture";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    fails: Option<Fails>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    how: How,
    /// Write the whole plan as plan/v1 to a file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say why a VM would be ready when it is, where it is, and not elsewhere
    Explain(explain::Arguments),
    /// Show a plan that was written to a file, also as a picture
    Show(show::Arguments),
}

/// How to plan, where no controller does it.
#[derive(Debug, Args)]
struct How {
    /// How the plan is made; needs --fleet. All but lifeboat exist to compare with
    #[arg(long, value_enum, value_name = "SCHEME")]
    scheme: Option<Scheme>,
    /// Steps to search; more gives a plan no worse; needs --fleet [default: 3000000]
    #[arg(long, value_name = "N")]
    effort: Option<u64>,
    /// Seed of the search; needs --fleet [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scheme {
    /// One joint plan
    Lifeboat,
    /// One VM and one volume after the other
    Serial,
    /// One stream for each destination, one volume after the other in it
    Parallel,
    /// One stream for each destination, up to 4 volumes of a VM at a time
    Paper,
}

impl How {
    fn options(&self) -> Options {
        let usual = Options::default();
        let scheme = self.scheme.map_or(usual.scheme, |scheme| match scheme {
            Scheme::Lifeboat => lifeboat_planner::Scheme::Lifeboat,
            Scheme::Serial => lifeboat_planner::Scheme::Serial,
            Scheme::Parallel => lifeboat_planner::Scheme::Parallel,
            Scheme::Paper => lifeboat_planner::Scheme::Paper,
        });
        Options { scheme, effort: self.effort.unwrap_or(usual.effort), seed: self.seed.unwrap_or(usual.seed), ..usual }
    }

    fn says_nothing(&self) -> bool {
        self.scheme.is_none() && self.effort.is_none() && self.seed.is_none()
    }
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    match (&arguments.command, &arguments.fails) {
        (Some(Command::Explain(it)), _) => explain::run(context, it).await,
        (Some(Command::Show(it)), _) => show::run(context, it).await,
        (None, Some(fails)) => what_if(context, arguments, fails).await,
        (None, None) => {
            Err(Failure::new(Exit::BadInput, "Say which hosts fail: --fail HOST or --fail-label KEY=VALUE."))
        }
    }
}

async fn what_if(context: &Context, arguments: &Arguments, fails: &Fails) -> Outcome {
    if arguments.source.fleet.is_none() && !arguments.how.says_nothing() {
        let message =
            "--scheme, --effort and --seed need --fleet FILE: the controller plans as it would for a recovery.";
        return Err(Failure::new(Exit::BadInput, message)
            .advice("lifeboat export --output fleet.json writes its fleet to a file"));
    }
    let fleet = arguments.source.read(context).await?;
    let failed = fails.choose(&fleet)?;
    let plan = if arguments.source.fleet.is_some() {
        what_if::plan(&fleet, &Request { failed, ..Request::default() }, &arguments.how.options())?
    } else {
        context.client()?.plan(failed).await?
    };
    if let Some(path) = &arguments.output {
        file::write(path, &json_text(&plan)?, Readers::All)?;
    }
    context.show(&plan, |plan, look| plan::summary(plan, &fleet, look))?;
    if plan.unplaced.is_empty() { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}
