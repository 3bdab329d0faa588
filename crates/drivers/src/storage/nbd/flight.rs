//! One attempt at a time at something that many wait for: who waited while another tried takes that outcome.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Attempts of which one runs at a time.
pub(super) struct Flight<T> {
    ended: AtomicU64,
    last: Mutex<Option<T>>,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { ended: AtomicU64::new(0), last: Mutex::new(None) }
    }
}

impl<T: Clone> Flight<T> {
    /// Makes an attempt, or waits for the one that is being made and takes its outcome.
    pub(super) async fn join(&self, attempt: impl Future<Output = T>) -> T {
        let before = self.ended.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if let Some(outcome) = &*last
            && self.ended.load(Ordering::Acquire) != before
        {
            return outcome.clone();
        }
        let outcome = attempt.await;
        *last = Some(outcome.clone());
        self.ended.fetch_add(1, Ordering::AcqRel);
        outcome
    }
}
