//! What was obeyed, kept in `STATE_DIR/obeyed.log`.
//!
//! Theory of operation: the first line says the format; each further line is one [`HostRecord`] as JSON behind a
//! checksum. Records are appended and flushed to the disk before anybody acts upon them; when most lines are outdated
//! the file is written anew beside its place and put there in one step. A kill or a power cut in the middle of an append
//! leaves a last line without its end: nobody has acted upon it, so it is dropped. Anything else that does not fit is
//! damage, which is never guessed around: an agent that forgot what it obeyed could obey an older leader.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use lifeboat_brain::host::{HostMemory, HostRecord};
use sha2::{Digest as _, Sha256};

/// The file in the state directory.
pub const RECORDS_FILE: &str = "obeyed.log";
const HEAD: &str = "lifeboat obeyed 1";
/// The longest file that is read: many times what is ever written.
const MAX_BYTES: u64 = 256 << 20;
const CHECKSUM_DIGITS: usize = 16;
/// So many outdated lines are no reason to write the file anew.
const SPARE_LINES: usize = 1000;

/// Why the records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}; look whether its disk is full or broken", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is of a newer release.
    #[error("{} was written by a newer release (`{found}`): run that release here", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its first line.
        found: String,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged at line {line}. It says which leader and which commands this host has obeyed. Restore it from a \
         backup of this very boot, or: make sure that no controller but the present one runs, then move the file away \
         and start the agent again; it learns anew from the controller, and its VMs keep running meanwhile", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
}

/// The open file.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    lines: usize,
}

impl RecordFile {
    /// Opens the records in a directory, or begins them, and reads them.
    ///
    /// # Errors
    /// [`RecordsError`] when the file cannot be read or written, is damaged, or of a newer release.
    pub fn open(dir: &Path) -> Result<(Self, Vec<HostRecord>), RecordsError> {
        let path = dir.join(RECORDS_FILE);
        let content = match fs::metadata(&path).and_then(|metadata| read(&path, metadata.len())) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (file, bytes) = replace(&path, []).map_err(|source| write_failed(&path, source))?;
                return Ok((Self { path, file, bytes, lines: 0 }, Vec::new()));
            }
            Err(source) => return Err(RecordsError::Read { path, source }),
        };
        let (records, whole) = parse(&path, &content)?;
        let open = || {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            cut(&mut file, whole)?;
            Ok(file)
        };
        let file = open().map_err(|source| write_failed(&path, source))?;
        Ok((Self { path, file, bytes: whole, lines: records.len() }, records))
    }

    /// Writes records so that they are there after a power cut; all of them, or after an error none.
    ///
    /// # Errors
    /// [`RecordsError::Write`]; the same can be tried again.
    pub fn append(&mut self, records: &[HostRecord]) -> Result<(), RecordsError> {
        let text: String = records.iter().map(line).collect();
        let appended = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = appended {
            // What was written of it must not stand before what comes next. If this fails too, so will the next append.
            let _ = cut(&mut self.file, self.bytes);
            return Err(write_failed(&self.path, source));
        }
        self.bytes += text.len() as u64;
        self.lines += records.len();
        Ok(())
    }

    /// Whether so many lines are outdated that [`rewrite`](Self::rewrite) is worth while, when `needed` would do.
    #[must_use]
    pub fn is_wasteful(&self, needed: usize) -> bool {
        self.lines > 2 * needed + SPARE_LINES
    }

    /// Writes the file anew with just what a memory says.
    ///
    /// # Errors
    /// [`RecordsError::Write`]; the file is as it was, or already new.
    pub fn rewrite(&mut self, memory: &HostMemory) -> Result<(), RecordsError> {
        let written = replace(&self.path, memory.records());
        let (file, bytes) = written.map_err(|source| write_failed(&self.path, source))?;
        (self.file, self.bytes, self.lines) = (file, bytes, memory.record_count());
        Ok(())
    }
}

fn write_failed(path: &Path, source: io::Error) -> RecordsError {
    RecordsError::Write { path: path.to_owned(), source }
}

fn read(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    if bytes > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {bytes} bytes")));
    }
    fs::read(path)
}

/// Ends a file after so many bytes, and goes on writing there.
fn cut(file: &mut File, bytes: u64) -> io::Result<()> {
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(bytes)).map(drop)
}

/// Puts a new file with these records in its place.
fn replace(path: &Path, records: impl IntoIterator<Item = HostRecord>) -> io::Result<(File, u64)> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut text = format!("{HEAD}\n");
    text.extend(records.into_iter().map(|record| line(&record)));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(dir)?.sync_all()?;
    Ok((file, text.len() as u64))
}

fn line(record: &HostRecord) -> String {
    let json = serde_json::to_string(record).expect("a record of names and numbers has a JSON text");
    format!("{} {json}\n", checksum(&json))
}

fn checksum(json: &str) -> String {
    let digest = Sha256::digest(json);
    digest.iter().take(CHECKSUM_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads all whole lines; with them the number of bytes that they take.
fn parse(path: &Path, content: &[u8]) -> Result<(Vec<HostRecord>, u64), RecordsError> {
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let damaged = |line| RecordsError::Damaged { path: path.to_owned(), line };
    let text = String::from_utf8_lossy(&content[..whole]);
    let mut lines = text.split_terminator('\n').enumerate();
    match lines.next() {
        Some((_, HEAD)) => {}
        Some((_, other)) if other.starts_with("lifeboat obeyed ") => {
            return Err(RecordsError::Newer { path: path.to_owned(), found: other.chars().take(40).collect() });
        }
        _ => return Err(damaged(1)),
    }
    let records = lines.map(|(index, line)| record(line).ok_or_else(|| damaged(index + 1)));
    Ok((records.collect::<Result<_, _>>()?, whole as u64))
}

fn record(line: &str) -> Option<HostRecord> {
    let (sum, json) = line.split_once(' ')?;
    if sum != checksum(json) { None } else { serde_json::from_str(json).ok() }
}

#[cfg(test)]
impl RecordFile {
    /// The same on a disk that is full.
    pub(crate) fn into_full(self) -> Self {
        let file = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        Self { file, ..self }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{Epoch, Generation, VmName};

    use super::*;

    fn some_records() -> Vec<HostRecord> {
        let vm = VmName::new("web-12").expect("a name");
        let raised =
            |generation| HostRecord::Vm { vm: vm.clone(), epoch: Epoch(3), generation: Generation(generation) };
        vec![HostRecord::Epoch { epoch: Epoch(3) }, raised(1), raised(2), HostRecord::Forgotten { vm: vm.clone() }]
    }

    fn written() -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().expect("dir");
        let (mut file, found) = RecordFile::open(dir.path()).expect("opened");
        assert_eq!(found, []);
        for record in some_records() {
            file.append(&[record]).expect("appended");
        }
        let content = fs::read(dir.path().join(RECORDS_FILE)).expect("content");
        (dir, content)
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_all_whole_records_and_takes_new_ones() {
        let (dir, content) = written();
        let path = dir.path().join(RECORDS_FILE);
        for length in HEAD.len() + 1..=content.len() {
            fs::write(&path, &content[..length]).expect("cut");
            let (mut file, found) = RecordFile::open(dir.path()).expect("opened");
            let whole = content[..length].iter().filter(|byte| **byte == b'\n').count() - 1;
            assert_eq!(found, some_records()[..whole], "cut at {length}");
            let next = HostRecord::Epoch { epoch: Epoch(9) };
            file.append(std::slice::from_ref(&next)).expect("appended");
            let (_, found) = RecordFile::open(dir.path()).expect("opened again");
            assert_eq!(found.last(), Some(&next), "cut at {length}");
        }
    }

    #[test]
    fn damage_is_named_with_its_line_and_the_way_out() {
        let (dir, content) = written();
        let path = dir.path().join(RECORDS_FILE);
        for at in 0..content.len() - 1 {
            let mut changed = content.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).expect("changed");
            let error = RecordFile::open(dir.path()).expect_err("damaged").to_string();
            let line = content[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let named = error.contains("obeyed.log is damaged at line") || error.contains("newer release");
            assert!(named, "byte {at} of line {line}: {error}");
        }
        for short in [0, 5, HEAD.len()] {
            fs::write(&path, &content[..short]).expect("cut");
            assert!(matches!(RecordFile::open(dir.path()), Err(RecordsError::Damaged { line: 1, .. })));
        }
        fs::write(&path, "lifeboat obeyed 2\n").expect("newer");
        assert!(matches!(RecordFile::open(dir.path()), Err(RecordsError::Newer { .. })));
    }

    #[test]
    fn a_file_written_anew_says_the_same_in_fewer_lines() {
        let (dir, _) = written();
        let (mut file, _) = RecordFile::open(dir.path()).expect("opened");
        let vm = VmName::new("db").expect("a name");
        let raised =
            |generation| HostRecord::Vm { vm: vm.clone(), epoch: Epoch(3), generation: Generation(generation) };
        let many: Vec<_> = (0..2 * SPARE_LINES as u64).map(raised).collect();
        file.append(&many).expect("appended");
        let (_, before) = RecordFile::open(dir.path()).expect("opened");
        let memory = HostMemory::of(before);
        assert!(file.is_wasteful(memory.record_count()));
        file.rewrite(&memory).expect("rewritten");
        assert!(!file.is_wasteful(memory.record_count()));
        file.append(&[HostRecord::Epoch { epoch: Epoch(4) }]).expect("appended");
        let (_, after) = RecordFile::open(dir.path()).expect("opened");
        assert_eq!(after.len(), 3);
        assert_eq!(HostMemory::of(after).epoch(), Epoch(4));
    }
}
