//! The newest order that was obeyed for a volume, and the refusal of older ones.

use lifeboat_model::VolumeName;
use lifeboat_ports::{MapOrder, StorageError};

/// The newest order that was obeyed for a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Newest(pub(super) Option<MapOrder>);

impl Newest {
    /// Refuses an order that is older.
    pub(super) fn admit(self, volume: &VolumeName, order: MapOrder) -> Result<(), StorageError> {
        match self.0 {
            Some(newest) if order < newest => Err(StorageError::OldOrder { volume: volume.clone(), order, newest }),
            _ => Ok(()),
        }
    }

    /// An order is obeyed: from now on older ones are refused.
    pub(super) fn raise(&mut self, order: MapOrder) {
        self.0 = self.0.max(Some(order));
    }
}
