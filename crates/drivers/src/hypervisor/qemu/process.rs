//! A QEMU process, held by a pidfd: a number that never comes to mean another process.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};
use serde::{Deserialize, Serialize};
use tokio::io::{Interest, unix::AsyncFd};

/// Which process: its number, and when it started, so that a reused number is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    /// Field 22 of `/proc/PID/stat`: ticks after the machine's boot.
    pub(super) started_ticks: u64,
}

/// A process that was alive when this was made.
#[derive(Debug)]
pub(super) struct Process {
    id: ProcessId,
    fd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Takes hold of a process. None when there is none of this number.
    pub(super) fn open(pid: i32) -> io::Result<Option<Self>> {
        let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
        let fd = match pidfd_open(number, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let fd = watched(fd)?;
        // Read with the pidfd in hand: when the process is alive after this, the start time was its own.
        let Some(started_ticks) = started_ticks(pid) else { return Ok(None) };
        let process = Self { id: ProcessId { pid, started_ticks }, fd };
        Ok(process.is_alive().then_some(process))
    }

    /// Takes hold of a child of ours that nobody has reaped: it may have ended, and is still itself.
    pub(super) fn of_child(pid: i32) -> io::Result<Self> {
        let gone = || io::Error::from(rustix::io::Errno::SRCH);
        let number = Pid::from_raw(pid).ok_or_else(gone)?;
        let fd = watched(pidfd_open(number, PidfdFlags::NONBLOCK)?)?;
        let started_ticks = started_ticks(pid).ok_or_else(gone)?;
        Ok(Self { id: ProcessId { pid, started_ticks }, fd })
    }

    /// Takes hold of exactly that process. None when it is gone, whatever has its number now.
    pub(super) fn reopen(id: ProcessId) -> io::Result<Option<Self>> {
        Ok(Self::open(id.pid)?.filter(|process| process.id == id))
    }

    pub(super) const fn id(&self) -> ProcessId {
        self.id
    }

    pub(super) fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(self.fd.get_ref(), PollFlags::IN)];
        // An error is no news of its end; the end is told by `ended`.
        !matches!(poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(count) if count > 0)
    }

    /// Kills it. An error cannot be but that it is gone already, or that it is another user's.
    pub(super) fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&self.fd, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::error!(pid = self.id.pid, %error, "cannot kill a QEMU process");
        }
    }

    /// Waits until it is gone, with all that the kernel held for it: locks, taps, memory.
    pub(super) async fn ended(&self) {
        while self.is_alive() {
            match self.fd.readable().await {
                // Readiness that was not the end must not be kept, or this would spin.
                Ok(mut ready) if self.is_alive() => ready.clear_ready(),
                Ok(_) => {}
                // Only at the end of the runtime, and with it of this future.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// How it ended, for a person; none while it is alive or when it is no child of this program.
    pub(super) fn reap(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.fd.as_fd()), options).ok().flatten()?;
        let killed = || match status.terminating_signal() {
            Some(9) => {
                Some("was killed by signal 9 (by a person, or the kernel for want of memory: see `dmesg`)".to_owned())
            }
            signal => signal.map(|signal| format!("was killed by signal {signal}")),
        };
        status.exit_status().map(|code| format!("ended with exit code {code}")).or_else(killed)
    }
}

/// A pidfd whose readiness (the process's end) can be awaited.
#[allow(
    deprecated,
    reason = "unsound only for types whose descriptor can change; an `OwnedFd`'s cannot, and what follows it is unsafe"
)]
fn watched(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

fn started_ticks(pid: i32) -> Option<u64> {
    started_ticks_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn started_ticks_in(stat: &str) -> Option<u64> {
    // Field 2 is the program's name in parentheses and may itself have spaces and parentheses: count from behind it.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The processes that have `file` open as descriptor `fd`.
pub(super) fn holders(file: &Path, fd: i32) -> io::Result<Vec<i32>> {
    use std::os::unix::fs::MetadataExt as _;
    let wanted = fs::metadata(file)?;
    let same = |pid: &i32| {
        fs::metadata(format!("/proc/{pid}/fd/{fd}"))
            .is_ok_and(|have| (have.dev(), have.ino()) == (wanted.dev(), wanted.ino()))
    };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(|pid| *pid != own).filter(same).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        for name in ["(qemu)", "(a b)", "(x) S 1 (y)", "()"] {
            assert_eq!(started_ticks_in(&format!("77 {name} {rest}\n")), Some(4242), "{name}");
        }
        assert_eq!(started_ticks_in("77 (qemu) S 1"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = started_ticks_in(&text);
        }
    }

    #[tokio::test]
    async fn a_process_is_itself_until_it_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Process::open(i32::try_from(child.id()).unwrap()).unwrap().expect("alive");
        assert_eq!(Process::reopen(process.id()).unwrap().map(|same| same.id()), Some(process.id()));
        let other = ProcessId { started_ticks: 1, ..process.id() };
        assert!(Process::reopen(other).unwrap().is_none(), "a reused number is another process");
        process.kill();
        process.ended().await;
        assert!(!process.is_alive() && Process::open(process.id().pid).unwrap().is_none(), "a zombie is not alive");
        let how = process.reap().unwrap();
        assert!(how.starts_with("was killed by signal 9"), "{how}");
        assert!(child.wait().is_err(), "it was reaped");
    }
}
