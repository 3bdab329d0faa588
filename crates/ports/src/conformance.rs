//! What every implementation of a port must do, as tests that take one and drive it. One module a port.
//!
//! Each suite is a function that takes a factory, calls the port as its docs allow, and panics with a sentence where the
//! implementation does other than they promise.

pub mod check;
pub mod fence;
pub mod hypervisor;
pub mod notify;
pub mod storage;
pub mod store;
