//! Control groups, version 2: what holds a host's processes together.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Pid,
};

use crate::LabError;

/// How long the processes of a killed cgroup may take to be gone. One that waits for a dead disk takes longest.
const DIES_WITHIN: Duration = Duration::from_secs(20);

/// How often a cgroup into which something goes on entering is killed again.
const ENTRIES_AFTER_KILL: usize = 10;

/// A cgroup v2 directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup(PathBuf);

/// The root of the machine's v2 tree: itself at `/sys/fs/cgroup`, or beside the v1 trees.
pub(crate) fn root() -> Result<PathBuf, LabError> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|root| root.join("cgroup.procs").exists() && root.join("cgroup.controllers").exists())
        .ok_or(LabError::NoCgroups)
}

impl Cgroup {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, parents with it.
    pub(crate) fn create(&self) -> Result<(), LabError> {
        fs::create_dir_all(&self.0).map_err(LabError::system(format!("make cgroup {}", self.0.display())))
    }

    /// Whether a process lives in it or below.
    pub(crate) fn is_populated(&self) -> Result<bool, LabError> {
        match fs::read_to_string(self.0.join("cgroup.events")) {
            Ok(events) => Ok(field(&events, "populated")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LabError::system(format!("read {}", self.0.join("cgroup.events").display()))(error)),
        }
    }

    /// Stops or continues every process in it. A frozen process still has its sockets, and its kernel still answers.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), LabError> {
        self.write("cgroup.freeze", if frozen { "1" } else { "0" })?;
        self.wait_event("frozen", frozen)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
    }

    /// Kills every process in it and below, frozen ones too, and returns when all are gone.
    pub(crate) fn kill(&self) -> Result<(), LabError> {
        if !self.0.exists() {
            return Ok(());
        }
        self.write("cgroup.kill", "1")?;
        self.wait_event("populated", false)
    }

    /// The processes in it and below, in order of number.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        let mut found: BTreeSet<i32> = fs::read_to_string(self.0.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect();
        for child in self.children() {
            found.extend(child.processes());
        }
        found
    }

    /// Kills all in it and takes it away with all below it. Nothing when there is none.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        for _ in 0..ENTRIES_AFTER_KILL {
            self.kill()?;
            match self.remove_empty() {
                // Something entered between the kill and now.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                done => return done.map_err(LabError::system(format!("remove cgroup {}", self.0.display()))),
            }
        }
        Err(LabError::Refused {
            operation: format!("remove cgroup {}", self.0.display()),
            why: "processes go on entering it; end whatever starts them".to_owned(),
        })
    }

    fn remove_empty(&self) -> io::Result<()> {
        for child in self.children() {
            child.remove_empty()?;
        }
        match fs::remove_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn children(&self) -> Vec<Self> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| Self(entry.path()))
            .collect()
    }

    fn write(&self, file: &str, text: &str) -> Result<(), LabError> {
        let path = self.0.join(file);
        fs::write(&path, text).map_err(LabError::system(format!("write {text} to {}", path.display())))
    }

    /// Waits until an event of the cgroup has this value. The kernel tells of each change.
    fn wait_event(&self, name: &str, wanted: bool) -> Result<(), LabError> {
        let path = self.0.join("cgroup.events");
        let operation = format!("watch {}", path.display());
        let mut file = File::open(&path).map_err(LabError::system(&*operation))?;
        let started = Instant::now();
        loop {
            let mut events = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut events)).map_err(LabError::system(&*operation))?;
            if field(&events, name) == wanted {
                return Ok(());
            }
            let Some(left) = DIES_WITHIN.checked_sub(started.elapsed()) else {
                let hint = format!("processes there: {:?}", self.processes());
                let what = format!("`{name} {}` of {}", u8::from(wanted), self.0.display());
                return Err(LabError::TimedOut { what, limit: DIES_WITHIN, hint });
            };
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(LabError::system(&*operation)(error.into())),
            }
        }
    }
}

fn field(events: &str, name: &str) -> bool {
    events.lines().any(|line| line.split_once(' ').is_some_and(|(key, value)| key == name && value.trim() == "1"))
}

/// The VM that a process runs, when it is a QEMU with a name.
pub(crate) fn vm_of(process: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let words: Vec<&str> = line.split(|byte| *byte == 0).map(|word| str::from_utf8(word).unwrap_or("")).collect();
    vm_of_words(&words)
}

fn vm_of_words(words: &[&str]) -> Option<String> {
    let program = words.first()?.rsplit('/').next()?;
    if !program.starts_with("qemu-system") && program != "kvm" {
        return None;
    }
    let at = words.iter().position(|word| *word == "-name")?;
    let fields = words.get(at + 1)?.split(',');
    let names: Vec<&str> =
        fields.filter_map(|field| field.strip_prefix("guest=").or((!field.contains('=')).then_some(field))).collect();
    names.first().map(ToString::to_string)
}

/// Kills a process if it still runs this VM.
pub(crate) fn kill_vm_process(process: i32, vm: &str) -> io::Result<bool> {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(pid) = Pid::from_raw(process) else { return Ok(false) };
    // The descriptor holds on to the process while its command line is looked at: its number cannot become another's.
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    if vm_of(process).as_deref() != Some(vm) {
        return Ok(false);
    }
    pidfd_send_signal(&handle, Signal::KILL)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_is_known_by_its_qemus_command_line() {
        let vm = |words: &[&str]| vm_of_words(words);
        assert_eq!(vm(&["/usr/bin/qemu-system-x86_64", "-name", "web-1", "-m", "1"]), Some("web-1".to_owned()));
        assert_eq!(vm(&["qemu-system-x86_64", "-name", "guest=web-1,debug-threads=on"]), Some("web-1".to_owned()));
        assert_eq!(vm(&["qemu-system-x86_64", "-name", "debug-threads=on,guest=web-1"]), Some("web-1".to_owned()));
        assert_eq!(vm(&["qemu-system-x86_64", "--version"]), None);
        assert_eq!(vm(&["lifeboat", "agent", "-name", "x"]), None);
        assert_eq!(vm(&["qemu-system-x86_64", "-name"]), None);
    }
}
