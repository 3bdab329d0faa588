//! In which order jobs are given their times: the least slack to its target first.
//!
//! Every class has a target, the time by which it and all above shall be ready. From it follows, backwards through the
//! stages of a group, when each job must be ready, when it must start, and when its first volume must be on its way. A
//! job of a low class that an important one waits for is so as urgent as that one, and one with a long way still to go
//! overtakes a short one of the same class.

use crate::case::Case;

/// When each job's first step must begin for every class to reach its target, in microseconds; it may be negative.
pub(crate) fn latest_begin(case: &Case<'_>, targets: &[u64]) -> Vec<i64> {
    let lanes = case.map_lanes.iter().copied().max().unwrap_or(1);
    let target = |job: usize| targets[case.jobs[job].class as usize] as i64;
    let begin = |job: usize, ready: i64| {
        let row = &case.jobs[job];
        ready - (row.start + row.configure + case.map_span(row, lanes)) as i64
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
