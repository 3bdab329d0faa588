use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use lifeboat_ports::{Condition, Expect, Write, conformance};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{file::forge_newer, *};
use crate::store::MemoryStore;

struct Folder {
    dir: TempDir,
    files: AtomicU32,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), files: AtomicU32::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn another(&self) -> PathBuf {
        self.path(&format!("store-{}", self.files.fetch_add(1, Ordering::Relaxed)))
    }
}

/// What is told of a store that cannot be opened.
fn refused(path: &Path) -> String {
    let error = RedbStore::open(path).err().unwrap();
    assert!(error.to_string().contains(path.to_str().unwrap()), "the file is named: {error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_of_a_store() {
    let folder = Folder::new();
    conformance::store::run(async || RedbStore::open(folder.another()).unwrap()).await;
    conformance::store::remembers(async || RedbStore::open(folder.path("same")).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_at_once_are_all_done() {
    let folder = Folder::new();
    let store = Arc::new(RedbStore::open(folder.another()).unwrap());
    let tasks: Vec<_> = (0..300_u32)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let key = format!("key/{number:03}");
                let conditions = vec![Condition { key: key.clone(), expect: Expect::Absent }];
                let writes = vec![Write { key, value: Some(number.to_be_bytes().to_vec()) }];
                store.commit(&Transaction { conditions, writes }).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let all = store.list("key/").await.unwrap();
    assert_eq!(all.len(), 300);
    assert!((0..300_u32).zip(&all).all(|(number, (_, value))| *value == number.to_be_bytes()));
}

#[tokio::test]
async fn only_its_owner_may_read_the_file() {
    let folder = Folder::new();
    let path = folder.another();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(RedbStore::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(RedbStore::open(&path).unwrap());
    assert_eq!(mode(), 0o600, "a mode that was loosened is tightened");
    assert_eq!(fs::read_dir(folder.dir.path()).unwrap().count(), 1, "nothing else is left beside the file");
}

#[test]
fn what_is_not_a_store_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let text = folder.path("text");
    fs::write(&text, "class gold\n".repeat(1000)).unwrap();
    let other = folder.path("other");
    let writing = Database::create(&other).unwrap().begin_write().unwrap();
    writing.open_table(TableDefinition::<u64, u64>::new("other")).unwrap().insert(1, 1).unwrap();
    writing.commit().unwrap();
    for path in [&text, &other] {
        let told = refused(path);
        assert!(told.contains("not a store of Lifeboat; name the right file"), "{told}");
    }
    assert_eq!(fs::read_to_string(&text).unwrap(), "class gold\n".repeat(1000));
    assert!(refused(folder.dir.path()).contains("is a directory"));
    assert!(refused(&folder.path("no/such/directory")).contains("or its directory is; put it back"));
}

#[test]
fn a_newer_version_of_the_file_is_told_as_that() {
    let folder = Folder::new();
    let path = folder.another();
    forge_newer(&path);
    let told = refused(&path);
    assert!(told.contains("format 2") && told.contains("run the newer version"), "{told}");
    assert!(refused(&path).contains("format 2"), "and it is left as it is");
}

#[test]
fn a_store_is_open_in_one_place_at_a_time() {
    let folder = Folder::new();
    let path = folder.another();
    let first = RedbStore::open(&path).unwrap();
    assert!(refused(&path).contains("another process has it open, probably a running controller"));
    drop(first);
    RedbStore::open(&path).unwrap();
}

#[tokio::test]
async fn a_file_cut_short_at_any_length_is_told_or_read_as_it_once_was() {
    let folder = Folder::new();
    let path = folder.another();
    let mut states = vec![vec![]];
    let store = RedbStore::open(&path).unwrap();
    for round in 0..12_u8 {
        let writes = vec![
            Write { key: format!("key/{}", round % 5), value: Some(vec![round; 3000]) },
            Write { key: format!("key/{}", (round + 2) % 5), value: None },
        ];
        store.commit(&Transaction { conditions: vec![], writes }).await.unwrap();
        states.push(store.list("").await.unwrap());
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let step = whole.len() / 150;
    let lengths = (0..600).step_by(13).chain((600..whole.len()).step_by(step)).chain(whole.len() - 3..whole.len());
    let mut told = 0;
    for length in lengths {
        let path = folder.another();
        fs::write(&path, &whole[..length]).unwrap();
        match RedbStore::open(&path) {
            Ok(store) => {
                let state = store.list("").await.unwrap();
                assert!(states.contains(&state), "cut to {length} bytes it shows a state that never was");
            }
            Err(StoreError::Unreadable { problem, .. }) => {
                assert!(problem.contains("cut short") || problem.contains("not a store"), "{length}: {problem}");
                told += 1;
            }
            Err(other) => panic!("cut to {length} bytes: {other}"),
        }
        fs::remove_file(path).unwrap();
    }
    assert!(told > 10, "files that miss a part are refused ({told})");
}

fn any_transaction() -> impl Strategy<Value = Transaction> {
    let key = || proptest::sample::select(vec!["a", "a/1", "a/2", "b"]).prop_map(str::to_owned);
    let value = || proptest::sample::select(vec![vec![], vec![1], vec![2; 5000]]);
    let expect = prop_oneof![Just(Expect::Absent), value().prop_map(Expect::Is)];
    let conditions = proptest::collection::vec((key(), expect), 0..2);
    let writes = proptest::collection::vec((key(), proptest::option::of(value())), 0..5);
    (conditions, writes).prop_map(|(conditions, writes)| Transaction {
        conditions: conditions.into_iter().map(|(key, expect)| Condition { key, expect }).collect(),
        writes: writes.into_iter().map(|(key, value)| Write { key, value }).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_does_what_the_store_in_memory_does(transactions in proptest::collection::vec(any_transaction(), 1..20)) {
        let folder = Folder::new();
        let path = folder.another();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let memory = MemoryStore::new();
            let store = RedbStore::open(&path).unwrap();
            for transaction in &transactions {
                let (expected, seen) = (memory.commit(transaction).await, store.commit(transaction).await);
                assert_eq!(format!("{expected:?}"), format!("{seen:?}"));
                assert_eq!(memory.list("a").await.unwrap(), store.list("a").await.unwrap());
            }
            drop(store);
            let store = RedbStore::open(&path).unwrap();
            assert_eq!(memory.list("").await.unwrap(), store.list("").await.unwrap());
        });
    }
}
