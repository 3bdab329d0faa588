//! Who trusts whom: rustls configurations, handshakes, and what went wrong in them.
//!
//! Theory of operation: the controller serves three protocols on one port, told apart by ALPN ([`Protocol`]). It asks
//! every client for a certificate and verifies the one it gets; a client without one has no identity and may only join
//! or read what is open to all. [`accept`] gives the verified identity with the stream, so that nobody needs to look at
//! certificates again. Clients expect `controller.lifeboat.internal` signed by their pod's authority, at whatever
//! address they connect. Between Lifeboat's parts TLS is 1.3 alone; BMCs may speak 1.2.
//!
//! | a client | trusts | shows |
//! | --- | --- | --- |
//! | agent, operator ([`client_config`]) | its stored authority | its certificate |
//! | newcomer ([`join_config`]) | the authority whose fingerprint its token names | nothing |
//! | webhook, mail ([`bmc_config`], [`mail_config`]) | the same, or else this machine's authorities | nothing |
//! | fence driver ([`bmc_config`]) | `ca_file` or `pin_sha256`, never anything else | nothing |
//!
//! In TLS 1.3 a client learns only at its first read that the server refuses its certificate: [`TlsFault::of`]
//! recognises that in any later error.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    CommonState, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, crypto::CryptoProvider,
    server::WebPkiClientVerifier, sign::CertifiedKey, version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    Fingerprint, Identity, IdentityError,
    ca::{Authority, AuthorityError, ServerCertificate},
    credentials::Credentials,
    identity,
};

mod bmc;
mod fault;
mod verify;

pub use bmc::{BmcTrust, BmcTrustError, bmc_config, mail_config, system_authorities};
pub use fault::TlsFault;
pub use rustls::ClientConfig;

/// Only between Lifeboat's own parts: both sides are of one release.
const OWN_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];
/// How many bytes, and for how long, are read from a peer after it was refused, so that it can read why.
const LINGER_BYTES: u64 = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// What is spoken inside a TLS connection to the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Frames between an agent and the controller.
    Agent,
    /// A newcomer with a join token.
    Join,
    /// The API.
    Http,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Agent, Self::Join, Self::Http];

    /// The protocol's ALPN name.
    #[must_use]
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Agent => b"lifeboat-agent/1",
            Self::Join => b"lifeboat-join/1",
            Self::Http => b"http/1.1",
        }
    }
}

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// rustls refused a certificate or a key.
    #[error("cannot set up TLS")]
    Rustls(#[from] rustls::Error),
    /// No verifier can be made of the authority.
    #[error("cannot set up the check of certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The controller's own certificate cannot be made.
    #[error("cannot make the controller's certificate")]
    Authority(#[from] AuthorityError),
}

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It was not done in time.
    #[error("the peer did not finish the TLS handshake within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It failed.
    #[error("TLS handshake with the peer failed: {fault}")]
    Handshake {
        /// What was wrong.
        fault: TlsFault,
        /// What rustls or the system said.
        source: io::Error,
    },
    /// The peer's certificate is of the pod's authority but says nobody's name.
    #[error("the peer cannot be recognised")]
    Identity(#[from] IdentityError),
}

/// An accepted connection, with who is at its other end.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The stream of plain bytes.
    pub stream: TlsStream<S>,
    /// Who the peer's verified certificate says it is; `None` without a certificate.
    pub peer: Option<Identity>,
    /// What the peer wants to speak; [`Protocol::Http`] when it did not say.
    pub protocol: Protocol,
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn pem_of(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_ref()))
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(Arc::new(roots))
}

/// The name that every client expects of the controller.
#[must_use]
pub fn controller_name() -> ServerName<'static> {
    ServerName::try_from(identity::CONTROLLER).expect("a constant DNS name")
}

/// The controller's configuration, with a fresh certificate for `names` beside its own: asks clients for a certificate
/// of the authority but lets them be without one.
///
/// # Errors
/// [`TlsSetupError`] when the certificate or the verifier cannot be made.
pub fn controller_config(authority: &Authority, names: &[ServerName<'_>]) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let certificate = authority.issue_controller(names)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority.certificate())?, provider())
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(OWN_VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificate.chain, certificate.key)?;
    config.alpn_protocols = Protocol::ALL.map(|protocol| protocol.alpn().to_vec()).into();
    // Nobody resumes a session: an agent connects again seldom, and then shows its certificate.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A plain HTTPS server's configuration, which asks nobody for a certificate: for a BMC of the lab.
///
/// # Errors
/// [`TlsSetupError`] when rustls refuses the certificate.
pub fn https_config(certificate: ServerCertificate) -> Result<Arc<ServerConfig>, TlsSetupError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)?;
    config.alpn_protocols = vec![Protocol::Http.alpn().to_vec()];
    Ok(Arc::new(config))
}

/// The configuration of an agent or operator that connects to its controller.
///
/// # Errors
/// [`TlsSetupError`] when rustls refuses the credentials.
pub fn client_config(credentials: &Credentials, protocol: Protocol) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(OWN_VERSIONS)?
        .with_root_certificates(roots(&credentials.authority)?)
        .with_client_auth_cert(vec![credentials.certificate.clone()], credentials.private_key())?;
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    Ok(Arc::new(config))
}

/// The configuration of a newcomer that knows its pod's authority only by the fingerprint in its token.
///
/// # Errors
/// [`TlsSetupError`] when rustls cannot be set up.
pub fn join_config(authority: Fingerprint) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(OWN_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::ServerTrust::token(authority)))
        .with_no_client_auth();
    config.alpn_protocols = vec![Protocol::Join.alpn().to_vec()];
    Ok(Arc::new(config))
}

/// Checks that a certificate is the key's and the authority's.
pub(crate) fn check_credentials(credentials: &Credentials) -> Result<(), rustls::Error> {
    let provider = provider();
    CertifiedKey::from_der(vec![credentials.certificate.clone()], credentials.private_key(), &provider)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&credentials.authority)?, provider)
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    verifier.verify_client_cert(&credentials.certificate, &[], credentials.inside_validity()).map(drop)
}

/// Who the verified certificate of a connection's peer says it is; `None` when the peer showed none.
///
/// # Errors
/// [`IdentityError`] when the certificate says nobody's name.
pub fn peer_identity(connection: &CommonState) -> Result<Option<Identity>, IdentityError> {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    certificate.map(Identity::of_certificate).transpose()
}

/// Does the server's side of a handshake.
///
/// # Errors
/// [`AcceptError`] when the handshake fails, is not done within `limit`, or the peer cannot be recognised. The peer
/// has been told why.
pub async fn accept<S>(stream: S, config: &Arc<ServerConfig>, limit: Duration) -> Result<Accepted<S>, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream).into_fallible();
    let stream = match tokio::time::timeout(limit, handshake).await {
        Err(_) => return Err(AcceptError::TimedOut { limit }),
        Ok(Ok(stream)) => stream,
        Ok(Err((source, stream))) => {
            linger(stream).await;
            return Err(AcceptError::Handshake { fault: TlsFault::of(&source), source });
        }
    };
    let connection: &ServerConnection = stream.get_ref().1;
    let peer = peer_identity(connection)?;
    let chosen = connection.alpn_protocol();
    let protocol = Protocol::ALL.into_iter().find(|protocol| chosen == Some(protocol.alpn()));
    Ok(Accepted { stream, peer, protocol: protocol.unwrap_or(Protocol::Http) })
}

/// Reads on for a moment: closing with unread bytes would make the system throw away the alert that says why.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut sink = tokio::io::sink();
    let read_out = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut sink).await
    };
    // The connection is over either way.
    let _ = tokio::time::timeout(LINGER, read_out).await;
}

#[cfg(test)]
mod tests;
