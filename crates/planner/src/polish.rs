//! A fast search over which host each job has, looking only at starts.
//!
//! When the volumes of a job are there depends little on its host: arrays are shared. So between two whole schedules the
//! moments from which jobs can start are held fixed, hosts do not touch each other, and a change of two hosts is judged
//! by those two alone. The judgement is a sum, over jobs, of a high power of how late each is against the bound of the
//! class that it holds up: nearly the latest one, yet without plateaus. Worse changes are taken now and then, less and
//! less (threshold accepting), and every whole schedule that is better than the best is kept.

use crate::case::Case;
use crate::dice::Dice;
use crate::index::NONE;
use crate::make_room::Held;
use crate::priority::{self, Due};
use crate::schedule::{Assignment, Schedule};
use crate::timeline::Timeline;

/// The state of a polishing round.
pub(crate) struct Polish<'c, 'a> {
    case: &'c Case<'a>,
    assignment: &'c mut Assignment,
    /// When each job can start.
    release: Vec<u64>,
    dues: Vec<Due>,
    /// Each job's place in the order.
    turn: Vec<u32>,
    /// The jobs of each host, in the order of their turns.
    jobs_of: Vec<Vec<u32>>,
    /// The lateness of each host.
    cost: Vec<f64>,
    /// Hosts that may take jobs.
    hosts: Vec<u32>,
    /// Jobs that have a host.
    jobs: Vec<u32>,
    line: Timeline,
}

impl<'c, 'a> Polish<'c, 'a> {
    pub(crate) fn new(
        case: &'c Case<'a>,
        assignment: &'c mut Assignment,
        order: &[u32],
        schedule: &Schedule,
        bounds: &[u64],
        held: &Held,
    ) -> Self {
        let mut turn = vec![0; case.jobs.len()];
        let mut jobs_of = vec![Vec::new(); case.index.host_count()];
        for (at, job) in order.iter().enumerate() {
            turn[*job as usize] = at as u32;
            jobs_of[assignment.host[*job as usize] as usize].push(*job);
        }
        let hosts = (0..jobs_of.len() as u32).filter(|host| assignment.room.open[*host as usize]).collect();
        let release = releases(case, assignment, schedule);
        let mut polish = Self {
            case,
            assignment,
            release,
            dues: priority::dues(case, bounds),
            turn,
            cost: vec![0.0; jobs_of.len()],
            jobs_of,
            hosts,
            jobs: Vec::new(),
            line: Timeline::default(),
        };
        // Jobs that room was made for stay where it is.
        polish.jobs = order.iter().filter(|job| !held.is_pinned(**job)).copied().collect();
        for host in 0..polish.cost.len() {
            polish.cost[host] = polish.lateness(host, NONE, NONE);
        }
        polish
    }

    /// The lateness of a host without one of its jobs, and with another.
    fn lateness(&mut self, host: usize, without: u32, with: u32) -> f64 {
        self.line.clear();
        let (mut cost, mut pending) = (0.0, with);
        let lanes = self.case.start_lanes[host];
        for at in 0..=self.jobs_of[host].len() {
            let next = self.jobs_of[host].get(at).copied();
            let after_pending =
                next.is_none_or(|job| pending != NONE && self.turn[job as usize] > self.turn[pending as usize]);
            if pending != NONE && after_pending {
                cost += self.book(pending, lanes);
                pending = NONE;
            }
            if let Some(job) = next.filter(|job| *job != without) {
                cost += self.book(job, lanes);
            }
        }
        cost
    }

    fn book(&mut self, job: u32, lanes: u32) -> f64 {
        let span = self.case.jobs[job as usize].start;
        let start = self.line.earliest(self.release[job as usize], span, lanes);
        self.line.book(start, start + span, 1);
        let due = &self.dues[job as usize];
        let part = (start + span + due.tail) as f64 / due.bound.max(1) as f64;
        let (two, four) = (part * part, part * part * part * part);
        four * four * four * four * two * two
    }

    /// Makes `steps` tries, each beginning with a late host.
    pub(crate) fn run(&mut self, dice: &mut Dice, steps: u64, warmth: f64) {
        if self.jobs.is_empty() || self.hosts.len() < 2 {
            return;
        }
        for step in 0..steps {
            let left = (steps - step) as f64 / steps as f64;
            let tolerance = warmth * left * left;
            let job = self.late_job(dice);
            match dice.below(6) {
                0 | 1 => self.relocate(dice, job, tolerance),
                2 => self.push_on(dice, job, tolerance),
                _ => self.exchange(dice, job, tolerance),
            }
        }
    }

    /// A job of the latest of a few hosts drawn.
    fn late_job(&self, dice: &mut Dice) -> u32 {
        let mut job = self.jobs[dice.below(self.jobs.len())];
        let cost = |job: u32| self.cost[self.assignment.host[job as usize] as usize];
        for _ in 0..dice.below(8) {
            let other = self.jobs[dice.below(self.jobs.len())];
            if cost(other) > cost(job) {
                job = other;
            }
        }
        job
    }

    fn relocate(&mut self, dice: &mut Dice, job: u32, tolerance: f64) {
        let from = self.assignment.host[job as usize] as usize;
        let mut to = self.hosts[dice.below(self.hosts.len())] as usize;
        for _ in 0..dice.below(4) {
            let other = self.hosts[dice.below(self.hosts.len())] as usize;
            if self.cost[other] < self.cost[to] {
                to = other;
            }
        }
        if to == from {
            return;
        }
        let Ok(nodes) = self.assignment.room.check(self.case, job as usize, to) else { return };
        let (less, more) = (self.lateness(from, job, NONE), self.lateness(to, NONE, job));
        let old = self.cost[from] + self.cost[to];
        if less + more > old + tolerance * old {
            return;
        }
        self.assignment.release(self.case, job as usize);
        self.assignment.assign(self.case, job as usize, to, nodes);
        self.refile(job, from, to);
        (self.cost[from], self.cost[to]) = (less, more);
    }

    fn exchange(&mut self, dice: &mut Dice, job: u32, tolerance: f64) {
        let other = self.jobs[dice.below(self.jobs.len())];
        let hosts = &self.assignment.host;
        let (here, there) = (hosts[job as usize] as usize, hosts[other as usize] as usize);
        if here == there {
            return;
        }
        let (first, second) = (self.lateness(here, job, other), self.lateness(there, other, job));
        let old = self.cost[here] + self.cost[there];
        if first + second > old + tolerance * old || !self.shift_room((job, there), (other, here)) {
            return;
        }
        self.refile(job, here, there);
        self.refile(other, there, here);
        (self.cost[here], self.cost[there]) = (first, second);
    }

    /// Gives a job the host of another, and that one a third host.
    fn push_on(&mut self, dice: &mut Dice, job: u32, tolerance: f64) {
        let other = self.jobs[dice.below(self.jobs.len())];
        let hosts = &self.assignment.host;
        let (here, there) = (hosts[job as usize] as usize, hosts[other as usize] as usize);
        let third = self.hosts[dice.below(self.hosts.len())] as usize;
        if here == there || third == here || third == there {
            return;
        }
        if self.assignment.room.check(self.case, other as usize, third).is_err() {
            return;
        }
        let less = self.lateness(here, job, NONE);
        let (middle, more) = (self.lateness(there, other, job), self.lateness(third, NONE, other));
        let old = self.cost[here] + self.cost[there] + self.cost[third];
        if less + middle + more > old + tolerance * old || !self.shift_room((job, there), (other, third)) {
            return;
        }
        self.refile(job, here, there);
        self.refile(other, there, third);
        (self.cost[here], self.cost[there], self.cost[third]) = (less, middle, more);
    }

    /// Gives two jobs other hosts, the first that of the second, when both can take them.
    fn shift_room(&mut self, first: (u32, usize), second: (u32, usize)) -> bool {
        let was = [first.0, second.0].map(|job| {
            let job = job as usize;
            let was = (job, self.assignment.host[job] as usize, self.assignment.nodes[job]);
            self.assignment.release(self.case, job);
            was
        });
        let moved = [first, second].iter().take_while(|(job, to)| self.enter(*job as usize, *to)).count();
        if moved < 2 {
            if moved == 1 {
                self.assignment.release(self.case, first.0 as usize);
            }
            was.iter().for_each(|(job, host, nodes)| self.assignment.assign(self.case, *job, *host, *nodes));
        }
        moved == 2
    }

    fn enter(&mut self, job: usize, host: usize) -> bool {
        let nodes = self.assignment.room.check(self.case, job, host);
        if let Ok(nodes) = nodes {
            self.assignment.assign(self.case, job, host, nodes);
        }
        nodes.is_ok()
    }

    fn refile(&mut self, job: u32, from: usize, to: usize) {
        self.jobs_of[from].retain(|other| *other != job);
        let turn = self.turn[job as usize];
        let at = self.jobs_of[to].partition_point(|other| self.turn[*other as usize] < turn);
        self.jobs_of[to].insert(at, job);
    }
}

/// From when each job could start, its host aside: its volumes are there, it is configured, and its stage may start.
fn releases(case: &Case<'_>, assignment: &Assignment, schedule: &Schedule) -> Vec<u64> {
    let mut release: Vec<u64> =
        case.jobs.iter().zip(&schedule.times).map(|(job, times)| times.mapped.saturating_add(job.configure)).collect();
    for group in &case.groups {
        let mut gate = 0;
        for stage in &group.stages {
            let placed = || stage.iter().map(|job| *job as usize).filter(|job| assignment.host[*job] != NONE);
            placed().for_each(|job| release[job] = release[job].max(gate));
            if let Some(ready) = placed().map(|job| schedule.times[job].ready).max() {
                gate = ready.saturating_add(group.delay);
            }
        }
    }
    release
}
