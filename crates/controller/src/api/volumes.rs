//! Volumes, as operators see them.

use axum::Json;
use lifeboat_brain::fleet::{Brain, VolumeState as BrainVolume, records::VolumePlace};
use lifeboat_client::api::{VolumeIntent, VolumeRow, VolumeState};
use lifeboat_model::{Generation, Time, spec::VolumeSpec};

use super::{Answer, State};

/// All volumes.
pub(super) async fn list(state: State) -> Answer<Vec<VolumeRow>> {
    Ok(Json(state.view(rows).await?))
}

/// All volumes, by name.
pub(super) fn rows(brain: &Brain, now: Time) -> Vec<VolumeRow> {
    let declared = &brain.declared().volumes;
    let both = brain.volumes().iter().filter_map(|(name, volume)| Some((declared.get(name)?, volume)));
    both.map(|(spec, volume)| row(brain, spec, volume, now)).collect()
}

fn row(brain: &Brain, spec: &VolumeSpec, volume: &BrainVolume, now: Time) -> VolumeRow {
    let record = &volume.record;
    VolumeRow {
        name: spec.name.clone(),
        array: spec.array.clone(),
        size_gib: spec.size_gib,
        vm: brain.declared().owner(&spec.name).cloned(),
        host: match &record.place {
            VolumePlace::Mapped { host, .. } | VolumePlace::Unmapping { host } => Some(host.clone()),
            // Nobody knows yet whether it is.
            VolumePlace::Mapping { .. } | VolumePlace::Unmapped => None,
        },
        intent: intent(volume),
        state: state_of(volume),
        since_us: record.since.min(now),
        generation: record.generation,
        problem: record.problem.clone(),
    }
}

fn intent(volume: &BrainVolume) -> VolumeIntent {
    match (volume.wanted(), &volume.record.place) {
        (Some(host), _) | (None, VolumePlace::Mapped { host, .. } | VolumePlace::Mapping { host }) => {
            VolumeIntent::Mapped { host: host.clone() }
        }
        (None, VolumePlace::Unmapped | VolumePlace::Unmapping { .. }) => VolumeIntent::Unmapped,
    }
}

/// How far a volume is.
pub(super) fn state_of(volume: &BrainVolume) -> VolumeState {
    let settled = match (&volume.record.place, volume.wanted()) {
        (VolumePlace::Mapped { host, .. }, wanted) => wanted.is_none_or(|wanted| wanted == host),
        (VolumePlace::Unmapped, wanted) => wanted.is_none(),
        (VolumePlace::Mapping { .. } | VolumePlace::Unmapping { .. }, _) => false,
    };
    if settled && volume.record.generation == Generation(0) {
        VolumeState::Unknown
    } else if settled {
        VolumeState::Settled
    } else if volume.record.problem.is_some() {
        VolumeState::Failing
    } else {
        VolumeState::Moving
    }
}
