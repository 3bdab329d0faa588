//! What went wrong with a request.

use lifeboat_model::declaration::Problem;
use serde::{Deserialize, Serialize};

/// The kind of an error, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is wrong in itself (HTTP 400).
    BadInput,
    /// Who asks may not (HTTP 403).
    Forbidden,
    /// It names what does not exist (HTTP 404).
    NotFound,
    /// It is refused as things stand: the fencing gate, something still in use (HTTP 409).
    Refused,
    /// The controller is not leading, is starting or has its hands full; the same may succeed later (HTTP 503).
    Unavailable,
    /// The controller failed at it (HTTP 500, and any code that a client does not know).
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadInput => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Refused => 409,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The code that fits an HTTP status.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            409 | 412 => Self::Refused,
            429 | 502..=504 => Self::Unavailable,
            400..=499 => Self::BadInput,
            _ => Self::Internal,
        }
    }
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The kind.
    pub code: ErrorCode,
    /// What went wrong: names the operation and the object, as a sentence for a person.
    pub message: String,
    /// What the operator can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Everything that is wrong with a declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl ErrorBody {
    /// An error with no advice yet.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), advice: None, problems: Vec::new() }
    }

    /// The same, with a way out.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
