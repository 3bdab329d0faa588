//! The monitor: asks every guest again and again from outside and writes down what it says, so that downtime and loss can be
//! told afterwards by somebody who was not part of the recovery.
//!
//! One line of JSON an answer, or the lack of one: `{"t": seconds, "vm": NAME, "answer": {"boot", "health", "durable"} | null}`.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::Duration,
};

use lifeboat_model::{Seconds, Time, VmName};
use serde::{Deserialize, Serialize};

use crate::{
    Lab, LabError, layout,
    layout::Layout,
    network,
    process::Enter,
    sequence::{self, Sequences, VolumeHealth},
    watch::now,
};

/// How often each guest is asked.
const PACE: Duration = Duration::from_millis(100);
/// How long an answer may take until it counts as none.
const LIMIT: Duration = Duration::from_millis(400);

/// One look at one guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Seconds since 1970-01-01 UTC.
    pub t: f64,
    /// The VM.
    pub vm: VmName,
    /// What its guest said; none: nothing.
    pub answer: Option<Sequences>,
}

/// What happened to one VM between two moments, as seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// The VM.
    pub vm: VmName,
    /// The longest time without an answer, from the last answer before it to the first after it; none: it always answered.
    pub down: Option<Seconds>,
    /// Whether it answered at the end.
    pub is_back: bool,
    /// Each volume's number in the last answer before that time.
    pub before: Vec<u64>,
    /// Each volume's number in the first answer after it.
    pub after: Vec<u64>,
    /// How many numbers that were said to be durable were lost: 0 unless something is badly wrong.
    pub lost: u64,
    /// Whether a guest ever saw another writer on one of its volumes.
    pub foreign_writer: bool,
}

/// A running monitor.
#[derive(Debug)]
pub struct Monitor<'a> {
    lab: &'a Lab,
    file: PathBuf,
}

impl Lab {
    /// Starts a monitor of all VMs. It ends with [`Monitor::stop`], at the latest with the lab.
    ///
    /// # Errors
    /// [`LabError`] when it cannot be started.
    pub fn monitor(&self, name: &str) -> Result<Monitor<'_>, LabError> {
        Layout::check_name(name)?;
        let monitor = Monitor { lab: self, file: self.layout.dir.join(format!("monitor-{name}.ndjson")) };
        let cgroup = self.layout.cgroup_of(&format!("monitor.{name}"))?;
        cgroup.create()?;
        if cgroup.is_populated()? {
            let why = "it runs already; stop it first".to_owned();
            return Err(LabError::Refused { operation: format!("start monitor {name}"), why });
        }
        File::create(&monitor.file).map_err(LabError::system(format!("make {}", monitor.file.display())))?;
        let enter = Enter {
            cgroup: cgroup.path().to_owned(),
            netns: Layout::netns_file(&self.layout.fabric_netns()),
            hostname: None,
            log: self.layout.log("monitor"),
            wait: false,
            command: self.settings.entry.words(&[
                "monitor",
                &self.layout.dir.to_string_lossy(),
                &monitor.file.to_string_lossy(),
            ]),
        };
        enter.start(&self.settings.entry)?;
        Ok(monitor)
    }
}

impl Monitor<'_> {
    /// What it has seen so far, in order of time.
    ///
    /// # Errors
    /// [`LabError`] when its file cannot be read.
    pub fn looks(&self) -> Result<Vec<Look>, LabError> {
        read_file(&self.file)
    }

    /// What happened to each VM since a moment (now: [`Time`] of this machine's clock).
    ///
    /// # Errors
    /// [`LabError`] when its file cannot be read.
    pub fn outages(&self, since: Time) -> Result<Vec<Outage>, LabError> {
        Ok(outages(&self.looks()?, since))
    }

    /// Ends it; what it has written stays.
    ///
    /// # Errors
    /// [`LabError`] when it does not end.
    pub fn stop(self) -> Result<(), LabError> {
        let name = self.file.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.strip_prefix("monitor-"));
        self.lab.layout.cgroup_of(&format!("monitor.{}", name.unwrap_or_default()))?.remove()
    }
}

/// What a monitor of a lab has seen so far, in order of time, whoever started it.
///
/// # Errors
/// [`LabError`] when there was no such monitor, or its file cannot be read.
pub fn read(lab: &Lab, name: &str) -> Result<Vec<Look>, LabError> {
    Layout::check_name(name)?;
    read_file(&lab.layout.dir.join(format!("monitor-{name}.ndjson")))
}

fn read_file(file: &Path) -> Result<Vec<Look>, LabError> {
    let operation = || format!("read {}", file.display());
    let text = fs::read_to_string(file).map_err(LabError::system(operation()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let looks: Result<Vec<Look>, _> = whole.lines().map(serde_json::from_str).collect();
    let mut looks = looks.map_err(|error| LabError::Program { operation: operation(), detail: error.to_string() })?;
    looks.sort_by(|one, other| one.t.total_cmp(&other.t));
    Ok(looks)
}

/// The hidden entry: looks until it is killed.
pub(crate) fn run(lab: &Lab, file: &str) -> Result<(), LabError> {
    let opened = OpenOptions::new().append(true).open(file).map_err(LabError::system(format!("open {file}")))?;
    let file = Mutex::new(opened);
    thread::scope(|scope| {
        for (index, vm) in lab.vms().iter().enumerate() {
            let file = &file;
            scope.spawn(move || watch_vm(lab, index, vm, file));
        }
    });
    Ok(())
}

fn watch_vm(lab: &Lab, index: usize, vm: &VmName, file: &Mutex<File>) {
    let watched = network::in_fabric(&lab.layout, || {
        loop {
            let answer = sequence::ask(layout::vm_address(index), LIMIT).ok();
            let look = Look { t: now().as_f64(), vm: vm.clone(), answer };
            let line = serde_json::to_string(&look).expect("a look is plain values") + "\n";
            let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if file.write_all(line.as_bytes()).is_err() {
                return;
            }
            drop(file);
            thread::sleep(PACE);
        }
    });
    if let Err(error) = watched {
        eprintln!("{error}");
    }
}

/// Reads outages out of looks in order of time.
#[must_use]
pub fn outages(looks: &[Look], since: Time) -> Vec<Outage> {
    let mut by_vm: BTreeMap<&VmName, Vec<&Look>> = BTreeMap::new();
    for look in looks {
        by_vm.entry(&look.vm).or_default().push(look);
    }
    by_vm.into_iter().map(|(vm, looks)| outage(vm, &looks, since.as_f64())).collect()
}

fn outage(vm: &VmName, looks: &[&Look], since: f64) -> Outage {
    let mut found = Outage {
        vm: vm.clone(),
        down: None,
        is_back: false,
        before: Vec::new(),
        after: Vec::new(),
        lost: 0,
        foreign_writer: false,
    };
    let mut longest = 0.0;
    let mut missed = false;
    let mut last: Option<(f64, &Sequences)> = None;
    for look in looks {
        found.is_back = look.answer.is_some();
        let Some(answer) = &look.answer else {
            missed = true;
            continue;
        };
        found.foreign_writer |= answer.health == VolumeHealth::Foreign;
        if let Some((at, before)) = last {
            let lost = before.durable.iter().zip(&answer.durable).map(|(old, new)| old.saturating_sub(*new)).max();
            found.lost = found.lost.max(lost.unwrap_or(0));
            let was_down = missed || before.boot != answer.boot;
            if was_down && look.t >= since && look.t - at > longest {
                longest = look.t - at;
                found.down = Seconds::from_f64(longest);
                (found.before, found.after) = (before.durable.clone(), answer.durable.clone());
            }
        }
        missed = false;
        last = Some((look.t, answer));
    }
    if let Some((_, answer)) = last.filter(|_| !found.is_back && found.down.is_none()) {
        found.before.clone_from(&answer.durable);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(t: f64, answer: Option<(&str, &[u64])>) -> Look {
        let told = |(boot, durable): (&str, &[u64])| Sequences {
            boot: boot.to_owned(),
            health: VolumeHealth::Ok,
            durable: durable.to_vec(),
        };
        Look { t, vm: VmName::new("vm-1").expect("name"), answer: answer.map(told) }
    }

    #[test]
    fn an_outage_is_from_the_last_answer_to_the_first_of_the_next_boot() {
        let looks = [
            look(1.0, Some(("a", &[10, 9]))),
            look(1.1, None),
            look(6.0, None),
            look(7.0, Some(("b", &[12, 9]))),
            look(7.1, Some(("b", &[14, 10]))),
        ];
        let found = &outages(&looks, Time::default())[0];
        assert_eq!((found.down, found.is_back, found.lost), (Some(Seconds::new(6)), true, 0));
        assert_eq!((&found.before, &found.after), (&vec![10, 9], &vec![12, 9]));
        assert_eq!(outages(&looks, Time::from_micros(7_050_000))[0].down, None, "it was over by then");
    }

    #[test]
    fn a_number_that_goes_back_is_lost() {
        let looks = [look(1.0, Some(("a", &[10, 9]))), look(5.0, None), look(9.0, Some(("b", &[10, 6])))];
        assert_eq!(outages(&looks, Time::default())[0].lost, 3);
        let looks = [look(1.0, Some(("a", &[10]))), look(5.0, None)];
        let found = &outages(&looks, Time::default())[0];
        assert_eq!((found.is_back, &found.before), (false, &vec![10]));
    }
}
