//! Which hosts could take which jobs, were each alone: what bounds of few hosts rest on.
//!
//! Jobs of one kind (the same demand, requirements and running partners) have the same hosts. For plans of some size the
//! hosts are only told apart by requirements: there the room of a single host decides little, and counting would cost.

use std::collections::BTreeMap;

use crate::case::Case;
use crate::make_room::{self, MadeRoom};
use crate::room::{Need, Room};

/// Jobs up to which hosts are told apart by their room.
const JOBS: usize = 600;
/// Distinct sets of hosts that are looked at, at most.
const SETS: usize = 64;

/// What tells one job's hosts from another's.
type Kind<'c> = (&'c [i64], u32, u32, u32, &'c [u32], Vec<(u32, u32)>);

/// The hosts of each job, as sets.
pub(crate) struct Reach {
    /// Which of [`Reach::sets`] a job has.
    set_of: Vec<u32>,
    /// Distinct sets of hosts, as bits.
    sets: Vec<Vec<u64>>,
}

impl Reach {
    /// Finds out, with the running VMs where they are once room is made.
    pub(crate) fn new(case: &Case<'_>, made: &MadeRoom) -> Self {
        if case.jobs.len() <= JOBS {
            let mut room = Room::new(case);
            room.open_spares();
            make_room::replay(case, &mut room, made);
            if let Some(found) = Self::by_room(case, &room) {
                return found;
            }
        }
        let may = |eligible: &Vec<bool>| bits(case, |host| eligible[host] && case.takes(host));
        Self { set_of: case.jobs.iter().map(|job| job.needs).collect(), sets: case.eligible.iter().map(may).collect() }
    }

    /// By what each host has free; none when there would be too many sets.
    fn by_room(case: &Case<'_>, room: &Room) -> Option<Self> {
        let mut numbers: BTreeMap<Vec<u64>, u32> = BTreeMap::new();
        let mut kinds: BTreeMap<Kind<'_>, u32> = BTreeMap::new();
        let mut set_of = Vec::with_capacity(case.jobs.len());
        for (at, job) in case.jobs.iter().enumerate() {
            let partners = |rule: &&(u32, u32)| !case.rules[rule.0 as usize].running.is_empty();
            let rules: Vec<(u32, u32)> = job.rules.iter().filter(partners).copied().collect();
            let kind = (case.demand_of(at), job.needs, job.width, job.pin, job.avoid.as_slice(), rules);
            if let Some(set) = kinds.get(&kind) {
                set_of.push(*set);
                continue;
            }
            let need = Need { demand: kind.0, volumes: 0, width: job.width, rules: &kind.5 };
            let set = bits(case, |host| {
                room.open[host] && case.may_go(job, host) && room.check_need(case, &need, host).is_ok()
            });
            let next = numbers.len() as u32;
            let set = *numbers.entry(set).or_insert(next);
            kinds.insert(kind, set);
            set_of.push(set);
        }
        let mut sets = vec![Vec::new(); numbers.len()];
        for (set, at) in numbers {
            sets[at as usize] = set;
        }
        (sets.len() <= SETS).then_some(Self { set_of, sets })
    }

    /// The sets of fewer than so many hosts.
    pub(crate) fn narrow<'r>(&'r self, hosts: usize) -> impl Iterator<Item = Narrow<'r>> {
        let size = |set: &[u64]| set.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        self.sets.iter().filter(move |set| size(set) < hosts).map(|set| {
            let inside = |other: &Vec<u64>| other.iter().zip(set).all(|(other, set)| other & !set == 0);
            Narrow { reach: self, set, within: self.sets.iter().map(inside).collect() }
        })
    }
}

/// Some hosts, and the jobs that can go nowhere else.
pub(crate) struct Narrow<'r> {
    reach: &'r Reach,
    set: &'r [u64],
    within: Vec<bool>,
}

impl Narrow<'_> {
    /// Whether a job can go nowhere else.
    pub(crate) fn holds(&self, job: u32) -> bool {
        self.within[self.reach.set_of[job as usize] as usize]
    }

    /// The hosts.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = usize> + '_ {
        let words = self.set.iter().enumerate();
        words.flat_map(|(at, word)| (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit))
    }
}

fn bits(case: &Case<'_>, holds: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut bits = vec![0; case.index.host_count().div_ceil(64)];
    for host in (0..case.index.host_count()).filter(|host| holds(*host)) {
        bits[host / 64] |= 1 << (host % 64);
    }
    bits
}
