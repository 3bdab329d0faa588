//! What is known of a host, and what is judged by it.

use axum::{Json, extract::Path};
use lifeboat_brain::fleet::{Brain, records::HostCondition};
use lifeboat_client::api::{EvidenceView, PolicyView};
use lifeboat_model::{HostName, Time};

use super::{Answer, State, failure::Failure};

/// A host's evidence.
pub(super) async fn get(state: State, Path(name): Path<String>) -> Answer<EvidenceView> {
    let host = HostName::new(&name)?;
    let view = state.view(move |brain, now| view(brain, &host, now)).await?;
    view.map(Json).ok_or_else(|| {
        Failure::not_found(format!("no host {name} is declared")).advice("see which there are: lifeboat get hosts")
    })
}

/// A host's evidence; none: there is no such host.
pub(super) fn view(brain: &Brain, name: &HostName, now: Time) -> Option<EvidenceView> {
    let host = brain.hosts().get(name)?;
    let judgement = brain.judgement(name);
    let recovery = match &host.record.condition {
        HostCondition::Failed { recovery, .. } | HostCondition::Fenced { recovery, .. } => {
            brain.recoveries().get(recovery)
        }
        HostCondition::New | HostCondition::Up => None,
    };
    let policy = PolicyView {
        name: brain.policy_name(name),
        heartbeat_s: host.policy.heartbeat_s,
        suspect_after_s: host.policy.suspect_after_s,
        lost_after_s: host.policy.lost_after_s,
    };
    Some(EvidenceView {
        host: name.clone(),
        now_us: now,
        judgement,
        because: judgement.map(|it| it.rule.to_string()),
        policy,
        evidence: brain.evidence(name),
        when_declared: recovery.map(|recovery| recovery.evidence.clone()).unwrap_or_default(),
        earlier: host.earlier.iter().copied().collect(),
    })
}
