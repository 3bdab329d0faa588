//! What benchmarks do with a lab: ask its VMs all the time, wait, and take it down.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lifeboat_lab::{Lab, LabOptions, Progress};
use lifeboat_model::VmName;
use serde_json::Value;

use super::Failure;

/// A new question to each VM that is away so often, whatever became of the last one,
const ASK_EACH: Duration = Duration::from_millis(40);
/// each with so much time.
pub const ASK_LIMIT: Duration = Duration::from_secs(1);
/// A recovery that takes longer has failed.
pub const ROUND_LIMIT: Duration = Duration::from_secs(240);

/// Takes the lab down however the benchmark ends.
pub struct Down(pub &'static str);

impl Drop for Down {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(self.0) {
            eprintln!("{error}");
        }
    }
}

/// Brings a lab up, and says how far it is.
pub fn up(options: &LabOptions) -> Result<Lab, Failure> {
    let lab = Lab::up(options, |progress| match progress {
        Progress::Step(text) => eprintln!("{text}"),
        Progress::VmAnswers { vm, answering, of } => eprintln!("{vm} answers ({answering} of {of})"),
    });
    Ok(lab?)
}

/// Whether every host is up.
pub fn all_up(lab: &Lab) -> Result<bool, Failure> {
    let hosts: Value = serde_json::from_str(&lab.cli(&["get", "hosts", "-o", "json"])?)?;
    Ok(hosts.as_array().is_some_and(|rows| rows.iter().all(|row| row["condition"] == "up")))
}

/// When each VM first answered out of another boot than before.
pub fn first_answers(lab: &Lab, vms: &[VmName], boots: &[String]) -> Result<BTreeMap<VmName, f64>, Failure> {
    let answers = Mutex::new(BTreeMap::new());
    let begin = Instant::now();
    thread::scope(|scope| {
        for (vm, boot) in vms.iter().zip(boots) {
            let answers = &answers;
            scope.spawn(move || {
                let is_back = AtomicBool::new(false);
                thread::scope(|scope| {
                    while !is_back.load(Ordering::Acquire) && begin.elapsed() < ROUND_LIMIT {
                        let is_back = &is_back;
                        scope.spawn(move || {
                            let Ok(said) = lab.sequences(vm, ASK_LIMIT) else { return };
                            let at = now();
                            if said.boot != *boot {
                                let mut answers = answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                                let first: &mut f64 = answers.entry(vm.clone()).or_insert(at);
                                *first = first.min(at);
                                is_back.store(true, Ordering::Release);
                            }
                        });
                        thread::sleep(ASK_EACH);
                    }
                });
            });
        }
    });
    let answers = answers.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match vms.iter().find(|vm| !answers.contains_key(*vm)) {
        None => Ok(answers),
        Some(vm) => Err(format!("{vm} is not back after {} s", ROUND_LIMIT.as_secs()).into()),
    }
}

/// Every VM runs on one host, the controller says that it is up, and no recovery is open.
pub fn settled(lab: &Lab) -> Result<bool, Failure> {
    let vms: Value = serde_json::from_str(&lab.cli(&["get", "vms", "-o", "json"])?)?;
    let status: Value = serde_json::from_str(&lab.cli(&["status", "-o", "json"])?)?;
    let running = vms.as_array().is_some_and(|rows| rows.iter().all(|row| row["phase"] == "running"));
    Ok(running && status["recoveries"].as_array().is_some_and(Vec::is_empty))
}

pub fn until(what: &str, holds: impl Fn() -> Result<bool, Failure>) -> Result<(), Failure> {
    let begin = Instant::now();
    while !holds()? {
        if begin.elapsed() > ROUND_LIMIT {
            return Err(format!("not within {} s: {what}", ROUND_LIMIT.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(250));
    }
    Ok(())
}

pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
