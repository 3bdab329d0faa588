//! What stands behind the ports: one folder a port, one module in it for each kind of outside thing.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`fence`] | cutting a host's power: Redfish, any installed `fence_*` agent |
//! | [`qmp`] | the protocol of QEMU and `qemu-storage-daemon`, used by several drivers |

pub mod fence;
pub mod qmp;
