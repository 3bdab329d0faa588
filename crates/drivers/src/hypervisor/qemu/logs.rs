//! A VM's two logs: what QEMU prints, and its serial console. Both are appended to by QEMU alone, so they may be cut
//! from outside; that keeps them bounded. They are on a disk, which may hang: no thread of the runtime waits for it.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use tokio::task::spawn_blocking;

/// A log that is longer is cut.
const MOST_BYTES: u64 = 8 << 20;

/// So much of its end is kept beside it, as `….old`, when a log is cut.
const KEPT_BYTES: u64 = 1 << 20;

/// So much of its end is looked at when a person is to be told what went wrong.
const TAIL_BYTES: u64 = 4096;

/// A log's length; a missing one has none.
pub(super) fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |log| log.len())
}

/// The last lines of a log after the position `from`, at most `lines`, without their times and without empty ones.
pub(super) async fn tail(log: PathBuf, from: u64, lines: usize) -> Vec<String> {
    spawn_blocking(move || tail_now(&log, from, lines)).await.unwrap_or_default()
}

fn tail_now(log: &Path, from: u64, lines: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        // A log that was cut meanwhile is shorter than where it was read from: then all of it is new.
        let from = if from > length { 0 } else { from };
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut end = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let all: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| printable(without_time(line))).collect()
}

/// A line without the time that QEMU puts before it: `2026-11-23T17:31:01.917330Z qemu-system-x86_64: …`.
fn without_time(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.ends_with('Z') && time.starts_with(|first: char| first.is_ascii_digit()) => rest,
        _ => line,
    }
}

fn printable(line: &str) -> String {
    line.chars().filter(|character| !character.is_control()).collect()
}

/// Cuts a log that has grown too long, keeping its end beside it.
pub(super) async fn bound(log: PathBuf) -> io::Result<()> {
    spawn_blocking(move || bound_now(&log)).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn bound_now(log: &Path) -> io::Result<()> {
    let length = length(log);
    if length <= MOST_BYTES {
        return Ok(());
    }
    let mut file = File::options().read(true).write(true).open(log)?;
    file.seek(SeekFrom::Start(length.saturating_sub(KEPT_BYTES)))?;
    let mut end = Vec::new();
    (&file).take(KEPT_BYTES).read_to_end(&mut end)?;
    let mut old = log.as_os_str().to_owned();
    old.push(".old");
    fs::write(old, end)?;
    file.set_len(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_begins_where_asked_and_survives_a_cut() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(tail_now(&log, 0, 9), Vec::<String>::new());
        fs::write(&log, "old\nnew 1\n\n2026-11-23T17:31:01.917330Z \u{1b}new 2\r\n").unwrap();
        assert_eq!(tail_now(&log, 4, 9), ["new 1", "new 2"]);
        assert_eq!(tail_now(&log, 4, 1), ["new 2"]);
        assert_eq!(tail_now(&log, 1000, 9), ["old", "new 1", "new 2"]);
    }

    #[test]
    fn a_log_stays_bounded_and_its_end_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        fs::write(&log, "short").unwrap();
        bound_now(&log).unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"short");
        let mut long = vec![b'x'; usize::try_from(MOST_BYTES).unwrap()];
        long.extend_from_slice(b"the end");
        fs::write(&log, &long).unwrap();
        bound_now(&log).unwrap();
        assert_eq!(length(&log), 0);
        let kept = fs::read(directory.path().join("log.old")).unwrap();
        assert!(kept.ends_with(b"the end") && kept.len() as u64 == KEPT_BYTES);
    }
}
