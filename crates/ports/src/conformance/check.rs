//! What every [`Check`] must do.

use crate::Check;

/// Drives a check of something that is up, and one of something that is not. Both are looked at several times: a look
/// leaves nothing behind that changes the next.
///
/// # Panics
/// When a check does not keep the contract.
pub async fn run(up: &impl Check, down: &impl Check) {
    for _ in 0..3 {
        up.look().await.expect("what is up is seen to be up");
        let failure = down.look().await.expect_err("what is down is not seen to be up");
        for (part, text) in [("what was looked at", &failure.what), ("what was seen instead", &failure.problem)] {
            assert!(!text.trim().is_empty(), "a failure says {part}: {failure:?}");
            assert!(!text.contains('\n'), "a failure's text is one line: {failure:?}");
        }
    }
}
