//! Finding places where the first choice of places left some VM out.
//!
//! What binds VMs together is placed first, then what few hosts can take; and a job that still has no place may push
//! another one to a third host (and that one a fourth), within a bounded number of tries.

use std::collections::BTreeMap;

use lifeboat_model::fleet::RuleKind;

use crate::case::Case;
use crate::index::NONE;
use crate::room::Blocker;
use crate::schedule::Assignment;
use crate::settle;

/// Places the jobs that a required rule holds together, all in one place or none.
pub(crate) fn place_together(case: &Case<'_>, assignment: &mut Assignment) {
    for rule in
        case.rules.iter().filter(|rule| rule.required && rule.kind == RuleKind::Together && rule.running.is_empty())
    {
        let at = rule.at;
        let jobs: Vec<usize> = (0..case.jobs.len())
            .filter(|job| case.jobs[*job].rules.iter().any(|(other, _)| case.rules[*other as usize].at == at))
            .filter(|job| assignment.host[*job] == NONE)
            .collect();
        if jobs.len() < 2 {
            continue;
        }
        let mut places: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (host, place) in case.places[rule.scope as usize].iter().enumerate() {
            if assignment.room.open[host] {
                places.entry(*place).or_default().push(host);
            }
        }
        let mut places: Vec<Vec<usize>> = places.into_values().collect();
        places.sort_by_cached_key(|hosts| {
            hosts.iter().map(|host| assignment.room.fullness(case, *host)).min().unwrap_or(u64::MAX)
        });
        places.iter().any(|hosts| all_into(case, assignment, &jobs, hosts));
    }
}

/// Places all of some jobs on some hosts, or none.
fn all_into(case: &Case<'_>, assignment: &mut Assignment, jobs: &[usize], hosts: &[usize]) -> bool {
    for (done, job) in jobs.iter().enumerate() {
        let fits = |host: &usize| assignment.room.check(case, *job, *host).ok().map(|nodes| (*host, nodes));
        let Some((host, nodes)) = hosts.iter().find_map(fits) else {
            jobs[..done].iter().for_each(|job| assignment.release(case, *job));
            return false;
        };
        assignment.assign(case, *job, host, nodes);
    }
    true
}

/// Places the jobs that fewer than half of the hosts can take, the rarest places first, evenly over those hosts.
pub(crate) fn place_scarce(case: &Case<'_>, assignment: &mut Assignment) {
    let open = assignment.room.open.iter().filter(|open| **open).count();
    let mut kinds: BTreeMap<(&[i64], u32, u32), Vec<usize>> = BTreeMap::new();
    for (at, job) in case.jobs.iter().enumerate().filter(|(at, _)| assignment.host[*at] == NONE) {
        kinds.entry((case.demand_of(at), job.needs, job.width)).or_default().push(at);
    }
    let mut kinds: Vec<(usize, Vec<usize>, Vec<usize>)> = kinds
        .into_values()
        .map(|jobs| {
            let hosts: Vec<usize> = (0..case.index.host_count())
                .filter(|host| assignment.room.check(case, jobs[0], *host).is_ok())
                .collect();
            (hosts.len(), jobs, hosts)
        })
        .filter(|(count, ..)| count * 2 < open)
        .collect();
    kinds.sort_by_key(|kind| kind.0);
    let mut load = vec![0_u64; case.index.host_count()];
    for (_, mut jobs, hosts) in kinds {
        jobs.sort_by_key(|job| (std::cmp::Reverse(case.jobs[*job].start), *job));
        for job in jobs {
            let fits = hosts.iter().filter_map(|host| Some((*host, assignment.room.check(case, job, *host).ok()?)));
            let best = fits.min_by_key(|(host, _)| (load[*host], assignment.room.slack_after(case, job, *host)));
            if let Some((host, nodes)) = best {
                assignment.assign(case, job, host, nodes);
                load[host] += case.jobs[job].start;
            }
        }
    }
}

/// Hosts looked at for each job that is pushed.
const NEAREST: usize = 16;
/// Jobs of a host that may be pushed away for one.
const PUSHED: usize = 12;

/// Pushes jobs from host to host to make places.
pub(crate) struct Packer<'c, 'a> {
    pub(crate) case: &'c Case<'a>,
    pub(crate) assignment: Assignment,
    /// Jobs of each host.
    pub(crate) jobs_of: Vec<Vec<u32>>,
    /// Tries left.
    budget: u64,
    /// What was done: a job put somewhere, or lifted from a host and its nodes there.
    log: Vec<(usize, Option<(usize, u64)>)>,
}

impl<'c, 'a> Packer<'c, 'a> {
    pub(crate) fn new(case: &'c Case<'a>, assignment: Assignment, budget: u64) -> Self {
        let mut packer =
            Self { case, assignment, jobs_of: vec![Vec::new(); case.index.host_count()], budget, log: Vec::new() };
        packer.refile();
        packer
    }

    /// Lists the jobs of each host anew, after hosts were taken away behind its back.
    pub(crate) fn refile(&mut self) {
        self.jobs_of.iter_mut().for_each(Vec::clear);
        for (job, host) in self.assignment.host.iter().enumerate().filter(|(_, host)| **host != NONE) {
            self.jobs_of[*host as usize].push(job as u32);
        }
    }

    pub(crate) fn put(&mut self, job: usize, host: usize, nodes: u64) {
        self.assignment.assign(self.case, job, host, nodes);
        self.jobs_of[host].push(job as u32);
        self.log.push((job, None));
    }

    pub(crate) fn lift(&mut self, job: usize) -> (usize, u64) {
        let was = (self.assignment.host[job] as usize, self.assignment.nodes[job]);
        self.assignment.release(self.case, job);
        self.jobs_of[was.0].retain(|other| *other as usize != job);
        self.log.push((job, Some(was)));
        was
    }

    /// Finds a place for a job, pushing others up to `depth` deep. When it cannot, nothing has changed.
    pub(crate) fn insert(&mut self, job: usize, depth: u32) -> bool {
        if let Some((host, nodes)) = settle::tightest(self.case, &self.assignment.room, job) {
            self.put(job, host, nodes);
            return true;
        }
        depth > 0 && self.nearest(job).into_iter().any(|host| self.push(job, host, depth))
    }

    /// Open hosts where the job may go, those first where least is missing.
    pub(crate) fn nearest(&self, job: usize) -> Vec<usize> {
        let mut hosts: Vec<(u64, usize)> = Vec::new();
        for host in 0..self.case.index.host_count() {
            let missing = match self.assignment.room.check(self.case, job, host) {
                Ok(_) => 0,
                Err(Blocker::Closed) => continue,
                Err(Blocker::Rule(_)) => 1,
                Err(Blocker::Numa) => 2,
                Err(Blocker::Volumes { short }) => 3 + short as u64,
                Err(Blocker::Resource { resource, short }) => {
                    let need = self.case.demand_of(job)[resource].max(1);
                    3 + (short as u128 * 1_000_000 / need as u128) as u64
                }
            };
            hosts.push((missing, host));
        }
        hosts.sort_unstable();
        hosts.truncate(NEAREST);
        hosts.into_iter().map(|(_, host)| host).collect()
    }

    /// Takes a host for a job by pushing one or two others away.
    fn push(&mut self, job: usize, host: usize, depth: u32) -> bool {
        let mut others: Vec<usize> = self.jobs_of[host].iter().map(|other| *other as usize).collect();
        others.retain(|other| !is_tied(self.case, *other));
        others.sort_by_key(|other| (self.size(*other), *other));
        others.truncate(PUSHED);
        for (at, first) in others.iter().enumerate() {
            if self.try_push(job, host, &[*first], depth) {
                return true;
            }
            if depth > 1 && at > 0 && self.try_push(job, host, &[others[at - 1], *first], depth) {
                return true;
            }
        }
        false
    }

    fn try_push(&mut self, job: usize, host: usize, others: &[usize], depth: u32) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        let mark = self.log.len();
        for other in others {
            self.lift(*other);
        }
        if let Ok(nodes) = self.assignment.room.check(self.case, job, host) {
            self.put(job, host, nodes);
            if others.iter().all(|other| self.insert(*other, depth - 1)) {
                return true;
            }
        }
        self.undo(mark);
        false
    }

    /// Takes back everything that was done since the log was so long.
    fn undo(&mut self, mark: usize) {
        for (job, lifted_from) in self.log.split_off(mark).into_iter().rev() {
            match lifted_from {
                Some((host, nodes)) => self.put(job, host, nodes),
                None => {
                    self.lift(job);
                }
            }
        }
        self.log.truncate(mark);
    }

    /// A job's demand, as the sum of its parts of the fleet's largest hosts.
    pub(crate) fn size(&self, job: usize) -> i64 {
        self.case.demand_of(job).iter().sum()
    }
}

/// Whether a rule or the request holds a job where it is.
pub(crate) fn is_tied(case: &Case<'_>, job: usize) -> bool {
    let tied = |rule: u32| {
        let rule = &case.rules[rule as usize];
        rule.required && rule.kind == RuleKind::Together
    };
    case.jobs[job].pin != NONE || case.jobs[job].rules.iter().any(|(rule, _)| tied(*rule))
}
