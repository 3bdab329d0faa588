//! What is known of each volume: the hosts whose daemons may export it, and the newest order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lifeboat_model::{HostName, VolumeName};

use super::export::Export;
use crate::storage::order::Newest;

/// What is known of all volumes. It has an entry for each volume that was ever asked for or found.
#[derive(Default)]
pub(super) struct Ledger {
    volumes: Mutex<BTreeMap<VolumeName, Arc<Entry>>>,
}

/// A volume's entry.
#[derive(Default)]
pub(super) struct Entry {
    /// Held during an operation: the operations on one volume take turns.
    pub(super) turn: tokio::sync::Mutex<()>,
    facts: Mutex<Facts>,
}

/// What is known of a volume.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) newest: Newest,
    /// The hosts whose daemons may export it, with the export where it is known for certain. A host is crossed out only by an
    /// operation that holds the volume's turn and was told by its daemon.
    pub(super) hosts: BTreeMap<HostName, Option<Export>>,
}

impl Ledger {
    pub(super) fn volume(&self, volume: &VolumeName) -> Arc<Entry> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(volumes.entry(volume.clone()).or_default())
    }

    /// Notes what a daemon exports. This only adds: what it no longer exports by now is found out when it matters.
    pub(super) fn learn(&self, host: &HostName, exports: &[Export]) {
        for export in exports {
            let entry = self.volume(&export.volume);
            let mut facts = entry.facts();
            facts.newest.raise(export.order);
            facts.hosts.entry(host.clone()).or_insert_with(|| (!export.draining).then(|| export.clone()));
        }
    }
}

impl Entry {
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts other than this one whose daemons may export the volume.
    pub(super) fn others(&self, host: &HostName) -> Vec<HostName> {
        self.facts().hosts.keys().filter(|other| *other != host).cloned().collect()
    }
}
