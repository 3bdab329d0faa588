//! Drills aside from the engine: a drill of a large fleet takes seconds, and whoever is heard meanwhile must not wait for it.

use std::sync::Arc;

use lifeboat_brain::fleet::Input;
use lifeboat_model::{drill::Report, fleet::Fleet};
use tokio::task::spawn_blocking;

use crate::{handle::Handle, memory};

/// Drills, and tells the engine what was found.
pub(crate) fn spawn(handle: Handle, fleet: Arc<Fleet>) {
    tokio::spawn(async move {
        let result = report(fleet).await;
        handle.input(Input::DrillEnded { result }).await;
    });
}

/// Drills.
///
/// # Errors
/// Why not, for a person.
pub(crate) async fn report(fleet: Arc<Fleet>) -> Result<Box<Report>, String> {
    let drilled = spawn_blocking(move || {
        let report = lifeboat_planner::drill::report(&fleet);
        drop(fleet);
        memory::give_back();
        report
    });
    let drilled = drilled.await;
    let report = drilled.map_err(|error| format!("it broke off: {error}"))?;
    report.map(Box::new).map_err(|error| error.to_string())
}
