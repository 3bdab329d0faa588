//! One volume at one daemon: what is asked over QMP to export it and to take it back.
//!
//! A volume at a daemon is two things: a block node, which has the image file open, and an export of it. The NBD export's
//! name is the volume's; its id is `lifeboat.EPOCH.GENERATION.VOLUME`, the order with it, because the id is all of it that
//! the daemon tells. A node's name may have 31 characters only, so it is a hash of volume and image file: half-done work
//! is recognised by it. Exports with other ids are not ours and are left alone.

use std::{sync::Arc, time::Duration};

use lifeboat_model::{Epoch, Generation, VolumeName};
use lifeboat_ports::MapOrder;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout, timeout_at};

use super::daemon::DaemonError;
use crate::qmp::{Event, Events, Notice, Qmp, QmpError};

/// An event that says that an export is gone may be lost; then the exports are listed after so long.
const REREAD_AFTER: Duration = Duration::from_millis(250);

/// A volume to be exported.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) volume: VolumeName,
    /// Image file, as the daemon sees it.
    pub(super) path: String,
    pub(super) order: MapOrder,
    /// Whether the daemon's page cache is passed by.
    pub(super) direct: bool,
}

/// An export of ours at a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) volume: VolumeName,
    pub(super) order: MapOrder,
    id: String,
    node: String,
    /// It takes no requests any more, but some may still be in flight.
    pub(super) draining: bool,
}

impl Image {
    fn id(&self) -> String {
        format!("lifeboat.{}.{}.{}", self.order.epoch, self.order.generation, self.volume)
    }

    fn node(&self) -> String {
        let hash =
            Sha256::new().chain_update(self.volume.as_str()).chain_update([0]).chain_update(&self.path).finalize();
        hash.iter().take(14).fold("lb-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
    }

    /// The export as it will be listed.
    pub(super) fn export(&self) -> Export {
        let (volume, order) = (self.volume.clone(), self.order);
        Export { volume, order, id: self.id(), node: self.node(), draining: false }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    id: String,
    node_name: String,
    shutting_down: bool,
}

impl Listed {
    /// The export, if it is one of ours.
    fn ours(self) -> Option<Export> {
        let mut parts = self.id.splitn(4, '.');
        if parts.next() != Some("lifeboat") {
            return None;
        }
        let epoch = Epoch(parts.next()?.parse().ok()?);
        let generation = Generation(parts.next()?.parse().ok()?);
        let volume = parts.next()?.parse().ok()?;
        let order = MapOrder { epoch, generation };
        Some(Export { volume, order, node: self.node_name, draining: self.shutting_down, id: self.id })
    }
}

/// All exports of ours.
pub(super) async fn list(qmp: &Qmp) -> Result<Vec<Export>, DaemonError> {
    let answer = qmp.execute("query-block-exports", json!({})).await?;
    let listed: Vec<Listed> = serde_json::from_value(answer).map_err(|error| DaemonError::Answer(Arc::new(error)))?;
    Ok(listed.into_iter().filter_map(Listed::ours).collect())
}

async fn list_of(qmp: &Qmp, volume: &VolumeName) -> Result<Vec<Export>, DaemonError> {
    let mut exports = list(qmp).await?;
    exports.retain(|export| export.volume == *volume);
    Ok(exports)
}

/// Exports a volume. `unsure`: something of it may be there already.
pub(super) async fn add(qmp: &Qmp, image: &Image, unsure: bool, drain: Duration) -> Result<Export, DaemonError> {
    if unsure && let Some(done) = is_there(qmp, image, drain).await? {
        return Ok(done);
    }
    let node = json!({
        "driver": "file", "node-name": image.node(), "filename": image.path, "aio": "threads",
        "cache": { "direct": image.direct }, "discard": "unmap", "locking": "auto",
    });
    let added = qmp.execute("blockdev-add", node.clone()).await;
    if added.as_ref().is_err_and(is_refusal) {
        // Perhaps for something that is there, of work that was cut off.
        if let Some(done) = is_there(qmp, image, drain).await? {
            return Ok(done);
        }
        delete_node(qmp, &image.node()).await?;
        qmp.execute("blockdev-add", node).await?;
    } else {
        added?;
    }
    let export = json!({
        "type": "nbd", "id": image.id(), "node-name": image.node(), "name": image.volume.as_str(), "writable": true,
    });
    match qmp.execute("block-export-add", export).await {
        Ok(_) => Ok(image.export()),
        Err(refusal) if is_refusal(&refusal) => {
            if let Some(done) = is_there(qmp, image, drain).await? {
                return Ok(done);
            }
            delete_node(qmp, &image.node()).await?;
            Err(refusal.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The volume's export, if it is there. One that is on its way out is seen off first.
async fn is_there(qmp: &Qmp, image: &Image, drain: Duration) -> Result<Option<Export>, DaemonError> {
    let exports = list_of(qmp, &image.volume).await?;
    match exports.iter().find(|export| !export.draining) {
        Some(export) if export.node == image.node() => Ok(Some(export.clone())),
        Some(_) => Err(DaemonError::OtherImage),
        None => {
            delete_all(qmp, &mut qmp.events(), exports, drain).await?;
            Ok(None)
        }
    }
}

/// Takes a volume's exports back and returns when none of their writes is in flight. `seen`: the export, where it was
/// seen; else the daemon is asked.
pub(super) async fn withdraw(
    qmp: &Qmp,
    image: &Image,
    seen: Option<Export>,
    drain: Duration,
) -> Result<(), DaemonError> {
    // From before the deletion, or its event might be missed.
    let mut events = qmp.events();
    if let Some(export) = seen
        && delete(qmp, &export).await?
    {
        return delete_all_after(qmp, &mut events, vec![export], drain).await;
    }
    let exports = list_of(qmp, &image.volume).await?;
    if exports.is_empty() {
        // A node may be left of work that was cut off.
        return delete_node(qmp, &image.node()).await;
    }
    delete_all(qmp, &mut events, exports, drain).await
}

async fn delete_all(qmp: &Qmp, events: &mut Events, exports: Vec<Export>, drain: Duration) -> Result<(), DaemonError> {
    for export in &exports {
        // Refused where it is on its way out already.
        delete(qmp, export).await?;
    }
    delete_all_after(qmp, events, exports, drain).await
}

/// Waits until exports that were deleted are gone, then deletes their nodes.
async fn delete_all_after(
    qmp: &Qmp,
    events: &mut Events,
    exports: Vec<Export>,
    drain: Duration,
) -> Result<(), DaemonError> {
    for export in exports {
        let gone = timeout(drain, until_gone(qmp, events, &export));
        gone.await.map_err(|_| DaemonError::Draining { limit: drain })??;
        delete_node(qmp, &export.node).await?;
    }
    Ok(())
}

/// Whether the daemon took the command to delete an export.
async fn delete(qmp: &Qmp, export: &Export) -> Result<bool, DaemonError> {
    accepted(qmp.execute("block-export-del", json!({ "id": export.id, "mode": "hard" })).await)
}

async fn delete_node(qmp: &Qmp, node: &str) -> Result<(), DaemonError> {
    // Refused where there is none.
    accepted(qmp.execute("blockdev-del", json!({ "node-name": node })).await).map(drop)
}

fn accepted<T>(outcome: Result<T, QmpError>) -> Result<bool, DaemonError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(refusal) if is_refusal(&refusal) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

const fn is_refusal(error: &QmpError) -> bool {
    !error.is_of_connection()
}

/// Waits until an export is gone: its event says so, or it is no longer listed.
async fn until_gone(qmp: &Qmp, events: &mut Events, export: &Export) -> Result<(), DaemonError> {
    let is_end = |event: &Event| event.name == "BLOCK_EXPORT_DELETED" && event.data["id"] == *export.id;
    let mut reread = Instant::now() + REREAD_AFTER;
    loop {
        match timeout_at(reread, events.next()).await {
            Ok(Some(Notice::Event(event))) if is_end(&event) => return Ok(()),
            Ok(Some(Notice::Event(_))) => {}
            // Events were lost, none came in time, or the connection has ended; the list then fails with the reason.
            Ok(Some(Notice::Lost(_)) | None) | Err(_) => {
                if !list(qmp).await?.iter().any(|listed| listed.id == export.id) {
                    return Ok(());
                }
                reread = Instant::now() + REREAD_AFTER;
            }
        }
    }
}
