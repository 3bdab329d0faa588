//! A host's power, as its BMC switches it.
//!
//! ```text
//!        power_on                    hang
//!   off ──────────► on ────────────────────────► frozen
//!    ▲              │ power_off        thaw ◄──────┤
//!    └──────────────┴──────────────────────────────┘
//! ```
//!
//! Theory of operation: two facts say whether a host has power: a file that says what its power supply was told last, and
//! whether a process lives in its cgroup. It is off when it was told so and no process lives; until both are so it reads on,
//! as on a real BMC. Each change holds the host's lock, so that two BMCs and a person may all switch at once.
//!
//! Power-off: the link goes down first, so that nothing that the dying host sends is heard; then every process is killed,
//! frozen or not; when the last is gone, what was in RAM is wiped. What the host had on disk stays.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use lifeboat_model::HostName;

use super::cgroup::vm_of;
use crate::{
    LabError,
    layout::Layout,
    network,
    process::{Enter, EntryPoint},
};

/// What a host's power supply was told.
const ON: &str = "on\n";
const OFF: &str = "off\n";

/// A host's power switch.
#[derive(Clone, Debug)]
pub(crate) struct Power<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) host: &'a HostName,
    pub(crate) entry: &'a EntryPoint,
    /// Whether an agent runs on the host.
    pub(crate) with_agent: bool,
}

impl Power<'_> {
    /// Whether the host has power.
    pub(crate) fn is_on(&self) -> Result<bool, LabError> {
        let told_off = fs::read_to_string(self.switch()).is_ok_and(|told| told == OFF);
        Ok(!told_off || self.layout.host_cgroup(self.host)?.is_populated()?)
    }

    /// Cuts the power. Nothing when it is off.
    pub(crate) fn off(&self) -> Result<(), LabError> {
        let _lock = self.lock()?;
        self.tell(OFF)?;
        network::set_uplink(self.layout, self.host, false)?;
        let cgroup = self.layout.host_cgroup(self.host)?;
        let doomed = cgroup.processes();
        cgroup.kill()?;
        if cgroup.is_frozen() {
            cgroup.freeze(false)?;
        }
        wipe(&self.layout.host_run(self.host))?;
        match doomed.into_iter().find_map(|process| vm_of(process).map(|vm| (process, vm))) {
            Some((process, vm)) => Err(LabError::Refused {
                operation: format!("cut the power of {}", self.host),
                why: format!("process {process} of VM {vm} outlived it; end it by hand"),
            }),
            None => Ok(()),
        }
    }

    /// Puts the power on: a new boot, the link, the agent. Nothing when it is on.
    pub(crate) fn on(&self) -> Result<(), LabError> {
        let _lock = self.lock()?;
        let told_on = fs::read_to_string(self.switch()).is_ok_and(|told| told == ON);
        if told_on {
            return Ok(());
        }
        let run = self.layout.host_run(self.host);
        fs::create_dir_all(&run).map_err(LabError::system(format!("make {}", run.display())))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(LabError::system("read a random id"))?;
        write(&run.join("boot_id"), &boot)?;
        self.layout.host_cgroup(self.host)?.create()?;
        self.tell(ON)?;
        if !cut_file(self.layout, self.host).exists() {
            network::set_uplink(self.layout, self.host, true)?;
        }
        if self.with_agent {
            let config = self.layout.host_dir(self.host).join("agent.toml");
            let binary = self.entry.binary.to_string_lossy().into_owned();
            self.start(vec![binary, "agent".to_owned(), "--config".to_owned(), config.to_string_lossy().into_owned()])?;
        }
        Ok(())
    }

    /// Starts a program on the host.
    pub(crate) fn start(&self, command: Vec<String>) -> Result<(), LabError> {
        let enter = Enter {
            cgroup: self.layout.host_cgroup(self.host)?.path().to_owned(),
            netns: Layout::netns_file(&self.layout.host_netns(self.host)),
            hostname: Some(self.host.to_string()),
            log: self.layout.log(self.host.as_str()),
            wait: false,
            command,
        };
        enter.start(self.entry)
    }

    fn switch(&self) -> std::path::PathBuf {
        self.layout.host_dir(self.host).join("power")
    }

    fn tell(&self, what: &str) -> Result<(), LabError> {
        write(&self.switch(), what)
    }

    fn lock(&self) -> Result<File, LabError> {
        let path = self.layout.host_dir(self.host).join("power.lock");
        let operation = format!("lock {}", path.display());
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(LabError::system(&*operation))?;
        file.lock().map_err(LabError::system(&*operation))?;
        Ok(file)
    }
}

/// There while the host's cable is cut, through power cuts too.
pub(crate) fn cut_file(layout: &Layout, host: &HostName) -> std::path::PathBuf {
    layout.host_dir(host).join("cut")
}

/// Writes a small file in one step: whoever reads it sees the old text or the new.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    let failed = |error: io::Error| LabError::system(format!("write {}", path.display()))(error);
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Empties a directory.
fn wipe(folder: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LabError::system(format!("wipe {}", folder.display()))(error))
        }
        _ => fs::create_dir_all(folder).map_err(LabError::system(format!("make {}", folder.display()))),
    }
}
