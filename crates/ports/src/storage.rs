use async_trait::async_trait;
use lifeboat_model::{ArrayName, Epoch, Generation, HostName, VolumeName, attach::Attachment, spec::VolumeSpec};
use serde::{Deserialize, Serialize};

use crate::{Cause, Retry};

/// On whose word, and for which intent, a volume is mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MapOrder {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The volume's generation.
    pub generation: Generation,
}

/// A volume mapped to a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mapping {
    /// The volume.
    pub volume: VolumeName,
    /// The host that can open it.
    pub host: HostName,
}

/// Maps volumes to hosts and takes them away: an array's management interface.
///
/// Orders are compared per volume, epoch first: an order lower than one that was obeyed is refused with
/// [`StorageError::OldOrder`]. The same order again is a repetition.
#[async_trait]
pub trait StorageArray: Send + Sync {
    /// Every mapping that exists, in order. What the array itself says, not what was asked of it.
    async fn mappings(&self) -> Result<Vec<Mapping>, StorageError>;

    /// Lets a host, and no other, open a volume. Success when it is so already. Refused with
    /// [`StorageError::MappedElsewhere`] while another host can open it.
    async fn map(&self, volume: &VolumeSpec, host: &HostName, order: MapOrder) -> Result<Attachment, StorageError>;

    /// Takes a volume from a host. Returns only when no write of that host can reach the volume any more, those in
    /// flight included. Success when it is not mapped there.
    async fn unmap(&self, volume: &VolumeSpec, host: &HostName, order: MapOrder) -> Result<(), StorageError>;

    /// Whether [`unmap`](Self::unmap) stops the writes of a host that is still running. Where it does not (plain files
    /// on a shared directory), taking volumes away is no proof that a host is cut off.
    fn cuts_writes(&self) -> bool;
}

/// Why an array did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another host can open the volume.
    #[error("volume {volume} is mapped to {host}; unmap it there first")]
    MappedElsewhere {
        /// The volume.
        volume: VolumeName,
        /// The host that has it.
        host: HostName,
    },
    /// A later order for the volume was obeyed already.
    #[error("order of epoch {}, generation {} for volume {volume} is older than epoch {}, generation {}", .order.epoch, .order.generation, .newest.epoch, .newest.generation)]
    OldOrder {
        /// The volume.
        volume: VolumeName,
        /// The order that was refused.
        order: MapOrder,
        /// The newest that was obeyed.
        newest: MapOrder,
    },
    /// The array does not know the host.
    #[error("array {array} has no target for host {host}; add it to the array's hosts and apply again")]
    UnknownHost {
        /// The array.
        array: ArrayName,
        /// The host.
        host: HostName,
    },
    /// The operation failed, or nobody knows how it ended: ask [`StorageArray::mappings`], or repeat it.
    #[error("array {array} cannot {operation}: {problem}")]
    Failed {
        /// The array.
        array: ArrayName,
        /// The operation and its object: `map volume web-1-d0 to h2`.
        operation: String,
        /// What went wrong and what to do, for a person.
        problem: String,
        /// Whether the same call may succeed later.
        retry: Retry,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
}
