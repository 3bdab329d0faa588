//! Why there is no answer, or not the one that was hoped for.

use lifeboat_transport::{credentials::CredentialsError, http::HttpError, tls::TlsSetupError};

use crate::api::{ErrorBody, ErrorCode};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, so that nothing was asked.
    #[error("cannot reach the controller")]
    Unreachable(#[source] HttpError),
    /// The connection broke or stayed silent; what was asked may have been done all the same.
    #[error("lost the controller before it answered")]
    Lost(#[source] HttpError),
    /// The controller answered with an error.
    #[error("{}", .0.message)]
    Refused(Box<ErrorBody>),
    /// The controller answered what this build does not understand.
    #[error("cannot understand the controller's answer to {what}; check that both are of the same release")]
    NotUnderstood {
        /// The request.
        what: String,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The controller answered with a status and no explanation.
    #[error(
        "the controller answered {what} with HTTP status {status} and no explanation; is it a Lifeboat controller?"
    )]
    Bare {
        /// The request.
        what: String,
        /// The status.
        status: u16,
    },
    /// The controller's address is none.
    #[error("`{address}` is no address of a controller: write HOST:PORT, as in controller.example:7443")]
    Address {
        /// What was given.
        address: String,
    },
    /// There are no credentials where they were looked for.
    #[error(
        "there are no credentials in {dir}; make them on the controller's machine with `lifeboat operator create NAME \
         --out DIR`, and name the directory with --credentials"
    )]
    NoCredentials {
        /// The directory.
        dir: String,
    },
    /// The credentials cannot be used.
    #[error("cannot use the credentials in {dir}")]
    Credentials {
        /// The directory.
        dir: String,
        /// Why.
        source: CredentialsError,
    },
    /// TLS cannot be set up with the credentials.
    #[error("cannot set up TLS with the credentials in {dir}")]
    Tls {
        /// The directory.
        dir: String,
        /// Why.
        source: TlsSetupError,
    },
}

impl ClientError {
    pub(crate) fn of(error: HttpError) -> Self {
        if error.was_never_sent() { Self::Unreachable(error) } else { Self::Lost(error) }
    }

    /// What the controller's error is, for programs; none when it is not the controller that said no.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(body) => Some(body.code),
            Self::Bare { status, .. } => Some(ErrorCode::of_status(*status)),
            _ => None,
        }
    }

    /// Whether the controller was not there, or not ready: the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_)) || self.code() == Some(ErrorCode::Unavailable)
    }
}
