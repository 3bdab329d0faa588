//! The guest's own program: writes increasing sequence numbers through to every volume and tells, over TCP, the last
//! durable one of each.
//!
//! Theory of operation: one thread a volume. It looks for the last valid record ([`super::record`]), then writes the next
//! number each [`PACE`] with `O_DIRECT|O_DSYNC`, and only when the write has returned is the number shown. Before each
//! write it reads back its last record: something else there means that another machine has written to the volume, and
//! the answer says so from then on. The listener opens when every volume has its first record of this boot: whoever can
//! connect finds a guest that works. A volume that fails is not shown to go on; its thread ends, and the answer says
//! `failed`.
//!
//! An answer is one line: `lifeboat-guest BOOT STATE N N …`, where STATE is `ok`, `foreign` (another writer was seen) or
//! `failed`, and each N the last durable number of a volume, in the order of the devices.
//!
//! This file is compiled twice: into the lab, where it is tested, and into the guest's own program, which has nothing but
//! `std`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::record::{BLOCK_BYTES, Block, Record, SLOTS};

/// TCP port of the answers.
pub const PORT: u16 = 7000;

/// Time between two records of a volume.
const PACE: Duration = Duration::from_millis(50);

// From <fcntl.h> of x86-64 Linux: the program has nothing but `std`.
const O_DIRECT: i32 = 0o40_000;
const O_DSYNC: i32 = 0o10_000;

const OK: u8 = 0;
const FOREIGN: u8 = 1;
const FAILED: u8 = 2;

/// What is known of one volume.
#[derive(Default)]
pub struct Durable {
    sequence: AtomicU64,
    state: AtomicU8,
}

impl Durable {
    /// The last durable number; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }
}

/// Runs the program on every `/dev/vd?` and never returns in a healthy guest.
///
/// # Errors
/// When the boot's id cannot be read or the port not be listened on.
pub fn run() -> io::Result<()> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let devices: Vec<PathBuf> =
        ('a'..='z').map(|letter| PathBuf::from(format!("/dev/vd{letter}"))).filter(|path| path.exists()).collect();
    let durable: Arc<Vec<Durable>> = Arc::new(devices.iter().map(|_| Durable::default()).collect());
    let ready = Arc::new(Barrier::new(devices.len() + 1));
    for (index, device) in devices.into_iter().enumerate() {
        let (durable, ready, boot) = (Arc::clone(&durable), Arc::clone(&ready), boot.clone());
        thread::spawn(move || keep_volume(&device, &durable[index], &boot, &ready));
    }
    ready.wait();
    serve(&TcpListener::bind(("0.0.0.0", PORT))?, &boot, &durable)
}

fn keep_volume(device: &Path, durable: &Durable, boot: &str, ready: &Barrier) {
    let begun = Writer::open(device, boot, O_DIRECT | O_DSYNC).and_then(|mut writer| {
        writer.step(durable)?;
        Ok(writer)
    });
    if begun.is_err() {
        durable.state.store(FAILED, Ordering::Release);
    }
    ready.wait();
    let Ok(mut writer) = begun else { return };
    loop {
        thread::sleep(PACE);
        if let Err(error) = writer.step(durable) {
            eprintln!("{}: {error}", device.display());
            durable.state.store(FAILED, Ordering::Release);
            return;
        }
    }
}

/// Writes the records of one volume.
pub struct Writer {
    file: File,
    last: Option<Record>,
    next: u64,
    boot: String,
}

impl Writer {
    /// Opens a volume and goes on after its last valid record.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(device: &Path, boot: &str, flags: i32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(device)?;
        let mut ring = Vec::with_capacity(SLOTS as usize * BLOCK_BYTES);
        for slot in 0..SLOTS {
            ring.extend_from_slice(&read_block(&file, slot * BLOCK_BYTES as u64)?.0);
        }
        let last = Record::last(&ring);
        Ok(Self { file, last, next: last.map_or(1, |record| record.sequence + 1), boot: boot.to_owned() })
    }

    /// Writes the next record and shows it once it is durable.
    ///
    /// # Errors
    /// What the system says of the write or of reading back the record before it.
    pub fn step(&mut self, durable: &Durable) -> io::Result<()> {
        if let Some(last) = self.last
            && Record::decode(&read_block(&self.file, last.offset())?.0) != Some(last)
        {
            durable.state.store(FOREIGN, Ordering::Release);
        }
        let record = Record::new(self.next, &self.boot);
        self.file.write_all_at(&record.encode().0, record.offset())?;
        self.last = Some(record);
        durable.sequence.store(self.next, Ordering::Release);
        self.next += 1;
        Ok(())
    }
}

fn read_block(file: &File, offset: u64) -> io::Result<Block> {
    let mut block = Block::default();
    file.read_exact_at(&mut block.0, offset)?;
    Ok(block)
}

fn serve(listener: &TcpListener, boot: &str, durable: &[Durable]) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A client that is gone is its own affair.
        let _ = answer(stream, boot, durable);
    }
}

fn answer(mut stream: TcpStream, boot: &str, durable: &[Durable]) -> io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(line(boot, durable).as_bytes())
}

/// The answer as it stands now.
#[must_use]
pub fn line(boot: &str, durable: &[Durable]) -> String {
    let worst = durable.iter().map(|volume| volume.state.load(Ordering::Acquire)).max().unwrap_or(OK);
    let state = match worst {
        OK => "ok",
        FOREIGN => "foreign",
        _ => "failed",
    };
    let numbers: String = durable.iter().map(|volume| format!(" {}", volume.sequence())).collect();
    format!("lifeboat-guest {boot} {state}{numbers}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("file");
        file.as_file().set_len(1 << 20).expect("size");
        file
    }

    #[test]
    fn a_guest_goes_on_after_the_last_record_of_the_boot_before() {
        let file = volume();
        let durable = [Durable::default()];
        let mut writer = Writer::open(file.path(), "boot-1", 0).expect("open");
        for _ in 0..100 {
            writer.step(&durable[0]).expect("write");
        }
        drop(writer);
        let mut writer = Writer::open(file.path(), "boot-2", 0).expect("open");
        writer.step(&durable[0]).expect("write");
        assert_eq!(line("boot-2", &durable), "lifeboat-guest boot-2 ok 101\n");
    }

    #[test]
    fn a_second_writer_is_seen_by_the_first() {
        let file = volume();
        let (mine, theirs) = ([Durable::default()], Durable::default());
        let mut one = Writer::open(file.path(), "boot-1", 0).expect("open");
        one.step(&mine[0]).expect("write");
        let mut other = Writer::open(file.path(), "boot-2", 0).expect("open");
        one.step(&mine[0]).expect("write");
        other.step(&theirs).expect("write");
        one.step(&mine[0]).expect("write");
        assert_eq!(line("b", &mine), "lifeboat-guest b foreign 3\n");
    }
}
