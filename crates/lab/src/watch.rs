//! The watcher: writes what really happens to hosts and VMs, from their processes, into a trace of the world.
//!
//! It asks nothing of controller or agents: a VM runs where a QEMU process of its name lives in a host's cgroup, a host is
//! down when its BMC would say so, and the controller has crashed when its process is gone. Whether a VM's end was meant
//! cannot be seen from outside: every end is `vm_killed` here, and [`crate::trace`] knows better.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    thread,
    time::{Duration, SystemTime},
};

use lifeboat_model::{
    HostName, Time, VmName,
    trace::{Source, TraceEvent, What},
};

use crate::{
    Lab, LabError,
    host::cgroup::{Cgroup, vm_of},
    layout::Layout,
    process::{Enter, EntryPoint},
};

/// How often the world is looked at.
const PACE: Duration = Duration::from_millis(20);

/// Starts a lab's watcher.
pub(crate) fn start(layout: &Layout, entry: &EntryPoint) -> Result<(), LabError> {
    let enter = Enter {
        cgroup: layout.cgroup_of("watch")?.path().to_owned(),
        netns: Layout::netns_file(&layout.fabric_netns()),
        hostname: None,
        log: layout.log("watch"),
        wait: false,
        command: entry.words(&["watch", &layout.dir.to_string_lossy()]),
    };
    enter.start(entry)
}

/// The hidden entry: watches until it is killed.
pub(crate) fn run(lab: &Lab) -> Result<(), LabError> {
    let path = lab.layout.world_trace();
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let mut file = file.map_err(LabError::system(format!("open {}", path.display())))?;
    let empty = file.metadata().is_ok_and(|found| found.len() == 0);
    if empty {
        append(&mut file, &TraceEvent::new(now(), What::TraceStarted { source: Source::Lab }))?;
    }
    let mut world = World::new(lab)?;
    loop {
        for event in world.look()? {
            append(&mut file, &event)?;
        }
        thread::sleep(PACE);
    }
}

fn append(file: &mut File, event: &TraceEvent) -> Result<(), LabError> {
    let line = serde_json::to_string(event).expect("an event is plain values");
    file.write_all(format!("{line}\n").as_bytes()).map_err(LabError::system("write the world's trace"))
}

/// The time of day as traces have it.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// What was seen last.
struct World<'a> {
    hosts: Vec<Seen<'a>>,
    controller: Cgroup,
    controller_process: Option<i32>,
}

struct Seen<'a> {
    lab: &'a Lab,
    host: &'a HostName,
    cgroup: Cgroup,
    /// The boot that it is in; none: it has no power.
    boot: Option<String>,
    /// Each process that runs a VM.
    vms: BTreeMap<i32, VmName>,
}

impl<'a> World<'a> {
    fn new(lab: &'a Lab) -> Result<Self, LabError> {
        let hosts = lab.hosts().iter().map(|host| {
            Ok(Seen { lab, host, cgroup: lab.layout.host_cgroup(host)?, boot: None, vms: BTreeMap::new() })
        });
        let controller = lab.layout.cgroup_of("controller")?;
        Ok(Self { hosts: hosts.collect::<Result<_, LabError>>()?, controller, controller_process: None })
    }

    /// What has changed since the last look.
    ///
    /// On all hosts beginnings are looked for first and ends after that, and told the other way round: a VM that is told to
    /// begin here and not to have ended there was really on both, and one that moved between two looks was not.
    fn look(&mut self) -> Result<Vec<TraceEvent>, LabError> {
        let (mut ends, mut begins) = (Vec::new(), Vec::new());
        let found: Vec<BTreeMap<i32, VmName>> = self.hosts.iter().map(Seen::new_vms).collect();
        for (seen, new) in self.hosts.iter_mut().zip(found) {
            seen.look_at_ends(&mut ends);
            seen.look_at_power(&mut ends, &mut begins)?;
            for (process, vm) in new {
                begins.push(TraceEvent::new(now(), What::VmStarted).host(seen.host).vm(&vm));
                seen.vms.insert(process, vm);
            }
        }
        self.look_at_controller(&mut ends);
        ends.append(&mut begins);
        // All of one look is told with one time, in this order.
        let at = now().as_f64();
        ends.iter_mut().for_each(|event| event.t = at);
        Ok(ends)
    }

    fn look_at_controller(&mut self, ends: &mut Vec<TraceEvent>) {
        let lives = self.controller.processes();
        if self.controller_process.is_some_and(|process| !lives.contains(&process)) {
            ends.push(TraceEvent::new(now(), What::ControllerCrashed));
            self.controller_process = None;
        }
        if self.controller_process.is_none() {
            self.controller_process = lives.into_iter().find(|process| is_controller(*process));
        }
    }
}

/// Fence agents live in the controller's cgroup too.
fn is_controller(process: i32) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).nth(1) == Some(b"controller")
}

impl Seen<'_> {
    fn new_vms(&self) -> BTreeMap<i32, VmName> {
        let unknown = self.cgroup.processes().into_iter().filter(|process| !self.vms.contains_key(process));
        unknown.filter_map(|process| Some((process, VmName::new(&vm_of(process)?).ok()?))).collect()
    }

    fn look_at_ends(&mut self, ends: &mut Vec<TraceEvent>) {
        let lives = self.cgroup.processes();
        let gone: Vec<i32> = self.vms.keys().copied().filter(|process| !lives.contains(process)).collect();
        for process in gone {
            if let Some(vm) = self.vms.remove(&process) {
                ends.push(TraceEvent::new(now(), What::VmKilled).host(self.host).vm(&vm));
            }
        }
    }

    fn look_at_power(&mut self, ends: &mut Vec<TraceEvent>, begins: &mut Vec<TraceEvent>) -> Result<(), LabError> {
        let boot = match self.lab.has_power(self.host)? {
            // While its RAM is being wiped it has no boot, and still processes that die.
            true => fs::read_to_string(self.lab.layout.host_run(self.host).join("boot_id")).ok().or(self.boot.clone()),
            false => None,
        };
        if boot == self.boot {
            return Ok(());
        }
        if self.boot.is_some() {
            ends.push(TraceEvent::new(now(), What::HostDown).host(self.host));
        }
        if boot.is_some() {
            begins.push(TraceEvent::new(now(), What::HostUp).host(self.host));
        }
        self.boot = boot;
        Ok(())
    }
}
