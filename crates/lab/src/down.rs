//! Taking a lab down, whatever state it is in.
//!
//! Theory of operation: its processes die with its cgroup, in one step; its links with its namespaces; then its directories
//! go. Each step finds what is there by the lab's name and does nothing when nothing is, so that it may follow a crash at any
//! moment and be run twice.

use std::{fs, io, path::Path, time::Duration};

use crate::{Lab, LabError, layout::Layout, network, process::wait_for, up::lock};

/// How often what appears while it is taken away is taken away again.
const SWEEPS: usize = 10;
/// How long programs are waited for that a killed `up` has left.
const STRAGGLERS: Duration = Duration::from_secs(3);

impl Lab {
    /// Takes the lab of this name down and leaves nothing of it: no process, namespace, cgroup or directory. Gives whether
    /// there was anything.
    ///
    /// # Errors
    /// [`LabError`] when something cannot be taken away; running it again goes on where it stopped.
    pub fn down(name: &str) -> Result<bool, LabError> {
        Layout::check_name(name)?;
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        let lock = lock(name)?;
        let registered = fs::read_to_string(Layout::registry(name)).ok();
        let dir = registered.as_deref().and_then(|text| serde_json::from_str(text).ok());
        // Not registered any more, after a reboot: the usual directory.
        let dir = dir.unwrap_or_else(|| Path::new("/var/lib/lifeboat-lab").join(name));
        let layout = Layout { name: name.to_owned(), dir };
        let there_was = registered.is_some()
            || layout.cgroup()?.path().exists()
            || !network::namespaces(&layout).is_empty()
            || layout.marker().exists();
        take_down(&layout)?;
        lock.remove()?;
        Ok(there_was)
    }
}

/// Takes everything of a lab away but its lock.
pub(crate) fn take_down(layout: &Layout) -> Result<(), LabError> {
    // A killed `up` may have left a program at work that makes one thing more: what appears meanwhile is taken away too.
    for _ in 0..SWEEPS {
        layout.cgroup()?.remove()?;
        // A person's shell in the lab's network is such a program too, and is not waited for any longer than this.
        let _ = wait_for("the programs of a killed up", "", STRAGGLERS, || (!has_straggler(layout)).then_some(()));
        network::remove(layout)?;
        if !layout.cgroup()?.path().exists() && network::namespaces(layout).is_empty() {
            break;
        }
    }
    let run = layout.run();
    gone(fs::remove_dir_all(&run), &run)?;
    // Only a directory that says that it is this lab's is anybody's to remove.
    if Lab::in_directory(&layout.dir).is_ok_and(|lab| lab.layout.name == layout.name) {
        empty(&layout.dir)?;
        gone(fs::remove_dir(&layout.dir), &layout.dir)?;
    }
    let registry = Layout::registry(&layout.name);
    gone(fs::remove_file(&registry), &registry)
}

/// Whether a program outside of the lab's cgroup is at work on one of its namespaces.
fn has_straggler(layout: &Layout) -> bool {
    let prefix = layout.netns_prefix();
    let names_ours = |path: &Path| {
        fs::read(path.join("cmdline"))
            .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word.starts_with(prefix.as_bytes())))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| names_ours(&entry.path()))
}

/// Empties the lab's directory; what says whose it is goes last.
fn empty(dir: &Path) -> Result<(), LabError> {
    let failed = || LabError::system(format!("read {}", dir.display()));
    for entry in fs::read_dir(dir).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        if path.file_name() == Some("lab.json".as_ref()) {
            continue;
        }
        let is_dir = path.is_dir() && !path.is_symlink();
        gone(if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }, &path)?;
    }
    let marker = dir.join("lab.json");
    gone(fs::remove_file(&marker), &marker)
}

fn gone(removed: io::Result<()>, path: &Path) -> Result<(), LabError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LabError::system(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}
