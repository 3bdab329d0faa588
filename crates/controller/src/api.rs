//! The HTTP API for operators; `lifeboat_client::api` lists its routes and defines its types.
//!
//! Views are pure functions of the brain and the time, made within the engine's task by [`Handle::ask`], so that each is of
//! one moment. Orders go to the brain, which alone decides; nothing here does. Both doors of the controller let operators in
//! only, so no route asks again who somebody is.
//!
//! Every answer that is no success carries an error body, also those that the web framework gives by itself: [`guard`] sees
//! to that, and to a time limit for all but what follows.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use lifeboat_client::api::{ErrorCode, path};
use lifeboat_model::{Time, declaration::Kind};
use lifeboat_ports::Store;
use lifeboat_transport::ca::Authority;
use tokio::{sync::Semaphore, time::timeout};

use crate::{clock::Clock, config::Admission, handle::Handle, notify::Receivers};

mod admission;
mod body;
mod change;
mod checks;
mod drill;
mod evidence;
mod expected;
mod failure;
mod fences;
mod follow;
mod hosts;
mod identities;
mod maintenance;
mod notify;
mod plan;
mod progress;
mod recoveries;
mod status;
mod vms;
mod volumes;
mod warnings;

#[cfg(test)]
mod tests;

use failure::Failure;

/// The longest time from a request's first byte to the first of its answer.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest declaration.
const MAX_DECLARATION_BYTES: usize = 64 * 1024 * 1024;
/// Declarations that are taken at once: each may be long.
const APPLIES: usize = 2;
/// Plans that are made at once: each takes a processor.
const PLANS: usize = 2;

/// What requests are answered from. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) handle: Handle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Clock,
    pub(crate) receivers: Receivers,
    pub(crate) admission: Admission,
}

/// The service, and what bounds it.
#[derive(Clone)]
struct Api {
    service: Service,
    applies: Arc<Semaphore>,
    plans: Arc<Semaphore>,
}

impl Api {
    /// A view of the brain as it is now.
    async fn view<T: Send + 'static>(
        &self,
        view: impl FnOnce(&lifeboat_brain::fleet::Brain, Time) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let clock = self.service.clock;
        Ok(self.service.handle.ask(move |brain| view(brain, clock.now().max(brain.now()))).await?)
    }
}

/// What a handler gives.
type Answer<T> = Result<Json<T>, Failure>;
type State = axum::extract::State<Api>;

/// All routes.
pub(crate) fn router(service: Service) -> Router {
    let api = Api { service, applies: Arc::new(Semaphore::new(APPLIES)), plans: Arc::new(Semaphore::new(PLANS)) };
    let mut router = Router::new()
        .route(path::STATUS, get(status::get))
        .route(path::HOSTS, get(hosts::list))
        .route("/v1/hosts/{name}/confirm-off", post(change::confirm_off))
        .route("/v1/hosts/{name}/maintenance", post(maintenance::maintain))
        .route("/v1/hosts/{name}/drain", post(maintenance::drain))
        .route("/v1/hosts/{name}/fence-test", post(fences::test))
        .route("/v1/hosts/{name}/evidence", get(evidence::get))
        .route("/v1/hosts/{name}/hardware", get(hosts::hardware))
        .route("/v1/hosts/{name}/failback", post(maintenance::failback))
        .route(path::VMS, get(vms::list))
        .route("/v1/vms/{name}/{action}", post(change::vm_action))
        .route(path::CHECKS, get(checks::list))
        .route(path::VOLUMES, get(volumes::list))
        .route(path::RECOVERIES, get(recoveries::list))
        .route("/v1/recoveries/{id}", get(recoveries::one))
        .route(path::DECLARATION, get(change::declaration))
        .route(path::FLEET, get(plan::fleet))
        .route(path::PLAN, post(plan::plan))
        .route(path::DRILL, get(drill::get).post(drill::now))
        .route(path::APPLY, post(change::apply).layer(DefaultBodyLimit::max(MAX_DECLARATION_BYTES)))
        .route(path::EVENTS, get(follow::events))
        .route(path::TRACE, get(follow::trace))
        .route(path::RECEIVERS, get(notify::list))
        .route("/v1/receivers/{name}/test", post(notify::test))
        .route(path::TOKENS, post(identities::token))
        .route(path::OPERATORS, post(identities::operator));
    for kind in Kind::ALL {
        let path = format!("/v1/{}/{{name}}", kind.plural());
        router = router.route(&path, delete(move |state: State, name| change::delete(state, kind, name)));
    }
    router
        .fallback(failure::unknown_route)
        .method_not_allowed_fallback(failure::unknown_method)
        .layer(middleware::from_fn(guard))
        .with_state(api)
}

/// Limits a request's time, and gives every failure an error body.
async fn guard(request: Request, next: Next) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    match timeout(LIMIT, next.run(request)).await {
        Ok(response) => failure::worded(&what, response).await,
        Err(_) => Failure::new(ErrorCode::Unavailable, format!("{what} was not done within {} s", LIMIT.as_secs()))
            .advice("see with lifeboat status whether it was; if not, try again")
            .into_response(),
    }
}
