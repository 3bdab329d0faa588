//! What a controller and its operators say to each other: the types of the API ([`api`]), and a client for it
//! ([`Client`]).
//!
//! The client asks one question a connection, over the controller's Unix socket or over TLS, and turns what comes back
//! into the API's types or a [`ClientError`] that tells apart what an operator has to tell apart: the controller cannot
//! be reached; it refused; it does not know the object; it failed.

pub mod api;
mod client;
mod error;
mod stream;

pub use client::Client;
pub use error::ClientError;
pub use stream::{EventStream, TraceStream};
