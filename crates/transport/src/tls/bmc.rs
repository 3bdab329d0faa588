//! Which BMC is trusted: one whose certificate an operator has named, directly or through its authority.
//!
//! BMCs come with certificates that they signed themselves, often for no name and long run out. So a certificate that
//! stands in `ca_file` itself, or whose fingerprint is pinned, is trusted whatever it says; any other must come from an
//! authority in `ca_file` and name the address that is connected to. Whoever answers in a BMC's stead could report a
//! power that is not off: without either setting nothing is trusted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, client::WebPkiServerVerifier};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{Protocol, TlsSetupError, provider, verify::ServerTrust};
use crate::{Fingerprint, NotAFingerprint};

/// Why a BMC's certificate is trusted.
#[derive(Clone, Debug)]
pub enum BmcTrust {
    /// It is one of these certificates, or signed by one of them for the BMC's address.
    Authorities(Vec<CertificateDer<'static>>),
    /// It has this fingerprint.
    Pin(Fingerprint),
}

/// Why it cannot be said which BMC to trust.
#[derive(Debug, thiserror::Error)]
pub enum BmcTrustError {
    /// Neither setting is there.
    #[error(
        "nothing says which certificate of the BMC to trust: set `ca_file` or `pin_sha256` (`openssl s_client -connect BMC:443 </dev/null | openssl x509 -noout -fingerprint -sha256` shows it; compare with the BMC's own page)"
    )]
    Nothing,
    /// This machine has no file of authorities.
    #[error(
        "this machine has no file of trusted authorities: install ca-certificates, or set `ca_file` or `pin_sha256`"
    )]
    NoSystem,
    /// Both settings are there.
    #[error("both `ca_file` and `pin_sha256` are set: keep one")]
    Both,
    /// The pin is no fingerprint.
    #[error("`pin_sha256` cannot be used")]
    Pin(#[from] NotAFingerprint),
    /// The file cannot be read.
    #[error("cannot read `ca_file` {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no certificate in it.
    #[error("`ca_file` {} holds no certificate: it must be PEM, with `-----BEGIN CERTIFICATE-----`", .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
}

/// Where distributions keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authorities that this machine trusts: for servers that anybody may know.
///
/// # Errors
/// [`BmcTrustError`] when there is no file of them, or it cannot be used.
pub fn system_authorities() -> Result<BmcTrust, BmcTrustError> {
    let found = SYSTEM_AUTHORITIES.into_iter().map(Path::new).find(|path| path.exists());
    BmcTrust::from_settings(found, None).map_err(|error| match error {
        BmcTrustError::Nothing => BmcTrustError::NoSystem,
        other => other,
    })
}

impl BmcTrust {
    /// Makes up trust from a fence's settings.
    ///
    /// # Errors
    /// [`BmcTrustError`] when neither or both are set, or the one that is set cannot be used.
    pub fn from_settings(ca_file: Option<&Path>, pin_sha256: Option<&str>) -> Result<Self, BmcTrustError> {
        match (ca_file, pin_sha256) {
            (None, None) => Err(BmcTrustError::Nothing),
            (Some(_), Some(_)) => Err(BmcTrustError::Both),
            (None, Some(pin)) => Ok(Self::Pin(pin.parse()?)),
            (Some(path), None) => {
                let text = fs::read(path).map_err(|source| BmcTrustError::Read { path: path.to_owned(), source })?;
                let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
                match certificates {
                    Ok(certificates) if !certificates.is_empty() => Ok(Self::Authorities(certificates)),
                    _ => Err(BmcTrustError::NoCertificate { path: path.to_owned() }),
                }
            }
        }
    }
}

/// The configuration of a client that connects to a BMC: TLS 1.2 or 1.3, no certificate of its own.
///
/// # Errors
/// [`TlsSetupError`] when rustls cannot be set up.
pub fn bmc_config(trust: &BmcTrust) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let verifier = match trust {
        BmcTrust::Pin(pin) => ServerTrust::bmc(vec![*pin], None),
        BmcTrust::Authorities(certificates) => {
            let pins = certificates.iter().map(|certificate| Fingerprint::of(certificate)).collect();
            let mut roots = RootCertStore::empty();
            // What is no authority can still be the BMC's own certificate.
            roots.add_parsable_certificates(certificates.iter().cloned());
            let authorities = match roots.is_empty() {
                true => None,
                false => Some(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?),
            };
            ServerTrust::bmc(pins, authorities)
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![Protocol::Http.alpn().to_vec()];
    Ok(Arc::new(config))
}

/// The same for a mail server, which knows nothing of HTTP.
///
/// # Errors
/// [`TlsSetupError`] when rustls cannot be set up.
pub fn mail_config(trust: &BmcTrust) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let mut config = ClientConfig::clone(bmc_config(trust)?.as_ref());
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}
