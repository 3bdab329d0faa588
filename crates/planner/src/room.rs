//! What is still free on each host, and what rules allow: the state that placing VMs changes.

use lifeboat_model::fleet::RuleKind;

use crate::case::{Case, reserve};
use crate::index::{NONE, UNLIMITED, share};

/// Why a host cannot take a job now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocker {
    /// It is down, in maintenance, kept empty, over its capacity already, or not where the job may go.
    Closed,
    /// A resource is short by so much.
    Resource { resource: usize, short: i64 },
    /// Its volume limit would be exceeded by so many.
    Volumes { short: i64 },
    /// No nodes with room enough.
    Numa,
    /// A required rule, by its position among [`Case::rules`].
    Rule(usize),
}

/// What a VM takes of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need<'n> {
    pub(crate) demand: &'n [i64],
    pub(crate) volumes: u32,
    /// NUMA nodes that it spans, or 0.
    pub(crate) width: u32,
    /// Rules that bind it, see [`crate::case::Job::rules`].
    pub(crate) rules: &'n [(u32, u32)],
}

impl<'n> Need<'n> {
    fn of(case: &'n Case<'_>, job: usize) -> Self {
        let row = &case.jobs[job];
        Self { demand: case.demand_of(job), volumes: row.volumes, width: row.width, rules: &row.rules }
    }
}

/// Where members of a rule are: `(place, set, how many)`, sorted.
type Places = Vec<(u32, u32, u32)>;

/// What is free.
#[derive(Clone)]
pub(crate) struct Room {
    width: usize,
    pub(crate) free: Vec<i64>,
    pub(crate) volumes: Vec<i64>,
    pub(crate) open: Vec<bool>,
    /// Spare hosts that could take VMs.
    spares: Vec<u32>,
    nodes: Vec<i64>,
    rules: Vec<Places>,
}

impl Room {
    /// What is free once the failed hosts are gone; spare hosts are not open.
    pub(crate) fn new(case: &Case<'_>) -> Self {
        let index = case.index;
        let width = index.resources.len();
        let mut room = Self {
            width,
            free: index.capacity.iter().zip(&index.used).map(|(has, used)| has - used).collect(),
            volumes: (0..index.host_count()).map(|host| index.volumes_left(host)).collect(),
            open: Vec::with_capacity(index.host_count()),
            spares: Vec::new(),
            nodes: index.node_free.clone(),
            rules: vec![Vec::new(); case.rules.len()],
        };
        for (host, row) in index.fleet.hosts.iter().enumerate() {
            let free = &mut room.free[host * width..(host + 1) * width];
            let nodes = index.node_start[host] as usize * width..index.node_start[host + 1] as usize * width;
            // A host that is over its capacity already takes nothing, whatever it be of.
            let sound = free.iter().chain(&room.nodes[nodes]).all(|left| *left >= 0) && room.volumes[host] >= 0;
            let takes = sound && index.is_up(host) && !case.gone[host];
            room.open.push(takes && !row.spare);
            if takes && row.spare {
                room.spares.push(host as u32);
            }
            if !row.reserve.is_empty() {
                for (resource, left) in free.iter_mut().enumerate() {
                    *left -= reserve(index, host, resource);
                }
            }
        }
        for (at, rule) in case.rules.iter().enumerate() {
            for (vm, set) in &rule.running {
                let place = case.places[rule.scope as usize][index.vm_host[*vm as usize] as usize];
                count(&mut room.rules[at], place, *set, 1);
            }
        }
        room
    }

    /// Lets spare hosts take VMs.
    pub(crate) fn open_spares(&mut self) {
        self.spares.iter().for_each(|host| self.open[*host as usize] = true);
    }

    /// Lets them take no more.
    pub(crate) fn close_spares(&mut self) {
        self.spares.iter().for_each(|host| self.open[*host as usize] = false);
    }

    /// What is free on a host of each resource.
    pub(crate) fn free_of(&self, host: usize) -> &[i64] {
        &self.free[host * self.width..(host + 1) * self.width]
    }

    /// Whether a host can take a job now: the NUMA nodes that it would have, as bits.
    pub(crate) fn check(&self, case: &Case<'_>, job: usize, host: usize) -> Result<u64, Blocker> {
        if !self.open[host] || !case.may_go(&case.jobs[job], host) {
            return Err(Blocker::Closed);
        }
        self.check_need(case, &Need::of(case, job), host)
    }

    /// Whether a host, were it open, has what is needed: the NUMA nodes, as bits.
    pub(crate) fn check_need(&self, case: &Case<'_>, need: &Need<'_>, host: usize) -> Result<u64, Blocker> {
        let free = &self.free[host * self.width..(host + 1) * self.width];
        for (resource, (need, free)) in need.demand.iter().zip(free).enumerate() {
            if *need > 0 && need > free {
                return Err(Blocker::Resource { resource, short: need - free });
            }
        }
        if i64::from(need.volumes) > self.volumes[host] {
            return Err(Blocker::Volumes { short: i64::from(need.volumes) - self.volumes[host] });
        }
        let nodes = self.choose_nodes(case, need, host)?;
        for (rule, set) in need.rules {
            if case.rules[*rule as usize].required && self.breaks(case, *rule as usize, *set, host) {
                return Err(Blocker::Rule(*rule as usize));
            }
        }
        Ok(nodes)
    }

    /// How many wishes a host would leave unmet.
    pub(crate) fn wishes_broken(&self, case: &Case<'_>, job: usize, host: usize) -> u32 {
        let wishes = case.jobs[job].rules.iter().filter(|(rule, _)| !case.rules[*rule as usize].required);
        wishes.filter(|(rule, set)| self.breaks(case, *rule as usize, *set, host)).count() as u32
    }

    fn breaks(&self, case: &Case<'_>, rule: usize, set: u32, host: usize) -> bool {
        let row = &case.rules[rule];
        let place = case.places[row.scope as usize][host];
        let at = &self.rules[rule];
        let other_set = |other: u32| set == NONE || other != set;
        match row.kind {
            RuleKind::Apart => {
                let from = at.partition_point(|entry| entry.0 < place);
                at[from..].iter().take_while(|entry| entry.0 == place).any(|entry| other_set(entry.1))
            }
            RuleKind::Together => at.iter().any(|entry| entry.0 != place && other_set(entry.1)),
        }
    }

    /// The nodes with the least room that is enough, so that wide gaps stay whole.
    fn choose_nodes(&self, case: &Case<'_>, need: &Need<'_>, host: usize) -> Result<u64, Blocker> {
        let index = case.index;
        let (first, end) = (index.node_start[host] as usize, index.node_start[host + 1] as usize);
        let width = need.width;
        if width == 0 || first == end {
            return Ok(0);
        }
        let mut chosen = 0_u64;
        for _ in 0..width {
            let mut best: Option<(i64, usize)> = None;
            for node in (first..end).take(64).filter(|node| chosen & (1 << (node - first)) == 0) {
                let left = self.node_left(need, node);
                if left.is_some_and(|left| best.is_none_or(|best| (left, node) < best)) {
                    best = left.map(|left| (left, node));
                }
            }
            let Some((_, node)) = best else { return Err(Blocker::Numa) };
            chosen |= 1 << (node - first);
        }
        Ok(chosen)
    }

    /// What would be left on a node, as the sum of its resources; none when it has not enough.
    fn node_left(&self, need: &Need<'_>, node: usize) -> Option<i64> {
        let free = &self.nodes[node * self.width..(node + 1) * self.width];
        let width = need.width;
        let mut sum = 0_i64;
        for (need, free) in need.demand.iter().zip(free) {
            let left = free - share(*need as u64, width);
            if left < 0 {
                return None;
            }
            sum = sum.saturating_add(left);
        }
        Some(sum)
    }

    /// Gives a job its room on a host.
    pub(crate) fn take(&mut self, case: &Case<'_>, job: usize, host: usize, nodes: u64) {
        self.change(case, &Need::of(case, job), host, nodes, -1);
    }

    /// Takes it back.
    pub(crate) fn give_back(&mut self, case: &Case<'_>, job: usize, host: usize, nodes: u64) {
        self.change(case, &Need::of(case, job), host, nodes, 1);
    }

    /// Takes (`sign` -1) what is needed of a host, or gives it back (1).
    pub(crate) fn change(&mut self, case: &Case<'_>, need: &Need<'_>, host: usize, nodes: u64, sign: i64) {
        for (free, need) in self.free[host * self.width..].iter_mut().zip(need.demand) {
            *free += sign * need;
        }
        self.volumes[host] += sign * i64::from(need.volumes);
        let mut left = nodes;
        while left != 0 {
            let node = case.index.node_start[host] as usize + left.trailing_zeros() as usize;
            for (free, amount) in self.nodes[node * self.width..].iter_mut().zip(need.demand) {
                *free += sign * share(*amount as u64, need.width);
            }
            left &= left - 1;
        }
        for (rule, set) in need.rules {
            let place = case.places[case.rules[*rule as usize].scope as usize][host];
            count(&mut self.rules[*rule as usize], place, *set, if sign < 0 { 1 } else { -1 });
        }
    }

    /// The sum over the resources of the part, in millionths, that would be free on a host with a job on it.
    pub(crate) fn slack_after(&self, case: &Case<'_>, job: usize, host: usize) -> i64 {
        let has = &case.index.capacity[host * self.width..(host + 1) * self.width];
        let free = &self.free[host * self.width..(host + 1) * self.width];
        let mut slack = 0;
        for ((has, free), need) in has.iter().zip(free).zip(case.demand_of(job)) {
            if *has > 0 && *has < UNLIMITED {
                slack += (i128::from(free - need) * 1_000_000 / i128::from(*has)) as i64;
            }
        }
        slack
    }

    /// How full a host is: the largest used part of any resource, in millionths.
    pub(crate) fn fullness(&self, case: &Case<'_>, host: usize) -> u64 {
        let has = &case.index.capacity[host * self.width..(host + 1) * self.width];
        let free = &self.free[host * self.width..(host + 1) * self.width];
        let limited = has.iter().zip(free).filter(|(has, _)| **has > 0 && **has < UNLIMITED);
        limited.map(|(has, free)| ((has - free).max(0) as u128 * 1_000_000 / *has as u128) as u64).max().unwrap_or(0)
    }
}

fn count(places: &mut Places, place: u32, set: u32, by: i32) {
    match places.binary_search_by_key(&(place, set), |entry| (entry.0, entry.1)) {
        Ok(at) => {
            places[at].2 = places[at].2.saturating_add_signed(by);
            if places[at].2 == 0 {
                places.remove(at);
            }
        }
        Err(at) if by > 0 => places.insert(at, (place, set, by as u32)),
        Err(_) => {}
    }
}
