//! What-if plans, and the fleet that they are made from.

use std::collections::BTreeSet;

use axum::Json;
use lifeboat_client::api::{ErrorCode, PlanRequest};
use lifeboat_model::{
    HostName,
    declaration::nearest,
    fleet::Fleet,
    plan::{Plan, Request},
};
use tokio::task::spawn_blocking;

use super::{Answer, Failure, State, body::Body};
use crate::memory;
use std::sync::Arc;

/// The fleet as it is.
pub(super) async fn fleet(state: State) -> Answer<Fleet> {
    Ok(Json(state.view(|brain, _| brain.fleet()).await?))
}

/// Plans for the failure of hosts. Nothing is changed.
pub(super) async fn plan(state: State, Body(asked): Body<PlanRequest>) -> Answer<Plan> {
    let failed: BTreeSet<HostName> = asked.failed.into_iter().collect();
    if failed.is_empty() {
        return Err(Failure::bad_input("a plan needs at least one host that is supposed to fail"));
    }
    let ended = |_| Failure::new(ErrorCode::Unavailable, "the controller is ending");
    let place = Arc::clone(&state.plans).acquire_owned().await.map_err(ended)?;
    let fleet = state.view(|brain, _| brain.fleet()).await?;
    let known = fleet.host_names();
    if let Some(unknown) = failed.iter().find(|host| !known.contains(host)) {
        let failure = Failure::not_found(format!("there is no host {unknown}"));
        let meant = nearest(unknown.as_str(), known.iter().map(|host| host.as_str()));
        return Err(match meant {
            Some(meant) => failure.advice(format!("did you mean {meant}?")),
            None => failure.advice("lifeboat get hosts lists those that there are"),
        });
    }
    let plan = spawn_blocking(move || {
        let plan = make(&fleet, failed);
        drop((fleet, place));
        memory::give_back();
        plan
    });
    let plan = plan.await.map_err(|error| Failure::new(ErrorCode::Internal, format!("planning broke off: {error}")))?;
    plan.map(Json)
}

fn make(fleet: &Fleet, failed: BTreeSet<HostName>) -> Result<Plan, Failure> {
    let report = "please report this with the output of lifeboat export";
    let request = Request { failed: failed.into_iter().collect(), ..Request::default() };
    // What a controller would do: it stops preemptible VMs to make room, and does not migrate.
    let options = lifeboat_planner::Options { room: lifeboat_planner::RoomMaking::Stop, ..Default::default() };
    let plan = lifeboat_planner::plan(fleet, &request, &options)
        .map_err(|error| Failure::new(ErrorCode::Internal, format!("no plan could be made: {error}")).advice(report))?;
    match lifeboat_plancheck::check(fleet, &request, &plan).first() {
        None => Ok(plan),
        Some(violation) => {
            let text = format!("the plan that was made is not sound: {violation}");
            Err(Failure::new(ErrorCode::Internal, text).advice(report))
        }
    }
}
