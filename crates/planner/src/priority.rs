//! In which order jobs are given their times: the least slack to its target first.
//!
//! Every class has a target, the time by which it and all above shall be ready. From it follows, backwards through the
//! stages of a group, when each job must be ready, when it must start, and when its first volume must be on its way. A
//! job of a low class that an important one waits for is so as urgent as that one, and one with a long way still to go
//! overtakes a short one of the same class.

use crate::case::Case;

/// A way to weigh urgency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    /// How far the targets of the classes are apart, in hundredths of how far their bounds are.
    pub(crate) apart: u64,
    /// How much a job's time for volumes makes it less urgent, in hundredths: at 0 one with many volumes goes first, as
    /// its own way is long; at 200 one with few does, so that hosts have something to start soon.
    pub(crate) volumes: i64,
}

/// Weights worth trying, the best by experience first.
pub(crate) const TRIED: [Weights; 16] = [
    Weights { apart: 100, volumes: 0 },
    Weights { apart: 100, volumes: 100 },
    Weights { apart: 100, volumes: 200 },
    Weights { apart: 100, volumes: 400 },
    Weights { apart: 1000, volumes: 0 },
    Weights { apart: 1000, volumes: 200 },
    Weights { apart: 50, volumes: 0 },
    Weights { apart: 50, volumes: 100 },
    Weights { apart: 50, volumes: 200 },
    Weights { apart: 200, volumes: 100 },
    Weights { apart: 200, volumes: 200 },
    Weights { apart: 0, volumes: 0 },
    Weights { apart: 0, volumes: 100 },
    Weights { apart: 0, volumes: 300 },
    Weights { apart: 70, volumes: 150 },
    Weights { apart: 150, volumes: 300 },
];

/// When each job's first step must begin for every class to reach its target, in microseconds; it may be negative.
pub(crate) fn latest_begin(case: &Case<'_>, bounds: &[u64], weights: Weights) -> Vec<i64> {
    let lanes = case.map_lanes.iter().copied().max().unwrap_or(1);
    let first = bounds.first().copied().unwrap_or(0);
    let stretched =
        |bound: u64| first as i64 + ((bound - first.min(bound)) as i128 * i128::from(weights.apart) / 100) as i64;
    let targets: Vec<i64> = bounds.iter().map(|bound| stretched(*bound)).collect();
    let target = |job: usize| targets[case.jobs[job].class as usize];
    let begin = |job: usize, ready: i64| {
        let row = &case.jobs[job];
        let volumes = case.map_span(row, lanes) as i64;
        ready - (row.start + row.configure) as i64 - volumes
            + (i128::from(volumes) * i128::from(weights.volumes) / 100) as i64
    };
    let mut keys: Vec<i64> = (0..case.jobs.len()).map(|job| begin(job, target(job))).collect();
    for group in &case.groups {
        let mut limit = i64::MAX / 2;
        for stage in group.stages.iter().rev() {
            let mut first = limit;
            for job in stage.iter().map(|job| *job as usize) {
                let ready = target(job).min(limit);
                keys[job] = begin(job, ready);
                first = first.min(ready - case.jobs[job].start as i64);
            }
            limit = first - group.delay as i64;
        }
    }
    keys
}

/// The jobs by key, then importance; no job before the stages that it waits for.
pub(crate) fn order(case: &Case<'_>, keys: &mut [i64]) -> Vec<u32> {
    for group in &case.groups {
        let mut floor = i64::MIN;
        for stage in &group.stages {
            let mut most = floor;
            for job in stage {
                let key = &mut keys[*job as usize];
                *key = (*key).max(floor);
                most = most.max(*key);
            }
            floor = most;
        }
    }
    let mut order: Vec<u32> = (0..case.jobs.len() as u32).collect();
    order.sort_unstable_by_key(|at| {
        let job = &case.jobs[*at as usize];
        (keys[*at as usize], job.stage, job.class, std::cmp::Reverse(job.importance), std::cmp::Reverse(job.start), *at)
    });
    order
}

/// Which class a job holds up, and by when it must be ready for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// What must still follow when it is ready, until the class is.
    pub(crate) tail: u64,
    /// The bound of the class.
    pub(crate) bound: u64,
}

/// For each job the class that needs it soonest, its own or that of one that waits for it.
pub(crate) fn dues(case: &Case<'_>, bounds: &[u64]) -> Vec<Due> {
    let own = |job: usize| Due { tail: 0, bound: bounds[case.jobs[job].class as usize] };
    let latest = |due: &Due| due.bound as i64 - due.tail as i64;
    let mut dues: Vec<Due> = (0..case.jobs.len()).map(own).collect();
    for group in &case.groups {
        let mut behind: Option<Due> = None;
        for stage in group.stages.iter().rev() {
            let mut first = behind;
            for job in stage.iter().map(|job| *job as usize) {
                if let Some(due) = behind.filter(|due| latest(due) < latest(&dues[job])) {
                    dues[job] = due;
                }
                let before = Due { tail: dues[job].tail.saturating_add(case.jobs[job].start), ..dues[job] };
                if first.is_none_or(|first| latest(&before) < latest(&first)) {
                    first = Some(before);
                }
            }
            behind = first.map(|due| Due { tail: due.tail.saturating_add(group.delay), ..due });
        }
    }
    dues
}
