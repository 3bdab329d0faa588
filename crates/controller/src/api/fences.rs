//! Ladders, as operators see them, and their test in peace.

use axum::{Json, extract::Path};
use lifeboat_brain::fleet::{Brain, Input, RungRecord, RungState as Brainwise};
use lifeboat_client::api::{DeviceTest, FenceTest, RungDevice, RungRow, RungState, RungTest};
use lifeboat_model::{HostName, Seconds, spec::FenceSpec};
use tokio::{task::JoinSet, time::Instant};

use super::{Answer, Failure, State};
use crate::fencing;

/// A device's reading, in the order of declaration.
type Reading = (usize, FenceSpec, Result<bool, String>, Seconds);

/// Reads every fence device of a host, all at once, and says rung by rung what would work. Nothing is cut.
pub(super) async fn test(state: State, Path(name): Path<String>) -> Answer<FenceTest> {
    let host = HostName::new(&name)?;
    let asked = host.clone();
    let unknown = || Failure::not_found(format!("there is no host {name}")).advice("lifeboat get hosts");
    let devices = state.view(move |brain, _| brain.declared().hosts.get(&asked).map(|spec| spec.fences.clone()));
    let devices = devices.await?.ok_or_else(unknown)?;
    let mut readings = JoinSet::new();
    for (at, spec) in devices.into_iter().enumerate() {
        readings.spawn(async move {
            let begun = Instant::now();
            let result = fencing::read(&spec).await;
            let took = Seconds::from_micros(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            (at, spec, result, took)
        });
    }
    let mut readings: Vec<Reading> = readings.join_all().await;
    readings.sort_by_key(|(at, ..)| *at);
    for (_, spec, result, _) in &readings {
        let (device, result) = (spec.name().clone(), result.clone());
        state.service.handle.input(Input::FenceRead { host: host.clone(), look: 0, device, result }).await;
    }
    let asked = host.clone();
    let view = state.view(move |brain, now| {
        let rungs = brain.ladder_now(&asked).into_iter();
        let rungs = rungs.map(|it| RungTest { rung: it.rung.to_string(), works: it.works, said: it.said }).collect();
        let devices = readings.into_iter().map(|reading| device(brain, &asked, reading)).collect();
        FenceTest { host: asked, now_us: now, devices, rungs }
    });
    Ok(Json(view.await?))
}

fn device(brain: &Brain, host: &HostName, (_, spec, result, took_s): Reading) -> DeviceTest {
    let on = result.as_ref().ok().copied();
    // The brain may find wrong what the device itself thinks right.
    let judged = brain.hosts().get(host).and_then(|host| host.record.fence_checks.get(spec.name()));
    let problem = judged.map_or_else(|| result.err(), |checked| checked.problem.clone());
    DeviceTest { name: spec.name().clone(), kind: kind(&spec), on, problem, took_s }
}

/// What a device is, for a person.
pub(super) fn kind(spec: &FenceSpec) -> String {
    match spec {
        FenceSpec::Redfish(_) => "redfish".to_owned(),
        FenceSpec::Agent(fence) => fence.agent.clone(),
    }
}

/// A rung of a recovery.
pub(super) fn rung(record: &RungRecord) -> RungRow {
    let devices = record.devices.iter().map(|(name, said)| RungDevice {
        name: name.clone(),
        at_us: said.at,
        problem: said.problem.clone(),
    });
    RungRow {
        rung: record.rung.to_string(),
        state: match record.state {
            Brainwise::Waiting => RungState::Waiting,
            Brainwise::Trying => RungState::Trying,
            Brainwise::Failed => RungState::Failed,
            Brainwise::Unavailable => RungState::Unavailable,
            Brainwise::Proven => RungState::Proven,
        },
        tries: record.tries,
        said: record.said.clone(),
        at_us: record.at,
        devices: devices.collect(),
    }
}
