//! Reads a request's body.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use lifeboat_client::api::ErrorCode;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

use super::Failure;

/// A body of JSON. Fields that are not known are an error, as the types say.
pub(super) struct Body<T>(pub(super) T);

impl<T, S> FromRequest<S> for Body<T>
where
    T: DeserializeOwned + Send + 'static,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            let failure = Failure::bad_input(format!("the body of {what} cannot be read: {}", rejection.body_text()));
            if status == StatusCode::PAYLOAD_TOO_LARGE {
                return failure.advice("declare it in several files, and apply one after the other").status(status);
            }
            failure
        })?;
        // Long ones take a while, and other requests wait for this thread.
        let parsed = spawn_blocking(move || serde_json::from_slice(&bytes)).await;
        let parsed = parsed.map_err(|error| Failure::new(ErrorCode::Internal, format!("{what} broke off: {error}")))?;
        parsed
            .map(Self)
            .map_err(|error| Failure::bad_input(format!("the body of {what} is not what it takes: {error}")))
    }
}
