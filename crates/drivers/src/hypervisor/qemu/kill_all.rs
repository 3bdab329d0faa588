//! Kills every VM of a host at once, for the guard beside the agent: without the agent, without QMP, without waiting.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::directory::{LOCK_FD, vms};

/// Kills every process that holds the lock of a VM under `run_dir`, and says how many there were. Those that are killed
/// may take a moment to be gone: call it again until it says 0.
///
/// Processes of the calling program itself are passed over: an agent that is just starting a VM holds its lock too.
///
/// # Errors
/// When the VMs or the processes cannot be looked through. What was found before was killed.
pub fn kill_all(run_dir: &Path) -> io::Result<usize> {
    let locks = locks(run_dir)?;
    if locks.is_empty() {
        return Ok(0);
    }
    let own = fs::read_link("/proc/self/exe").ok();
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry.ok().and_then(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) else { continue };
        if holds(pid, &locks) && program(pid) != own && kill(pid, &locks)? {
            killed += 1;
        }
    }
    Ok(killed)
}

/// Device and number of each VM's lock file.
fn locks(run_dir: &Path) -> io::Result<BTreeSet<(u64, u64)>> {
    let directories = match fs::read_dir(vms(run_dir)) {
        Ok(directories) => directories,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let lock = |entry: io::Result<fs::DirEntry>| fs::metadata(entry.ok()?.path().join("lock")).ok();
    Ok(directories.filter_map(lock).map(|lock| (lock.dev(), lock.ino())).collect())
}

fn holds(pid: i32, locks: &BTreeSet<(u64, u64)>) -> bool {
    let held = fs::metadata(format!("/proc/{pid}/fd/{LOCK_FD}"));
    held.is_ok_and(|held| locks.contains(&(held.dev(), held.ino())))
}

fn program(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Kills a process if it still holds one of the locks now that its number cannot come to mean another.
fn kill(pid: i32, locks: &BTreeSet<(u64, u64)>) -> io::Result<bool> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(false) };
    let process = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !holds(pid, locks) {
        return Ok(false);
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
