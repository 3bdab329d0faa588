//! The two files that an agent and its guard share. Each is one record of whole numbers with a checksum, written in one
//! call: one that is torn is seen as such and read again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::time::{ClockId, clock_gettime};

/// The end of the lease, written by the agent.
pub(super) const LEASE: &str = "lease";
/// The guard's beat.
pub(super) const BEAT: &str = "guard";
/// What no lease ends at.
const NEVER: u64 = u64::MAX;
const BYTES: usize = 32;
const KIND_LEASE: u64 = 0x6c69_6665_6c65_6173;
const KIND_BEAT: u64 = 0x6c69_6665_6265_6174;

/// Nanoseconds since the machine's boot, those in which it slept included.
pub(crate) fn boottime_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// A number that differs after each boot, so that a file that outlived one is not believed.
pub(crate) fn boot_mark() -> u64 {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    hash(&text)
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn record(kind: u64, mark: u64, value: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (at, number) in [kind, mark, value].into_iter().enumerate() {
        bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
    }
    let sum = hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The value of a record, if it is whole.
fn value(bytes: &[u8; BYTES], kind: u64, mark: u64) -> Option<u64> {
    let number = |at: usize| bytes[at * 8..at * 8 + 8].try_into().ok().map(u64::from_le_bytes);
    let whole = number(3)? == hash(&bytes[..24]) && number(0)? == kind && number(1)? == mark;
    if whole { number(2) } else { None }
}

/// What was read of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There is no file: the run directory was wiped.
    Gone,
    /// It is torn, damaged, or of an earlier boot.
    Unreadable,
    /// When the lease ends; none: never.
    Until(Option<u64>),
}

/// The file with the end of the lease.
#[derive(Debug)]
pub(super) struct LeaseFile {
    file: File,
    mark: u64,
}

impl LeaseFile {
    /// Opens it for writing; what it said before is kept.
    pub(super) fn open(run_dir: &Path, mark: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(run_dir.join(LEASE))?;
        Ok(Self { file, mark })
    }

    pub(super) fn write(&self, until_ns: Option<u64>) -> io::Result<()> {
        self.file.write_all_at(&record(KIND_LEASE, self.mark, until_ns.unwrap_or(NEVER)), 0)
    }

    pub(super) fn read(run_dir: &Path, mark: u64) -> Read {
        let file = match File::open(run_dir.join(LEASE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Read::Gone,
            Err(_) => return Read::Unreadable,
        };
        let mut bytes = [0; BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => match value(&bytes, KIND_LEASE, mark) {
                Some(NEVER) => Read::Until(None),
                Some(end) => Read::Until(Some(end)),
                None => Read::Unreadable,
            },
            Err(_) => Read::Unreadable,
        }
    }
}

/// Writes the guard's beat. One that cannot be written is seen as a guard that is not there.
pub(super) fn write_beat(file: &File, now_ns: u64) {
    let _ = file.write_all_at(&record(KIND_BEAT, 0, now_ns), 0);
}

/// When the guard beat last.
pub(super) fn read_beat(run_dir: &Path) -> Option<u64> {
    let mut bytes = [0; BYTES];
    File::open(run_dir.join(BEAT)).ok()?.read_exact_at(&mut bytes, 0).ok()?;
    value(&bytes, KIND_BEAT, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_with_any_bit_changed_is_no_record() {
        let whole = record(KIND_LEASE, 7, 42);
        assert_eq!(value(&whole, KIND_LEASE, 7), Some(42));
        assert_eq!(value(&whole, KIND_LEASE, 8), None, "of another boot");
        assert_eq!(value(&whole, KIND_BEAT, 7), None, "of another kind");
        for bit in 0..BYTES * 8 {
            let mut torn = whole;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(value(&torn, KIND_LEASE, 7), None, "bit {bit}");
        }
    }
}
