//! How a guest writes its sequence numbers onto a volume, so that what it said to be durable can be told from what is.
//!
//! A volume begins with a ring of [`SLOTS`] blocks of [`BLOCK_BYTES`]. Record `n` stands in slot `n % SLOTS`, so that a
//! write torn by a power cut spoils one slot and leaves the record before it whole. The last durable record is the valid
//! one with the highest number.
//!
//! This file is compiled twice: into the lab, and into the guest's own program, which has nothing but `std`.

/// Bytes of a block: the largest logical block that volumes have, so that direct I/O is always aligned.
pub const BLOCK_BYTES: usize = 4096;

/// Blocks of the ring.
pub const SLOTS: u64 = 64;

const MAGIC: [u8; 8] = *b"LBSEQv1\n";
const BOOT_BYTES: usize = 36;

/// One block, aligned for direct I/O.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Block(pub [u8; BLOCK_BYTES]);

impl Default for Block {
    fn default() -> Self {
        Self([0; BLOCK_BYTES])
    }
}

/// What a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: 1, 2, 3, …
    pub sequence: u64,
    /// The boot of the guest that wrote it, as `/proc/sys/kernel/random/boot_id` names it.
    pub boot: [u8; BOOT_BYTES],
}

impl Record {
    /// A record of this boot; a longer or shorter text is cut or padded.
    #[must_use]
    pub fn new(sequence: u64, boot: &str) -> Self {
        let mut bytes = [b' '; BOOT_BYTES];
        for (to, from) in bytes.iter_mut().zip(boot.trim().bytes()) {
            *to = from;
        }
        Self { sequence, boot: bytes }
    }

    /// Where the record stands, in bytes from the volume's beginning.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.sequence % SLOTS * BLOCK_BYTES as u64
    }

    /// The record as a block.
    #[must_use]
    pub fn encode(&self) -> Block {
        let mut block = Block::default();
        block.0[..8].copy_from_slice(&MAGIC);
        block.0[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        block.0[16..16 + BOOT_BYTES].copy_from_slice(&self.boot);
        let sum = checksum(&block.0[..BLOCK_BYTES - 8]);
        block.0[BLOCK_BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
        block
    }

    /// The record in a block; none when the block was never written, or not to its end.
    #[must_use]
    pub fn decode(block: &[u8]) -> Option<Self> {
        let (body, sum) = block.get(..BLOCK_BYTES)?.split_at(BLOCK_BYTES - 8);
        let whole = body[..8] == MAGIC && checksum(body).to_le_bytes() == *sum;
        whole.then(|| Self {
            sequence: u64::from_le_bytes(body[8..16].try_into().unwrap_or_default()),
            boot: body[16..16 + BOOT_BYTES].try_into().unwrap_or([b' '; BOOT_BYTES]),
        })
    }

    /// The record with the highest number in the blocks of a ring.
    #[must_use]
    pub fn last(ring: &[u8]) -> Option<Self> {
        ring.chunks_exact(BLOCK_BYTES).filter_map(Self::decode).max_by_key(|record| record.sequence)
    }
}

/// FNV-1a: enough to tell a torn block from a whole one.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record::new(77, "0b1c3d5e-0000-4000-8000-00000000abcd\n");
        assert_eq!(Record::decode(&record.encode().0), Some(record));
        assert_eq!(record.offset(), 13 * 4096);
    }

    #[test]
    fn a_block_torn_anywhere_is_no_record() {
        let (old, new) = (Record::new(1, "a").encode(), Record::new(65, "b").encode());
        for cut in 1..BLOCK_BYTES {
            let torn: Vec<u8> = new.0[..cut].iter().chain(&old.0[cut..]).copied().collect();
            let read = Record::decode(&torn).map(|record| record.sequence);
            assert!(read.is_none() || torn == old.0 || torn == new.0, "torn at {cut} it reads {read:?}");
        }
    }

    #[test]
    fn the_last_of_a_ring_is_the_highest_whole_one() {
        let mut ring: Vec<u8> = (64..128).flat_map(|n| Record::new(n, "x").encode().0).collect();
        assert_eq!(Record::last(&ring).map(|r| r.sequence), Some(127));
        ring[63 * BLOCK_BYTES + 9] ^= 1;
        assert_eq!(Record::last(&ring).map(|r| r.sequence), Some(126));
        assert_eq!(Record::last(&vec![0; BLOCK_BYTES * 64]), None);
    }
}
