//! What the what-ifs share: which fleet, and which of its hosts fail.

use std::path::{Path, PathBuf};

use clap::Args;
use lifeboat_model::{
    HostName,
    fleet::{Fleet, Host},
    plan::{Plan, Request},
};
use lifeboat_planner::Options;

use super::{
    file,
    get::{matches, no_such},
    rules,
};
use crate::{
    context::Context,
    failure::{Exit, Failure, Outcome},
};

/// Where the fleet is from.
#[derive(Debug, Args)]
pub struct Source {
    /// A fleet/v1 document to plan for, instead of the controller's fleet; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub fleet: Option<PathBuf>,
    /// Restart rules that hold over that fleet; needs --fleet. The controller's fleet has its own
    #[arg(long, value_name = "FILE", requires = "fleet")]
    rules: Vec<PathBuf>,
}

impl Source {
    /// A document, or else the controller.
    pub const fn of(fleet: Option<PathBuf>) -> Self {
        Self { fleet, rules: Vec::new() }
    }

    /// The fleet of the document, with what rules make of it, or else the controller's as it is now.
    pub async fn read(&self, context: &Context) -> Outcome<Fleet> {
        match &self.fleet {
            Some(path) => {
                let mut fleet = document(path)?;
                if !self.rules.is_empty() {
                    let read = rules::read(&self.rules)?;
                    read.places.derive(&read.rules, &fleet)?.apply_to(&mut fleet);
                }
                Ok(fleet)
            }
            None => Ok(context.client()?.fleet().await?),
        }
    }
}

fn document(path: &Path) -> Outcome<Fleet> {
    Fleet::from_json(&text(path)?).map_err(|error| {
        Failure::new(Exit::BadInput, format!("{}: {error}.", path.display()))
            .advice("`lifeboat export` writes such a document; docs/formats.md describes it")
    })
}

/// A document's text.
pub fn text(path: &Path) -> Outcome<String> {
    String::from_utf8(file::read(path)?)
        .map_err(|_| Failure::new(Exit::BadInput, format!("{}: this is not text.", path.display())))
}

/// Which hosts fail.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Fails {
    /// Hosts that fail, all at once; * stands for anything
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    fail: Vec<String>,
    /// All hosts with this label fail, such as rack=r3; `site` is the host's site, * stands for anything
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    fail_label: Vec<String>,
}

impl Fails {
    /// The hosts meant, in the fleet's order.
    pub fn choose(&self, fleet: &Fleet) -> Outcome<Vec<HostName>> {
        let names = || fleet.hosts.iter().map(|host| host.name.as_str());
        if let Some(none) = self.fail.iter().find(|pattern| !names().any(|name| matches(pattern, name))) {
            return Err(no_such("host", none, names()));
        }
        let labels = self.fail_label.iter().map(|text| label(text, fleet)).collect::<Outcome<Vec<_>>>()?;
        let fails = |host: &&Host| {
            self.fail.iter().any(|pattern| matches(pattern, host.name.as_str()))
                || labels.iter().any(|(key, pattern)| has(host, key, pattern))
        };
        Ok(fleet.hosts.iter().filter(fails).map(|host| host.name.clone()).collect())
    }
}

/// Key and pattern of a label that some host has.
fn label<'a>(text: &'a str, fleet: &Fleet) -> Outcome<(&'a str, &'a str)> {
    let Some((key, pattern)) = text.split_once('=').filter(|(key, pattern)| !key.is_empty() && !pattern.is_empty())
    else {
        return Err(Failure::new(Exit::BadInput, format!("`{text}` is no label.")).advice("write it as rack=r3"));
    };
    if fleet.hosts.iter().any(|host| has(host, key, pattern)) {
        return Ok((key, pattern));
    }
    let mut known: Vec<&str> = fleet.hosts.iter().filter_map(|host| value(host, key)).collect();
    known.sort_unstable();
    known.dedup();
    let failure = Failure::new(Exit::Unknown, format!("No host has the label `{text}`."));
    Err(match known.len() {
        0 => failure.advice(format!("no host has a label `{key}` at all")),
        1..=8 => failure.advice(format!("{key} is one of {}", known.join(", "))),
        more => failure.advice(format!("{key} is one of {} and {} more", known[..8].join(", "), more - 8)),
    })
}

fn has(host: &Host, key: &str, pattern: &str) -> bool {
    value(host, key).is_some_and(|value| matches(pattern, value))
}

/// A host's label, or its site.
pub fn value<'a>(host: &'a Host, key: &str) -> Option<&'a str> {
    let site = || (key == "site" && !host.site.is_empty()).then_some(host.site.as_str());
    host.labels.get(key).map(String::as_str).or_else(site)
}

/// Plans here, without a controller.
pub fn plan(fleet: &Fleet, request: &Request, options: &Options) -> Outcome<Plan> {
    lifeboat_planner::plan(fleet, request, options).map_err(|error| Failure::caused(Exit::BadInput, &error))
}
