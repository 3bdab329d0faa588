//! How a mapped volume is reached from the host that it is mapped to.

use serde::{Deserialize, Serialize};

use crate::VolumeName;

/// What a storage array hands out when it maps a volume: enough for that host's hypervisor to open it, no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The volume.
    pub volume: VolumeName,
    /// The way to it.
    pub path: VolumePath,
}

/// The way from a host to a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VolumePath {
    /// An export of an NBD server.
    Nbd {
        /// Address or name of the server.
        host: String,
        /// TCP port.
        port: u16,
        /// Name of the export.
        export: String,
        /// Whether the connection is TLS with the host's own pre-shared key (which the host has; it is not carried here).
        tls_psk: bool,
    },
    /// A file in a directory that several hosts see.
    File {
        /// Absolute path as the host sees it.
        path: String,
    },
}
