//! A heartbeat block: a file or device on storage that several hosts and the controller see, one slot a host.
//!
//! An agent writes its slot over and over with a growing sequence number. The reader trusts no clock but its own: a host
//! lives whose slot has changed between two of its looks. A slot is [`SLOT_BYTES`] long and begins at its number times
//! that, so that two hosts never write one sector:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `LBBEAT/1` |
//! | 8..16 | epoch that the agent has seen last, little endian, as all numbers |
//! | 16..24 | sequence number |
//! | 24..26 | length of the host's name |
//! | 26..154 | the host's name, the rest zero |
//! | 154..186 | SHA-256 of the bytes before |
//! | 186..4096 | zero |
//!
//! Reads and writes go past the page cache where the file system can (`O_DIRECT`), since another host's writes never come
//! into this one's cache; writes are durable when they end (`O_DSYNC`), since only that shows that the storage works.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use lifeboat_model::{Epoch, HostName};
use rustix::fs::OFlags;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Bytes of a slot: a block of any disk.
pub const SLOT_BYTES: usize = 4096;
/// The most slots of a block.
pub const MAX_SLOTS: u64 = 16_384;

const MAGIC: [u8; 8] = *b"LBBEAT/1";
const NAME_AT: usize = 26;
const SUM_AT: usize = NAME_AT + lifeboat_model::MAX_NAME_CHARS;
const SUM_END: usize = SUM_AT + 32;

/// A host's place in a heartbeat block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSlot {
    /// The file or device.
    pub path: PathBuf,
    /// Its slot, which no other host has; from 0.
    pub slot: u64,
}

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The host.
    pub host: HostName,
    /// The highest epoch that its agent had seen.
    pub epoch: Epoch,
    /// A number that grows with each beat of one agent's life.
    pub sequence: u64,
}

/// Why a block cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// It cannot be opened, read or written.
    #[error("cannot use the heartbeat block {}", .path.display())]
    Io {
        /// The block.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The slot is another host's.
    #[error("slot {slot} of the heartbeat block {} is {host}'s; give each host a slot of its own", .path.display())]
    Taken {
        /// The block.
        path: PathBuf,
        /// The slot.
        slot: u64,
        /// Whose it is.
        host: HostName,
    },
    /// The slot's number is too high.
    #[error("slot {slot} is too high for a heartbeat block: it has {MAX_SLOTS} slots at most, from 0")]
    TooHigh {
        /// The slot.
        slot: u64,
    },
}

/// A slot in memory, where direct reads and writes want it.
#[repr(align(4096))]
struct Page([u8; SLOT_BYTES]);

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self([0; SLOT_BYTES]))
    }

    fn encode(beat: &Beat) -> Box<Self> {
        let mut page = Self::new();
        let name = beat.host.as_str().as_bytes();
        let bytes = &mut page.0;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&beat.epoch.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&beat.sequence.to_le_bytes());
        bytes[24..NAME_AT].copy_from_slice(&(name.len() as u16).to_le_bytes());
        bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
        let sum: [u8; 32] = Sha256::digest(&bytes[..SUM_AT]).into();
        bytes[SUM_AT..SUM_END].copy_from_slice(&sum);
        page
    }

    /// What it says; none when nobody has written it, or it is being written.
    fn decode(&self) -> Option<Beat> {
        let bytes = &self.0;
        let sum: [u8; 32] = Sha256::digest(&bytes[..SUM_AT]).into();
        if bytes[..8] != MAGIC || bytes[SUM_AT..SUM_END] != sum {
            return None;
        }
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        let length = usize::from(u16::from_le_bytes([bytes[24], bytes[25]]));
        let name = bytes.get(NAME_AT..NAME_AT + length).filter(|_| NAME_AT + length <= SUM_AT)?;
        let host = HostName::new(std::str::from_utf8(name).ok()?).ok()?;
        Some(Beat { host, epoch: Epoch(number(8)?), sequence: number(16)? })
    }
}

/// An open block.
#[derive(Debug)]
pub struct Block {
    file: File,
    path: PathBuf,
}

impl Block {
    /// Opens it to read it.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn open(path: &Path) -> Result<Self, BlockError> {
        Self::with(path, OpenOptions::new().read(true), OFlags::empty())
    }

    /// Opens it to write a slot.
    ///
    /// # Errors
    /// [`BlockError`] when that cannot be done, or the slot is another host's.
    pub fn open_slot(slot: &BlockSlot, host: &HostName) -> Result<Self, BlockError> {
        if slot.slot >= MAX_SLOTS {
            return Err(BlockError::TooHigh { slot: slot.slot });
        }
        let block = Self::with(&slot.path, OpenOptions::new().read(true).write(true), OFlags::DSYNC)?;
        match block.read(slot.slot)? {
            Some(beat) if beat.host != *host => {
                Err(BlockError::Taken { path: slot.path.clone(), slot: slot.slot, host: beat.host })
            }
            _ => Ok(block),
        }
    }

    fn with(path: &Path, options: &mut OpenOptions, flags: OFlags) -> Result<Self, BlockError> {
        let mut open = |flags: OFlags| options.custom_flags(flags.bits().cast_signed()).open(path);
        // Not every file system can read past the cache.
        let file = open(flags | OFlags::DIRECT).or_else(|error| match error.kind() {
            io::ErrorKind::InvalidInput => open(flags),
            _ => Err(error),
        });
        let path = path.to_owned();
        match file {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(BlockError::Io { path, source }),
        }
    }

    fn failed(&self, source: io::Error) -> BlockError {
        BlockError::Io { path: self.path.clone(), source }
    }

    /// What a slot says; none when it was never written, or is being written.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn read(&self, slot: u64) -> Result<Option<Beat>, BlockError> {
        let mut page = Page::new();
        let read = self.file.read_at(&mut page.0, slot * SLOT_BYTES as u64).map_err(|error| self.failed(error))?;
        Ok((read == SLOT_BYTES).then(|| page.decode()).flatten())
    }

    /// Writes a slot, durably.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn write(&self, slot: u64, beat: &Beat) -> Result<(), BlockError> {
        let page = Page::encode(beat);
        self.file.write_all_at(&page.0, slot * SLOT_BYTES as u64).map_err(|error| self.failed(error))
    }

    /// The slot of a host; none when it has none.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn slot_of(&self, host: &HostName) -> Result<Option<u64>, BlockError> {
        let mut page = Page::new();
        for slot in 0..MAX_SLOTS {
            let read = self.file.read_at(&mut page.0, slot * SLOT_BYTES as u64).map_err(|error| self.failed(error))?;
            if read < SLOT_BYTES {
                return Ok(None);
            }
            if page.decode().is_some_and(|beat| beat.host == *host) {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(name: &str) -> HostName {
        HostName::new(name).expect("a name")
    }

    fn beat(name: &str, sequence: u64) -> Beat {
        Beat { host: host(name), epoch: Epoch(3), sequence }
    }

    fn file() -> tempfile::NamedTempFile {
        tempfile::NamedTempFile::new().expect("a file")
    }

    #[test]
    fn each_host_finds_its_own_slot_and_what_was_written_last_there() {
        let file = file();
        for (slot, name) in [(0, "h1"), (5, "h2")] {
            let place = BlockSlot { path: file.path().to_owned(), slot };
            let block = Block::open_slot(&place, &host(name)).expect("opens");
            (1..=3).for_each(|sequence| block.write(slot, &beat(name, sequence)).expect("written"));
        }
        let block = Block::open(file.path()).expect("opens");
        assert_eq!(block.slot_of(&host("h2")).expect("read"), Some(5));
        assert_eq!(block.read(5).expect("read"), Some(beat("h2", 3)));
        assert_eq!(block.read(0).expect("read"), Some(beat("h1", 3)));
        assert_eq!(block.read(3).expect("read"), None, "nobody wrote it");
        assert_eq!(block.read(900).expect("read"), None, "past its end");
        assert_eq!(block.slot_of(&host("h3")).expect("read"), None);
    }

    #[test]
    fn a_slot_is_one_hosts_for_ever_and_another_is_told_whose() {
        let file = file();
        let place = BlockSlot { path: file.path().to_owned(), slot: 2 };
        Block::open_slot(&place, &host("h1")).expect("opens").write(2, &beat("h1", 1)).expect("written");
        let error = Block::open_slot(&place, &host("h2")).expect_err("it is taken").to_string();
        assert!(error.contains("slot 2") && error.contains("h1's"), "{error}");
        let high = BlockSlot { slot: MAX_SLOTS, ..place };
        assert!(matches!(Block::open_slot(&high, &host("h1")), Err(BlockError::TooHigh { .. })));
        assert!(matches!(Block::open(Path::new("/no/such/block")), Err(BlockError::Io { .. })));
    }

    #[test]
    fn a_slot_with_one_byte_changed_says_nothing() {
        let page = Page::encode(&beat("h1", 7));
        for at in 0..SUM_END {
            let mut torn = Page::new();
            torn.0 = page.0;
            torn.0[at] ^= 1;
            assert_eq!(torn.decode(), None, "byte {at}");
        }
        assert_eq!(page.decode(), Some(beat("h1", 7)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_fail(bytes in prop::collection::vec(any::<u8>(), SUM_AT), valid in any::<bool>()) {
            let mut page = Page::new();
            page.0[..SUM_AT].copy_from_slice(&bytes);
            page.0[..8].copy_from_slice(&MAGIC);
            if valid {
                let sum: [u8; 32] = Sha256::digest(&page.0[..SUM_AT]).into();
                page.0[SUM_AT..SUM_END].copy_from_slice(&sum);
            }
            let _ = page.decode();
        }
    }
}
