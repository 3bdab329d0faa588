//! What stands behind the ports: one folder a port, one module in it for each kind of outside thing.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`qmp`] | the protocol of QEMU and `qemu-storage-daemon`, used by several drivers |

pub mod qmp;
