//! The drill: what if each host, each pair of hosts, each rack or each site failed now?
//!
//! The fleet is numbered once; every what-if is then a quick plan of its own, without search and without its steps being
//! written out.

use std::collections::BTreeMap;

use lifeboat_model::fleet::{Fleet, HostState};
use lifeboat_model::plan::{ClassSummary, Request, Unplaced};
use lifeboat_model::{ClassName, HostName, Seconds};
use serde::Serialize;

use crate::case::Case;
use crate::emit;
use crate::index::Index;
use crate::solve;
use crate::{Options, PlanError};

mod report;

pub use report::{part, report};

/// What fails together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Each host.
    Host,
    /// All hosts with the same value of a label (`rack`).
    Label(String),
    /// All hosts of a site.
    Site,
}

/// One what-if.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// What fails: host names, label values or sites, as many as the depth.
    pub name: Vec<String>,
    /// The hosts that fail.
    pub failed: Vec<HostName>,
    /// VMs that are lost.
    pub lost: u64,
    /// VMs that would not come back, and why.
    pub unplaced: Vec<Unplaced>,
    /// VMs that would be moved or stopped to make room.
    pub disturbed: u64,
    /// How long each class would take.
    pub classes: Vec<ClassSummary>,
    /// When the last VM would be back.
    pub makespan_s: Seconds,
}

impl WhatIf {
    /// Whether everything would come back within its objective.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.unplaced.is_empty() && self.missed().next().is_none()
    }

    /// The classes that would miss their objective.
    pub fn missed(&self) -> impl Iterator<Item = &ClassName> {
        self.classes.iter().filter(|class| !class.met).map(|class| &class.name)
    }
}

/// The answer of a drill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drill {
    /// Every what-if, in the fleet's order.
    pub what_ifs: Vec<WhatIf>,
    /// How many of what was asked may fail at once, at least, with every VM coming back; no more than the depth.
    pub survives: u32,
}

/// The most what-ifs of one drill.
pub const MAX_WHAT_IFS: usize = 1_000_000;

/// Plans the failure of everything, one by one (`depth` 1) or also pair by pair (2).
///
/// # Errors
/// [`PlanError`] when the fleet has not been validated, or there are more than [`MAX_WHAT_IFS`] pairs.
pub fn drill(fleet: &Fleet, by: &By, depth: u32, options: &Options) -> Result<Drill, PlanError> {
    let index = Index::new(fleet)?;
    let options = Options { effort: 0, ..*options };
    let units = units(fleet, by);
    let pairs = units.len() * units.len().saturating_sub(1) / 2;
    if depth > 1 && pairs > MAX_WHAT_IFS {
        return Err(PlanError::TooManyWhatIfs { count: pairs });
    }
    let mut answer = Drill { what_ifs: Vec::new(), survives: 0 };
    for unit in &units {
        answer.what_ifs.push(what_if(&index, &options, &[unit])?);
    }
    let all_back = |answer: &Drill| answer.what_ifs.iter().all(|what_if| what_if.unplaced.is_empty());
    answer.survives = u32::from(all_back(&answer));
    if depth > 1 {
        for (at, first) in units.iter().enumerate() {
            for second in &units[at + 1..] {
                answer.what_ifs.push(what_if(&index, &options, &[first, second])?);
            }
        }
        answer.survives += u32::from(answer.survives == 1 && all_back(&answer));
    }
    Ok(answer)
}

/// What fails together: its name, and its hosts.
type FailUnit = (String, Vec<HostName>);

fn units(fleet: &Fleet, by: &By) -> Vec<FailUnit> {
    let runs = fleet.hosts.iter().filter(|host| host.state != HostState::Down);
    let mut named: BTreeMap<String, Vec<HostName>> = BTreeMap::new();
    for host in runs {
        let key = match by {
            By::Host => Some(host.name.to_string()),
            By::Label(label) => host.labels.get(label).cloned(),
            By::Site => Some(host.site.clone()),
        };
        if let Some(key) = key {
            named.entry(key).or_default().push(host.name.clone());
        }
    }
    named.into_iter().collect()
}

fn what_if<'a>(index: &'a Index<'a>, options: &Options, units: &[&FailUnit]) -> Result<WhatIf, PlanError> {
    let failed: Vec<HostName> = units.iter().flat_map(|unit| unit.1.iter().cloned()).collect();
    let request = Request { failed, ..Request::default() };
    let case = Case::new(index, &request)?;
    let solution = solve::solve(&case, options)?;
    let summary = emit::summary(&case, &solution);
    Ok(WhatIf {
        name: units.iter().map(|unit| unit.0.clone()).collect(),
        lost: case.jobs.len() as u64,
        unplaced: emit::unplaced(&case, &solution),
        disturbed: solution.made.leaves.len() as u64,
        classes: summary.classes,
        makespan_s: summary.makespan_s,
        failed: request.failed,
    })
}

/// One way in which an answer got worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worse {
    /// Fewer may fail at once.
    Survives {
        /// How many might before.
        before: u32,
        /// How many may now.
        now: u32,
    },
    /// More VMs would stay out.
    LeftOut {
        /// What fails.
        name: Vec<String>,
        /// How many would have stayed out before.
        before: u64,
        /// How many would now.
        now: u64,
    },
    /// A class would miss its objective that did not.
    Misses {
        /// What fails.
        name: Vec<String>,
        /// The class.
        class: ClassName,
    },
}

/// In which ways a later answer is worse than an earlier one: what the daily drill warns of, and what tells whether a new
/// VM or a changed host would break what could fail before.
#[must_use]
pub fn worse(before: &Drill, now: &Drill) -> Vec<Worse> {
    let mut found = Vec::new();
    if now.survives < before.survives {
        found.push(Worse::Survives { before: before.survives, now: now.survives });
    }
    let old: BTreeMap<&[String], &WhatIf> =
        before.what_ifs.iter().map(|what_if| (what_if.name.as_slice(), what_if)).collect();
    for what_if in &now.what_ifs {
        let earlier = old.get(what_if.name.as_slice());
        let out = earlier.map_or(0, |earlier| earlier.unplaced.len() as u64);
        if what_if.unplaced.len() as u64 > out {
            found.push(Worse::LeftOut { name: what_if.name.clone(), before: out, now: what_if.unplaced.len() as u64 });
        }
        for class in what_if.missed() {
            if !earlier.is_some_and(|earlier| earlier.missed().any(|other| other == class)) {
                found.push(Worse::Misses { name: what_if.name.clone(), class: class.clone() });
            }
        }
    }
    found
}
