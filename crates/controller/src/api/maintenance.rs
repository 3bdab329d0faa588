//! Orders that keep hosts from getting VMs, and let them have them again.

use axum::{Json, extract::Path};
use lifeboat_brain::fleet::OperatorOrder;
use lifeboat_client::api::{HostOrdered, MaintenanceRequest};
use lifeboat_model::HostName;

use super::{Answer, Api, Failure, State, body::Body, hosts};

/// A host is in maintenance, or no longer.
pub(super) async fn maintain(
    state: State,
    Path(name): Path<String>,
    Body(wanted): Body<MaintenanceRequest>,
) -> Answer<HostOrdered> {
    let host = HostName::new(&name)?;
    if !wanted.on && (wanted.note.is_some() || wanted.ends_after_s.is_some()) {
        return Err(
            Failure::bad_input("what ends has neither a note nor a time after which it ends").advice("leave them out")
        );
    }
    let MaintenanceRequest { on, note, ends_after_s: ends_after } = wanted;
    ordered(&state, host.clone(), OperatorOrder::Maintenance { host, on, note, ends_after }).await
}

/// A host is to be emptied.
pub(super) async fn drain(state: State, Path(name): Path<String>) -> Answer<HostOrdered> {
    let host = HostName::new(&name)?;
    ordered(&state, host.clone(), OperatorOrder::Drain { host }).await
}

/// VMs that belong to a host are to go back to it.
pub(super) async fn failback(state: State, Path(name): Path<String>) -> Answer<HostOrdered> {
    let host = HostName::new(&name)?;
    ordered(&state, host.clone(), OperatorOrder::Failback { host }).await
}

async fn ordered(api: &Api, host: HostName, order: OperatorOrder) -> Answer<HostOrdered> {
    let done = api.order(order).await??;
    let (asked, changed) = (host.clone(), !done.changed.is_empty());
    let row = api.view(move |brain, now| hosts::row(brain, &asked, now)).await?;
    let gone = || Failure::not_found(format!("host {host} was deleted meanwhile"));
    Ok(Json(HostOrdered { host: row.ok_or_else(gone)?, changed, warnings: done.warnings }))
}
