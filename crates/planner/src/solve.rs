//! From a case to a solution: greedy pass, what does not fit, search, final times.

use crate::bounds;
use crate::case::Case;
use crate::emit::Solution;
use crate::index::NONE;
use crate::make_room::{self, Held, MadeRoom};
use crate::pack::{self, Packer};
use crate::priority::{self, Weights};
use crate::reach::Reach;
use crate::refine;
use crate::room::Room;
use crate::schedule::{self, Assignment, Clock};
use crate::schemes::{self, Streams};
use crate::score::{Goal, Score};
use crate::search::{self, Draft};
use crate::settle;
use crate::wishes;
use crate::{Options, PlanError, Scheme};
use lifeboat_model::reason::Reason;

/// The longest plan, in years.
pub(crate) const MAX_YEARS: u64 = 100_000;

/// Decides where and when.
///
/// # Errors
/// [`PlanError::TooLong`] when the times do not fit.
pub(crate) fn solve(case: &Case<'_>, options: &Options) -> Result<Solution, PlanError> {
    check_times(case)?;
    match options.scheme {
        Scheme::Lifeboat => {}
        Scheme::Serial => return Ok(schemes::solve(case, Streams { single: true, volumes: 1 })),
        Scheme::Parallel => return Ok(schemes::solve(case, Streams { single: false, volumes: 1 })),
        Scheme::Paper => return Ok(schemes::solve(case, Streams { single: false, volumes: 4 })),
    }
    let reach = Reach::new(case, &MadeRoom::default());
    let goal = Goal::new(case, bounds::lower_bounds(case, &vec![true; case.jobs.len()], &reach));
    let start = start(case, options, &goal);
    let placed: Vec<bool> = start.draft.assignment.host.iter().map(|host| *host != NONE).collect();
    let goal = if placed.contains(&false) || !start.made.leaves.is_empty() {
        Goal::new(case, bounds::lower_bounds(case, &placed, &Reach::new(case, &start.made)))
    } else {
        goal
    };
    let Start { draft, made, held, why } = start;
    let draft = refine::refine(case, options, &goal, draft, &held);
    let mut draft = wishes::grant(case, options, &goal, draft, &held);
    let order = search::placed_order(case, &mut draft);
    let mut clock = Clock::new(case, true);
    let schedule = schedule::run(case, &order, &mut draft.assignment, &mut clock, options, &held);
    Ok(Solution { assignment: draft.assignment, schedule, why, made, bounds: goal.bounds })
}

/// What search begins with: everything that can have a place has one.
struct Start {
    draft: Draft,
    made: MadeRoom,
    held: Held,
    why: Vec<Option<Reason>>,
}

/// How good a beginning is; less is better.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// How many of each class are left out.
    out: Vec<u32>,
    /// How many survivors are disturbed.
    disturbed: usize,
    score: Score,
}

impl Worth {
    fn is_perfect(&self) -> bool {
        self.disturbed == 0 && self.score == Score::PERFECT && self.out.iter().all(|out| *out == 0)
    }
}

/// The best of some ways to weigh urgency. The first is always among them, so that effort can only help.
fn start(case: &Case<'_>, options: &Options, goal: &Goal) -> Start {
    let mut room = Assignment::new(case, Room::new(case));
    pack::place_together(case, &mut room);
    let all: Vec<u32> = (0..case.jobs.len() as u32).collect();
    let drafter = Drafter { case, options, goal, held: &Held::default(), jobs: &all };
    let tried = &priority::TRIED[..tried(case.jobs.len(), options)];
    let (worth, draft) = drafter.best(&room, &tried[..1]);
    let first = complete(&drafter, &room, worth, draft, &tried[..1]);
    if first.0.is_perfect() || tried.len() == 1 {
        return first.1;
    }
    let (worth, draft) = drafter.best(&room, &tried[1..]);
    let other = complete(&drafter, &room, worth, draft, tried);
    if other.0 < first.0 { other.1 } else { first.1 }
}

/// Finds places for what a draft leaves out, by all means.
fn complete(
    drafter: &Drafter<'_, '_>,
    room: &Assignment,
    (missing, score): (usize, Score),
    draft: Draft,
    tried: &[Weights],
) -> (Worth, Start) {
    let case = drafter.case;
    if missing == 0 {
        let start = Start { draft, made: MadeRoom::default(), held: Held::default(), why: vec![None; case.jobs.len()] };
        return (Worth { out: vec![0; case.classes], disturbed: 0, score }, start);
    }
    let mut scarce = room.clone();
    pack::place_scarce(case, &mut scarce);
    let (worth, denser) = drafter.best(&scarce, tried);
    let Draft { assignment, keys } = if worth.0 < missing { denser } else { draft };
    let mut packer = Packer::new(case, assignment, PUSHES);
    let mut left: Vec<usize> = (0..case.jobs.len()).filter(|job| packer.assignment.host[*job] == NONE).collect();
    left.sort_by_key(|job| (std::cmp::Reverse(packer.size(*job)), *job));
    for job in left {
        packer.insert(job, 2);
    }
    settle::drop_useless(case, &mut packer.assignment);
    packer.refile();
    let made = make_room::make_room(case, &mut packer, drafter.options.room);
    let mut assignment = packer.assignment;
    let why = settle::fill(case, &mut assignment);
    let held = Held::new(case, &assignment.host, &made);
    let (draft, score) = again(drafter, Draft { assignment, keys }, &held, tried);
    let mut out = vec![0; case.classes];
    for (job, _) in case.jobs.iter().zip(&draft.assignment.host).filter(|(_, host)| **host == NONE) {
        out[job.class as usize] += 1;
    }
    (Worth { out, disturbed: made.leaves.len(), score }, Start { draft, made, held, why })
}

/// Now that it is known what can be placed, places it once more by time, where that finds a place for all of it.
fn again(drafter: &Drafter<'_, '_>, draft: Draft, held: &Held, tried: &[Weights]) -> (Draft, Score) {
    let case = drafter.case;
    let jobs: Vec<u32> =
        (0..case.jobs.len() as u32).filter(|job| draft.assignment.host[*job as usize] != NONE).collect();
    let drafter = Drafter { held, jobs: &jobs, ..*drafter };
    let mut draft = draft;
    let mut score = drafter.score(&mut draft);
    // Where nothing is held both ways are the same.
    for all in [true, false].into_iter().take(if held.is_empty() { 1 } else { 2 }) {
        let mut room = draft.assignment.clone();
        for job in jobs.iter().map(|job| *job as usize) {
            let open = room.room.open[room.host[job] as usize];
            let free = open || (all && held.begin(job, room.host[job] as usize) > 0 && !held.is_pinned(job as u32));
            if free && !pack::is_tied(case, job) {
                room.release(case, job);
            }
        }
        let (worth, other) = drafter.best(&room, tried);
        if worth.0 == 0 && worth.1 < score {
            (draft, score) = (other, worth.1);
            break;
        }
    }
    (draft, score)
}

/// Makes drafts: a host for each job, the most urgent first.
#[derive(Clone, Copy)]
struct Drafter<'c, 'a> {
    case: &'c Case<'a>,
    options: &'c Options,
    goal: &'c Goal,
    held: &'c Held,
    /// The jobs to place.
    jobs: &'c [u32],
}

impl Drafter<'_, '_> {
    /// The best of some ways to weigh urgency: most jobs placed, then the best times.
    fn best(&self, from: &Assignment, tried: &[Weights]) -> ((usize, Score), Draft) {
        let mut best = ((usize::MAX, Score::WORST), Draft { assignment: from.clone(), keys: Vec::new() });
        for weights in tried {
            let keys = priority::latest_begin(self.case, &self.goal.bounds, *weights);
            let mut draft = Draft { assignment: from.clone(), keys };
            let score = self.score(&mut draft);
            let missing = self.jobs.iter().filter(|job| draft.assignment.host[**job as usize] == NONE).count();
            if (missing, score) < best.0 {
                best = ((missing, score), draft);
            }
            if best.0 == (0, Score::PERFECT) {
                break;
            }
        }
        best
    }

    /// Places what has no place yet, and says how good all is.
    fn score(&self, draft: &mut Draft) -> Score {
        let mut order = priority::order(self.case, &mut draft.keys);
        if self.jobs.len() < order.len() {
            order.retain(|job| self.jobs.binary_search(job).is_ok());
        }
        let mut clock = Clock::new(self.case, false);
        let schedule = schedule::run(self.case, &order, &mut draft.assignment, &mut clock, self.options, self.held);
        self.goal.score(self.case, &draft.assignment.host, &schedule)
    }
}

/// Tries to push jobs from host to host.
const PUSHES: u64 = 20_000;
/// How many ways to weigh urgency are tried, by the number of jobs: all where that costs little; one without effort.
const fn tried(jobs: usize, options: &Options) -> usize {
    match jobs {
        _ if options.effort == 0 => 1,
        0..=1_500 => priority::TRIED.len(),
        1_501..=6_000 => 2,
        _ => 1,
    }
}

/// Refuses durations whose sum would not fit into a plan's times.
fn check_times(case: &Case<'_>) -> Result<(), PlanError> {
    let limit = u128::from(MAX_YEARS) * 366 * 24 * 3600 * 1_000_000;
    let mut sum = u128::from(case.index.fleet.limits.fence_s.micros());
    for job in &case.jobs {
        let delay = case.groups.get(job.group as usize).map_or(0, |group| group.delay);
        sum += u128::from(job.configure) + u128::from(job.start) + u128::from(delay);
        for (array, count) in &job.maps {
            sum += u128::from(case.remap[*array as usize]) * u128::from(*count);
        }
    }
    if sum > limit { Err(PlanError::TooLong) } else { Ok(()) }
}
