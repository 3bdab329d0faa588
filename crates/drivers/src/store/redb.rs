//! The embedded store: one file, kept by `redb`.
//!
//! # Theory of operation
//! One thread writes. It takes all transactions that wait, does them one after the other in one transaction of the
//! database (each: conditions first, then its writes, or none of them), commits that once with a sync, and answers all:
//! many callers share one sync. Reads run beside it on blocking threads, each on one committed state.
//!
//! ```text
//!            first use                     a read or commit fails
//!  closed ───────────────► open ──────────────────────────────────► closed
//! ```
//!
//! After a failure nobody knows what reached the disk, so the file is closed at once and opened anew, with its checksums
//! verified, before anything is read or written again: what is read is what the disk has.
//!
//! A new file is prepared under another name and linked into place when it is whole, so that a file of a store that is
//! empty or cut short is always an accident, and told as one.

mod batch;
mod file;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod tests;

use std::{
    ops::Bound,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    thread::JoinHandle,
};

use async_trait::async_trait;
use lifeboat_ports::{Cause, Store, StoreError, Transaction};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use batch::Waiting;
use file::{Place, failed};

/// All keys and values.
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("lifeboat/values");

/// Transactions that may wait for the writer; who comes after them waits to be let in.
const WAITING: usize = 256;

/// A store in a file. One process at a time can have it open.
///
/// Cancelling a commit's future does not take the commit back. Dropping the store waits for commits that were begun,
/// then closes the file.
pub struct RedbStore {
    shared: Arc<Shared>,
    waiting: Option<mpsc::Sender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens the store in a file, which is made when there is none, for its owner's eyes only.
    ///
    /// This reads the whole file to verify it, and blocks meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the file is not a store, is damaged or cut short, is of a newer version, or is
    /// open in another process; [`StoreError::Failed`] when the disk is full or reports an error.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::at(Place::file(path.as_ref())?)
    }

    fn at(place: Place) -> Result<Self, StoreError> {
        let database = place.open()?;
        let shared = Arc::new(Shared { place, database: RwLock::new(Some(database)) });
        let (waiting, queue) = mpsc::channel(WAITING);
        let writer = std::thread::Builder::new().name("store-writer".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || batch::write_all(&shared, queue)
        });
        let writer = writer.map_err(|source| {
            let problem = "no thread could be started for it; look at the system's limits".to_owned();
            failed("write", &shared.place.name, problem, Some(source.into()))
        })?;
        Ok(Self { shared, waiting: Some(waiting), writer: Some(writer) })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || shared.with("read", read));
        match task.await {
            Ok(result) => result,
            Err(stopped) => Err(self.gave_up("read", Some(stopped.into()))),
        }
    }

    fn gave_up(&self, operation: &'static str, source: Option<Cause>) -> StoreError {
        failed(operation, &self.shared.place.name, "the program is stopping".to_owned(), source)
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was printed where it happened; the file is closed all the same.
            let _ = writer.join();
        }
        self.shared.close();
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_owned();
        self.read(move |database| {
            let table = database.begin_read()?.open_table(VALUES)?;
            Ok(table.get(key.as_str())?.map(|value| value.value().to_vec()))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |database| {
            let table = database.begin_read()?.open_table(VALUES)?;
            let mut found = Vec::new();
            for entry in table.range::<&str>((Bound::Included(prefix.as_str()), Bound::Unbounded))? {
                let (key, value) = entry?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                found.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(found)
        })
        .await
    }

    async fn commit(&self, transaction: &Transaction) -> Result<(), StoreError> {
        transaction.check()?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { transaction: transaction.clone(), answer };
        let queue = self.waiting.as_ref().ok_or_else(|| self.gave_up("write", None))?;
        queue.send(waiting).await.map_err(|_| self.gave_up("write", None))?;
        answered.await.unwrap_or_else(|lost| Err(self.gave_up("write", Some(lost.into()))))
    }
}

/// What readers and the writer have in common.
struct Shared {
    place: Place,
    /// None: closed, after a failure or for good.
    database: RwLock<Option<Database>>,
}

impl Shared {
    /// Does something with the database, which is opened first where a failure has closed it, and is closed where this
    /// fails.
    fn with<T>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let result = {
            let mut guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            if guard.is_none() {
                drop(guard);
                self.open_again()?;
                guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            }
            let database = guard.as_ref().ok_or_else(|| {
                let problem = "another operation met an error of the disk meanwhile; try again".to_owned();
                failed(operation, &self.place.name, problem, None)
            })?;
            act(database)
        };
        result.map_err(|error| {
            self.close();
            self.place.failure(operation, error)
        })
    }

    fn open_again(&self) -> Result<(), StoreError> {
        let mut guard = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(self.place.open()?);
        }
        Ok(())
    }

    fn close(&self) {
        // Dropping it gives up the lock on the file.
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}
