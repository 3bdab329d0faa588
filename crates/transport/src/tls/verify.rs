//! Verifiers for servers that no stored authority vouches for: a controller before the first join, and BMCs.
//!
//! Both still verify that the server holds its certificate's key; they differ only in why the certificate is trusted.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{TlsFault, provider, roots};
use crate::Fingerprint;

/// Decides whether a server is the one that is meant.
#[derive(Debug)]
pub(super) struct ServerTrust {
    provider: Arc<CryptoProvider>,
    reason: Reason,
}

/// Why a server's certificate is trusted.
#[derive(Debug)]
enum Reason {
    /// The chain that the server shows contains this authority, and it vouches for the name.
    Token(Fingerprint),
    /// The certificate is one of these, or an authority vouches for it and the name.
    Bmc { pins: Vec<Fingerprint>, authorities: Option<Arc<WebPkiServerVerifier>> },
}

impl ServerTrust {
    pub(super) fn token(authority: Fingerprint) -> Self {
        Self { provider: provider(), reason: Reason::Token(authority) }
    }

    pub(super) fn bmc(pins: Vec<Fingerprint>, authorities: Option<Arc<WebPkiServerVerifier>>) -> Self {
        Self { provider: provider(), reason: Reason::Bmc { pins, authorities } }
    }

    /// Verifies a chain against the authority in it that the token names.
    fn verify_token(
        &self,
        expected: Fingerprint,
        shown: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (leaf, chain) = shown;
        let Some(authority) = chain.iter().find(|certificate| Fingerprint::of(certificate) == expected) else {
            return Err(fault(TlsFault::NotTheTokens { expected }));
        };
        let roots = roots(&authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
            .build()
            .map_err(|_| fault(TlsFault::NotTheTokens { expected }))?;
        verifier.verify_server_cert(leaf, &[], name, &[], now)
    }
}

fn fault(fault: TlsFault) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

impl ServerCertVerifier for ServerTrust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.reason {
            Reason::Token(expected) => self.verify_token(*expected, (leaf, chain), name, now),
            Reason::Bmc { pins, authorities } => {
                let found = Fingerprint::of(leaf);
                match authorities {
                    _ if pins.contains(&found) => Ok(ServerCertVerified::assertion()),
                    Some(authorities) => authorities.verify_server_cert(leaf, chain, name, ocsp_response, now),
                    None => Err(fault(TlsFault::NotPinned { found })),
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
