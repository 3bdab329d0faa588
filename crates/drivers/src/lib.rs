//! What stands behind the ports: one folder a port, one module in it for each kind of outside thing.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`check`] | sees whether a VM is well: TCP, HTTP, monitoring plugins, the guest agent |
//! | [`fence`] | cutting a host's power: Redfish, any installed `fence_*` agent |
//! | [`hardware`] | what tells of a host's hardware going bad |
//! | [`heartbeat_block`] | beats of hosts on storage that all see |
//! | [`hypervisor`] | runs VMs: QEMU |
//! | [`notify`] | ways to people: webhooks, Alertmanager, mail, a command, a file |
//! | [`qmp`] | the protocol of QEMU and `qemu-storage-daemon`, used by several drivers |
//! | [`storage`] | arrays: files on a shared directory, NBD exports of `qemu-storage-daemon` |
//! | [`store`] | the embedded store, and one in memory |

pub mod check;
pub mod fence;
pub mod hardware;
pub mod heartbeat_block;
pub mod hypervisor;
pub mod notify;
pub mod qmp;
pub mod storage;
pub mod store;
