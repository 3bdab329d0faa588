//! `lifeboat rules`: restart rules, begun from a fleet and tested on it before they hold.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lifeboat_model::{
    declaration::{self, Places, Problem, Source as File, merge, to_fleet},
    fleet::Fleet,
    spec::Declaration,
};
use lifeboat_rules::{Derived, derive};

use super::{
    file::{self, Readers},
    what_if::Source,
};
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
Restart rules derive a VM's class, how much it matters and what it waits for from what it is: its labels, name, size, \
arrays. `discover` writes a file to begin with, `test` shows what it does to each VM, `lifeboat apply` makes it hold. \
docs/rules.md tells all of it.

Examples:
  lifeboat rules discover --output rules.toml      a template from the controller's fleet, all commented out
  lifeboat rules test rules.toml                   what apply would make of it
  lifeboat rules test rules.toml --fleet fleet.json
  lifeboat plan --fail h2 --fleet fleet.json --rules rules.toml
  lifeboat apply rules.toml
  lifeboat delete restart NAME                     or: delete order NAME";

const DISCOVER_HELP: &str = "\
Every rule in it is commented out: nothing holds before you say so.

Examples:
  lifeboat rules discover
  lifeboat rules discover --fleet fleet.json --output rules.toml";

const TEST_HELP: &str = "\
Shows what each rule gives each VM, and which rules match nothing. Nothing is changed. Without --fleet the rules are laid \
over those that the controller has, as `lifeboat apply` would; without a file these are shown as they are.

Examples:
  lifeboat rules test rules.toml
  lifeboat rules test rules.toml --fleet fleet.json
  lifeboat rules test
  lifeboat rules test rules.toml -o json | jq '.vms[] | select(.class == \"gold\") | .vm'";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a rules file to begin with, from the labels, names and sizes that are there
    #[command(after_help = DISCOVER_HELP)]
    Discover {
        /// A fleet/v1 document, instead of the controller's fleet; `-` is standard input
        #[arg(long, value_name = "FILE")]
        fleet: Option<PathBuf>,
        /// Write it to a file
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show what each rule gives each VM, and which match nothing
    #[command(after_help = TEST_HELP)]
    Test {
        /// Files with rules
        #[arg(value_name = "RULES")]
        files: Vec<PathBuf>,
        /// A fleet/v1 document, instead of the controller's fleet; `-` is standard input
        #[arg(long, value_name = "FILE")]
        fleet: Option<PathBuf>,
    },
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Discover { fleet, output } => discover(context, fleet.clone(), output.as_deref()).await,
        Command::Test { files, fleet } => test(context, files, fleet.clone()).await,
    }
}

async fn discover(context: &Context, fleet: Option<PathBuf>, output: Option<&Path>) -> Outcome {
    let fleet = match fleet {
        Some(_) => Source::of(fleet).read(context).await?,
        None => to_fleet(&context.client()?.declaration().await?),
    };
    let template = lifeboat_rules::discover(&fleet);
    match output {
        Some(path) => file::write(path, &template, Readers::All),
        None => context.print(&template),
    }
}

async fn test(context: &Context, files: &[PathBuf], fleet: Option<PathBuf>) -> Outcome {
    let read = read(files)?;
    let (fleet, all) = match fleet {
        Some(_) => (Source::of(fleet).read(context).await?, read.rules),
        None => {
            let known = context.client()?.declaration().await?;
            let all = merge(&known, &read.rules).declaration;
            (to_fleet(&all), all)
        }
    };
    if all.restarts.is_empty() && all.orders.is_empty() {
        return Err(none(files));
    }
    let derived = read.places.derive(&all, &fleet)?;
    let tested = render::rules::Tested::new(&derived, &fleet);
    context.show(&tested, render::rules::text)
}

fn none(files: &[PathBuf]) -> Failure {
    let (failure, advice) = match files {
        [] => {
            ("The controller has no rules.", "lifeboat rules discover --output rules.toml writes a file to begin with")
        }
        _ => ("There is no rule in it.", "the template has all rules commented out: take the # from those that fit"),
    };
    Failure::new(Exit::BadInput, failure).advice(advice)
}

/// Rules of files.
#[derive(Default)]
pub struct Read {
    /// The rules.
    pub rules: Declaration,
    /// Where they stand.
    pub places: Found,
}

/// Where rules stand in files.
#[derive(Default)]
pub struct Found(Places);

impl Found {
    /// What rules make of a fleet; what is wrong with them is told by file and line.
    pub fn derive(&self, rules: &Declaration, fleet: &Fleet) -> Outcome<Derived> {
        derive(&rules.restarts, &rules.orders, fleet).map_err(|faults| {
            let problems: Vec<Problem> = faults.into_iter().map(|fault| fault.problem(&self.0)).collect();
            wrong(&problems)
        })
    }
}

/// Reads files that have rules and nothing else.
pub fn read(files: &[PathBuf]) -> Outcome<Read> {
    let read = files.iter().map(|path| Ok((path.display().to_string(), file::read(path)?)));
    let read = read.collect::<Outcome<Vec<(String, Vec<u8>)>>>()?;
    // A template whose rules are all commented out is no mistake: what is done with it says that there are none.
    let empty = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    };
    let sources: Vec<File<'_>> =
        read.iter().filter(|(_, bytes)| !empty(bytes)).map(|(name, bytes)| File { name, bytes }).collect();
    let reading = declaration::read(&sources);
    if !reading.problems.is_empty() {
        return Err(wrong(&reading.problems));
    }
    let rules = Declaration {
        restarts: reading.declaration.restarts.clone(),
        orders: reading.declaration.orders.clone(),
        ..Declaration::default()
    };
    if rules != reading.declaration {
        let message = "Rules files have [[restart]] and [[order]] only; there is more in this one.";
        return Err(Failure::new(Exit::BadInput, message).advice("`lifeboat apply` takes files with anything in them"));
    }
    Ok(Read { rules, places: Found(reading.places) })
}

fn wrong(problems: &[Problem]) -> Failure {
    let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let last = lines.pop().unwrap_or_default();
    Failure::new(Exit::BadInput, last).lines(lines)
}
