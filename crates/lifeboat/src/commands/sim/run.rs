//! `lifeboat sim run`: scenarios, and whether what must come of them does.

use std::path::{Path, PathBuf};

use clap::Args;
use lifeboat_sim::scenario::{self, Report, Scenario};
use serde::Serialize;

use crate::{
    commands::file::{self, Readers},
    context::Context,
    failure::{Exit, Failure, Outcome},
    render::{self, count},
};

const HELP: &str = "\
A scenario is a TOML file: a fleet, a script of timed commands, and what must come of it (docs/scenarios.md). One file is
told as a timeline; of several, or of a folder with all below it, each is a line. Exit code 0 says that every expectation
holds and that no promise was broken, 1 that one does not, 2 that a file is wrong: it is told by line, and nothing is run.

Examples:
  lifeboat sim run power-loss.toml
  lifeboat sim run power-loss.toml --seed 7          the same with other delays
  lifeboat sim run power-loss.toml --trace out.ndjson
  lifeboat sim run scenarios --trace traces          a trace for each, in a folder
  lifeboat sim run scenarios --json | jq '.failed'";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Another seed than the files' own
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write what really happened as trace/v1: a file, or for several scenarios a folder
    #[arg(long, value_name = "PATH")]
    trace: Option<PathBuf>,
    /// The same as -o json
    #[arg(long)]
    json: bool,
}

/// A scenario's report with its file.
#[derive(Debug, Serialize)]
pub struct Ran {
    /// The file, as it was named.
    pub file: String,
    /// How it went.
    #[serde(flatten)]
    pub report: Report,
}

#[derive(Serialize)]
struct All<'a> {
    scenarios: &'a [Ran],
    failed: usize,
}

/// Runs it.
pub fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let mut files = Vec::new();
    for path in &arguments.files {
        collect(path, &mut files)?;
    }
    let alone = files.len() == 1 && arguments.files.iter().all(|path| !path.is_dir());
    let scenarios = read_all(&files)?;
    let traces = traces(&files, arguments.trace.as_deref(), alone)?;
    let mut ran = Vec::new();
    for (at, (path, scenario)) in files.iter().zip(&scenarios).enumerate() {
        let report = scenario::run(scenario, arguments.seed);
        if let Some(trace) = traces.get(at) {
            file::write(trace, &report.trace, Readers::All)?;
        }
        ran.push(Ran { file: path.display().to_string(), report });
    }
    let failed = ran.iter().filter(|it| !it.report.is_good()).count();
    match (arguments.json || context.json(), alone, ran.first()) {
        (true, true, Some(one)) => context.print_json(one)?,
        (true, ..) => context.print_json(&All { scenarios: &ran, failed })?,
        (false, true, Some(one)) => {
            context.print(&render::scenario::timeline(&one.file, &one.report, &context.look))?
        }
        (false, ..) => context.print(&render::scenario::table(&ran, &context.look))?,
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Said(Exit::Failed)) }
}

/// The files that a path stands for: itself, or all scenarios below a folder, in the order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let failed =
        |error: std::io::Error| Failure::new(Exit::BadInput, format!("cannot read folder {}: {error}", path.display()));
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let before = files.len();
    below(path, files).map_err(failed)?;
    if files.len() == before {
        let text = format!("There is no scenario below {}.", path.display());
        return Err(
            Failure::new(Exit::BadInput, text).advice("a scenario is a file that ends in .toml and has a `script`")
        );
    }
    Ok(())
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    for path in paths {
        // A link to a folder is not followed: it might lead back.
        if path.is_dir() && !path.is_symlink() {
            below(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "toml") && !is_only_fleet(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a file in a folder of scenarios is a fleet that they name. What cannot be read is not: reading it says why.
fn is_only_fleet(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("fleet.toml"))
}

/// All scenarios, or all that is wrong with them.
fn read_all(files: &[PathBuf]) -> Outcome<Vec<Scenario>> {
    let (mut scenarios, mut problems, mut bad) = (Vec::new(), Vec::new(), 0);
    for path in files {
        match scenario::read(path) {
            Ok(scenario) => scenarios.push(scenario),
            Err(more) => {
                bad += 1;
                problems.extend(more.iter().map(ToString::to_string));
            }
        }
    }
    if problems.is_empty() {
        return Ok(scenarios);
    }
    let what = if bad == 1 { "The scenario is wrong".to_owned() } else { format!("{bad} scenarios are wrong") };
    Err(Failure::new(Exit::BadInput, format!("{what}; nothing was run.")).lines(problems))
}

/// Where each trace goes; none: nowhere.
fn traces(files: &[PathBuf], to: Option<&Path>, alone: bool) -> Outcome<Vec<PathBuf>> {
    let Some(to) = to else { return Ok(Vec::new()) };
    if alone {
        return Ok(vec![to.to_owned()]);
    }
    std::fs::create_dir_all(to)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot make the folder {}: {error}", to.display())))?;
    let name = |path: &PathBuf| {
        let words = path.components().filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        });
        let words: Vec<String> = words.collect();
        let name = words[words.len().saturating_sub(2)..].join("-");
        to.join(format!("{}.ndjson", name.trim_end_matches(".toml")))
    };
    let all: Vec<PathBuf> = files.iter().map(name).collect();
    let mut once = all.clone();
    once.sort();
    once.dedup();
    if once.len() < all.len() {
        let text = format!("{} have traces of the same name.", count((all.len() - once.len()) as u64, "scenario"));
        return Err(Failure::new(Exit::BadInput, text).advice("run them one by one, each with a trace file of its own"));
    }
    Ok(all)
}
