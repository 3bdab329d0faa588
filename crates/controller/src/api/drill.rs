//! The last drill, and one now.

use std::sync::Arc;

use axum::Json;
use lifeboat_brain::fleet::{Brain, Input};
use lifeboat_client::api::{DrillView, ErrorCode};
use lifeboat_model::drill::worse;

use super::{Answer, Failure, State};
use crate::drill;

/// What the last drill found, beside the one before.
pub(super) async fn get(state: State) -> Answer<DrillView> {
    Ok(Json(state.view(|brain, _| view(brain)).await?))
}

/// Drills now; what is found is kept and compared as if it were the daily drill.
pub(super) async fn now(state: State) -> Answer<DrillView> {
    let ended = |_| Failure::new(ErrorCode::Unavailable, "the controller is ending");
    let place = Arc::clone(&state.plans).acquire_owned().await.map_err(ended)?;
    let fleet = state.view(|brain, _| Arc::new(brain.fleet())).await?;
    let result = drill::report(fleet).await;
    drop(place);
    if let Err(problem) = &result {
        return Err(Failure::new(ErrorCode::Internal, format!("no drill could be made: {problem}"))
            .advice("please report this with the output of lifeboat export"));
    }
    state.service.handle.input(Input::DrillEnded { result }).await;
    // What was given before is handled before.
    Ok(Json(state.view(|brain, _| view(brain)).await?))
}

fn view(brain: &Brain) -> DrillView {
    let (last, earlier) = (brain.last_drill().cloned(), brain.earlier_drill().cloned());
    let worse = earlier.as_ref().zip(last.as_ref()).map(|(earlier, last)| worse(earlier, last));
    DrillView { last, earlier, worse: worse.unwrap_or_default() }
}
