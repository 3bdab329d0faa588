//! Image files exported over NBD by `qemu-storage-daemon`: one daemon a host, as that host's LUN mask.
//!
//! # Theory of operation
//! A volume is mapped to a host while that host's daemon has an export of its name. The daemons stand on the array's side:
//! they outlive the hosts, and each is managed over its QMP socket, one connection kept open to each. The export's id
//! carries the order that made it, so that a controller that starts later knows it ([`export`]).
//!
//! Nothing stops two daemons from exporting one file, so the driver does ([`ledger`]). Before the first map it asks every
//! daemon what it exports; from then on it knows, since nobody else changes it. For each volume it keeps the hosts that
//! *may* have it: a host is noted before its daemon is asked to export and crossed out only when the daemon has said that
//! the export is gone. So an operation that was cut off, or whose end nobody knows, leaves a note behind. A note is no
//! proof either: before a map is refused because of one, that one daemon is asked again. A map so costs no question to the
//! other daemons, and is never refused for a mapping that is not there.
//!
//! ```text
//!             map: noted                      asked, export there
//!   absent ───────────────────► may have it ───────────────────────► mapped
//!     ▲                              │                                  │ unmap: export deleted hard, BLOCK_EXPORT_DELETED
//!     └──────────────────────────────┴──────────────────────────────────┘ (writes in flight have landed), node deleted
//!                 asked, no export there
//! ```
//!
//! A daemon that does not answer *may* export anything, until it has been asked once: nothing new is mapped from the
//! array meanwhile. A daemon that is proven not to run exports nothing: nobody listens at its QMP socket, and its NBD port
//! refuses connections. Then its volumes may go elsewhere.

mod daemon;
mod export;
mod flight;
mod ledger;

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt as _, stream};
use lifeboat_model::{
    ArrayName, HostName,
    attach::{Attachment, VolumePath},
    spec::{NbdTarget, VolumeSpec},
};
use lifeboat_ports::{Cause, MapOrder, Mapping, Retry, StorageArray, StorageError};

use super::{Operation, directory, image};
use crate::qmp::QmpError;
use daemon::{Daemon, DaemonError};
use export::Image;
use flight::Flight;
use ledger::{Entry, Ledger};

/// Daemons that are asked at once.
const ASKED_AT_ONCE: usize = 64;

/// How long the operations of a daemon may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NbdLimits {
    /// Connecting to its QMP socket.
    pub connect: Duration,
    /// One QMP command.
    pub command: Duration,
    /// From the deletion of an export until all writes in flight have landed.
    pub drain: Duration,
}

impl Default for NbdLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), command: Duration::from_secs(10), drain: Duration::from_secs(30) }
    }
}

/// An array of image files behind storage daemons.
pub struct NbdArray {
    name: ArrayName,
    directory: String,
    daemons: BTreeMap<HostName, Daemon>,
    ledger: Ledger,
    /// The asking of daemons that have not answered yet; gives those that still did not.
    learning: Flight<Vec<Silent>>,
}

/// A daemon that does not say what it exports.
#[derive(Clone)]
struct Silent {
    host: HostName,
    why: DaemonError,
}

impl NbdArray {
    /// An array of the image files in a directory, an absolute path as the daemons see it, with the daemon of each host.
    ///
    /// Take a host out of it only when nothing is mapped to that host: its daemon is not asked any more.
    ///
    /// # Errors
    /// [`StorageError::Failed`] when the path is not absolute.
    pub fn new(name: ArrayName, directory: &str, targets: BTreeMap<HostName, NbdTarget>) -> Result<Self, StorageError> {
        Self::with_limits(name, directory, targets, NbdLimits::default())
    }

    /// As [`new`](Self::new), with other time limits.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_limits(
        name: ArrayName,
        directory: &str,
        targets: BTreeMap<HostName, NbdTarget>,
        limits: NbdLimits,
    ) -> Result<Self, StorageError> {
        let directory = self::directory(&name, directory)?;
        let daemons = targets.into_iter().map(|(host, target)| (host, Daemon::new(target, limits))).collect();
        Ok(Self { name, directory, daemons, ledger: Ledger::default(), learning: Flight::default() })
    }

    fn daemon(&self, host: &HostName) -> Result<&Daemon, StorageError> {
        let unknown = || StorageError::UnknownHost { array: self.name.clone(), host: host.clone() };
        self.daemons.get(host).ok_or_else(unknown)
    }

    /// Asks daemons what they export, and notes it. Gives the exports of each, and who did not say.
    async fn ask(&self, daemons: Vec<(&HostName, &Daemon)>) -> (Vec<Mapping>, Vec<Silent>) {
        let questions = daemons.into_iter().map(|(host, daemon)| async move { (host, daemon, daemon.exports().await) });
        let mut answers =
            stream::iter(questions.map(FutureExt::boxed).collect::<Vec<_>>()).buffer_unordered(ASKED_AT_ONCE);
        let (mut found, mut silent) = (Vec::new(), Vec::new());
        while let Some((host, daemon, answer)) = answers.next().await {
            match answer {
                Ok(exports) => {
                    self.ledger.learn(host, &exports);
                    daemon.learnt();
                    found.extend(
                        exports.into_iter().map(|export| Mapping { volume: export.volume, host: host.clone() }),
                    );
                }
                Err(why) => silent.push(Silent { host: host.clone(), why }),
            }
        }
        silent.sort_by(|one, other| one.host.cmp(&other.host));
        (found, silent)
    }

    /// Sees to it that every daemon was asked once; gives those that have never answered.
    async fn learn(&self) -> Vec<Silent> {
        let unasked = || self.daemons.iter().filter(|(_, daemon)| !daemon.is_learnt()).collect::<Vec<_>>();
        if unasked().is_empty() {
            return Vec::new();
        }
        self.learning.join(async { self.ask(unasked()).await.1 }).await
    }

    /// Refuses to map a volume that another host has. Each daemon that may export it is asked again; the note of one
    /// that does not is crossed out.
    async fn refuse_elsewhere(&self, entry: &Entry, volume: &VolumeSpec, host: &HostName) -> Result<(), StorageError> {
        for other in entry.others(host) {
            if let Some(daemon) = self.daemons.get(&other)
                && let Ok(exports) = daemon.exports().await
                && !exports.iter().any(|export| export.volume == volume.name)
            {
                entry.facts().hosts.remove(&other);
                continue;
            }
            return Err(StorageError::MappedElsewhere { volume: volume.name.clone(), host: other });
        }
        Ok(())
    }

    fn attachment(volume: &VolumeSpec, target: &NbdTarget) -> Attachment {
        let path = VolumePath::Nbd {
            host: target.host.clone(),
            port: target.port,
            export: volume.name.as_str().to_owned(),
            tls_psk: target.tls_psk,
        };
        Attachment { volume: volume.name.clone(), path }
    }
}

#[async_trait]
impl StorageArray for NbdArray {
    async fn mappings(&self) -> Result<Vec<Mapping>, StorageError> {
        let (mut mappings, silent) = self.ask(self.daemons.iter().collect()).await;
        if !silent.is_empty() {
            return Err(unheard(&Operation::new(&self.name, "list its mappings"), silent));
        }
        mappings.sort();
        mappings.dedup();
        Ok(mappings)
    }

    async fn map(&self, volume: &VolumeSpec, host: &HostName, order: MapOrder) -> Result<Attachment, StorageError> {
        let operation = Operation::map(&self.name, volume, host);
        let daemon = self.daemon(host)?;
        let path = image(&operation, &self.directory, volume)?;
        let silent = self.learn().await;
        let entry = self.ledger.volume(&volume.name);
        let _turn = entry.turn.lock().await;
        entry.facts().newest.admit(&volume.name, order)?;
        self.refuse_elsewhere(&entry, volume, host).await?;
        let noted = entry.facts().hosts.contains_key(host);
        if !noted && !silent.is_empty() {
            return Err(unheard(&operation, silent));
        }
        {
            let mut facts = entry.facts();
            facts.newest.raise(order);
            // Until the daemon has said that it is done, nobody knows.
            facts.hosts.insert(host.clone(), None);
        }
        let image = Image { volume: volume.name.clone(), path: path.clone(), order, direct: true };
        match daemon.export(image, noted).await {
            Ok(export) => {
                entry.facts().hosts.insert(host.clone(), Some(export));
                Ok(Self::attachment(volume, &daemon.target))
            }
            Err(error) => Err(failed(&operation, host, &path, daemon, error)),
        }
    }

    async fn unmap(&self, volume: &VolumeSpec, host: &HostName, order: MapOrder) -> Result<(), StorageError> {
        let operation = Operation::unmap(&self.name, volume, host);
        let daemon = self.daemon(host)?;
        let path = image(&operation, &self.directory, volume)?;
        let entry = self.ledger.volume(&volume.name);
        let _turn = entry.turn.lock().await;
        let seen = {
            let mut facts = entry.facts();
            facts.newest.admit(&volume.name, order)?;
            facts.newest.raise(order);
            // From here on the export that was seen may be gone, or half gone.
            facts.hosts.get_mut(host).and_then(Option::take)
        };
        let image = Image { volume: volume.name.clone(), path: path.clone(), order, direct: true };
        match daemon.withdraw(image, seen).await {
            Ok(()) => {
                entry.facts().hosts.remove(host);
                Ok(())
            }
            Err(error) => Err(failed(&operation, host, &path, daemon, error)),
        }
    }

    fn cuts_writes(&self) -> bool {
        true
    }
}

/// Why nothing can be said, or done, while daemons do not answer.
fn unheard(operation: &Operation, silent: Vec<Silent>) -> StorageError {
    /// More are only counted.
    const NAMED: usize = 5;
    let mut hosts = silent.iter().take(NAMED).map(|silent| silent.host.as_str()).collect::<Vec<_>>().join(", ");
    if silent.len() > NAMED {
        // Writing to a text cannot fail.
        let _ = write!(hosts, " and {} more", silent.len() - NAMED);
    }
    let problem = format!(
        "nobody knows what the storage daemon of {hosts} exports, because it does not answer; start it or mend it, or \
         take the host out of the array and apply again"
    );
    let source = silent.into_iter().next().map(|first| Cause::from(first.why));
    operation.failed(Retry::MayHelp, problem, source)
}

/// What to say of an operation at a daemon that failed.
fn failed(operation: &Operation, host: &HostName, path: &str, daemon: &Daemon, error: DaemonError) -> StorageError {
    let socket = &daemon.target.qmp;
    let (retry, problem) = match error.qmp() {
        Some(QmpError::Connect { .. }) => (
            Retry::MayHelp,
            format!("the storage daemon of {host} cannot be reached at {socket}; start it, or mend `qmp`"),
        ),
        Some(QmpError::Timeout { .. }) => (
            Retry::MayHelp,
            format!(
                "the storage daemon of {host} does not answer; look whether it hangs, or whether something else is \
                     connected to {socket}"
            ),
        ),
        Some(QmpError::Closed { .. }) => {
            (Retry::MayHelp, format!("the storage daemon of {host} went away meanwhile; start it if it stays away"))
        }
        Some(QmpError::Protocol { .. }) => {
            (Retry::IsFutile, format!("what listens at {socket} is no storage daemon; mend `qmp` of {host}"))
        }
        Some(QmpError::Refused { description, .. }) => refused(host, path, description),
        None => match &error {
            DaemonError::Draining { .. } => (
                Retry::MayHelp,
                format!("the storage daemon of {host} has not said that all writes have landed; look at its disks"),
            ),
            DaemonError::OtherImage => (Retry::IsFutile, "unmap it first, then map it from its new image".to_owned()),
            _ => (Retry::IsFutile, format!("what listens at {socket} is no storage daemon; mend `qmp` of {host}")),
        },
    };
    operation.failed(retry, problem, Some(error.into()))
}

/// What a refusal of a daemon means. It tells the reason in words only; a word that is not known here is passed on.
fn refused(host: &HostName, path: &str, description: &str) -> (Retry, String) {
    if description.contains("No such file") {
        (Retry::IsFutile, format!("there is no image file {path}; make it, or mend the volume's `file`"))
    } else if description.contains("lock") {
        (Retry::MayHelp, format!("another program has image file {path} open; end that"))
    } else if description.contains("NBD server") {
        (Retry::IsFutile, format!("the storage daemon of {host} serves no NBD; start it with `--nbd-server`"))
    } else {
        (Retry::IsFutile, format!("the storage daemon of {host} refuses it; look at image file {path} and at its log"))
    }
}
