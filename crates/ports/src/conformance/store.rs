//! What every [`Store`] must do.

use futures::future::join_all;

use crate::{Condition, Expect, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store, StoreError, Transaction, Write};

/// Drives stores through everything that the contract promises. `fresh` makes an empty store each time.
///
/// # Panics
/// When a store does not keep the contract.
pub async fn run<S: Store>(fresh: impl AsyncFn() -> S) {
    what_is_committed_is_read(&fresh().await).await;
    a_list_has_a_prefix_and_an_order(&fresh().await).await;
    a_conflict_writes_nothing(&fresh().await).await;
    writes_are_done_in_order_and_together(&fresh().await).await;
    what_is_too_large_is_refused(&fresh().await).await;
    no_increment_is_lost(&fresh().await).await;
    a_list_is_of_one_moment(&fresh().await).await;
}

/// Drives a store that outlives its process: `open` opens the same store each time, empty at first.
///
/// # Panics
/// When something acknowledged is gone after a store was dropped and opened again.
pub async fn remembers<S: Store>(open: impl AsyncFn() -> S) {
    for round in 0..5_u8 {
        let store = open().await;
        let known = store.list("round/").await.expect("a list");
        let expected: Vec<(String, Vec<u8>)> = (0..round).map(|past| (format!("round/{past}"), vec![past])).collect();
        assert_eq!(known, expected, "what was acknowledged before the store was opened again is there");
        let write = put(&format!("round/{round}"), [round]);
        store.commit(&Transaction { writes: vec![write], ..Transaction::default() }).await.expect("a commit");
    }
}

fn put(key: &str, value: impl Into<Vec<u8>>) -> Write {
    Write { key: key.to_owned(), value: Some(value.into()) }
}

fn remove(key: &str) -> Write {
    Write { key: key.to_owned(), value: None }
}

fn absent(key: &str) -> Condition {
    Condition { key: key.to_owned(), expect: Expect::Absent }
}

fn is(key: &str, value: impl Into<Vec<u8>>) -> Condition {
    Condition { key: key.to_owned(), expect: Expect::Is(value.into()) }
}

async fn commit(store: &impl Store, conditions: Vec<Condition>, writes: Vec<Write>) -> Result<(), StoreError> {
    store.commit(&Transaction { conditions, writes }).await
}

async fn keys(store: &impl Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.expect("a list").into_iter().map(|(key, _)| key).collect()
}

async fn what_is_committed_is_read(store: &impl Store) {
    assert_eq!(store.get("vm/a").await.expect("a get"), None, "an empty store has no value");
    assert!(store.list("").await.expect("a list").is_empty(), "an empty store lists nothing");
    commit(store, vec![], vec![put("vm/a", b"1".as_slice())]).await.expect("a commit");
    assert_eq!(store.get("vm/a").await.expect("a get"), Some(b"1".to_vec()), "a committed value is read");
    commit(store, vec![], vec![put("vm/a", b"".as_slice())]).await.expect("a commit");
    assert_eq!(store.get("vm/a").await.expect("a get"), Some(vec![]), "an empty value is a value");
    commit(store, vec![], vec![remove("vm/a"), remove("never")]).await.expect("a commit");
    assert_eq!(store.get("vm/a").await.expect("a get"), None, "a removed key has no value");
    commit(store, vec![], vec![]).await.expect("an empty transaction is done");
}

async fn a_list_has_a_prefix_and_an_order(store: &impl Store) {
    let all = ["a", "a ", "a/", "a/1", "a/10", "a/2", "a0", "b", "~", "~~"];
    commit(store, vec![], all.iter().rev().map(|key| put(key, key.as_bytes())).collect()).await.expect("a commit");
    assert_eq!(keys(store, "").await, all, "all keys, in the order of their bytes");
    assert_eq!(keys(store, "a/").await, ["a/", "a/1", "a/10", "a/2"], "the keys that begin with the prefix");
    assert_eq!(keys(store, "~").await, ["~", "~~"], "a prefix of the last printable character");
    assert!(keys(store, "c").await.is_empty(), "no key begins with it");
    let values = store.list("a/1").await.expect("a list");
    assert_eq!(values, [("a/1".into(), b"a/1".to_vec()), ("a/10".into(), b"a/10".to_vec())], "with their values");
}

async fn a_conflict_writes_nothing(store: &impl Store) {
    commit(store, vec![absent("x")], vec![put("x", *b"1")]).await.expect("an absent key is absent");
    let cases: [(Vec<Condition>, &str); 4] = [
        (vec![absent("x")], "x"),
        (vec![is("x", *b"2")], "x"),
        (vec![is("y", *b"")], "y"),
        (vec![is("x", *b"1"), absent("z"), is("y", *b"1"), absent("x")], "y"),
    ];
    for (conditions, first) in cases {
        let told = format!("{conditions:?}");
        match commit(store, conditions, vec![put("x", *b"9"), put("z", *b"9"), remove("x")]).await {
            Err(StoreError::Conflict { key }) => assert_eq!(key, first, "the first condition that fails is named"),
            other => panic!("{told} must be a conflict, not {other:?}"),
        }
    }
    assert_eq!(store.get("x").await.expect("a get"), Some(b"1".to_vec()), "a conflict changes nothing");
    assert_eq!(store.get("z").await.expect("a get"), None, "a conflict writes nothing");
    commit(store, vec![is("x", *b"1"), absent("y")], vec![put("x", *b"2")]).await.expect("all conditions hold");
    assert_eq!(store.get("x").await.expect("a get"), Some(b"2".to_vec()));
    commit(store, vec![is("x", *b"2")], vec![]).await.expect("conditions alone may be asked");
}

async fn writes_are_done_in_order_and_together(store: &impl Store) {
    let writes = vec![put("k", *b"1"), put("k", *b"2"), put("l", *b"1"), remove("l"), remove("m"), put("m", *b"3")];
    let conditions = vec![absent("k"), absent("l"), absent("m")];
    commit(store, conditions, writes).await.expect("conditions are of the state before the writes");
    let all = store.list("").await.expect("a list");
    assert_eq!(all, [("k".into(), b"2".to_vec()), ("m".into(), b"3".to_vec())], "the last write of a key counts");
}

async fn what_is_too_large_is_refused(store: &impl Store) {
    let longest = "k".repeat(MAX_KEY_BYTES);
    let largest = vec![7; MAX_VALUE_BYTES];
    commit(store, vec![absent(&longest)], vec![put(&longest, largest.clone())]).await.expect("just within the limits");
    assert_eq!(store.get(&longest).await.expect("a get"), Some(largest), "the largest value is kept whole");
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let bad = [
        Transaction { conditions: vec![], writes: vec![put("first", *b"1"), put("v", vec![0; MAX_VALUE_BYTES + 1])] },
        Transaction { conditions: vec![], writes: vec![put("first", *b"1"), put(&long, *b"1")] },
        Transaction { conditions: vec![absent(&long)], writes: vec![put("first", *b"1")] },
        Transaction { conditions: vec![], writes: vec![put("first", *b"1"), put("", *b"1")] },
        Transaction { conditions: vec![], writes: vec![put("first", *b"1"), put("tab\t", *b"1")] },
        Transaction { conditions: vec![], writes: vec![put("first", *b"1"), remove("é")] },
    ];
    for transaction in bad {
        let refused = store.commit(&transaction).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "must be refused as too large: {refused:?}");
    }
    assert_eq!(store.get("first").await.expect("a get"), None, "a refused transaction writes nothing");
}

/// Many at once read a counter and swap it for the next, until each has done so several times.
async fn no_increment_is_lost(store: &impl Store) {
    const AT_ONCE: u64 = 8;
    const EACH: u64 = 6;
    let increment = async || {
        let mut done = 0;
        while done < EACH {
            let before = store.get("counter").await.expect("a get");
            let count: u64 =
                before.as_deref().map_or(0, |text| String::from_utf8_lossy(text).parse().expect("a number"));
            let condition = before.map_or_else(|| absent("counter"), |value| is("counter", value));
            match commit(store, vec![condition], vec![put("counter", (count + 1).to_string())]).await {
                Ok(()) => done += 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(other) => panic!("cannot count: {other}"),
            }
        }
    };
    join_all((0..AT_ONCE).map(|_| increment())).await;
    let count = store.get("counter").await.expect("a get").expect("a counter");
    assert_eq!(count, (AT_ONCE * EACH).to_string().into_bytes(), "every acknowledged swap counted once");
}

/// Two keys are always written together; no list may see them differ.
async fn a_list_is_of_one_moment(store: &impl Store) {
    let write = async {
        for round in 0..20_u8 {
            let writes = vec![put("pair/a", [round]), put("pair/b", [round])];
            commit(store, vec![], writes).await.expect("a commit");
        }
    };
    let read = async {
        for _ in 0..40 {
            let pair = store.list("pair/").await.expect("a list");
            assert!(pair.iter().all(|(_, value)| *value == pair[0].1), "a list shows one moment: {pair:?}");
            assert!(pair.len() % 2 == 0, "a transaction is seen whole: {pair:?}");
        }
    };
    futures::join!(write, read);
}
