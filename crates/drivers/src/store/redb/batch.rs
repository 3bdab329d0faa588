//! The writer: all transactions that wait, in one commit.

use lifeboat_ports::{StoreError, Transaction};
use redb::{Database, Durability, ReadableTable as _, Table};
use tokio::sync::{mpsc, oneshot};

use super::{Shared, VALUES};
use crate::store::holds;

/// The most transactions in one commit.
const BATCH: usize = 256;

/// The most bytes of values in one commit, a last transaction apart: it bounds the memory and time of one.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// A transaction and who waits for its outcome.
pub(super) struct Waiting {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.transaction.writes.iter().map(|write| write.value.as_ref().map_or(0, Vec::len)).sum()
    }
}

/// What became of one transaction of a batch, if the batch is committed.
enum Outcome {
    Done,
    Conflict { key: String },
}

/// Serves the queue until all senders are gone.
pub(super) fn write_all(shared: &Shared, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.bytes();
            batch.push(next);
        }
        serve(shared, batch);
    }
}

fn serve(shared: &Shared, batch: Vec<Waiting>) {
    let (transactions, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.transaction, waiting.answer)).unzip();
    // A caller that no longer waits for its answer is no failure.
    let tell = |answer: oneshot::Sender<_>, outcome| drop(answer.send(outcome));
    match shared.with("write", |database| commit(database, &transactions)) {
        Ok(outcomes) => answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| match outcome {
            Outcome::Done => tell(answer, Ok(())),
            Outcome::Conflict { key } => tell(answer, Err(StoreError::Conflict { key })),
        }),
        Err(error) => {
            // Each caller gets the whole story; the cause itself cannot be copied and goes to the first.
            let copies: Vec<_> = answers.iter().skip(1).map(|_| copy(&error)).collect();
            answers.into_iter().zip(std::iter::once(error).chain(copies)).for_each(|(answer, error)| {
                tell(answer, Err(error));
            });
        }
    }
}

fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unreadable { place, problem, .. } => {
            StoreError::Unreadable { place: place.clone(), problem: problem.clone(), source: None }
        }
        StoreError::Failed { operation, place, problem, retry, .. } => StoreError::Failed {
            operation,
            place: place.clone(),
            problem: problem.clone(),
            retry: *retry,
            source: None,
        },
        StoreError::Conflict { key } => StoreError::Conflict { key: key.clone() },
        StoreError::TooLarge { key, problem } => StoreError::TooLarge { key: key.clone(), problem: problem.clone() },
    }
}

fn commit(database: &Database, transactions: &[Transaction]) -> Result<Vec<Outcome>, redb::Error> {
    let mut writing = database.begin_write()?;
    writing.set_durability(Durability::Immediate)?;
    let mut outcomes = Vec::with_capacity(transactions.len());
    let mut written = false;
    {
        let mut table = writing.open_table(VALUES)?;
        for transaction in transactions {
            let outcome = apply(&mut table, transaction)?;
            written |= matches!(outcome, Outcome::Done) && !transaction.writes.is_empty();
            outcomes.push(outcome);
        }
    }
    if written {
        writing.commit()?
    } else {
        writing.abort()?
    }
    Ok(outcomes)
}

fn apply(table: &mut Table<'_, &str, &[u8]>, transaction: &Transaction) -> Result<Outcome, redb::Error> {
    for condition in &transaction.conditions {
        let value = table.get(condition.key.as_str())?;
        if !holds(condition, value.as_ref().map(redb::AccessGuard::value)) {
            return Ok(Outcome::Conflict { key: condition.key.clone() });
        }
    }
    for write in &transaction.writes {
        match &write.value {
            Some(value) => drop(table.insert(write.key.as_str(), value.as_slice())?),
            None => drop(table.remove(write.key.as_str())?),
        }
    }
    Ok(Outcome::Done)
}
