//! Why a job has no place, and how near it came to one.

use lifeboat_model::HostName;
use lifeboat_model::reason::Reason;

use crate::case::Case;
use crate::index::NONE;
use crate::room::{Blocker, Room};

/// The nearest miss of one kind: how bad, and where.
type Nearest<T> = Option<(T, usize)>;

/// Why no host can take a job now. Of several kinds of misses the one that comes nearest to a place is told: a rule in
/// the way where there is room, then nodes, then volumes, then a resource.
pub(crate) fn of(case: &Case<'_>, room: &Room, job: usize) -> Reason {
    let mut rule: Nearest<usize> = None;
    let mut numa: Nearest<()> = None;
    let mut volumes: Nearest<i64> = None;
    let mut resource: Nearest<(u64, usize, i64)> = None;
    for host in 0..case.index.host_count() {
        match room.check(case, job, host) {
            Ok(_) | Err(Blocker::Closed) => {}
            Err(Blocker::Rule(at)) => rule = rule.or(Some((at, host))),
            Err(Blocker::Numa) => numa = numa.or(Some(((), host))),
            Err(Blocker::Volumes { short }) if volumes.is_none_or(|(least, _)| short < least) => {
                volumes = Some((short, host));
            }
            Err(Blocker::Volumes { .. }) => {}
            Err(Blocker::Resource { resource: at, short }) => {
                let part = (short as u128 * 1_000_000 / case.demand_of(job)[at].max(1) as u128) as u64;
                if resource.is_none_or(|((least, _, _), _)| part < least) {
                    resource = Some(((part, at, short), host));
                }
            }
        }
    }
    let name = |host: usize| case.index.fleet.hosts[host].name.clone();
    match (rule, numa, volumes, resource) {
        (Some((at, host)), ..) => Reason::Rule { rule: case.rules[at].at as usize, nearest: name(host) },
        (_, Some((_, host)), ..) => Reason::Numa { nearest: name(host), nodes: case.jobs[job].width },
        (.., Some((short, host)), _) => Reason::VolumeLimit { nearest: name(host), short_by: short as u64 },
        (.., Some(((_, at, short), host))) => Reason::NoCapacity {
            resource: case.index.resources[at].to_owned(),
            short_by: short as u64,
            nearest: name(host),
        },
        _ => no_eligible_host(case, room, job),
    }
}

fn no_eligible_host(case: &Case<'_>, room: &Room, job: usize) -> Reason {
    let takes = |host: usize| case.index.is_up(host) && !case.gone[host];
    let up: Vec<usize> = (0..case.index.host_count()).filter(|host| takes(*host)).collect();
    if up.is_empty() {
        return Reason::NoEligibleHost { requires: None };
    }
    let row = &case.jobs[job];
    let vm = &case.index.fleet.vms[row.vm as usize];
    let lacks = vm.requires.iter().find(|(label, value)| {
        !up.iter().any(|host| {
            let host = &case.index.fleet.hosts[*host];
            let has =
                if *label == "host" { Some(host.name.as_str()) } else { host.labels.get(*label).map(String::as_str) };
            has.is_some_and(|has| value.accepts(has))
        })
    });
    if let Some((label, _)) = lacks {
        return Reason::NoEligibleHost { requires: Some(label.clone()) };
    }
    if let Some(host) = up.iter().find(|host| case.may_go(row, **host) && !room.open[**host]) {
        return over_full(case, room, *host);
    }
    let label = if row.pin != NONE || !row.avoid.is_empty() { None } else { vm.requires.keys().next() };
    Reason::NoEligibleHost { requires: Some(label.map_or_else(|| "host".to_owned(), Clone::clone)) }
}

/// A host that takes nothing, because it has more than it should already.
fn over_full(case: &Case<'_>, room: &Room, host: usize) -> Reason {
    let nearest: HostName = case.index.fleet.hosts[host].name.clone();
    if room.volumes[host] < 0 {
        return Reason::VolumeLimit { nearest, short_by: room.volumes[host].unsigned_abs() };
    }
    let width = case.index.resources.len();
    let short = room.free[host * width..(host + 1) * width].iter().enumerate().min_by_key(|(_, free)| **free);
    let (at, free) = short.unwrap_or((0, &0));
    let resource = case.index.resources.get(at).map_or_else(String::new, |name| (*name).to_owned());
    Reason::NoCapacity { resource, short_by: free.min(&0).unsigned_abs(), nearest }
}
