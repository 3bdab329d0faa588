//! A drill's answer as a report that can be kept and compared.

use lifeboat_model::drill::{Case, Late, MAX_CASES, MAX_NAMED, Part, Report, Slowest};
use lifeboat_model::fleet::{Fleet, HostState};
use lifeboat_model::plan::ClassSummary;

use super::{By, Drill, WhatIf, drill};
use crate::{Options, PlanError, RoomMaking};

/// What hosts are put together by beside sites, when they have such a label.
const RACK: &str = "rack";

/// Drills the failure of every host, and of every rack and every site where there are several: what a controller does every
/// day. It plans as a controller does.
///
/// # Errors
/// [`PlanError`] when the fleet has not been validated.
pub fn report(fleet: &Fleet) -> Result<Report, PlanError> {
    let up = || fleet.hosts.iter().filter(|host| host.state != HostState::Down);
    let mut by = vec![(By::Host, "host")];
    if up().any(|host| host.labels.contains_key(RACK)) {
        by.push((By::Label(RACK.to_owned()), RACK));
    }
    let first = up().next().map(|host| &host.site);
    if up().any(|host| Some(&host.site) != first) {
        by.push((By::Site, "site"));
    }
    let options = Options { room: RoomMaking::Stop, ..Options::default() };
    let part = |(by, name): &(By, &str)| Ok(part(&drill(fleet, by, 1, &options)?, name));
    Ok(Report {
        hosts: up().count() as u64,
        vms: fleet.vms.iter().filter(|vm| vm.host.is_some()).count() as u64,
        parts: by.iter().map(part).collect::<Result<Vec<_>, PlanError>>()?,
        ..Report::default()
    })
}

/// A drill of single failures as a part of a report.
#[must_use]
pub fn part(answer: &Drill, by: &str) -> Part {
    let mut bad: Vec<Case> = answer.what_ifs.iter().filter(|it| !it.is_fine()).map(case).collect();
    // The sort is stable: what is equally bad stays in the fleet's order.
    bad.sort_by_key(|case| std::cmp::Reverse((case.out, case.late.len())));
    let bad_count = bad.len() as u64;
    bad.truncate(MAX_CASES);
    Part {
        by: by.to_owned(),
        cases: answer.what_ifs.len() as u64,
        incomplete: answer.what_ifs.iter().filter(|it| !it.unplaced.is_empty()).count() as u64,
        bad,
        bad_count,
        slowest: slowest(answer),
    }
}

fn case(it: &WhatIf) -> Case {
    let late = |class: &&ClassSummary| !class.met;
    Case {
        name: it.name.join(" with "),
        lost: it.lost,
        out: it.unplaced.len() as u64,
        named: it.unplaced.iter().take(MAX_NAMED).map(|out| out.vm.clone()).collect(),
        why: it.unplaced.first().map(|out| out.reason.to_string()),
        late: it
            .classes
            .iter()
            .filter(late)
            .map(|class| Late { class: class.name.clone(), ready_s: class.ready_s, rto_s: class.rto_s })
            .collect(),
    }
}

fn slowest(answer: &Drill) -> Vec<Slowest> {
    let mut slowest: Vec<Slowest> = Vec::new();
    for it in &answer.what_ifs {
        for class in it.classes.iter().filter(|class| class.vms > 0) {
            let now = || Slowest {
                class: class.name.clone(),
                ready_s: class.ready_s,
                rto_s: class.rto_s,
                name: it.name.join(" with "),
            };
            match slowest.iter_mut().find(|other| other.class == class.name) {
                None => slowest.push(now()),
                Some(other) if class.ready_s > other.ready_s => *other = now(),
                Some(_) => {}
            }
        }
    }
    slowest
}
