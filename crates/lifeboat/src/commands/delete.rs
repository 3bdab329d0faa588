//! `lifeboat delete`.

use clap::Args;
use lifeboat_model::declaration::{Kind, Object};

use crate::{context::Context, failure::Outcome, render::outcome};

const HELP: &str = "\
Kinds are host, vm, volume, array, class, group, rule, check, and restart and order for restart rules and start orders. What \
something else still needs is refused, with who needs it. A \
VM that runs is stopped first. A volume is forgotten, its data is left alone.

Examples:
  lifeboat delete vm web-9
  lifeboat delete host h7";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// What kind of thing
    #[arg(value_parser = kind)]
    kind: Kind,
    /// Its name
    name: String,
}

fn kind(word: &str) -> Result<Kind, String> {
    Kind::from_word(word).ok_or_else(|| {
        let words: Vec<&str> = Kind::ALL.into_iter().map(Kind::key).collect();
        format!("it is one of {}", words.join(", "))
    })
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    // A text that is no name cannot be one of an object's, nor stand in a path.
    if lifeboat_model::VmName::new(&arguments.name).is_err() {
        return Err(super::get::no_such(&arguments.kind.to_string(), &arguments.name, std::iter::empty()));
    }
    let deleted = context.client()?.delete(&Object::new(arguments.kind, &arguments.name)).await?;
    context.show(&deleted, outcome::deleted)
}
