//! `lifeboat plan explain`: why a VM would be ready when it is, where it is, and not elsewhere.

use clap::Args;
use lifeboat_model::{VmName, plan::Request};
use lifeboat_planner::{Options, explain};

use crate::{
    commands::{
        get::no_such,
        what_if::{self, Fails, Source},
    },
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
What would be done with the VM step by step, what it would wait for, and why it would not go to other hosts. Exit code 1 \
says that it would have no place.

Examples:
  lifeboat plan explain web-12 --fail h2
  lifeboat plan explain web-12 --fail-label rack=r3
  lifeboat plan explain web-12 --fail h2 --fleet fleet.json      for a fleet/v1 document, without a controller";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The VM
    #[arg(value_name = "VM")]
    vm: String,
    #[command(flatten)]
    fails: Fails,
    #[command(flatten)]
    source: Source,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let fleet = arguments.source.read(context).await?;
    let known = || fleet.vms.iter().map(|vm| vm.name.as_str());
    let vm = VmName::new(&arguments.vm).ok().filter(|vm| known().any(|name| name == vm.as_str()));
    let Some(vm) = vm else { return Err(no_such("VM", &arguments.vm, known())) };
    let request = Request { failed: arguments.fails.choose(&fleet)?, ..Request::default() };
    let plan = what_if::plan(&fleet, &request, &Options::default())?;
    let why = lifeboat_planner::explain(&fleet, &request, &plan, &vm)
        .map_err(|error| Failure::caused(Exit::BadInput, &error))?;
    context.show(&why, |why, look| render::explain::text(why, &plan, &fleet, look))?;
    match why.outcome {
        explain::Outcome::LeftOut { .. } => Err(Failure::Said(Exit::Failed)),
        _ => Ok(()),
    }
}
