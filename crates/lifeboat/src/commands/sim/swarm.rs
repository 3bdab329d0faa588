//! `lifeboat sim swarm`: random worlds with random failures, one a seed.

use std::{
    io::IsTerminal as _,
    path::PathBuf,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat_sim::swarm::{self, Case, Outcome as Ran, Profile, Tally};
use serde::Serialize;

use crate::{
    commands::file::{self, Readers},
    context::Context,
    failure::{Exit, Failure, Outcome},
    render,
};

const HELP: &str = "\
From each seed a fleet is drawn, and what goes wrong in it: power, hangs, partitions, BMCs, arrays, the store, clocks,
agents, controllers, operators. All promises are held after every event; then the failures stop, and every VM that fits
must come back. The same seed is the same world on every machine and at any number of threads.

Profiles: calm (one thing at a time), stormy (things on top of each other), hell (everything at once, with BMCs that lie
and a network that repeats messages and changes their order).

Examples:
  lifeboat sim swarm --seeds 0..1000
  lifeboat sim swarm --seeds 0..200 --profile hell --minutes 60
  lifeboat sim swarm --seeds 0..1000 --shrink            makes what fails small
  lifeboat sim swarm --seeds 17 --profile hell --trace t.ndjson
                                                         one seed is told as a timeline";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// A seed, or seeds from one to before another
    #[arg(long, default_value = "0..1000", value_name = "N|FROM..TO")]
    seeds: Seeds,
    /// How bad it gets: calm, stormy or hell
    #[arg(long, default_value_t = Profile::Stormy, value_name = "PROFILE")]
    profile: Profile,
    /// Minutes of the world until the failures stop
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: u64,
    /// Hosts and VMs, instead of drawn ones
    #[arg(long, value_name = "HOSTSxVMS")]
    size: Option<Size>,
    /// Only these mishaps of the seed, by number
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// Leave mishaps out of each seed that fails, as long as it still fails
    #[arg(long)]
    shrink: bool,
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write what really happened as trace/v1: a file, or for several seeds a folder
    #[arg(long, value_name = "PATH")]
    trace: Option<PathBuf>,
    /// The same as -o json
    #[arg(long)]
    json: bool,
}

/// `7` or `0..1000`.
#[derive(Clone, Copy, Debug)]
struct Seeds {
    from: u64,
    to: u64,
}

impl FromStr for Seeds {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| word.parse::<u64>().map_err(|_| format!("`{word}` is not a whole number"));
        let Some((from, to)) = text.split_once("..") else {
            let from = number(text)?;
            return Ok(Self { from, to: from.saturating_add(1) });
        };
        let seeds = Self { from: number(from)?, to: number(to)? };
        match seeds.to.checked_sub(seeds.from) {
            None | Some(0) => {
                Err("there is no seed in it: the second number is the first seed that is not run".to_owned())
            }
            Some(count) if count > 10_000_000 => Err("more than ten million seeds; run them in parts".to_owned()),
            Some(_) => Ok(seeds),
        }
    }
}

/// `5x20`.
#[derive(Clone, Copy, Debug)]
struct Size(u32, u32);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (hosts, vms) = text.split_once('x')?;
            Some((hosts.parse::<u32>().ok()?, vms.parse::<u32>().ok()?))
        };
        match read() {
            Some((hosts @ 1..=10_000, vms @ 1..=100_000)) => Ok(Self(hosts, vms)),
            _ => Err("write hosts and VMs as 5x20: up to 10000 hosts and 100000 VMs".to_owned()),
        }
    }
}

/// A seed that failed.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub failure: swarm::Failure,
    /// The line that runs it again.
    pub run_again: String,
    /// How many mishaps it takes.
    pub mishaps: usize,
}

/// How a swarm went.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// How bad it got.
    pub profile: String,
    /// How long the failures lasted, in minutes.
    pub minutes: u64,
    /// What was counted, over all seeds.
    #[serde(flatten)]
    pub tally: Tally,
    /// How long it took.
    pub took_s: f64,
    /// The threads.
    pub threads: usize,
    /// What failed.
    pub failed: Vec<Failed>,
}

/// Runs it.
pub fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let Seeds { from, to } = arguments.seeds;
    if arguments.only.is_some() && to - from > 1 {
        let text = "--only names mishaps of one seed, and there are several.";
        return Err(Failure::new(Exit::BadInput, text).advice("give one seed: --seeds N"));
    }
    let json = arguments.json || context.json();
    let cases: Vec<Case> = (from..to).map(|seed| arguments.case(seed)).collect();
    match &cases[..] {
        [case] if !json && !arguments.shrink => one(context, arguments, case),
        cases => many(context, arguments, cases, json),
    }
}

impl Arguments {
    fn case(&self, seed: u64) -> Case {
        let size = self.size.map(|Size(hosts, vms)| (hosts, vms));
        Case { minutes: self.minutes, size, only: self.only.clone(), ..Case::new(seed, self.profile) }
    }

    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

/// One seed, as a timeline.
fn one(context: &Context, arguments: &Arguments, case: &Case) -> Outcome {
    let ran = swarm::run(case, true);
    if let Some(path) = &arguments.trace {
        file::write(path, &ran.trace, Readers::All)?;
    }
    context.print(&render::swarm::timeline(&ran, &context.look))?;
    if ran.failure.is_none() { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}

fn many(context: &Context, arguments: &Arguments, cases: &[Case], json: bool) -> Outcome {
    let began = Instant::now();
    let threads = arguments.threads();
    let tally = Mutex::new(Tally::default());
    let trouble = Mutex::new(None);
    if let Some(folder) = &arguments.trace {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot make the folder {}: {error}", folder.display()))
        })?;
    }
    let progress = progress(cases.len() as u64);
    let bad = AtomicU64::new(0);
    let failed = swarm::run_many(cases, threads, arguments.trace.is_some(), |ran| {
        tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(ran);
        if ran.failure.is_some() {
            let count = bad.fetch_add(1, Ordering::Relaxed) + 1;
            progress.set_message(format!("{count} failed"));
        }
        if let Some(folder) = &arguments.trace {
            let path = folder.join(format!("{}-{}.ndjson", ran.case.profile, ran.case.seed));
            if let Err(failure) = file::write(&path, &ran.trace, Readers::All) {
                trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(failure);
            }
        }
        progress.inc(1);
    });
    progress.finish_and_clear();
    if let Some(failure) = trouble.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(failure);
    }
    let failed: Vec<Failed> = failed.iter().filter_map(|ran| told(ran, arguments.shrink)).collect();
    let summary = Summary {
        profile: arguments.profile.to_string(),
        minutes: arguments.minutes,
        tally: tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        took_s: began.elapsed().as_secs_f64(),
        threads,
        failed,
    };
    if json {
        context.print_json(&summary)?;
    } else {
        context.print(&render::swarm::summary(&summary, &context.look))?;
    }
    if summary.failed.is_empty() { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}

/// A seed that failed, made small if that is wanted.
fn told(ran: &Ran, shrink: bool) -> Option<Failed> {
    let of = |ran: &Ran| {
        let failure = ran.failure.clone()?;
        let mishaps = ran.case.only.as_ref().map_or(ran.mishaps, Vec::len);
        Some(Failed { seed: ran.case.seed, failure, run_again: ran.case.command(), mishaps })
    };
    if !shrink {
        return of(ran);
    }
    let spinner = progress(0);
    spinner.set_message(format!("seed {} is made small", ran.case.seed));
    let small = swarm::shrink(&ran.case, |left| {
        spinner.set_message(format!("seed {} is made small: {left} mishaps left", ran.case.seed));
    });
    spinner.finish_and_clear();
    of(&swarm::run(&small, false)).or_else(|| of(ran))
}

/// A bar where somebody looks.
fn progress(count: u64) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target((count > 0).then_some(count), target);
    let form = if count > 0 { " {bar:30} {pos} of {len} seeds, {eta} to go   {msg}" } else { " {msg}" };
    bar.with_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
