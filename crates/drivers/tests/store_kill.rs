//! A process that commits to a store is killed with SIGKILL again and again; what it acknowledged is there each time.
#![expect(clippy::unwrap_used, reason = "a test fails so")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use lifeboat_drivers::store::RedbStore;
use lifeboat_ports::{Store, Transaction, Write};
use tokio::runtime::{Builder, Runtime};

/// Names the store to the child process.
const STORE: &str = "LIFEBOAT_TEST_STORE";

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// The n-th transaction moves two keys that must always agree, of a size that takes several pages.
fn transaction(number: u64) -> Transaction {
    let size = usize::try_from(number % 7 * 3000).unwrap();
    let value = [number.to_be_bytes().as_slice(), &vec![number.to_le_bytes()[0]; size]].concat();
    let writes = ["a", "b"].map(|key| Write { key: key.to_owned(), value: Some(value.clone()) });
    Transaction { conditions: vec![], writes: writes.to_vec() }
}

/// The number of the last transaction that took effect.
async fn last(store: &RedbStore) -> u64 {
    let all = store.list("").await.unwrap();
    let Some((_, value)) = all.first() else { return 0 };
    let number = u64::from_be_bytes(value[..8].try_into().unwrap());
    let expected: Vec<_> = transaction(number).writes.into_iter().map(|put| (put.key, put.value.unwrap())).collect();
    assert_eq!(all, expected, "transaction {number} is there, whole");
    number
}

/// The child: commits until it is killed, and says on standard output what was acknowledged.
#[test]
#[ignore = "the other test of this file runs it in a process of its own, and kills that"]
fn commit_until_killed() {
    let Some(path) = std::env::var_os(STORE) else { return };
    runtime().block_on(async {
        let store = RedbStore::open(path).unwrap();
        // What the test harness prints itself stays out of the way on standard output.
        let mut output = std::io::stderr();
        for number in last(&store).await + 1.. {
            store.commit(&transaction(number)).await.unwrap();
            writeln!(output, "acknowledged {number}").unwrap();
        }
    });
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails only when it is dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the child until it has acknowledged `commits` transactions, kills it, and gives the last that it acknowledged.
fn run_and_kill(store: &Path, commits: usize) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "commit_until_killed", "--ignored", "--nocapture"])
        .env(STORE, store)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stderr.take().unwrap();
    let mut child = Killed(child);
    let mut numbers = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ").map(|number| number.parse().unwrap()));
    let read: Option<u64> = numbers.by_ref().take(commits).last();
    child.0.kill().unwrap();
    numbers.last().or(read)
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut before = 0;
    for round in 0..25 {
        let acknowledged = run_and_kill(&path, round).unwrap_or(before);
        before = runtime().block_on(async { last(&RedbStore::open(&path).unwrap()).await });
        assert!(
            before == acknowledged || before == acknowledged + 1,
            "{acknowledged} was acknowledged before the kill and {before} is there"
        );
    }
    assert!(before >= 250, "it was killed while it committed: {before}");
}
