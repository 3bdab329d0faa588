//! What runs VMs: one module for each kind of hypervisor.

pub mod qemu;
