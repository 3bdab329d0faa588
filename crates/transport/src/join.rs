//! How a newcomer gets its credentials: one request and one reply, as JSON frames over
//! [`Protocol::Join`](crate::tls::Protocol::Join).
//!
//! ```text
//! newcomer                                             controller
//!    │ TLS: is this the authority that my token names?      │
//!    │ JoinRequest { token, host, csr_pem } ───────────────►│ is this token unused, and for this host?
//!    │◄───────────────────── JoinReply::Granted or ::Refused│
//! ```
//!
//! The token is said only after the handshake has shown the controller to be the right one. A controller takes in at
//! most [`MAX_JOIN_BYTES`] from a newcomer, who is nobody yet.

use std::{fmt, sync::Arc, time::Duration};

use lifeboat_model::HostName;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use crate::{
    connect::{self, ConnectError},
    credentials::{Credentials, CredentialsError, KeyAndRequest},
    frame::{FrameError, FrameReader, FrameWriter},
    secret::Secret,
    tls::{self, TlsSetupError},
    token::JoinToken,
};

/// The longest request and the longest reply, in bytes.
pub const MAX_JOIN_BYTES: usize = 64 * 1024;
/// How long a controller may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What a newcomer asks.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The whole token, as [`JoinToken::parse`] reads it.
    #[serde(with = "revealed")]
    pub token: Secret,
    /// Who it wants to be.
    pub host: HostName,
    /// The request to sign its key (PEM).
    pub csr_pem: String,
}

/// What the controller answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum JoinReply {
    /// It is in.
    Granted {
        /// Its certificate.
        cert_pem: String,
        /// The authority's certificate.
        ca_pem: String,
    },
    /// It is not.
    Refused {
        /// Why, and what to do, for a person.
        why: String,
    },
}

/// A secret on its way to the only one who may read it.
mod revealed {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::secret::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.reveal())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// Why a newcomer did not get its credentials.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No connection, or to somebody who is not to be trusted.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The controller does not let it in.
    #[error("the controller refused host {host}: {why}")]
    Refused {
        /// Who wanted in.
        host: HostName,
        /// Why, in the controller's words.
        why: String,
    },
    /// The connection broke before the answer came.
    #[error("the controller did not answer the request to join; the token may be used up, then ask for a new one")]
    Frame(#[from] FrameError),
    /// The connection ended before the answer came.
    #[error("the controller closed the connection without an answer; look at its log")]
    NoAnswer,
    /// The key could not be made, or the answer does not fit it.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

impl JoinError {
    /// Whether the same may work later without anybody doing anything here: no controller was reached.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Connect(error) if error.tls_fault().is_none_or(|fault| *fault == tls::TlsFault::Broken))
    }
}

/// One who wants to join: its key, made once, and its token.
pub struct Newcomer {
    host: HostName,
    token: JoinToken,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Newcomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newcomer").field("host", &self.host).field("token", &self.token).finish_non_exhaustive()
    }
}

impl Newcomer {
    /// Makes ready to join.
    ///
    /// # Errors
    /// [`JoinError::Tls`] when TLS cannot be set up.
    pub fn new(host: HostName, token: JoinToken) -> Result<Self, JoinError> {
        let config = tls::join_config(token.authority())?;
        Ok(Self { host, token, config })
    }

    /// Asks one controller. The connection is to stand within `limit`.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn ask(&self, address: &str, port: u16, limit: Duration) -> Result<Credentials, JoinError> {
        let key = KeyAndRequest::generate()?;
        let stream = connect::tls(address, port, &self.config, &tls::controller_name(), limit).await?;
        let (read, write) = tokio::io::split(stream);
        let mut reader = FrameReader::new(read).max_bytes(MAX_JOIN_BYTES).idle_limit(ANSWER_LIMIT);
        let mut writer = FrameWriter::new(write).max_bytes(MAX_JOIN_BYTES).time_limit(ANSWER_LIMIT);
        let csr_pem = key.request_pem().to_owned();
        writer.send(&JoinRequest { token: self.token.reveal(), host: self.host.clone(), csr_pem }).await?;
        match reader.next().await?.ok_or(JoinError::NoAnswer)? {
            JoinReply::Granted { cert_pem, ca_pem } => {
                Ok(key.into_credentials(&cert_pem, &ca_pem, &self.token.authority())?)
            }
            JoinReply::Refused { why } => Err(JoinError::Refused { host: self.host.clone(), why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fingerprint;

    #[test]
    fn a_request_carries_the_token_but_never_shows_it() {
        let token = JoinToken::generate(Fingerprint::of(b"an authority")).expect("entropy");
        let host = HostName::new("h1").expect("a name");
        let request = JoinRequest { token: token.reveal(), host, csr_pem: "-".to_owned() };
        let sent = serde_json::to_string(&request).expect("json");
        let read: JoinRequest = serde_json::from_str(&sent).expect("a request");
        assert_eq!(read.token, token.reveal());
        assert!(!format!("{read:?}").contains(token.reveal().reveal()), "{read:?}");
        assert!(serde_json::from_str::<JoinRequest>(&sent.replace("csr_pem", "csr")).is_err());
    }
}
