//! What every [`StorageArray`](crate::StorageArray) must do.
