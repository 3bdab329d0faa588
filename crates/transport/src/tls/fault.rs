//! What went wrong in a handshake, as an operator can act on it.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

use crate::Fingerprint;

/// What was wrong with a peer, or what a peer found wrong with us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The peer's certificate is of an authority that is not trusted here.
    #[error("its certificate is of an authority that is not trusted here")]
    Foreign,
    /// The peer's certificate has run out.
    #[error("its certificate has run out (or the clock of this machine is ahead)")]
    Expired,
    /// The peer's certificate is not valid yet.
    #[error("its certificate is not valid yet (the clock of this machine is behind)")]
    NotYetValid,
    /// The peer's certificate does not name whom it should.
    #[error("its certificate is for another name")]
    WrongName,
    /// The peer's certificate may not be used in the peer's role.
    #[error("its certificate may not be used in this role")]
    WrongPurpose,
    /// The peer's certificate is not the pinned one.
    #[error("its certificate is not the pinned one but {found}; if it was replaced on purpose, pin that")]
    NotPinned {
        /// The certificate that the peer showed.
        found: Fingerprint,
    },
    /// The peer does not show the authority that the join token names.
    #[error("it does not belong to the authority {expected} of the token; check the address, or ask for a new token")]
    NotTheTokens {
        /// The token's authority.
        expected: Fingerprint,
    },
    /// The peer's certificate is not usable for another reason.
    #[error("its certificate cannot be used")]
    BadCertificate,
    /// The peer does not trust the authority of our certificate.
    #[error("it does not trust the authority of our certificate; join again with a new token of that controller")]
    RefusedAsForeign,
    /// Our certificate has run out, as the peer sees it.
    #[error("it says that our certificate has run out or is not valid yet; check the clocks, else join again")]
    RefusedAsExpired,
    /// The peer refused our certificate for another reason, or wants one and got none.
    #[error("it does not accept our certificate")]
    Refused,
    /// Both sides have no protocol or no version in common.
    #[error("it speaks no protocol that is spoken here; check that both are of the same release")]
    NoCommonProtocol,
    /// What answers does not speak TLS.
    #[error("what answers there does not speak TLS; check address and port")]
    NotTls,
    /// The connection broke; TLS has no part in it.
    #[error("the connection broke")]
    Broken,
    /// Something else of TLS.
    #[error("TLS failed")]
    Other,
}

impl TlsFault {
    /// Finds out what was wrong from an error of a handshake, or of a later read or write on the same connection;
    /// looks through all its sources.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Self::of_rustls(error);
            }
            // An I/O error's `source` is its content's source: the content itself must be asked for.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        Self::Broken
    }

    fn of_rustls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            rustls::Error::NoApplicationProtocol | rustls::Error::PeerIncompatible(_) => Self::NoCommonProtocol,
            rustls::Error::NoCertificatesPresented => Self::BadCertificate,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Foreign,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongPurpose,
            CertificateError::Other(other) => other.0.downcast_ref::<Self>().cloned().unwrap_or(Self::BadCertificate),
            _ => Self::BadCertificate,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA | AlertDescription::DecryptError => Self::RefusedAsForeign,
            AlertDescription::CertificateExpired => Self::RefusedAsExpired,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::AccessDenied => Self::Refused,
            AlertDescription::NoApplicationProtocol
            | AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure => Self::NoCommonProtocol,
            _ => Self::Other,
        }
    }
}
