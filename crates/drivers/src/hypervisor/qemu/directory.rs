//! A VM's files on its host.
//!
//! | file | in | what |
//! | --- | --- | --- |
//! | `config.json` | `run_dir/vms/VM` | what [`configure`](lifeboat_ports::Hypervisor::configure) was last given |
//! | `launch.json` | | the generation and the full command line of the last start, written before it |
//! | `process.json` | | the QEMU process of that start |
//! | `lock` | | locked (flock) by the QEMU process itself, through a descriptor that it inherits |
//! | `qmp` | | its QMP socket |
//! | `guest-agent` | | the socket of its channel to a guest agent, where its machine has one |
//! | `qemu.log`, `console.log` | `state_dir/vms/VM` | what QEMU printed; what the guest wrote to its serial port |
//!
//! The lock is the truth about whether a VM runs here: the kernel drops it in the instant that QEMU ends, and no other
//! file outlives its meaning. Who holds it, `process.json` says; when a crash came before that was written, the
//! processes themselves are looked through.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use lifeboat_model::{Generation, VmName};
use lifeboat_ports::VmConfig;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    process::{Process, ProcessId, holders},
    settings::QemuSettings,
};

/// The descriptor by which QEMU holds its VM's lock.
pub(super) const LOCK_FD: i32 = 3;

/// The name of the socket of a VM's channel to a guest agent.
const GUEST_AGENT: &str = "guest-agent";

/// The longest path that the address of a unix socket takes.
const MOST_SOCKET_PATH_BYTES: usize = 107;

/// Where a VM's files are.
#[derive(Debug)]
pub(super) struct VmDirectory {
    run: PathBuf,
    logs: PathBuf,
}

/// One start of a VM.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) generation: Generation,
    /// How long `qemu.log` was before it.
    pub(super) log_from: u64,
    /// The program and its arguments.
    pub(super) command_line: Vec<String>,
}

/// What the lock says about a VM.
pub(super) enum Held {
    /// Nobody runs it.
    Free,
    /// This process runs it.
    By(Process, Launch),
    /// Somebody has the lock, but no QEMU: for a moment a child that is being spawned, or another agent that is just
    /// starting the VM.
    Unknown,
}

impl VmDirectory {
    pub(super) fn new(settings: &QemuSettings, vm: &VmName) -> Self {
        Self { run: vms(&settings.run_dir).join(vm.as_str()), logs: vms(&settings.state_dir).join(vm.as_str()) }
    }

    pub(super) fn create(&self) -> io::Result<()> {
        create_private(&self.run)?;
        create_private(&self.logs)
    }

    pub(super) fn qemu_log(&self) -> PathBuf {
        self.logs.join("qemu.log")
    }

    pub(super) fn console_log(&self) -> PathBuf {
        self.logs.join("console.log")
    }

    pub(super) fn config(&self) -> io::Result<Option<VmConfig>> {
        read(&self.run.join("config.json"))
    }

    pub(super) fn write_config(&self, config: &VmConfig) -> io::Result<()> {
        write(&self.run.join("config.json"), config)
    }

    /// Keeps what is about to be started, and forgets the process of the start before. Only with the lock in hand.
    pub(super) fn write_launch(&self, launch: &Launch) -> io::Result<()> {
        match fs::remove_file(self.process_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => write(&self.run.join("launch.json"), launch),
        }
    }

    pub(super) fn write_process(&self, id: ProcessId) -> io::Result<()> {
        write(&self.process_file(), &id)
    }

    fn process_file(&self) -> PathBuf {
        self.run.join("process.json")
    }

    fn lock_file(&self) -> PathBuf {
        self.run.join("lock")
    }

    /// Takes the lock; none when somebody has it. It is held until the descriptor and all copies of it are closed.
    pub(super) fn lock(&self) -> io::Result<Option<OwnedFd>> {
        let file = File::options().create(true).append(true).mode(0o600).open(self.lock_file())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file.into())),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_free(&self) -> io::Result<bool> {
        let Some(lock) = self.lock()? else { return Ok(false) };
        // Unlocked, not only closed: a child that is being spawned meanwhile has a copy until it executes its program.
        flock(&lock, FlockOperation::Unlock)?;
        Ok(true)
    }

    /// Finds the process that runs the VM.
    pub(super) fn holder(&self) -> io::Result<Held> {
        if !self.lock_file().try_exists()? || self.is_free()? {
            return Ok(Held::Free);
        }
        let Some(launch) = read::<Launch>(&self.run.join("launch.json"))? else { return Ok(Held::Unknown) };
        // A damaged record is as good as none: the processes themselves are looked through.
        if let Ok(Some(id)) = read(&self.process_file())
            && let Some(process) = Process::reopen(id)?
        {
            return Ok(Held::By(process, launch));
        }
        for pid in holders(&self.lock_file(), LOCK_FD)? {
            if let Some(process) = Process::open(pid)? {
                self.write_process(process.id())?;
                return Ok(Held::By(process, launch));
            }
        }
        // It may have ended since the lock was found taken.
        Ok(if self.is_free()? { Held::Free } else { Held::Unknown })
    }

    /// The path of the QMP socket.
    pub(super) fn socket(&self) -> io::Result<SocketPath> {
        SocketPath::new(&self.run, "qmp")
    }

    /// The path of the socket of its channel to a guest agent, short enough to listen at.
    pub(super) fn guest_agent(&self) -> io::Result<SocketPath> {
        SocketPath::new(&self.run, GUEST_AGENT)
    }

    /// The same path as it really is.
    pub(super) fn guest_agent_path(&self) -> PathBuf {
        self.run.join(GUEST_AGENT)
    }
}

/// The directory that has one of each VM.
pub(super) fn vms(parent: &Path) -> PathBuf {
    parent.join("vms")
}

/// Makes a directory, and those above it, that only its owner may read.
pub(super) fn create_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// A path to a unix socket that is short enough for the kernel, however long the real one is.
pub(super) struct SocketPath {
    path: PathBuf,
    /// What `path` goes through, when the real one is too long.
    _directory: Option<File>,
}

impl SocketPath {
    fn new(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        if path.as_os_str().len() <= MOST_SOCKET_PATH_BYTES {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// Reads a JSON file; none when there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {error}", path.display()));
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Writes a JSON file whole or not at all, for its owner only.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value)?;
    let new = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&bytes)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(root: &Path, vm: &str) -> VmDirectory {
        let settings =
            QemuSettings { run_dir: root.join("run"), state_dir: root.join("state"), ..QemuSettings::default() };
        let directory = VmDirectory::new(&settings, &VmName::new(vm).unwrap());
        directory.create().unwrap();
        directory
    }

    #[test]
    fn the_lock_has_one_holder_and_goes_with_the_last_descriptor() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path(), "a");
        let lock = directory.lock().unwrap().expect("free");
        let copy = lock.try_clone().unwrap();
        drop(lock);
        assert!(directory.lock().unwrap().is_none());
        drop(copy);
        assert!(directory.lock().unwrap().is_some());
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path(), "a");
        assert!(directory.config().unwrap().is_none());
        fs::write(directory.run.join("config.json"), "{\"vm\":").unwrap();
        let error = directory.config().unwrap_err();
        assert!(error.to_string().contains("config.json is damaged"), "{error}");
    }

    #[test]
    fn a_socket_is_reached_however_long_its_path_is() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(root.path(), &"x".repeat(128));
        let socket = directory.socket().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(socket.as_path()).unwrap();
        std::os::unix::net::UnixStream::connect(directory.socket().unwrap().as_path()).unwrap();
        drop(listener);
        assert!(directory.run.join("qmp").exists());
    }
}
