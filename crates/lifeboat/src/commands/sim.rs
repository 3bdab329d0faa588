//! `lifeboat sim`: the same decisions in a virtual world.

use clap::{Args, Subcommand};

use crate::{context::Context, failure::Outcome};

mod paper;
mod run;
mod swarm;

pub use run::Ran;
pub use swarm::{Failed, Summary};

const HELP: &str = "\
Hosts, agents, networks, arrays, BMCs, controllers and their store are simulated; the decisions are those of the real
controller and agents. Time is virtual: an hour of failures takes less than a second. The same seed gives the same world,
event by event, on every machine.

Examples:
  lifeboat sim run scenarios/recovery/power-loss.toml
  lifeboat sim run scenarios                      all scenarios below a folder, a line each
  lifeboat sim swarm --seeds 0..1000              a thousand random fleets with random failures
  lifeboat sim paper                              published experiments again";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP, subcommand_required = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run scenarios: a fleet, a script of failures, and what must come of it
    Run(run::Arguments),
    /// Run random fleets with random failures, and hold all promises
    Swarm(swarm::Arguments),
    /// Repeat published experiments, with Lifeboat beside them
    Paper(paper::Arguments),
}

/// Runs it.
pub fn run(context: &Context, arguments: &Arguments) -> Outcome {
    lifeboat_sim::panics::keep_quiet();
    match &arguments.what {
        What::Run(it) => run::run(context, it),
        What::Swarm(it) => swarm::run(context, it),
        What::Paper(it) => paper::run(context, it),
    }
}
