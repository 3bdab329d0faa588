//! A real farm on one machine: hosts whose power can be cut, storage that can be taken away, BMCs, guests that say what is
//! durable. For trying Lifeboat out and for testing it end to end.
//!
//! Theory of operation:
//!
//! ```text
//!   fabric (network namespace)                       host h1 (network + UTS namespace, cgroup)
//!   ┌──────────────────────────────────────┐        ┌──────────────────────────────┐
//!   │ controller   storage daemons   BMCs  │        │ agent      QEMU  QEMU …      │
//!   │      │            │             │    │ cable  │    │          tap   tap      │
//!   │      └────────────┴── br0 ──────┴────┼────────┼────┴── br0 ────┴─────┘       │
//!   └──────────────────────────────────────┘ (veth) └──────────────────────────────┘   … h2, h3
//! ```
//!
//! Everything that is lost with a host's power is in its cgroup, and is killed in one step by whoever switches the power: a
//! person through [`Lab::power_off`], or a controller through the host's BMC. Everything that survives (images, storage
//! daemons, the agent's disk) is outside. A watcher writes down what really happens, by looking at processes, and guests
//! say over the network what they know to be durable, so that a run can be judged without believing those who were in it.
//!
//! All functions block; call them from a thread that may ([`tokio::task::spawn_blocking`]).
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`guest`] | the guest's image and program |
//! | [`monitor`] | downtime and loss, as seen from outside |
//! | [`trace`] | one trace of the world's and the controller's words |

mod bmc;
mod controller;
mod down;
mod entry;
mod error;
mod fleet;
pub mod guest;
mod host;
mod lab;
mod layout;
pub mod monitor;
mod network;
mod process;
mod sequence;
mod settings;
mod status;
mod storage;
pub mod trace;
mod up;
mod watch;

pub use entry::internal;
pub use error::LabError;
pub use lab::Lab;
pub use layout::{MAX_HOSTS, MAX_VMS};
pub use sequence::{Sequences, VolumeHealth};
pub use settings::LabOptions;
pub use status::{HostStatus, LabStatus, VmStatus};
pub use up::Progress;
