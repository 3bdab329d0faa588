//! What several tasks leave for one, which is woken once for all of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Things that wait for the one task that takes them.
#[derive(Debug)]
pub(crate) struct Gather<T> {
    waiting: Mutex<Option<T>>,
    /// Something waits where nothing did.
    first: Notify,
}

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self { waiting: Mutex::new(None), first: Notify::new() }
    }
}

impl<T: Default> Gather<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to what waits.
    pub(crate) fn add(&self, add: impl FnOnce(&mut T)) {
        let mut waiting = self.lock();
        if waiting.is_none() {
            self.first.notify_one();
        }
        add(waiting.get_or_insert_default());
    }

    /// Until something waits.
    pub(crate) async fn some(&self) {
        self.first.notified().await;
    }

    /// Takes what waits.
    pub(crate) fn take(&self) -> T {
        self.lock().take().unwrap_or_default()
    }
}
