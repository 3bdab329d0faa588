//! Everything that carries bytes safely between Lifeboat's parts.
//!
//! Theory of operation: each pod has a small certificate authority of its own ([`ca`]), made on the controller's first
//! start. The controller listens with a certificate of it and asks its peers for theirs; a peer's certificate says who
//! it is ([`Identity`]): a host, an operator, the controller. A newcomer holds a one-time [`token`] that names the
//! authority by its fingerprint, so that it can tell the controller from an impostor before it says the token's secret;
//! over that connection it gets its own certificate ([`credentials`]). Messages are JSON, either in length-delimited
//! frames ([`frame`]) between agent and controller, or HTTP ([`http`]) for operators and BMCs.
//!
//! Nothing here knows what a message means: it is generic over serde. Everything that waits has a time limit, and
//! everything that reads has a size limit. No error, log line or `Debug` output repeats a secret.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`agent_look`] | looking whether an agent lives, beside its link |
//! | [`ca`] | the pod's certificate authority, on the controller |
//! | [`credentials`] | a peer's own key and certificate, on its disk |
//! | [`tls`] | who trusts whom: rustls configurations, handshakes, and what went wrong in them |
//! | [`token`] | one-time join tokens |
//! | [`join`] | how a newcomer gets its credentials |
//! | [`frame`] | length-delimited JSON messages over any stream |
//! | [`connect`] | TCP, Unix and TLS connections with time limits and clear errors |
//! | [`listen`] | listening sockets that replace only what is dead |
//! | [`http`] | a small HTTP/1 client with limits, also for line-by-line bodies |
//! | [`secret`] | secrets that do not leak through logs, and the files that hold them |

pub mod agent_look;
pub mod ca;
pub mod connect;
pub mod credentials;
mod entropy;
mod fingerprint;
pub mod frame;
pub mod http;
mod identity;
pub mod join;
pub mod listen;
mod private_file;
pub mod secret;
pub mod tls;
pub mod token;

pub use entropy::{NoEntropy, random};
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use identity::{Identity, IdentityError};
pub use private_file::FileError;
