//! `lifeboat get`: lists.

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    context::{Context, now},
    failure::{Exit, Failure, Outcome},
    render::{Look, checks, recovery, rows},
};

const HELP: &str = "\
Examples:
  lifeboat get hosts
  lifeboat get vms 'web-*' db-1        only these; * stands for anything
  lifeboat get vms -o json | jq -r '.[] | select(.phase == \"unplaced\") | .name'
  lifeboat get checks                  each VM of each check
  lifeboat get recoveries              all of them, newest first
  lifeboat get recoveries 7            one of them, with its VMs";

/// Arguments.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hosts: how they are, what runs there, what room they have
    Hosts(Names),
    /// VMs: where they run, and why not
    Vms(Names),
    /// Checks of VMs: how each VM stands, what was seen last, what was measured
    Checks(Names),
    /// Volumes: whose they are, and where they are mapped
    Volumes(Names),
    /// Recoveries: which host failed, how it was fenced, what came back
    Recoveries {
        /// Only this one, with its VMs
        id: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Names {
    /// Only these; * stands for anything
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let client = context.client()?;
    let now = now();
    match &arguments.what {
        What::Hosts(only) => {
            let list = only.choose("host", client.hosts().await?, |row| row.name.as_str())?;
            show(context, &list, |list, look| rows::hosts(list, now, look))
        }
        What::Vms(only) => {
            let list = only.choose("VM", client.vms().await?, |row| row.name.as_str())?;
            show(context, &list, |list, look| rows::vms(list, now, look))
        }
        What::Checks(only) => {
            let list = only.choose("check", client.checks().await?, |row| row.name.as_str())?;
            show(context, &list, |list, look| checks::list(list, now, look))
        }
        What::Volumes(only) => {
            let list = only.choose("volume", client.volumes().await?, |row| row.name.as_str())?;
            show(context, &list, |list, look| rows::volumes(list, now, look))
        }
        What::Recoveries { id: None } => {
            let list = client.recoveries().await?;
            show(context, &list, |list, look| rows::recoveries(list, now, look))
        }
        What::Recoveries { id: Some(id) } => context.show(&client.recovery(*id).await?, recovery::whole),
    }
}

fn show<T: Serialize>(context: &Context, list: &Vec<T>, text: impl FnOnce(&[T], &Look) -> String) -> Outcome {
    context.show(list, |list, look| text(list, look))
}

impl Names {
    fn choose<T>(&self, kind: &str, list: Vec<T>, name: fn(&T) -> &str) -> Outcome<Vec<T>> {
        if self.names.is_empty() {
            return Ok(list);
        }
        let none = self.names.iter().find(|pattern| !list.iter().any(|row| matches(pattern, name(row))));
        if let Some(none) = none {
            return Err(no_such(kind, none, list.iter().map(name)));
        }
        let wanted = |row: &T| self.names.iter().any(|pattern| matches(pattern, name(row)));
        Ok(list.into_iter().filter(wanted).collect())
    }
}

/// The failure for a name that is not there.
pub fn no_such<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::new(Exit::Unknown, format!("There is no {kind} `{name}`."));
    match lifeboat_model::declaration::nearest(name, known) {
        Some(meant) => failure.advice(format!("did you mean {meant}?")),
        None => failure,
    }
}

/// Whether a name is the pattern, in which `*` stands for anything.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pattern.contains('*').then(|| parts.next_back()).flatten() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [("h1", "h1"), ("*", ""), ("*", "h1"), ("h*", "h1"), ("*1", "h1"), ("w*-*2", "web-12")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("h1", "h12"), ("", "h1"), ("h*2", "h1"), ("*a*a*", "a"), ("ab*ba", "aba")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
