//! The HTTP API for operators.

use std::sync::Arc;

use axum::Router;
use lifeboat_ports::Store;
use lifeboat_transport::ca::Authority;

use crate::{clock::Clock, handle::Handle};

/// What requests are answered from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) handle: Handle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Clock,
}

/// All routes.
pub(crate) fn router(_service: Service) -> Router {
    Router::new()
}
