//! What every [`Check`] must do.

use lifeboat_model::health::{CheckReport, MAX_OUTPUT_CHARS, MAX_PERFORMANCE};

use crate::Check;

/// Drives a check of something that is up, and one of something that is not. Both are looked at several times: a look
/// leaves nothing behind that changes the next.
///
/// # Panics
/// When a check does not keep the contract.
pub async fn run(up: &impl Check, down: &impl Check) {
    for _ in 0..3 {
        let report = up.look().await;
        assert!(report.answers(), "what is up is seen to be up: {report:?}");
        bounded(&report);
        let report = down.look().await;
        assert!(!report.answers(), "what is down is not seen to be up: {report:?}");
        bounded(&report);
    }
}

fn bounded(report: &CheckReport) {
    assert!(!report.output.trim().is_empty(), "a report says what was seen: {report:?}");
    assert!(!report.output.contains('\n'), "a report's text is one line: {report:?}");
    assert!(report.output.chars().count() <= MAX_OUTPUT_CHARS, "a report's text is bounded: {report:?}");
    assert!(report.performance.len() <= MAX_PERFORMANCE, "a report's values are bounded: {report:?}");
}
