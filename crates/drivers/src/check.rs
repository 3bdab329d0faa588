//! Checks: whether a VM is up.

pub mod tcp;

pub use tcp::TcpCheck;
