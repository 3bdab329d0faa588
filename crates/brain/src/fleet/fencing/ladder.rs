//! A host's ladder: its rungs, what each has said, and what each would do.

use std::{collections::BTreeMap, fmt};

use lifeboat_model::{
    FenceName, HostName, Time,
    spec::{FenceSpec, RungSpec},
};
use serde::{Deserialize, Serialize};

use super::super::{Brain, RecoveryId, records::HostCondition};

/// A rung, as it is climbed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "rung", rename_all = "snake_case")]
pub enum Rung {
    /// The power is cut by these devices, all of them confirmed off together.
    Power {
        /// The devices.
        devices: Vec<FenceName>,
    },
    /// Its volumes are confirmed cut at their arrays, and its self-fencing deadline is past.
    Storage,
    /// Its lease has run out, with a guard beside its agent.
    Lease,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power { devices } => write!(f, "power by {}", list(devices)),
            Self::Storage => f.write_str("storage"),
            Self::Lease => f.write_str("lease"),
        }
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(in crate::fleet) fn list(names: &[FenceName]) -> String {
    match names {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(FenceName::as_str).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

/// How a rung stands in a recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungState {
    /// It has not been tried.
    #[default]
    Waiting,
    /// It is being tried, or its time is not over.
    Trying,
    /// It was tried and is no proof yet; it is tried again.
    Failed,
    /// As things are it can be no proof.
    Unavailable,
    /// It is the proof.
    Proven,
}

/// What a fence device said in a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSaid {
    /// When.
    pub at: Time,
    /// What was wrong; none: it read as off.
    pub problem: Option<String>,
}

/// A rung in a recovery, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungRecord {
    /// The rung.
    #[serde(rename = "is")]
    pub rung: Rung,
    /// How it stands.
    pub state: RungState,
    /// How often it was tried.
    #[serde(default)]
    pub tries: u64,
    /// What came of it last, as a sentence without a full stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// What each of its devices said last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<FenceName, DeviceSaid>,
}

impl RungRecord {
    fn new(rung: Rung) -> Self {
        Self { rung, state: RungState::Waiting, tries: 0, said: None, at: None, devices: BTreeMap::new() }
    }
}

/// What a rung would do if its host failed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungNow {
    /// The rung.
    pub rung: Rung,
    /// Whether it would prove that the host is unable to run its VMs, as far as can be known in peace.
    pub works: bool,
    /// Why, as a sentence without a full stop.
    pub said: String,
}

impl Brain {
    /// The rungs by which a host's inability to run its VMs is proven, in the order in which they are tried; beside them
    /// an operator's word.
    #[must_use]
    pub fn ladder(&self, name: &HostName) -> Vec<Rung> {
        let Some(spec) = self.declared.hosts.get(name) else { return Vec::new() };
        let declared = if spec.ladder.is_empty() { self.settings.fencing.rungs() } else { spec.ladder.clone() };
        let known = |device: &FenceName| spec.fences.iter().any(|fence| fence.name() == device);
        let mut rungs = Vec::new();
        for rung in declared {
            match rung {
                RungSpec::One(word) if word == RungSpec::POWER => {
                    rungs.extend(spec.fences.iter().map(|fence| Rung::Power { devices: vec![fence.name().clone()] }));
                }
                RungSpec::One(word) if word == RungSpec::STORAGE => rungs.push(Rung::Storage),
                RungSpec::One(word) if word == RungSpec::LEASE => rungs.push(Rung::Lease),
                RungSpec::One(device) => {
                    rungs.extend(FenceName::new(&device).ok().map(|device| Rung::Power { devices: vec![device] }));
                }
                RungSpec::Together(devices) => rungs.push(Rung::Power { devices }),
            }
        }
        // The declaration was checked; a device that is not there all the same can prove nothing.
        rungs.retain(|rung| match rung {
            Rung::Power { devices } => !devices.is_empty() && devices.iter().all(known),
            Rung::Storage | Rung::Lease => true,
        });
        rungs
    }

    /// A fence device as it is declared now.
    pub(super) fn device(&self, name: &HostName, device: &FenceName) -> Option<&FenceSpec> {
        self.declared.hosts.get(name)?.fences.iter().find(|fence| fence.name() == device)
    }

    /// Whether a host can be cut by power at all.
    pub(super) fn has_power_rung(&self, name: &HostName) -> bool {
        self.ladder(name).iter().any(|rung| matches!(rung, Rung::Power { .. }))
    }

    pub(super) fn failed_recovery(&self, name: &HostName) -> Option<RecoveryId> {
        match self.hosts.get(name)?.record.condition {
            HostCondition::Failed { recovery, .. } => Some(recovery),
            _ => None,
        }
    }

    /// Writes the rungs into the recovery of a failed host, where they are not yet those that hold now.
    pub(super) fn lay_ladder(&mut self, name: &HostName) {
        let ladder = self.ladder(name);
        let Some(id) = self.failed_recovery(name) else { return };
        let Some(recovery) = self.recoveries.get_mut(&id) else { return };
        if recovery.ladder.iter().map(|record| &record.rung).eq(&ladder) {
            return;
        }
        recovery.ladder = ladder.into_iter().map(RungRecord::new).collect();
        self.journal.recoveries.insert(id);
    }

    /// Changes what the recovery of a failed host says of a rung.
    pub(super) fn note_rung(&mut self, name: &HostName, rung: &Rung, change: impl FnOnce(&mut RungRecord)) {
        let now = self.now;
        let Some(id) = self.failed_recovery(name) else { return };
        let Some(recovery) = self.recoveries.get_mut(&id) else { return };
        let Some(record) = recovery.ladder.iter_mut().find(|record| record.rung == *rung) else { return };
        let before = record.clone();
        change(record);
        if *record != before {
            record.at = Some(now);
            self.journal.recoveries.insert(id);
        }
    }

    /// What each rung would do if the host failed now.
    #[must_use]
    pub fn ladder_now(&self, name: &HostName) -> Vec<RungNow> {
        let rungs = self.ladder(name).into_iter();
        rungs
            .map(|rung| {
                let (works, said) = match &rung {
                    Rung::Power { devices } => self.power_now(name, devices),
                    Rung::Storage => self.passive_now(name, self.storage_objection(name)),
                    Rung::Lease => self.passive_now(name, self.lease_objection(name)),
                };
                RungNow { rung, works, said }
            })
            .collect()
    }

    fn passive_now(&self, name: &HostName, objection: Option<String>) -> (bool, String) {
        let fencing = &self.settings.fencing;
        match objection {
            Some(why) => (false, why),
            None => {
                let pledge = self.pledge_words(name);
                (true, format!("proof {} after its last grant ({pledge})", fencing.lease_s + fencing.margin_s))
            }
        }
    }

    fn power_now(&self, name: &HostName, devices: &[FenceName]) -> (bool, String) {
        let checks = self.hosts.get(name).map(|host| &host.record.fence_checks);
        let mut works = true;
        let mut said = Vec::new();
        for device in devices {
            match checks.and_then(|checks| checks.get(device)) {
                None => {
                    works = false;
                    said.push(format!("{device} has not been looked at yet"));
                }
                Some(check) => match &check.problem {
                    Some(problem) => {
                        works = false;
                        said.push(format!("{device}: {problem}"));
                    }
                    None if check.on => said.push(format!("{device} answers: power is on")),
                    None => said.push(format!("{device} answers: power is off")),
                },
            }
        }
        (works, said.join("; "))
    }
}
