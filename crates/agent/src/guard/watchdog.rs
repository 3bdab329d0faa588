//! The machine's watchdog device: resets the host when the guard stands still while a lease runs, or when VMs outlive the
//! lease and cannot be killed.
//!
//! It is armed with the first lease and disarmed when there is none any more. See the kernel's
//! `Documentation/watchdog/watchdog-api.rst`: a write is a sign of life; a `V` written last lets it be closed without a
//! reset.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::PathBuf,
};

use rustix::ioctl::{Updater, ioctl, opcode};
use serde::Deserialize;

/// `WDIOC_SETTIMEOUT` of `linux/watchdog.h`.
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'W', 6);

/// A watchdog device, and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchdogConfig {
    /// The device, such as `/dev/watchdog`. Nothing else may use it.
    pub device: PathBuf,
    /// Seconds without a sign of life after which it resets the machine.
    #[serde(default = "default_timeout")]
    pub timeout_s: u16,
}

const fn default_timeout() -> u16 {
    10
}

/// An armed watchdog. Dropped without [`disarm`](Self::disarm), it resets the machine.
#[derive(Debug)]
pub(super) struct Watchdog {
    device: File,
}

impl Watchdog {
    /// Arms it.
    pub(super) fn arm(config: &WatchdogConfig) -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(&config.device)?;
        let watchdog = Self { device };
        if let Err(error) = watchdog.set_timeout(config.timeout_s) {
            // One that keeps a time of its own must not reset a host that is well.
            watchdog.disarm();
            return Err(error);
        }
        Ok(watchdog)
    }

    fn set_timeout(&self, seconds: u16) -> io::Result<()> {
        let mut timeout = i32::from(seconds);
        #[allow(unsafe_code, reason = "an ioctl, which Rust cannot check")]
        // SAFETY: `WDIOC_SETTIMEOUT` reads and writes one `int`, which is what it is given.
        unsafe {
            ioctl(self.device.as_fd(), Updater::<SET_TIMEOUT, i32>::new(&mut timeout))?;
        }
        if timeout == i32::from(seconds) {
            return Ok(());
        }
        let text = format!("it takes {timeout} s and not {seconds} s; set timeout_s to what it takes");
        Err(io::Error::other(text))
    }

    /// A sign of life.
    pub(super) fn pet(&mut self) -> io::Result<()> {
        self.device.write_all(b"\0")
    }

    /// Closes it without a reset.
    pub(super) fn disarm(mut self) {
        // Where that fails the machine is reset, which is what a watchdog is for.
        let _ = self.device.write_all(b"V");
    }
}

/// The watchdog as the guard keeps it.
#[derive(Debug)]
pub(super) struct Keeper {
    config: Option<WatchdogConfig>,
    armed: Option<Watchdog>,
    /// Why it could not be armed last, which is said once.
    failed: Option<String>,
}

impl Keeper {
    pub(super) const fn new(config: Option<WatchdogConfig>) -> Self {
        Self { config, armed: None, failed: None }
    }

    /// After a look at the lease: whether one is granted, and whether nothing runs that it forbids. Something to say, once.
    pub(super) fn look(&mut self, leased: bool, in_order: bool) -> Option<String> {
        let config = self.config.as_ref()?;
        if !leased {
            self.end();
            return None;
        }
        if self.armed.is_none() {
            match Watchdog::arm(config) {
                Ok(watchdog) => (self.armed, self.failed) = (Some(watchdog), None),
                Err(error) => return self.trouble(format!("is not armed: {error}")),
            }
        }
        if in_order && let Err(error) = self.armed.as_mut()?.pet() {
            return self.trouble(format!("does not take a sign of life: {error}"));
        }
        None
    }

    fn trouble(&mut self, text: String) -> Option<String> {
        let said = format!("the watchdog {} {text}", self.config.as_ref()?.device.display());
        (self.failed.as_ref() != Some(&said)).then(|| self.failed.insert(said).clone())
    }

    /// The guard ends in order, or there is no lease any more.
    pub(super) fn end(&mut self) {
        if let Some(watchdog) = self.armed.take() {
            watchdog.disarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keeper over a file that keeps what is written, as if it had been armed.
    fn armed() -> (tempfile::NamedTempFile, Keeper) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let config = WatchdogConfig { device: file.path().to_owned(), timeout_s: 10 };
        let device = OpenOptions::new().append(true).open(file.path()).expect("opens");
        (file, Keeper { config: Some(config), armed: Some(Watchdog { device }), failed: None })
    }

    fn written(file: &tempfile::NamedTempFile) -> Vec<u8> {
        std::fs::read(file.path()).expect("read")
    }

    #[test]
    fn signs_of_life_come_only_while_nothing_runs_that_the_lease_forbids() {
        let (file, mut keeper) = armed();
        assert_eq!(keeper.look(true, true), None);
        assert_eq!(keeper.look(true, true), None);
        assert_eq!(keeper.look(true, false), None, "VMs outlive the lease");
        assert_eq!(written(&file), b"\0\0");
    }

    #[test]
    fn it_is_disarmed_when_there_is_no_lease_any_more() {
        let (file, mut keeper) = armed();
        assert_eq!(keeper.look(false, true), None);
        assert_eq!(written(&file), b"V");
        assert!(keeper.armed.is_none());
    }

    #[test]
    fn what_is_no_watchdog_is_told_once_and_closed_in_order() {
        let (file, mut keeper) = armed();
        keeper.armed = None;
        let told = keeper.look(true, true).expect("something to say");
        assert!(told.contains("is not armed"), "{told}");
        assert_eq!(keeper.look(true, true), None, "it was told");
        assert_eq!(written(&file).first(), Some(&b'V'), "closed as a watchdog wants it");
    }

    #[test]
    fn without_one_nothing_is_done() {
        assert_eq!(Keeper::new(None).look(true, true), None);
    }
}
