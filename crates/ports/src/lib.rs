//! The edges of Lifeboat as traits: what the outside world must do for it, with the contract of each in its docs and a
//! conformance suite in [`conformance`] that every implementation passes.
//!
//! | port | what it stands for |
//! | --- | --- |
//! | [`Hypervisor`] | runs VMs on the host that it is on |
//! | [`StorageArray`] | maps volumes to hosts and takes them away |
//! | [`FenceDevice`] | cuts a host's power and reads it back |
//! | [`Check`] | sees whether a VM is well |
//! | [`Notifier`] | tells people something |
//! | [`Store`] | remembers, linearizably |
//!
//! All calls are idempotent: after a crash the caller repeats what it does not know to be done. Errors say whether a
//! retry can help.

mod check;
pub mod conformance;
mod fence;
mod hypervisor;
mod notify;
mod storage;
mod store;

pub use check::Check;
pub use fence::{FenceDevice, FenceError, PowerState};
pub use hypervisor::{Hypervisor, HypervisorError, StopHow, VmConfig, VmEvent, VmExit};
pub use notify::{Delivery, Notifier, NotifyError};
pub use storage::{MapOrder, Mapping, StorageArray, StorageError};
pub use store::{Condition, Expect, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store, StoreError, Transaction, Write};

/// The source of an error of a port: whatever its driver met, kept for the chain of causes.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Whether doing the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The cause may pass: a time-out, a lost connection, a busy interface.
    MayHelp,
    /// The same call will fail the same way until a person or another call changes something.
    IsFutile,
}
