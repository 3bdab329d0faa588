//! Why a request got no answer.

use std::{fmt, time::Duration};

use hyper::Method;

use crate::{
    connect::{ConnectError, Peer},
    tls::TlsFault,
};

/// A request as errors name it: method, path without query, and peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestName {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) peer: Peer,
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.method, self.path, self.peer)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// There is no connection.
    #[error("{request} failed")]
    Connect {
        /// The request.
        request: Box<RequestName>,
        /// Why.
        source: Box<ConnectError>,
    },
    /// The answer was not whole within the limit. The request may have had its effect.
    #[error("{request}: no whole answer within {limit:?}; it may have been carried out all the same")]
    TimedOut {
        /// The request.
        request: Box<RequestName>,
        /// The limit.
        limit: Duration,
    },
    /// The answer, or a line of it, is over the size limit.
    #[error("{request}: the answer is longer than {limit} bytes")]
    TooLong {
        /// The request.
        request: Box<RequestName>,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer broke off or is not HTTP. The request may have had its effect.
    #[error("{request}: {}", broken(.fault))]
    Broken {
        /// The request.
        request: Box<RequestName>,
        /// What was wrong, if it has to do with TLS; else [`TlsFault::Broken`].
        fault: TlsFault,
        /// What hyper said.
        source: hyper::Error,
    },
    /// A line of the answer is not the JSON that was expected.
    #[error("{request}: a line of the answer cannot be understood; check that both sides are of the same release")]
    NotJson {
        /// The request.
        request: Box<RequestName>,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// The path or the target's name cannot stand in a request.
    #[error(
        "{request}: its path or the host's name cannot stand in a request; a path begins with `/` and has no blanks"
    )]
    Invalid {
        /// The request.
        request: Box<RequestName>,
    },
}

fn broken(fault: &TlsFault) -> String {
    match fault {
        TlsFault::Broken => "the answer broke off or is not HTTP; check that the peer is what it should be".to_owned(),
        fault => fault.to_string(),
    }
}

impl HttpError {
    /// Whether the request certainly did not reach its target, so that it can be repeated without thought.
    #[must_use]
    pub fn was_never_sent(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Invalid { .. })
    }

    /// What was wrong with a certificate, if that was it.
    #[must_use]
    pub fn tls_fault(&self) -> Option<&TlsFault> {
        match self {
            Self::Connect { source, .. } => source.tls_fault(),
            Self::Broken { fault, .. } if *fault != TlsFault::Broken => Some(fault),
            _ => None,
        }
    }
}
