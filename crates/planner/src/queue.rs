//! Hosts by when their last start is over: where a job is looked for a place first.
//!
//! Hosts that are nearly full are the first to be free of starts, and would be looked at for every job in vain. So hosts
//! are filed by how much room they have, in powers of two of the smallest need, and a job is shown only those files where
//! it may fit. What it is shown comes in the same order as without the files.

use std::collections::BTreeSet;
use std::collections::btree_set::Iter;
use std::iter::Peekable;

use crate::Policy;
use crate::case::Case;
use crate::index::UNLIMITED;
use crate::room::Room;

/// `(end of the last start, rank by policy, host)`.
type Key = (u64, u64, u32);

/// The open hosts in order.
pub(crate) struct Queue {
    /// The hosts of each file; in file `n` a host has at least `2^n` times the smallest need of everything.
    files: Vec<BTreeSet<Key>>,
    /// The file and the key of each host; none for a host that is closed or full.
    place: Vec<Option<(u8, Key)>>,
    /// The resources that all jobs need, with the smallest need of each.
    units: Vec<(usize, i64)>,
    policy: Policy,
}

impl Queue {
    /// All open hosts, none with a start.
    pub(crate) fn new(case: &Case<'_>, room: &Room, policy: Policy) -> Self {
        let mut queue =
            Self { files: Vec::new(), place: vec![None; case.index.host_count()], units: units(case), policy };
        let mut rows: Vec<Vec<Key>> = Vec::new();
        for host in (0..queue.place.len()).filter(|host| room.open[*host]) {
            let Some(file) = queue.file_of(room, host) else { continue };
            let key = (0, queue.rank(case, room, host), host as u32);
            queue.place[host] = Some((file, key));
            if rows.len() <= usize::from(file) {
                rows.resize_with(usize::from(file) + 1, Vec::new);
            }
            rows[usize::from(file)].push(key);
        }
        queue.files = rows.into_iter().map(BTreeSet::from_iter).collect();
        queue
    }

    /// Takes note of what a host does now, after its room became less.
    pub(crate) fn update(&mut self, case: &Case<'_>, room: &Room, host: usize, end: u64) {
        let Some((file, key)) = self.place[host] else { return };
        self.files[usize::from(file)].remove(&key);
        self.place[host] = self.file_of(room, host).map(|file| (file, (end, self.rank(case, room, host), host as u32)));
        if let Some((file, key)) = self.place[host] {
            self.files[usize::from(file)].insert(key);
        }
    }

    /// The hosts that may have room for a job, in order, each with the end of its last start.
    pub(crate) fn hosts_for(&self, case: &Case<'_>, job: usize) -> Merged<'_> {
        let demand = case.demand_of(job);
        let need = self.units.iter().map(|(resource, unit)| whole_log2(demand[*resource] / unit)).min();
        let from = usize::from(need.unwrap_or(0)).min(self.files.len());
        Merged {
            rows: self.files[from..]
                .iter()
                .filter(|file| !file.is_empty())
                .map(|file| file.iter().peekable())
                .collect(),
        }
    }

    /// The file of a host; none when it has not even the smallest need.
    fn file_of(&self, room: &Room, host: usize) -> Option<u8> {
        let free = room.free_of(host);
        let mut file = u8::MAX;
        for (resource, unit) in &self.units {
            let times = free[*resource] / unit;
            if times < 1 {
                return None;
            }
            file = file.min(whole_log2(times));
        }
        Some(if file == u8::MAX { 0 } else { file })
    }

    fn rank(&self, case: &Case<'_>, room: &Room, host: usize) -> u64 {
        let fullness = room.fullness(case, host);
        match self.policy {
            Policy::Spread => fullness,
            Policy::Pack => 1_000_000 - fullness.min(1_000_000),
        }
    }
}

/// The resources that all jobs need, each with the smallest need.
fn units(case: &Case<'_>) -> Vec<(usize, i64)> {
    let width = case.index.resources.len();
    let mut least = vec![UNLIMITED; width];
    for job in 0..case.jobs.len() {
        least.iter_mut().zip(case.demand_of(job)).for_each(|(least, need)| *least = (*least).min(*need));
    }
    least.into_iter().enumerate().filter(|(_, least)| (1..UNLIMITED).contains(least)).collect()
}

fn whole_log2(times: i64) -> u8 {
    times.max(1).ilog2() as u8
}

/// Several rows of hosts as one, in order.
pub(crate) struct Merged<'q> {
    rows: Vec<Peekable<Iter<'q, Key>>>,
}

impl Iterator for Merged<'_> {
    type Item = (u64, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut first, mut least) = (0, None);
        for (at, row) in self.rows.iter_mut().enumerate() {
            if let Some(key) = row.peek().copied()
                && least.is_none_or(|least| key < least)
            {
                (first, least) = (at, Some(key));
            }
        }
        least?;
        self.rows[first].next().map(|(end, _, host)| (*end, *host as usize))
    }
}
