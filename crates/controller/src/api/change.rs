//! Orders of operators: the fleet's declaration, VMs, and a host's being off.

use axum::{Json, extract::Path, extract::Request};
use lifeboat_brain::fleet::{Answer as Done, OperatorOrder, Refusal, records::HostCondition};
use lifeboat_client::api::{ApplyOutcome, ConfirmOff, ConfirmedOff, Deleted, ErrorCode, VmAction, VmRow};
use lifeboat_model::{
    HostName, VmName,
    declaration::{self, Kind, Object, Places},
    spec::Declaration,
};
use tokio::task::spawn_blocking;

use super::{
    Answer, Api, Failure, State,
    admission::{self, Ground},
    body::Body,
    vms,
};
use crate::{config::AdmissionMode, memory};

impl Api {
    pub(super) async fn order(&self, order: OperatorOrder) -> Result<Result<Done, Refusal>, Failure> {
        Ok(self.service.handle.order(order).await?)
    }
}

/// The declaration as it is kept.
pub(super) async fn declaration(state: State) -> Answer<Declaration> {
    Ok(Json(known(&state).await?))
}

async fn known(api: &Api) -> Result<Declaration, Failure> {
    api.view(|brain, _| brain.declared().as_declaration()).await
}

/// Makes the fleet so.
pub(super) async fn apply(state: State, request: Request) -> Answer<ApplyOutcome> {
    use axum::extract::FromRequest as _;
    let place = state.applies.acquire().await;
    let Body(new) = Body::<Declaration>::from_request(request, &()).await?;
    let before = known(&state).await?;
    let checked = move || (problems(&new, &before), new, before);
    let (problems, new, before) = blocking(checked).await?;
    if !problems.is_empty() {
        let count = problems.len();
        let text = if count == 1 { "there is a problem".to_owned() } else { format!("there are {count} problems") };
        return Err(Failure::bad_input(format!("{text} with this declaration; nothing was changed")).problems(problems));
    }
    let (breaks, new, before) = admission(&state, new, before).await?;
    let done = state.order(OperatorOrder::Apply(Box::new(new.clone()))).await??;
    let mut outcome = outcome(&done, &new, &before);
    let after = known(&state).await?;
    outcome.warnings.extend(breaks);
    outcome.warnings.extend(blocking(move || declaration::warnings(&after)).await?);
    drop((new, before, done));
    // Not waited for: the answer does not depend on it.
    drop(spawn_blocking(memory::give_back));
    drop(place);
    Ok(Json(outcome))
}

/// What the new would break, where it may; an apply that may not break it is refused. The engine goes on meanwhile.
async fn admission(
    api: &Api,
    new: Declaration,
    before: Declaration,
) -> Result<(Vec<String>, Declaration, Declaration), Failure> {
    let settings = api.service.admission.clone();
    if settings.mode == AdmissionMode::Off {
        return Ok((Vec::new(), new, before));
    }
    let ground = api.view(|brain, _| Ground::of(brain)).await?;
    let mode = settings.mode;
    let judged = move || (admission::breaks(&settings, &ground, &before, &new), new, before);
    let (breaks, new, before) = blocking(judged).await?;
    if mode == AdmissionMode::Refuse && !breaks.is_empty() {
        let problem = |text| declaration::Problem { place: None, object: None, text };
        return Err(Failure::new(
            ErrorCode::Refused,
            "it takes the room that is kept for failures; nothing was changed",
        )
        .problems(breaks.into_iter().map(problem).collect())
        .advice("add room, or take less; `admission.mode` of the controller's settings says what is refused"));
    }
    Ok((breaks, new, before))
}

fn problems(new: &Declaration, before: &Declaration) -> Vec<declaration::Problem> {
    let places = Places::default();
    let problems = declaration::check(new, before, &places);
    // Rules are looked at where all that they speak of is there.
    if problems.is_empty() { lifeboat_rules::problems(new, before, &places) } else { problems }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|error| Failure::new(ErrorCode::Internal, format!("a check broke off: {error}")))
}

/// What the brain says of an apply, in the API's words.
fn outcome(done: &Done, new: &Declaration, before: &Declaration) -> ApplyOutcome {
    let mut outcome = ApplyOutcome {
        created: done.created.iter().filter_map(|said| object(said)).collect(),
        unchanged: done.unchanged,
        warnings: done.warnings.clone(),
        ..ApplyOutcome::default()
    };
    for said in &done.changed {
        match object(said) {
            Some(object) => outcome.changed.push(object),
            None if said == "limits" => outcome.limits_changed = true,
            None => reordered(&mut outcome, new, before),
        }
    }
    // The brain counts limits among what is the same; they are no object.
    if new.limits.is_some() && !outcome.limits_changed {
        outcome.unchanged = outcome.unchanged.saturating_sub(1);
    }
    outcome
}

/// `VM web-1` as an object; none for what has no name.
fn object(said: &str) -> Option<Object> {
    let (kind, name) = said.split_once(' ')?;
    Some(Object::new(Kind::from_word(&kind.to_lowercase())?, name))
}

/// Only the order of classes has changed: those of another rank have.
fn reordered(outcome: &mut ApplyOutcome, new: &Declaration, before: &Declaration) {
    let declared = |name| new.classes.iter().any(|class| class.name == name);
    let rest = before.classes.iter().filter(|class| !declared(class.name.clone()));
    let now = new.classes.iter().chain(rest);
    let moved = before.classes.iter().zip(now).filter(|(was, is)| was.name != is.name);
    for (_, class) in moved.filter(|(_, is)| declared(is.name.clone())) {
        outcome.changed.push(Object::new(Kind::Class, &class.name));
        outcome.unchanged = outcome.unchanged.saturating_sub(1);
    }
}

/// Forgets a declared thing that nothing else names.
pub(super) async fn delete(state: State, kind: Kind, Path(name): Path<String>) -> Answer<Deleted> {
    let object = Object::new(kind, &name);
    let asked = object.clone();
    let users = state.view(move |brain, _| declaration::users(&asked, &brain.declared().as_declaration())).await?;
    if !users.is_empty() {
        return Err(Failure::new(ErrorCode::Refused, format!("{object} is still needed by {}", some(&users)))
            .advice("delete those first, or change them so that they no longer name it"));
    }
    let done = state.order(OperatorOrder::Delete { kind, name }).await??;
    Ok(Json(Deleted { object, notes: done.warnings }))
}

/// ``VM `a`, VM `b` and 3 more``
fn some(objects: &[Object]) -> String {
    let named: Vec<String> = objects.iter().take(5).map(ToString::to_string).collect();
    let more = objects.len() - named.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &rest
}

/// Does something with a VM.
pub(super) async fn vm_action(state: State, Path((name, action)): Path<(String, String)>) -> Answer<VmRow> {
    let Some(action) = VmAction::ALL.into_iter().find(|it| it.word() == action) else {
        let words: Vec<&str> = VmAction::ALL.iter().map(|it| it.word()).collect();
        return Err(Failure::not_found(format!("nothing called `{action}` can be done with a VM"))
            .advice(format!("one of: {}", words.join(", "))));
    };
    let vm = VmName::new(&name)?;
    state.order(OperatorOrder::Vm { vm: vm.clone(), action }).await??;
    let row = state.view(move |brain, now| vms::row(brain, &vm, now)).await?;
    row.map(Json).ok_or_else(|| Failure::not_found(format!("VM {name} was deleted meanwhile")))
}

/// Takes an operator's word that a host is off.
pub(super) async fn confirm_off(
    state: State,
    Path(name): Path<String>,
    Body(said): Body<ConfirmOff>,
) -> Answer<ConfirmedOff> {
    let host = HostName::new(&name)?;
    if said.host != host {
        return Err(Failure::bad_input(format!(
            "the path says {host}, the body {}: nothing was taken for off",
            said.host
        )));
    }
    state.order(OperatorOrder::ConfirmOff { host: host.clone() }).await??;
    let asked = host.clone();
    let recovery = state.view(move |brain, _| match brain.hosts().get(&asked).map(|host| &host.record.condition) {
        Some(HostCondition::Failed { recovery, .. } | HostCondition::Fenced { recovery, .. }) => Some(recovery.0),
        // It is back already.
        _ => brain.recoveries().values().rev().find(|recovery| recovery.host == asked).map(|recovery| recovery.id.0),
    });
    let gone = || Failure::not_found(format!("host {host} was deleted meanwhile"));
    Ok(Json(ConfirmedOff { recovery: recovery.await?.ok_or_else(gone)?, host: host.clone() }))
}
