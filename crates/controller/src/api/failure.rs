//! Why a request was not done, as an answer.

use axum::{
    Json,
    body::to_bytes,
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use lifeboat_brain::fleet::{Refusal, RefusalKind};
use lifeboat_client::api::{ErrorBody, ErrorCode};
use lifeboat_model::NameError;
use lifeboat_ports::StoreError;

use crate::{handle::Unavailable, run::chain};

/// The web framework's own words on a failure are at most so long.
const MAX_WORDS: usize = 4096;

/// An error body on its way, with a status of its own where the code's is not exact.
#[derive(Debug)]
pub(super) struct Failure {
    body: Box<ErrorBody>,
    status: Option<StatusCode>,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { body: Box::new(ErrorBody::new(code, message)), status: None }
    }

    pub(super) fn bad_input(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadInput, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.body.advice = Some(advice.into());
        self
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    pub(super) fn problems(mut self, problems: Vec<lifeboat_model::declaration::Problem>) -> Self {
        self.body.problems = problems;
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.body.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (self.status.unwrap_or(code), Json(self.body)).into_response()
    }
}

impl From<Unavailable> for Failure {
    fn from(why: Unavailable) -> Self {
        let advice = match why {
            Unavailable::Ending => {
                "try again when it has started again; journalctl -u lifeboat-controller says why it ended"
            }
            Unavailable::Store(_) => {
                "make room on the disk of its state directory or mend it; the controller goes on by itself as soon as it can write"
            }
        };
        Self::new(ErrorCode::Unavailable, why.to_string()).advice(advice)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::Invalid => ErrorCode::BadInput,
            RefusalKind::NotFound => ErrorCode::NotFound,
            RefusalKind::Conflict => ErrorCode::Refused,
        };
        let mut failure = Self::new(code, refusal.message);
        failure.body.advice = refusal.advice;
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(ErrorCode::Unavailable, chain(&error)).advice("try again; if it stays so, see the controller's log")
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::bad_input(error.to_string())
    }
}

/// The answer to a path that is none of the API's.
pub(super) async fn unknown_route(request: Request) -> Failure {
    Failure::not_found(format!("this controller has no {} {}", request.method(), request.uri().path()))
        .advice("install the same version of lifeboat here and on the controller's machine")
}

/// The answer to a path of the API with a method that it does not have.
pub(super) async fn unknown_method(request: Request) -> Failure {
    let text = format!("{} does not take {}", request.uri().path(), request.method());
    Failure::bad_input(text).status(StatusCode::METHOD_NOT_ALLOWED)
}

/// The answer as it is, or, for a failure in other words than an error body, in an error body.
pub(super) async fn worded(what: &str, response: Response) -> Response {
    let status = response.status();
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if json || status.is_success() || status.is_informational() {
        return response;
    }
    let words = to_bytes(response.into_body(), MAX_WORDS).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let words = words.trim();
    let reason = if words.is_empty() { status.canonical_reason().unwrap_or("it failed") } else { words };
    let code = ErrorCode::of_status(status.as_u16());
    Failure::new(code, format!("{what}: {reason}")).status(status).into_response()
}
