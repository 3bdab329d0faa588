//! The agent's side of the guard: starts it, tells it, sees whether it lives.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use lifeboat_brain::host::Guard;
use tracing::{error, warn};

use super::{
    GuardOptions,
    files::{LeaseFile, Read, boot_mark, boottime_ns, read_beat},
};

/// A guard that has not beaten for so long is not there.
const STALE: Duration = Duration::from_secs(2);
/// Between two tries to start one.
const START_AGAIN: Duration = Duration::from_secs(5);

/// What the agent holds of its guard.
#[derive(Debug)]
pub(crate) struct GuardWatch {
    options: GuardOptions,
    /// The program to start; none: there is no guard.
    program: Option<PathBuf>,
    lease: LeaseFile,
    child: Option<Child>,
    started_ns: Option<u64>,
}

impl GuardWatch {
    /// Opens the shared files, and gives the end of the lease that an earlier agent of this boot left.
    pub(crate) fn open(options: GuardOptions, program: Option<PathBuf>) -> io::Result<(Self, Option<u64>)> {
        let mark = boot_mark();
        let earlier = match LeaseFile::read(&options.run_dir, mark) {
            Read::Until(until) => until,
            Read::Gone | Read::Unreadable => None,
        };
        let lease = LeaseFile::open(&options.run_dir, mark)?;
        lease.write(earlier)?;
        Ok((Self { options, program, lease, child: None, started_ns: None }, earlier))
    }

    /// Tells the guard when everything is to be killed.
    pub(crate) fn tell(&self, until_ns: Option<u64>) {
        if let Err(error) = self.lease.write(until_ns) {
            // The end that it knows is an earlier one: it kills too early, never too late.
            error!("cannot tell the guard of the renewed lease: {error}");
        }
    }

    /// Whether a guard lives. Starts one where there is none.
    pub(crate) fn look(&mut self) -> Guard {
        let Some(program) = self.program.clone() else { return Guard::Absent };
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(Some(_)))
        {
            self.child = None;
        }
        let now = boottime_ns();
        let age = |since: u64| Duration::from_nanos(now.saturating_sub(since));
        if read_beat(&self.options.run_dir).is_some_and(|beat| age(beat) < STALE) {
            return Guard::Process;
        }
        if self.started_ns.is_none_or(|at| age(at) >= START_AGAIN) {
            self.started_ns = Some(now);
            match self.start(&program) {
                Ok(child) => self.child = Some(child),
                Err(error) => warn!("cannot start the guard {}: {error}", program.display()),
            }
        }
        Guard::Absent
    }

    fn start(&self, program: &PathBuf) -> io::Result<Child> {
        // In a group of its own, so that what ends the agent from a terminal does not end it.
        let mut command = Command::new(program);
        if let Some(watchdog) = &self.options.watchdog {
            let timeout = watchdog.timeout_s.to_string();
            command.arg("guard").arg("--watchdog").arg(&watchdog.device).arg("--watchdog-timeout-s").arg(timeout);
        } else {
            command.arg("guard");
        }
        command
            .arg("--run-dir")
            .arg(&self.options.run_dir)
            .arg("--qemu-run-dir")
            .arg(&self.options.qemu_run_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
    }
}
