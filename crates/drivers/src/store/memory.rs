//! A store that forgets when it is dropped: for tests and simulations of what stands above it.
//!
//! # Theory of operation
//! A map behind a lock; each call takes the lock once, so all calls are linearizable. A test can ask that a commit fail
//! ([`MemoryStore::fail_commit`]) in both ways in which a durable store's can: without effect, and with it but unsaid.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use lifeboat_ports::{Retry, Store, StoreError, Transaction};

use super::holds;

/// How a commit that is made to fail ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedCommit {
    /// Nothing was written.
    Lost,
    /// All was written, but the caller is told that it failed.
    Unsaid,
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<String, Vec<u8>>,
    /// Commits so far, failed ones included.
    commits: u64,
    failures: BTreeMap<u64, FailedCommit>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a commit fail that is yet to come: the next is number 1.
    pub fn fail_commit(&self, number: u64, how: FailedCommit) {
        let mut state = self.lock();
        let number = state.commits.saturating_add(number);
        state.failures.insert(number, how);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, transaction: &Transaction) -> Result<(), StoreError> {
        transaction.check()?;
        self.commits += 1;
        let failure = self.failures.remove(&self.commits);
        if failure == Some(FailedCommit::Lost) {
            return Err(made_to_fail());
        }
        for condition in &transaction.conditions {
            if !holds(condition, self.values.get(&condition.key).map(Vec::as_slice)) {
                return Err(StoreError::Conflict { key: condition.key.clone() });
            }
        }
        for write in &transaction.writes {
            match &write.value {
                Some(value) => self.values.insert(write.key.clone(), value.clone()),
                None => self.values.remove(&write.key),
            };
        }
        if failure == Some(FailedCommit::Unsaid) { Err(made_to_fail()) } else { Ok(()) }
    }
}

fn made_to_fail() -> StoreError {
    StoreError::Failed {
        operation: "write",
        place: "in memory".to_owned(),
        problem: "this commit was made to fail; read again to see what it did".to_owned(),
        retry: Retry::MayHelp,
        source: None,
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().values.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let state = self.lock();
        let from = state.values.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        Ok(from
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    async fn commit(&self, transaction: &Transaction) -> Result<(), StoreError> {
        self.lock().commit(transaction)
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_ports::{Write, conformance};

    use super::*;

    fn put(key: &str) -> Transaction {
        Transaction { writes: vec![Write { key: key.into(), value: Some(vec![1]) }], ..Transaction::default() }
    }

    #[tokio::test]
    async fn it_keeps_the_contract_of_a_store() {
        conformance::store::run(async || MemoryStore::new()).await;
    }

    #[tokio::test]
    async fn a_commit_fails_when_it_is_made_to_with_or_without_effect() {
        let store = MemoryStore::new();
        store.commit(&put("a")).await.unwrap();
        store.fail_commit(2, FailedCommit::Lost);
        store.fail_commit(3, FailedCommit::Unsaid);
        store.commit(&put("b")).await.unwrap();
        for key in ["c", "d"] {
            assert!(matches!(store.commit(&put(key)).await, Err(StoreError::Failed { .. })), "{key} was made to fail");
        }
        store.commit(&put("e")).await.unwrap();
        let keys: Vec<String> = store.list("").await.unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "b", "d", "e"]);
    }
}
