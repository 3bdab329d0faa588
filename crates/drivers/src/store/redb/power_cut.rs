//! Power cuts and disk errors at every write, on a disk in memory.
//!
//! A disk records what is done to it. A power cut after the n-th operation leaves what was synced before it, and of the
//! later writes any part: none, all, some, some of their sectors. Whatever it leaves must open, with all that was
//! acknowledged before the cut, and of each other transaction all or nothing.

use std::{
    io,
    sync::{Mutex, MutexGuard},
};

use futures::future::join_all;
use lifeboat_ports::Write;
use redb::{Builder, StorageBackend};

use super::{file::initialize, *};

/// What a disk writes wholly or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Op {
    Write {
        offset: usize,
        data: Vec<u8>,
    },
    SetLength(usize),
    Sync,
    /// Not of the disk: the transaction of this number is acknowledged.
    Acknowledged(usize),
}

fn apply(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, data } => {
            let end = offset + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(data);
        }
        Op::SetLength(length) => image.resize(*length, 0),
        Op::Sync | Op::Acknowledged(_) => {}
    }
}

#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    image: Vec<u8>,
    log: Vec<Op>,
    /// The operation with this number, and no other, fails.
    fail_at: Option<usize>,
    failed: bool,
}

impl Disk {
    fn of(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(DiskState { image, ..DiskState::default() })))
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap()
    }

    fn act(&self, op: Op) -> io::Result<()> {
        let mut state = self.state();
        if state.fail_at == Some(state.log.len()) {
            state.fail_at = None;
            state.failed = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        apply(&mut state.image, &op);
        state.log.push(op);
        Ok(())
    }

    fn open(&self) -> Result<RedbStore, StoreError> {
        let disk = self.clone();
        RedbStore::at(Place::disk(move |builder| Ok(builder.create_with_backend(disk.clone())?)))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().image.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let state = self.state();
        let part = state.image.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.act(Op::SetLength(usize::try_from(len).unwrap()))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.act(Op::Sync)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.act(Op::Write { offset: usize::try_from(offset).unwrap(), data: data.to_vec() })
    }
}

/// SplitMix64: the same choices every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// What a power cut keeps of the writes that were not synced.
#[derive(Clone, Copy, Debug)]
enum Keep {
    Nothing,
    Everything,
    Some,
    SomeSectors,
    EverythingButTheLast,
    OnlyTheLast,
}

const KEEPS: [Keep; 6] =
    [Keep::Nothing, Keep::Everything, Keep::EverythingButTheLast, Keep::OnlyTheLast, Keep::Some, Keep::SomeSectors];

/// What is on the disk after a power cut.
fn after_cut(base: &[u8], log: &[Op], keep: Keep, chance: &mut Chance) -> Vec<u8> {
    let synced = log.iter().rposition(|op| matches!(op, Op::Sync)).map_or(0, |last| last + 1);
    let mut image = base.to_vec();
    log[..synced].iter().for_each(|op| apply(&mut image, op));
    let pending: Vec<&Op> = log[synced..].iter().filter(|op| !matches!(op, Op::Acknowledged(_))).collect();
    for (index, op) in pending.iter().enumerate() {
        let last = index + 1 == pending.len();
        match (keep, op) {
            (Keep::SomeSectors, Op::Write { offset, data }) => {
                for (number, sector) in data.chunks(SECTOR).enumerate() {
                    if chance.coin() {
                        let offset = offset + number * SECTOR;
                        apply(&mut image, &Op::Write { offset, data: sector.to_vec() });
                    }
                }
            }
            _ => {
                let kept = match keep {
                    Keep::Nothing => false,
                    Keep::Everything => true,
                    Keep::Some | Keep::SomeSectors => chance.coin(),
                    Keep::EverythingButTheLast => !last,
                    Keep::OnlyTheLast => last,
                };
                if kept {
                    apply(&mut image, op);
                }
            }
        }
    }
    image
}

type Contents = Vec<(String, Vec<u8>)>;

fn empty_store() -> Vec<u8> {
    let disk = Disk::default();
    let database = Builder::new().create_with_backend(disk.clone()).unwrap();
    initialize(&database).unwrap();
    drop(database);
    disk.state().image.clone()
}

/// The n-th transaction: new keys, one that is written again and again, one that goes, of sizes from within a page to
/// several pages.
fn transaction(number: usize) -> Transaction {
    let size = [10, 900, 5_000, 20_000][number % 4];
    let mark = u8::try_from(number).unwrap();
    let put = |key: String, value| Write { key, value: Some(value) };
    let mut writes = vec![
        put(format!("new/{number:03}/a"), vec![mark; size]),
        put(format!("new/{number:03}/b"), vec![mark; 10]),
        put("last".to_owned(), vec![mark; 40]),
    ];
    if number > 4 {
        writes.extend(["a", "b"].map(|part| Write { key: format!("new/{:03}/{part}", number - 4), value: None }));
    }
    Transaction { conditions: vec![], writes }
}

const TRANSACTIONS: usize = 9;

/// Commits transactions one after the other; gives all that was done to the disk and the contents after each.
async fn one_by_one(disk: &Disk) -> Vec<Contents> {
    let store = disk.open().unwrap();
    let mut states = vec![store.list("").await.unwrap()];
    for number in 1..=TRANSACTIONS {
        store.commit(&transaction(number)).await.unwrap();
        disk.act(Op::Acknowledged(number)).unwrap();
        states.push(store.list("").await.unwrap());
    }
    states
}

fn acknowledged(log: &[Op]) -> impl Iterator<Item = usize> + '_ {
    log.iter().filter_map(|op| if let Op::Acknowledged(number) = op { Some(*number) } else { None })
}

#[tokio::test]
async fn a_power_cut_at_any_write_loses_nothing_acknowledged_and_halves_nothing() {
    let base = empty_store();
    let disk = Disk::of(base.clone());
    let states = one_by_one(&disk).await;
    let log = disk.state().log.clone();
    let mut chance = Chance(1);
    let mut cuts = 0;
    for point in 0..=log.len() {
        let done = acknowledged(&log[..point]).last().unwrap_or(0);
        let allowed = &states[done..=(done + 1).min(TRANSACTIONS)];
        for keep in KEEPS {
            let survivor = Disk::of(after_cut(&base, &log[..point], keep, &mut chance));
            let image = survivor.state().image.clone();
            let store = survivor.open().unwrap_or_else(|error| panic!("cut at {point}, {keep:?}: {error}"));
            let found = store.list("").await.unwrap();
            assert!(allowed.contains(&found), "cut at {point}, {keep:?}: what was acknowledged is gone or halved");
            drop(store);
            cuts += 1;
            if point % 5 == 0 && matches!(keep, Keep::Some) {
                let log = survivor.state().log.clone();
                cut_again(&image, &log, &found, &mut chance).await;
            }
        }
    }
    assert!(cuts > 6 * 3 * TRANSACTIONS, "every write and sync was a point to cut at: {cuts}");
}

/// The power goes again, at any write of what opens the store after a cut.
async fn cut_again(base: &[u8], log: &[Op], expected: &Contents, chance: &mut Chance) {
    for point in 0..=log.len() {
        for keep in [Keep::Some, Keep::SomeSectors] {
            let survivor = Disk::of(after_cut(base, &log[..point], keep, chance));
            let store = survivor.open().unwrap_or_else(|error| panic!("cut again at {point}, {keep:?}: {error}"));
            assert_eq!(store.list("").await.unwrap(), *expected, "cut again at {point}, {keep:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_among_commits_that_share_a_sync_halves_none_of_them() {
    let base = empty_store();
    let disk = Disk::of(base.clone());
    let store = disk.open().unwrap();
    for round in 0..2 {
        join_all((0..6).map(|place| {
            let (store, disk) = (&store, &disk);
            async move {
                let number = 1 + round * 6 + place;
                let only_new = transaction(number).writes.drain(..2).collect();
                store.commit(&Transaction { conditions: vec![], writes: only_new }).await.unwrap();
                disk.act(Op::Acknowledged(number)).unwrap();
            }
        }))
        .await;
    }
    drop(store);
    let log = disk.state().log.clone();
    let mut chance = Chance(2);
    for point in 0..=log.len() {
        for keep in KEEPS {
            let store = Disk::of(after_cut(&base, &log[..point], keep, &mut chance)).open().unwrap();
            let found = store.list("").await.unwrap();
            for number in 1..=12 {
                let expected: Contents = transaction(number).writes[..2]
                    .iter()
                    .map(|write| (write.key.clone(), write.value.clone().unwrap()))
                    .collect();
                let there: Contents =
                    found.iter().filter(|(key, _)| key.starts_with(&format!("new/{number:03}/"))).cloned().collect();
                let must = acknowledged(&log[..point]).any(|done| done == number);
                assert!(there == expected || !must && there.is_empty(), "cut at {point}, {keep:?}: {number} {must}");
            }
        }
    }
}

#[tokio::test]
async fn a_disk_error_at_any_write_is_told_once_and_the_store_goes_on() {
    let base = empty_store();
    let whole = Disk::of(base.clone());
    one_by_one(&whole).await;
    let operations = whole.state().log.len();
    let opening = {
        let disk = Disk::of(base.clone());
        let _open = disk.open().unwrap();
        disk.state().log.len()
    };
    let mut told_in_all = 0;
    for point in opening..operations {
        let disk = Disk::of(base.clone());
        disk.state().fail_at = Some(point);
        let store = disk.open().unwrap();
        let mut told = 0;
        for number in 1..=TRANSACTIONS {
            let last = |state: &Contents| state.iter().find(|(key, _)| key == "last").map(|(_, value)| value[0]);
            if let Err(error) = store.commit(&transaction(number)).await {
                assert!(error.to_string().contains("no space is left"), "{error}");
                told += 1;
                // Nobody knows whether it took effect; reading tells, and doing it again is no harm.
                let seen = last(&store.list("").await.unwrap()).map_or(0, usize::from);
                assert!(seen == number || seen + 1 == number, "{number} failed and {seen} is the last");
                store.commit(&transaction(number)).await.unwrap();
            }
            let seen = last(&store.list("").await.unwrap());
            assert_eq!(seen.map(usize::from), Some(number), "what was acknowledged is read after error at {point}");
        }
        assert_eq!(told, usize::from(disk.state().failed), "an error of the disk at {point} is told once");
        told_in_all += told;
    }
    assert!(told_in_all > 2 * TRANSACTIONS, "errors met commits, not only the closing of the file: {told_in_all}");
}
