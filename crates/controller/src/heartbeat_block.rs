//! Reads heartbeat blocks: a host lives whose slot has changed between two looks, by this machine's clock.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lifeboat_brain::fleet::Input;
use lifeboat_drivers::heartbeat_block::{Beat, Block, BlockError};
use lifeboat_model::{
    Epoch, HostName,
    liveness::{EvidenceSource, Saying},
};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{handle::Handle, run::chain};

/// The longest that a read may take.
const LIMIT: Duration = Duration::from_millis(900);
/// A slot that stands still for so long, of agents that beat twice a second, is silent.
const STILL: Duration = Duration::from_millis(1500);
/// What was read so long ago is no beginning: it would show only that the host lived then.
const STALE: Duration = Duration::from_secs(3);

/// What a slot was seen to say.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slot: u64,
    beat: (Epoch, u64),
    /// Since when.
    since: Instant,
    /// When it was read last.
    read: Instant,
}

/// What was read of all hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    seen: Arc<Mutex<BTreeMap<HostName, Seen>>>,
}

impl Blocks {
    /// Reads a host's slot, and tells what it says.
    pub(crate) fn read(&self, handle: Handle, host: HostName, path: PathBuf) {
        let blocks = self.clone();
        tokio::spawn(async move {
            let reading = {
                let (blocks, host) = (blocks.clone(), host.clone());
                spawn_blocking(move || blocks.look(&path, &host, Instant::now()))
            };
            // A read that hangs keeps its thread until the storage is back; the question is answered in time.
            let (says, detail) = match timeout(LIMIT, reading).await {
                Ok(Ok(Ok(says))) => says,
                Ok(Ok(Err(error))) => (Saying::Unknown, Some(chain(&error))),
                Ok(Err(error)) => (Saying::Unknown, Some(error.to_string())),
                Err(_) => (Saying::Unknown, Some("the storage does not answer".to_owned())),
            };
            handle.input(Input::Evidence { host, source: EvidenceSource::Block, says, detail }).await;
        });
    }

    fn look(&self, path: &Path, host: &HostName, now: Instant) -> Result<(Saying, Option<String>), BlockError> {
        let block = Block::open(path)?;
        let before = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(host).copied();
        let known = match before {
            Some(seen) => block.read(seen.slot)?.filter(|beat| beat.host == *host).map(|beat| (seen.slot, beat)),
            None => None,
        };
        let found = match known {
            Some(found) => Some(found),
            None => match block.slot_of(host)? {
                Some(slot) => block.read(slot)?.map(|beat| (slot, beat)),
                None => None,
            },
        };
        let Some((slot, beat)) = found else {
            return Ok((Saying::Unknown, Some("it has no slot there".to_owned())));
        };
        let (seen, says) = judge(before, slot, &beat, now);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), seen);
        Ok((says, Some(format!("beat {} in slot {slot}", beat.sequence))))
    }
}

fn judge(before: Option<Seen>, slot: u64, beat: &Beat, now: Instant) -> (Seen, Saying) {
    let beat = (beat.epoch, beat.sequence);
    let lately = before.filter(|seen| seen.slot == slot && now.duration_since(seen.read) < STALE);
    let Some(seen) = lately else { return (Seen { slot, beat, since: now, read: now }, Saying::Unknown) };
    if seen.beat != beat {
        return (Seen { slot, beat, since: now, read: now }, Saying::Lives);
    }
    let says = if now.duration_since(seen.since) >= STILL { Saying::Silent } else { Saying::Unknown };
    (Seen { read: now, ..seen }, says)
}

#[cfg(test)]
mod tests {
    use lifeboat_drivers::heartbeat_block::BlockSlot;

    use super::*;

    fn host() -> HostName {
        HostName::new("h1").expect("a name")
    }

    struct World {
        file: tempfile::NamedTempFile,
        blocks: Blocks,
        begin: Instant,
    }

    impl World {
        fn new() -> Self {
            let file = tempfile::NamedTempFile::new().expect("a file");
            Self { file, blocks: Blocks::default(), begin: Instant::now() }
        }

        fn beats(&self, slot: u64, sequence: u64) {
            let place = BlockSlot { path: self.file.path().to_owned(), slot };
            let block = Block::open_slot(&place, &host()).expect("opens");
            block.write(slot, &Beat { host: host(), epoch: Epoch(1), sequence }).expect("written");
        }

        fn says(&self, after_ms: u64) -> Saying {
            let now = self.begin + Duration::from_millis(after_ms);
            self.blocks.look(self.file.path(), &host(), now).expect("read").0
        }
    }

    #[test]
    fn a_slot_that_changes_lives_and_one_that_stands_still_is_silent() {
        let world = World::new();
        assert_eq!(world.says(0), Saying::Unknown, "it has no slot");
        world.beats(4, 1);
        assert_eq!(world.says(100), Saying::Unknown, "a first look shows nothing");
        assert_eq!(world.says(600), Saying::Unknown, "the next beat may come");
        world.beats(4, 2);
        assert_eq!(world.says(800), Saying::Lives);
        assert_eq!(world.says(2200), Saying::Unknown);
        assert_eq!(world.says(2400), Saying::Silent);
    }

    #[test]
    fn what_was_read_long_ago_does_not_make_a_dead_host_live() {
        let world = World::new();
        world.beats(0, 1);
        assert_eq!(world.says(0), Saying::Unknown);
        world.beats(0, 500);
        assert_eq!(world.says(60_000), Saying::Unknown, "it may have died a second ago");
        assert_eq!(world.says(62_000), Saying::Silent);
    }

    #[test]
    fn a_host_that_was_given_another_slot_is_found_there() {
        let world = World::new();
        world.beats(0, 1);
        assert_eq!(world.says(0), Saying::Unknown);
        std::fs::write(world.file.path(), vec![0; 4096]).expect("wiped");
        world.beats(1, 1);
        assert_eq!(world.says(500), Saying::Unknown, "another slot is another beginning");
        world.beats(1, 2);
        assert_eq!(world.says(1000), Saying::Lives);
    }
}
