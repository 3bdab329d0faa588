//! `lifeboat apply`: the whole of all files takes effect, or none of it.

use std::path::PathBuf;

use clap::Args;
use lifeboat_client::{Client, ClientError, api::ErrorBody};
use lifeboat_model::{
    declaration::{self, MAX_PROBLEMS, Problem, Source, merge},
    spec::Declaration,
};

use super::file;
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
    render::outcome,
};

const HELP: &str = "\
The files make one declaration together: TOML, or a lifeboat/fleet/v1 document. An object of the same kind and name is \
replaced, another is added, and none goes away (that is `lifeboat delete`). All of it takes effect, or none.

  [[class]]                          the most important first
  name = \"gold\"
  rto_s = 600                        recovery time objective, seconds

  [[host]]
  name = \"h1\"
  capacity = { cpu_milli = 16000, memory_mib = 65536 }
  [[host.fence]]                     how its power is cut, in the order in which it is tried
  kind = \"redfish\"
  name = \"bmc-h1\"
  url = \"https://10.0.0.11\"
  user = \"lifeboat\"
  password_file = \"/etc/lifeboat/bmc-h1.password\"

  [[array]]
  name = \"a1\"
  backend = { kind = \"shared\", directory = \"/srv/volumes\" }

  [[volume]]
  name = \"web-1-d1\"
  array = \"a1\"

  [[vm]]
  name = \"web-1\"
  class = \"gold\"
  demand = { cpu_milli = 1000, memory_mib = 2048 }
  volumes = [\"web-1-d1\"]

  [[restart]]                        restart rules; see `lifeboat rules --help`
  name = \"by-label\"
  when = \"vm.labels.sla == 'gold'\"
  class = \"gold\"

docs/formats.md has every field.

Examples:
  lifeboat apply fleet.toml
  lifeboat apply classes.toml hosts/*.toml vms/*.toml
  lifeboat apply --check fleet.toml      say what would change, and change nothing";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// Files with the declaration; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check the files and say what would change, but change nothing
    #[arg(long)]
    check: bool,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let client = context.client()?;
    let files = arguments.files.iter().map(|path| Ok((path.display().to_string(), file::read(path)?)));
    let files = files.collect::<Outcome<Vec<(String, Vec<u8>)>>>()?;
    let sources: Vec<Source<'_>> = files.iter().map(|(name, bytes)| Source { name, bytes }).collect();
    // What is wrong in the files alone is told even where no controller can be asked.
    let alone = declaration::read(&sources).problems;
    if !alone.is_empty() && !reads_with(&client).await {
        return Err(wrong(&alone));
    }
    let known = client.declaration().await?;
    let declared = declaration::read_and_check(&sources, &known).map_err(|problems| wrong(&problems))?;
    let problems = lifeboat_rules::problems(&declared, &known, &declaration::read(&sources).places);
    if !problems.is_empty() {
        return Err(wrong(&problems));
    }
    let applied = if arguments.check { preview(&known, &declared) } else { client.apply(&declared).await };
    match applied {
        Ok(applied) => {
            if arguments.check && !context.json() {
                context.print(" This is what would change. Nothing was changed.\n")?;
            }
            context.show(&applied, outcome::apply)
        }
        Err(ClientError::Refused(body)) => Err(refused(*body, &sources)),
        Err(other) => Err(other.into()),
    }
}

/// Whether the controller answers.
async fn reads_with(client: &Client) -> bool {
    client.declaration().await.is_ok()
}

fn preview(known: &Declaration, declared: &Declaration) -> Result<lifeboat_client::api::ApplyOutcome, ClientError> {
    let merged = merge(known, declared);
    Ok(lifeboat_client::api::ApplyOutcome {
        warnings: declaration::warnings(&merged.declaration),
        created: merged.created,
        changed: merged.changed,
        unchanged: merged.unchanged,
        limits_changed: merged.limits_changed,
    })
}

fn wrong(problems: &[Problem]) -> Failure {
    let lines = problems.iter().map(ToString::to_string);
    let more = if problems.len() >= MAX_PROBLEMS { "There may be more. " } else { "" };
    Failure::new(Exit::BadInput, format!("{more}Nothing was changed.")).lines(lines)
}

/// The controller's problems name objects; the files say in which line these are.
fn refused(mut body: ErrorBody, sources: &[Source<'_>]) -> Failure {
    let places = declaration::read(sources).places;
    for problem in &mut body.problems {
        if problem.place.is_none() {
            problem.place = problem.object.as_ref().and_then(|object| places.object(object));
        }
    }
    Failure::from(body)
}
