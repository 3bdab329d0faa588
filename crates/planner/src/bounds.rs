//! Lower bounds: no plan that starts these jobs can have a class, and all above it, ready sooner.
//!
//! A class cannot be ready before what its VMs wait for is, of whatever class that be. For each class the largest of: the longest chain (fence, volumes, configure, start, through the stages of a group);
//! the work on all map lanes, and on each array, of the jobs with at least so much still to come, then that much; the
//! work on all start lanes of the jobs that can begin no sooner than so; and, as starts cannot be cut in pieces, the
//! smallest `k+1` of the `k*m+1` longest starts, which must meet on one of `m` lanes. The bounds on starts and on map lanes
//! hold as well for jobs that only some hosts can take, by requirements or for lack of room, over the lanes of those; and
//! the ones on starts for jobs that a rule holds together on one host, over its lanes.

use lifeboat_model::fleet::RuleKind;

use crate::case::Case;
use crate::reach::Reach;

/// What a bound needs to know of a job.
#[derive(Clone, Copy)]
struct Row {
    /// Least time from the first moment to the start, stages before it included.
    head: u64,
    start: u64,
    /// Configure, start, and the later stages within the classes looked at.
    tail: u64,
    job: u32,
}

/// What makes a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Because {
    Nothing,
    /// The way of this job alone.
    Chain(u32),
    Starts,
    Maps,
    Array(usize),
    FewHosts,
    /// A rule, by its position among [`Case::rules`].
    Together(usize),
}

/// A bound, and what makes it.
type Bound = (u64, Because);

/// The lower bound of each class and all above it, over the jobs that are placed.
pub(crate) fn lower_bounds(case: &Case<'_>, placed: &[bool], reach: &Reach) -> Vec<u64> {
    explained(case, placed, reach).into_iter().map(|bound| bound.0).collect()
}

/// The same, with what makes each.
pub(crate) fn explained(case: &Case<'_>, placed: &[bool], reach: &Reach) -> Vec<Bound> {
    let early = earliest_ready(case, placed);
    let needed = needed_by(case, placed);
    let mut bounds = Vec::with_capacity(case.classes);
    let mut above = (0, Because::Nothing);
    for class in 0..case.classes as u32 {
        let jobs: Vec<u32> = (0..case.jobs.len() as u32).filter(|job| needed[*job as usize] <= class).collect();
        if jobs.iter().any(|job| case.jobs[*job as usize].class == class) {
            above = above.max(class_bound(case, reach, &jobs, &early, class, &needed));
        }
        bounds.push(above);
    }
    bounds
}

/// The highest class that cannot be ready without each job: its own, or that of one in a later stage of its group. A job
/// without a place is needed by none.
pub(crate) fn needed_by(case: &Case<'_>, placed: &[bool]) -> Vec<u32> {
    let mut needed: Vec<u32> =
        case.jobs.iter().zip(placed).map(|(job, placed)| if *placed { job.class } else { u32::MAX }).collect();
    for group in &case.groups {
        let mut behind = u32::MAX;
        for stage in group.stages.iter().rev() {
            let mut highest = behind;
            for job in stage.iter().map(|job| *job as usize).filter(|job| placed[*job]) {
                needed[job] = needed[job].min(behind);
                highest = highest.min(needed[job]);
            }
            behind = highest;
        }
    }
    needed
}

/// When each job is ready at the soonest, alone in the world but for the stages before it.
pub(crate) fn earliest_ready(case: &Case<'_>, placed: &[bool]) -> Vec<u64> {
    let lanes = open_hosts(case).map(|host| case.map_lanes[host]).max().unwrap_or(1);
    let mut early: Vec<u64> = case
        .jobs
        .iter()
        .map(|job| {
            job.release
                .saturating_add(case.map_span(job, lanes))
                .saturating_add(job.configure)
                .saturating_add(job.start)
        })
        .collect();
    for group in &case.groups {
        let mut gate = 0_u64;
        for stage in &group.stages {
            let mut ready = None;
            for job in stage.iter().map(|job| *job as usize).filter(|job| placed[*job]) {
                early[job] = early[job].max(gate.saturating_add(case.jobs[job].start));
                ready = ready.max(Some(early[job]));
            }
            if let Some(ready) = ready {
                gate = ready.saturating_add(group.delay);
            }
        }
    }
    early
}

/// What must still follow each job's being ready, within what a class and all above it need.
fn follows(case: &Case<'_>, class: u32, needed: &[u32]) -> Vec<u64> {
    let mut follow = vec![0; case.jobs.len()];
    for group in &case.groups {
        let mut need: Option<u64> = None;
        for stage in group.stages.iter().rev() {
            let mine = stage.iter().map(|job| *job as usize).filter(|job| needed[*job] <= class);
            let mut most = None;
            for job in mine {
                if let Some(need) = need {
                    follow[job] = group.delay.saturating_add(need);
                }
                most = most.max(Some(case.jobs[job].start.saturating_add(follow[job])));
            }
            need = most.or(need);
        }
    }
    follow
}

fn open_hosts<'c>(case: &'c Case<'_>) -> impl Iterator<Item = usize> + 'c {
    (0..case.index.host_count()).filter(|host| !case.gone[*host] && case.index.is_up(*host))
}

fn class_bound(case: &Case<'_>, reach: &Reach, jobs: &[u32], early: &[u64], class: u32, needed: &[u32]) -> Bound {
    let follow = follows(case, class, needed);
    let zero = jobs.iter().map(|job| case.jobs[*job as usize].release).min().unwrap_or(0);
    let mut rows: Vec<Row> = jobs
        .iter()
        .map(|at| {
            let job = &case.jobs[*at as usize];
            let tail = job.configure.saturating_add(job.start).saturating_add(follow[*at as usize]);
            Row { head: early[*at as usize].saturating_sub(job.start), start: job.start, tail, job: *at }
        })
        .collect();
    let chain =
        jobs.iter().map(|job| (early[*job as usize].saturating_add(follow[*job as usize]), Because::Chain(*job)));
    let slots: u64 = open_hosts(case).map(|host| u64::from(case.start_lanes[host])).sum();
    let mut bound = chain.max().unwrap_or((0, Because::Nothing));
    if slots > 0 {
        bound = bound.max((starts_bound(&mut rows, slots), Because::Starts));
        bound =
            bound.max((few_hosts_bound(case, reach, &rows, zero), Because::FewHosts)).max(together_bound(case, &rows));
    }
    by_tail(&mut rows);
    let lanes = open_hosts(case).map(|host| u64::from(case.map_lanes[host])).sum();
    bound.max((maps_bound(case, &rows, zero, lanes), Because::Maps)).max(arrays_bound(case, &rows, zero))
}

/// Jobs that only some hosts can take, over the lanes of those.
fn few_hosts_bound(case: &Case<'_>, reach: &Reach, rows: &[Row], zero: u64) -> u64 {
    let bounds = reach.narrow(open_hosts(case).count()).map(|narrow| {
        let mut some: Vec<Row> = rows.iter().copied().filter(|row| narrow.holds(row.job)).collect();
        let lanes = |of: &[u32]| narrow.hosts().map(|host| u64::from(of[host])).sum();
        let (starts, maps): (u64, u64) = (lanes(&case.start_lanes), lanes(&case.map_lanes));
        if starts == 0 || some.is_empty() {
            return 0;
        }
        let bound = starts_bound(&mut some, starts);
        by_tail(&mut some);
        bound.max(maps_bound(case, &some, zero, maps))
    });
    bounds.max().unwrap_or(0)
}

fn by_tail(rows: &mut [Row]) {
    rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.tail), row.job));
}

/// Jobs that must share a host.
fn together_bound(case: &Case<'_>, rows: &[Row]) -> Bound {
    let lanes = open_hosts(case).map(|host| u64::from(case.start_lanes[host])).max().unwrap_or(1);
    let mut bound = (0, Because::Nothing);
    for (at, rule) in case.rules.iter().enumerate() {
        let fleet_rule = &case.index.fleet.rules[rule.at as usize];
        let holds = rule.required
            && rule.kind == RuleKind::Together
            && fleet_rule.scope == "host"
            && fleet_rule.sets.is_empty();
        if !holds {
            continue;
        }
        let tied = |row: &Row| case.jobs[row.job as usize].rules.iter().any(|(rule, _)| *rule as usize == at);
        let mut some: Vec<Row> = rows.iter().copied().filter(tied).collect();
        if !some.is_empty() {
            bound = bound.max((starts_bound(&mut some, lanes), Because::Together(at)));
        }
    }
    bound
}

fn starts_bound(rows: &mut [Row], slots: u64) -> u64 {
    rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.head), row.job));
    let (mut bound, mut work) = (0, 0_u128);
    for row in rows.iter() {
        work += u128::from(row.start);
        bound = bound.max(row.head + (work / u128::from(slots)) as u64);
    }
    let first = rows.last().map_or(0, |row| row.head);
    rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.start), row.job));
    let slots = usize::try_from(slots).unwrap_or(usize::MAX);
    let mut met = 1_usize;
    while let Some(last) = met.checked_mul(slots).filter(|last| *last < rows.len()) {
        let together: u64 = rows[last - met..=last].iter().map(|row| row.start).fold(0, u64::saturating_add);
        bound = bound.max(first.saturating_add(together));
        met += 1;
    }
    bound
}

/// The rows stand by what must still follow, the most first.
fn maps_bound(case: &Case<'_>, rows: &[Row], zero: u64, lanes: u64) -> u64 {
    let (mut bound, mut work) = (0, 0_u128);
    for row in rows {
        for (array, count) in &case.jobs[row.job as usize].maps {
            work += u128::from(case.remap[*array as usize]) * u128::from(*count);
        }
        if lanes > 0 && case.jobs[row.job as usize].volumes > 0 {
            bound = bound.max(zero + (work / u128::from(lanes)) as u64 + row.tail);
        }
    }
    bound
}

fn arrays_bound(case: &Case<'_>, rows: &[Row], zero: u64) -> Bound {
    let mut counts = vec![0_u64; case.remap.len()];
    let mut bound = (0, Because::Nothing);
    for row in rows {
        for (array, count) in &case.jobs[row.job as usize].maps {
            let array = *array as usize;
            counts[array] += u64::from(*count);
            let rounds = counts[array].div_ceil(u64::from(case.array_lanes[array]));
            let end = zero.saturating_add(rounds.saturating_mul(case.remap[array])).saturating_add(row.tail);
            bound = bound.max((end, Because::Array(array)));
        }
    }
    bound
}
