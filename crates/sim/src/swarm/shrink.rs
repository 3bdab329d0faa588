//! Makes a failing seed small: leaves out mishaps while it still fails.

use super::{Case, Failure, run, world_of};
use crate::promises::Promise;

/// What must stay the same for a smaller case to be the same failure.
fn kind(failure: Option<&Failure>) -> Option<Option<Promise>> {
    failure.map(|failure| match failure {
        Failure::Broken(violation) => Some(violation.promise),
        Failure::Panicked(_) => None,
    })
}

/// The same case with as few mishaps as are needed for the same promise to be broken: halves, quarters, …, single ones are left out as long
/// as that leaves a failure. `tried` is called with the number of mishaps left after each success.
#[must_use]
pub fn shrink(case: &Case, tried: impl Fn(usize)) -> Case {
    let all = world_of(case).1.len();
    let mut kept: Vec<usize> = case.only.clone().unwrap_or_else(|| (0..all).collect());
    let wanted = kind(run(case, false).failure.as_ref());
    if wanted.is_none() {
        return case.clone();
    }
    let fails = |only: &[usize]| {
        let smaller = Case { only: Some(only.to_vec()), ..case.clone() };
        kind(run(&smaller, false).failure.as_ref()) == wanted
    };
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < kept.len() {
            let end = (at + chunk).min(kept.len());
            let without: Vec<usize> = kept[..at].iter().chain(&kept[end..]).copied().collect();
            if fails(&without) {
                kept = without;
                smaller = true;
                tried(kept.len());
            } else {
                at = end;
            }
        }
        if !smaller || chunk == 1 {
            chunk = if chunk == 1 && smaller { 1 } else { chunk / 2 };
        } else {
            chunk = chunk.min(kept.len()).div_ceil(2);
        }
    }
    Case { only: Some(kept), ..case.clone() }
}
