//! Receivers of what people are told, and tests of them.

use axum::{Json, extract::Path};
use lifeboat_brain::notify::ReceiverView;
use lifeboat_client::api::{NotifyTested, ReceiverRow};

use super::{Answer, Failure, State, follow::severity};
use crate::{config::NotifyConfig, notify::test_notice, run::chain};

/// All receivers.
pub(super) async fn list(state: State) -> Answer<Vec<ReceiverRow>> {
    Ok(Json(state.service.receivers.views().into_iter().map(|(config, view)| row(config, view)).collect()))
}

fn row(config: &NotifyConfig, view: Option<ReceiverView>) -> ReceiverRow {
    ReceiverRow {
        name: config.settings.name.clone(),
        kind: config.spec.kind().to_owned(),
        target: config.spec.target(),
        severity: severity(config.settings.severity),
        delivered_us: view.as_ref().and_then(|view| view.delivered),
        waiting: view.as_ref().map_or(0, |view| view.waiting),
        lost: view.as_ref().map_or(0, |view| view.lost),
        held_back: view.as_ref().is_some_and(|view| view.held_back),
        problem: view.and_then(|view| view.problem),
    }
}

/// Delivers a test message, once and at once.
pub(super) async fn test(state: State, Path(name): Path<String>) -> Answer<NotifyTested> {
    let receivers = &state.service.receivers;
    let Some(receiver) = receivers.get(&name) else {
        let names = receivers.names();
        let advice = match names.as_slice() {
            [] => "declare it in the controller's settings: [[notify]]".to_owned(),
            names => format!("one of: {}", names.join(", ")),
        };
        return Err(Failure::not_found(format!("there is no receiver {name}")).advice(advice));
    };
    let notice = test_notice(state.service.clock, &name);
    let (remark, problem) = match receiver.notifier.deliver(&notice).await {
        Ok(delivery) => (delivery.remark, None),
        Err(error) => (None, Some(chain(&error))),
    };
    Ok(Json(NotifyTested { name, target: receiver.config.spec.target(), remark, problem }))
}
