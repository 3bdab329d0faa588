//! A lab for one test, taken down at its end however it ends.
#![allow(dead_code, reason = "each test file uses another part")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use lifeboat_lab::{Lab, LabOptions, Progress, monitor::Outage};
use lifeboat_model::{HostName, Time, VmName, spec::Isolation, trace::What};
use serde_json::Value;

pub struct Farm {
    pub lab: Lab,
    name: String,
}

impl Drop for Farm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- status\n{}", self.printed(&["status"]));
            eprintln!("--- events\n{}", self.printed(&["events"]));
            for entry in fs::read_dir(self.lab.dir().join("logs")).into_iter().flatten().flatten() {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let from = text.len().saturating_sub(3000);
                eprintln!("--- {}\n{}", entry.path().display(), text.get(from..).unwrap_or_default());
            }
        }
        Lab::down(&self.name).expect("the lab is taken down");
    }
}

/// Whether this user may make hosts; says so loudly when not.
pub fn may_make_hosts() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: making hosts needs root");
    }
    root
}

pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    Time::from_micros(u64::try_from(since.as_micros()).expect("a clock before the year 500000"))
}

impl Farm {
    pub fn up(name: &str, hosts: usize, vms: usize) -> Self {
        Self::up_with(name, hosts, vms, Isolation::Keep)
    }

    /// The same, with what hosts do that are cut off.
    pub fn up_with(name: &str, hosts: usize, vms: usize, isolation: Isolation) -> Self {
        let options = LabOptions {
            isolation,
            name: name.to_owned(),
            cache: cache(),
            hosts,
            vms,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_lifeboat")),
            ..LabOptions::default()
        };
        Lab::down(name).expect("what an earlier run left is taken down");
        let lab = Lab::up(&options, |progress| match progress {
            Progress::Step(text) => eprintln!("{text}"),
            Progress::VmAnswers { vm, answering, of } => eprintln!("{vm} answers ({answering} of {of})"),
        });
        let lab = lab.expect("the lab comes up");
        lab.monitor("test").expect("the monitor starts");
        Self { lab, name: name.to_owned() }
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let args = [args, &["-o", "json"]].concat();
        let text = self.lab.cli(&args).unwrap_or_else(|error| panic!("lifeboat {}: {error}", args.join(" ")));
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("lifeboat {} printed no JSON: {error}\n{text}", args.join(" ")))
    }

    /// What a command prints, whatever its exit code.
    pub fn printed(&self, args: &[&str]) -> String {
        let binary = env!("CARGO_BIN_EXE_lifeboat");
        let output = std::process::Command::new(binary).arg("--socket").arg(self.lab.socket()).args(args).output();
        String::from_utf8_lossy(&output.expect("the command runs").stdout).into_owned()
    }

    /// Waits until something holds, looking again and again; panics when it does not within a time.
    pub fn until(&self, seconds: u64, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            self.look();
            assert!(start.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
        self.look();
    }

    /// No VM has a process on two hosts that have power. Looks at processes, not at the controller.
    pub fn look(&self) {
        let status = self.lab.status().expect("the lab can be looked at");
        for vm in status.vms {
            assert!(vm.hosts.len() <= 1, "{} runs on {:?}", vm.vm, vm.hosts);
        }
    }

    /// Every VM answers, and the controller says that all is settled.
    pub fn all_is_well(&self) -> bool {
        let status = self.lab.status().expect("the lab can be looked at");
        let answers = status.vms.iter().all(|vm| vm.answer.is_some() && vm.hosts.len() == 1);
        answers && self.settled()
    }

    /// The controller says that every VM runs and no recovery is open.
    pub fn settled(&self) -> bool {
        let parsed = |args: &[&str]| serde_json::from_str::<Value>(&self.printed(args));
        let (Ok(vms), Ok(status)) = (parsed(&["get", "vms", "-o", "json"]), parsed(&["status", "-o", "json"])) else {
            return false;
        };
        let running = vms.as_array().is_some_and(|rows| rows.iter().all(|row| row["phase"] == "running"));
        running && status["recoveries"].as_array().is_some_and(Vec::is_empty)
    }

    pub fn where_is(&self, vm: &VmName) -> Vec<HostName> {
        let status = self.lab.status().expect("the lab can be looked at");
        status.vms.into_iter().find(|status| status.vm == *vm).map(|status| status.hosts).unwrap_or_default()
    }

    pub fn vms_on(&self, host: &HostName) -> usize {
        self.lab.processes(host).expect("the host can be looked at").len()
    }

    pub fn power_on_all(&self) {
        for host in self.lab.hosts() {
            self.lab.thaw(host).expect("the host thaws");
            self.lab.heal(host).expect("the cable is mended");
            self.lab.bmc(host, true).expect("the BMC answers");
            self.lab.power_on(host).expect("the host is switched on");
        }
        self.until(60, "every host is up again", |farm| {
            let hosts = farm.json(&["get", "hosts"]);
            hosts.as_array().is_some_and(|rows| rows.iter().all(|row| row["condition"] == "up"))
        });
    }

    /// What the outside has seen since a moment: nothing durable was lost, nobody else wrote.
    pub fn nothing_was_lost(&self, since: Time) -> Vec<Outage> {
        let looks = lifeboat_lab::monitor::read(&self.lab, "test").expect("the monitor's file");
        let outages = lifeboat_lab::monitor::outages(&looks, since);
        assert_eq!(outages.len(), self.lab.vms().len(), "every VM was looked at");
        for outage in &outages {
            assert_eq!(outage.lost, 0, "{} lost writes that were durable: {outage:?}", outage.vm);
            assert!(!outage.foreign_writer, "{} saw another writer: {outage:?}", outage.vm);
        }
        outages
    }

    /// The merged trace keeps the promises that a trace can show; it is kept for the independent judge.
    pub fn keep_trace(&self) {
        let controller = self.lab.cli(&["trace"]).expect("the controller's trace");
        let events = self.lab.trace(&controller).expect("the lab's trace");
        let mut runs: std::collections::BTreeMap<VmName, HostName> = std::collections::BTreeMap::new();
        for event in &events {
            match (&event.what, &event.vm, &event.host) {
                (What::VmStarted, Some(vm), Some(host)) => {
                    let before = runs.insert(vm.clone(), host.clone());
                    assert!(
                        before.as_ref().is_none_or(|before| before == host),
                        "{vm} starts on {host} while on {before:?}"
                    );
                }
                (What::VmStopped | What::VmKilled, Some(vm), _) => drop(runs.remove(vm)),
                (What::HostDown, _, Some(host)) => runs.retain(|_, on| on != host),
                _ => {}
            }
        }
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab-traces");
        fs::create_dir_all(&dir).expect("a directory for traces");
        let text = lifeboat_lab::trace::to_text(&events);
        fs::write(dir.join(format!("{}.ndjson", self.name)), text).expect("the trace is kept");
    }
}

/// Guest images are built once for all tests.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab-cache")
}
