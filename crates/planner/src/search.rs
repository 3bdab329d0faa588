//! Search for a better plan among the neighbours of a good one.
//!
//! A step takes the last job of a class that is behind its bound, finds what holds it up (the jobs before it on its host,
//! or one that its stage waits for), and gives one of them another host, another's host in exchange, or another turn.
//! The whole schedule is made again and kept when it is no worse than the one some steps ago (late acceptance): so the
//! search crosses plateaus without temperature or time, and every step is the same on every machine. The best plan seen
//! is what remains; more steps can only add to what was seen.

use crate::Options;
use crate::case::Case;
use crate::dice::Dice;
use crate::index::NONE;
use crate::make_room::Held;
use crate::priority;
use crate::schedule::{self, Assignment, Clock, Schedule};
use crate::score::{Goal, Score};

/// A decision without its times.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) assignment: Assignment,
    /// The urgency of each job, see [`priority`].
    pub(crate) keys: Vec<i64>,
}

/// How many steps back a schedule is compared with.
const MEMORY: usize = 30;

struct Search<'c, 'a> {
    case: &'c Case<'a>,
    options: &'c Options,
    goal: &'c Goal,
    held: &'c Held,
    clock: Clock,
    dice: Dice,
    draft: Draft,
    order: Vec<u32>,
    schedule: Schedule,
    /// Jobs of each host.
    jobs_of: Vec<Vec<u32>>,
    hosts: Vec<u32>,
}

/// What a step changed, to take it back.
#[derive(Default)]
struct Change {
    /// `(job, its host and nodes before)`.
    moved: Vec<(u32, u32, u64)>,
    /// `(job, its key before)`.
    turned: Option<(u32, i64)>,
}

/// Improves a draft in at most `passes` steps; each books all jobs once.
pub(crate) fn improve(
    case: &Case<'_>,
    options: &Options,
    goal: &Goal,
    draft: Draft,
    held: &Held,
    passes: u64,
    dice: &mut Dice,
) -> (Draft, Score) {
    let mut search = Search::new(case, options, goal, draft, held, dice.clone());
    let mut current = search.evaluate();
    let mut best = (search.draft.clone(), current);
    let mut memory = [current; MEMORY];
    for pass in 0..passes {
        if best.1 == Score::PERFECT {
            break;
        }
        let Some(change) = search.step() else { continue };
        let before = std::mem::take(&mut search.schedule);
        let score = search.evaluate();
        let slot = (pass % MEMORY as u64) as usize;
        if score <= current || score <= memory[slot] {
            current = score;
        } else {
            search.undo(change);
            search.schedule = before;
        }
        memory[slot] = current;
        if current < best.1 {
            best = (search.draft.clone(), current);
        }
    }
    *dice = search.dice;
    best
}

impl<'c, 'a> Search<'c, 'a> {
    fn new(
        case: &'c Case<'a>,
        options: &'c Options,
        goal: &'c Goal,
        mut draft: Draft,
        held: &'c Held,
        dice: Dice,
    ) -> Self {
        let order = placed_order(case, &mut draft);
        let mut jobs_of = vec![Vec::new(); case.index.host_count()];
        for (job, host) in draft.assignment.host.iter().enumerate().filter(|(_, host)| **host != NONE) {
            jobs_of[*host as usize].push(job as u32);
        }
        let hosts =
            (0..case.index.host_count() as u32).filter(|host| draft.assignment.room.open[*host as usize]).collect();
        Self {
            case,
            options,
            goal,
            held,
            clock: Clock::new(case, false),
            dice,
            draft,
            order,
            schedule: Schedule::default(),
            jobs_of,
            hosts,
        }
    }

    fn evaluate(&mut self) -> Score {
        self.schedule =
            schedule::run(self.case, &self.order, &mut self.draft.assignment, &mut self.clock, self.options, self.held);
        self.goal.score(self.case, &self.draft.assignment.host, &self.schedule)
    }

    fn host(&self, job: u32) -> u32 {
        self.draft.assignment.host[job as usize]
    }

    /// Makes a random change near what holds a class up; none when the one drawn is not possible.
    fn step(&mut self) -> Option<Change> {
        let late = self.late_job()?;
        let culprit = self.culprit(late);
        let fixed = self.held.is_pinned(culprit);
        match self.dice.below(10) {
            0..8 if fixed => None,
            0..4 => self.relocate(culprit),
            4..8 => self.exchange(culprit),
            _ => Some(self.turn(culprit)),
        }
    }

    /// The last job of a class that is behind its bound, or one of the last.
    fn late_job(&mut self) -> Option<u32> {
        let ready = self.goal.ready(self.case, &self.draft.assignment.host, &self.schedule);
        let behind: Vec<usize> = (0..ready.len()).filter(|class| ready[*class] > self.goal.bounds[*class]).collect();
        if behind.is_empty() {
            return None;
        }
        let class = behind[self.dice.below(behind.len())];
        let near = if self.dice.below(4) == 0 { ready[class] / 50 } else { 0 };
        let last: Vec<u32> = (0..self.case.jobs.len() as u32)
            .filter(|job| {
                self.case.jobs[*job as usize].class as usize <= class
                    && self.host(*job) != NONE
                    && self.schedule.times[*job as usize].ready + near >= ready[class]
            })
            .collect();
        (!last.is_empty()).then(|| last[self.dice.below(last.len())])
    }

    /// A job that a late one waits for, or itself: one before it on its host, or of the stages before.
    fn culprit(&mut self, late: u32) -> u32 {
        let mut job = late;
        for _ in 0..4 {
            let row = &self.case.jobs[job as usize];
            let times = self.schedule.times[job as usize];
            let gated = row.group != NONE && row.stage > 0 && self.stage_ready(job) >= times.start;
            if gated && self.dice.below(4) > 0 {
                job = self.last_before(job);
                continue;
            }
            if times.start > times.mapped + row.configure || self.dice.below(3) == 0 {
                let host = self.host(job) as usize;
                let before: Vec<u32> = self.jobs_of[host]
                    .iter()
                    .copied()
                    .filter(|other| *other != job && self.schedule.times[*other as usize].start <= times.start)
                    .collect();
                if !before.is_empty() && self.dice.below(2) == 0 {
                    return before[self.dice.below(before.len())];
                }
            }
            return job;
        }
        job
    }

    /// When the stage before a job is ready, with the group's delay.
    fn stage_ready(&self, job: u32) -> u64 {
        let row = &self.case.jobs[job as usize];
        let last = self.schedule.times[self.last_before(job) as usize].ready;
        last + self.case.groups[row.group as usize].delay
    }

    /// The last job to be ready of the stage before.
    fn last_before(&self, job: u32) -> u32 {
        let row = &self.case.jobs[job as usize];
        let before = &self.case.groups[row.group as usize].stages[row.stage as usize - 1];
        before.iter().copied().max_by_key(|other| (self.schedule.times[*other as usize].ready, *other)).unwrap_or(job)
    }

    /// Another host for a job: of some that can take it, the one that is done first.
    fn relocate(&mut self, job: u32) -> Option<Change> {
        let from = self.host(job);
        let mut best: Option<(u64, u32, u64)> = None;
        let mut found = 0;
        for _ in 0..12.min(self.hosts.len()) {
            let host = self.hosts[self.dice.below(self.hosts.len())];
            if host == from {
                continue;
            }
            let Ok(nodes) = self.draft.assignment.room.check(self.case, job as usize, host as usize) else { continue };
            let load = self.load(host);
            if best.is_none_or(|(least, _, _)| load < least) {
                best = Some((load, host, nodes));
            }
            found += 1;
            if found == 4 {
                break;
            }
        }
        let (_, host, _) = best?;
        let mut change = Change::default();
        self.lift(job, &mut change);
        if !self.put(job, host) {
            self.undo(change);
            return None;
        }
        Some(change)
    }

    /// When a host's last start is over.
    fn load(&self, host: u32) -> u64 {
        self.jobs_of[host as usize].iter().map(|job| self.schedule.times[*job as usize].ready).max().unwrap_or(0)
    }

    /// Exchanges the hosts of two jobs.
    fn exchange(&mut self, job: u32) -> Option<Change> {
        let from = self.host(job);
        for _ in 0..12 {
            let other = self.dice.below(self.case.jobs.len()) as u32;
            let to = self.host(other);
            if to == NONE || to == from || self.held.is_pinned(other) {
                continue;
            }
            let mut change = Change::default();
            self.lift(job, &mut change);
            self.lift(other, &mut change);
            if self.put(job, to) && self.put(other, from) {
                return Some(change);
            }
            self.undo(change);
        }
        None
    }

    /// Another turn for a job: right before or behind another one in the order.
    fn turn(&mut self, job: u32) -> Change {
        let old = self.draft.keys[job as usize];
        let other = self.order[self.dice.below(self.order.len())];
        self.draft.keys[job as usize] = self.draft.keys[other as usize] + self.dice.below(2) as i64 * 2 - 1;
        self.order = placed_order(self.case, &mut self.draft);
        Change { moved: Vec::new(), turned: Some((job, old)) }
    }

    fn lift(&mut self, job: u32, change: &mut Change) {
        let host = self.host(job);
        change.moved.push((job, host, self.draft.assignment.nodes[job as usize]));
        self.draft.assignment.release(self.case, job as usize);
        self.jobs_of[host as usize].retain(|other| *other != job);
    }

    fn put(&mut self, job: u32, host: u32) -> bool {
        let Ok(nodes) = self.draft.assignment.room.check(self.case, job as usize, host as usize) else { return false };
        self.place(job, host, nodes);
        true
    }

    fn place(&mut self, job: u32, host: u32, nodes: u64) {
        self.draft.assignment.assign(self.case, job as usize, host as usize, nodes);
        self.jobs_of[host as usize].push(job);
    }

    fn undo(&mut self, change: Change) {
        if let Some((job, key)) = change.turned {
            self.draft.keys[job as usize] = key;
            self.order = placed_order(self.case, &mut self.draft);
        }
        let mut ignored = Change::default();
        for (job, ..) in &change.moved {
            if self.host(*job) != NONE {
                self.lift(*job, &mut ignored);
            }
        }
        for (job, host, nodes) in change.moved {
            self.place(job, host, nodes);
        }
    }
}

/// The jobs that have a host, by urgency.
pub(crate) fn placed_order(case: &Case<'_>, draft: &mut Draft) -> Vec<u32> {
    let mut order = priority::order(case, &mut draft.keys);
    order.retain(|job| draft.assignment.host[*job as usize] != NONE);
    order
}
