//! The guard: a process of its own that kills the host's VMs when the host's lease has run out, whatever the agent does.
//!
//! ```text
//!   agent ── writes the end of the lease ──► RUN_DIR/lease ──► guard ── at the end ──► SIGKILL to every QEMU process
//!     ▲                                                          │
//!     └────────── reads whether it lives ◄── RUN_DIR/guard ◄── writes a beat, four times a second
//! ```
//!
//! The agent starts it and it outlives the agent: one that hangs or is killed keeps no VM alive past its lease. They share
//! two small files on tmpfs and nothing else, so that neither can hold the other up. The end of the lease is a time of
//! `CLOCK_BOOTTIME`, which goes on while the machine sleeps: a machine that wakes up, or a host that was frozen and is
//! thawed, is killed empty by the guard's first look, at most a quarter of a second after. What its VMs write in that time
//! only a cut at the storage keeps away.
//!
//! What the guard cannot do: act while it is itself stopped. The agent sees that within two seconds and says so to its
//! leader, which then takes no lease of this host for a proof. Where the machine has a watchdog device the guard feeds it,
//! so that a machine that stands still as a whole is reset ([`watchdog`]).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use lifeboat_drivers::hypervisor::qemu::kill_all;
use rustix::fs::{FlockOperation, flock};

mod files;
mod watch;
mod watchdog;

use files::{LeaseFile, Read, write_beat};
pub(crate) use files::{boot_mark, boottime_ns};
pub(crate) use watch::GuardWatch;
use watchdog::Keeper;
pub use watchdog::WatchdogConfig;

/// The longest time between two looks at the lease.
const POLL: Duration = Duration::from_millis(250);

/// Where a guard works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardOptions {
    /// The agent's directory.
    pub run_dir: PathBuf,
    /// The hypervisor's directory, with a lock for each VM.
    pub qemu_run_dir: PathBuf,
    /// What resets the machine when the guard itself stands still; none: nothing.
    pub watchdog: Option<WatchdogConfig>,
}

/// Why a guard cannot work.
#[derive(Debug, thiserror::Error)]
#[error("the guard cannot use {}", .path.display())]
pub struct GuardError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Guards a host until its run directory is wiped. Ends at once when another guard does.
///
/// # Errors
/// [`GuardError`] when its files cannot be used.
pub fn guard(options: &GuardOptions) -> Result<(), GuardError> {
    let path = options.run_dir.join("guard.lock");
    let failed = |source| GuardError { path: path.clone(), source };
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(()),
        Err(error) => return Err(failed(error.into())),
    }
    // The last to be killed when memory is short. Only root may; without it the guard is as good as any process.
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let beat_path = options.run_dir.join(files::BEAT);
    let failed = |source| GuardError { path: beat_path.clone(), source };
    let beat = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beat_path);
    watch_lease(options, &beat.map_err(failed)?);
    Ok(())
}

fn watch_lease(options: &GuardOptions, beat: &File) {
    let mark = boot_mark();
    let mut until = None;
    let mut ended = None;
    let mut watchdog = Keeper::new(options.watchdog.clone());
    loop {
        match LeaseFile::read(&options.run_dir, mark) {
            Read::Gone => return watchdog.end(),
            // It is being written, or is of an earlier boot: what was known holds.
            Read::Unreadable => {}
            Read::Until(end) => until = end,
        }
        let now = boottime_ns();
        let mut in_order = true;
        if let Some(end) = until.filter(|end| *end <= now) {
            let killed = kill(&options.qemu_run_dir);
            in_order = killed == Some(0);
            let killed = killed.unwrap_or(0);
            if ended != until || killed > 0 {
                let late = Duration::from_nanos(now - end);
                say(&format!("the lease of this host ran out {late:?} ago without being renewed: {killed} VMs killed"));
            }
            ended = until;
        }
        if let Some(text) = watchdog.look(until.is_some(), in_order) {
            say(&text);
        }
        write_beat(beat, now);
        let rest = until.filter(|end| *end > now).map_or(POLL, |end| Duration::from_nanos(end - now).min(POLL));
        thread::sleep(rest);
    }
}

/// How many processes were killed; none: that is not known.
fn kill(qemu_run_dir: &Path) -> Option<usize> {
    let killed = kill_all(qemu_run_dir);
    killed
        .inspect_err(|error| say(&format!("cannot look through the processes of this host, trying again: {error}")))
        .ok()
}

/// Says something in the agent's log, if that is still there.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "guard: {text}");
}

#[cfg(test)]
mod tests;
