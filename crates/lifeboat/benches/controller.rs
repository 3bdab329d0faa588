//! How large a controller is with 1,000 hosts and 10,000 VMs, and how soon it serves them after a start.
//!
//! The fleet is applied to a new controller as an operator applies it. Then the controller is killed and started again on
//! its store, a few times, asked for all of it, and for a drill.

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use lifeboat_model::{
    HostName, Seconds,
    fleet::{Array, Class, Fleet, Group, Host, HostState, Limits, Rule, RuleKind, Vm, Volume},
};
use support::{Failure, controller::Controller, resident_mib, table};

const HOSTS: usize = 1_000;
const VMS: usize = 10_000;
const VOLUMES_PER_VM: usize = 6;
const ARRAYS: usize = 8;
const RESTARTS: usize = 5;

/// 150 MB.
const RESIDENT_TARGET_MIB: f64 = 143.0;
const START_TARGET_S: f64 = 2.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut controller = Controller::new("").await?;
    let empty = resident_mib(controller.id())?.0;
    let file = controller.scratch().join("fleet.json");
    fs::write(&file, serde_json::to_vec(&fleet()?)?)?;
    eprintln!("applying {HOSTS} hosts, {VMS} VMs, {} volumes", VMS * VOLUMES_PER_VM);
    let applied = controller.cli(&["apply", &file.to_string_lossy()])?;
    let after_apply = resident_mib(controller.id())?;
    let again = controller.cli(&["apply", &file.to_string_lossy()])?;
    let mut starts = Vec::new();
    let mut after_start = 0.0_f64;
    for round in 1..=RESTARTS {
        controller.restart().await?;
        eprintln!("start {round} of {RESTARTS}: {:.2} s", controller.start.as_secs_f64());
        starts.push(controller.start.as_secs_f64());
        after_start = after_start.max(resident_mib(controller.id())?.0);
    }
    let start = support::median(starts).ok_or("no starts")?;
    let asked = ask(&controller).await?;
    let after_asking = resident_mib(controller.id())?.0;
    let begin = Instant::now();
    controller.client().drill().await?;
    let drilled = begin.elapsed();
    let after_drill = resident_mib(controller.id())?.0;
    let size = |what: &str, mib: f64| {
        let target = format!("{RESIDENT_TARGET_MIB} MiB");
        vec![what.to_owned(), format!("{mib:.0} MiB"), target, table::verdict(mib, RESIDENT_TARGET_MIB)]
    };
    let no_target = |what: &str, value: String| vec![what.to_owned(), value, String::new(), String::new()];
    let rows = [
        no_target("resident, nothing applied", format!("{empty:.0} MiB")),
        no_target("`lifeboat apply` of all of it", format!("{:.2} s", applied.as_secs_f64())),
        size("resident after that", after_apply.0),
        no_target("highest until then", format!("{:.0} MiB", after_apply.1)),
        no_target("`lifeboat apply` again, nothing to change", format!("{:.2} s", again.as_secs_f64())),
        vec![
            format!("from its start to the first `/v1/status` answered, median of {RESTARTS}"),
            format!("{start:.2} s"),
            format!("{START_TARGET_S:.0} s"),
            table::verdict(start, START_TARGET_S),
        ],
        size("resident after a start", after_start),
        no_target("all VMs, all volumes and a plan asked for", format!("{:.2} s", asked.as_secs_f64())),
        size("resident after that", after_asking),
        no_target("a drill asked for", format!("{:.2} s", drilled.as_secs_f64())),
        size("resident after that", after_drill),
    ];
    print!("{}", table::markdown(&["controller", "measured", "at most", ""], &rows));
    Ok(())
}

/// What an operator may ask of it.
async fn ask(controller: &Controller) -> Result<Duration, Failure> {
    let client = controller.client();
    let begin = Instant::now();
    let (vms, volumes) = (client.vms().await?, client.volumes().await?);
    if (vms.len(), volumes.len()) != (VMS, VMS * VOLUMES_PER_VM) {
        return Err(format!("the controller knows {} VMs and {} volumes", vms.len(), volumes.len()).into());
    }
    client.plan(vec![HostName::new("host-0")?]).await?;
    Ok(begin.elapsed())
}

/// Hosts in racks, VMs of three classes spread over them, some in groups and some kept apart.
fn fleet() -> Result<Fleet, Failure> {
    let mut fleet = Fleet::empty();
    fleet.limits = Limits::default();
    let class =
        |name: &str, rto_s| Ok::<_, Failure>(Class { name: name.parse()?, rto_s: Seconds::new(rto_s), liveness: None });
    fleet.classes = vec![class("gold", 120)?, class("silver", 300)?, class("bronze", 900)?];
    for n in 0..ARRAYS {
        let name = format!("array-{n}").parse()?;
        fleet.arrays.push(Array { name, max_ops: 16, remap_s: Seconds::new(2) });
    }
    for n in 0..HOSTS {
        fleet.hosts.push(host(n)?);
    }
    for n in 0..VMS {
        let vm = vm(n, fleet.classes[n % 3].name.clone())?;
        for (which, name) in vm.volumes.iter().enumerate() {
            let array = fleet.arrays[(n + which) % ARRAYS].name.clone();
            fleet.volumes.push(Volume { name: name.clone(), array, size_gib: 100 });
        }
        fleet.vms.push(vm);
    }
    // Every fourth trio of VMs is an application, every fourth pair is kept apart.
    for (n, members) in fleet.vms.chunks(3).step_by(4).enumerate() {
        let stages = members.iter().map(|vm| vec![vm.name.clone()]).collect();
        let name = format!("app-{n}").parse()?;
        let group = Group { name, importance: 0, stages, stage_delay_s: Seconds::ZERO, all_or_nothing: false };
        fleet.groups.push(group);
    }
    for members in fleet.vms.chunks(2).step_by(4) {
        let vms = members.iter().map(|vm| vm.name.clone()).collect();
        let rule = Rule { kind: RuleKind::Apart, scope: "host".to_owned(), vms, sets: Vec::new(), required: true };
        fleet.rules.push(rule);
    }
    Ok(fleet)
}

fn host(n: usize) -> Result<Host, Failure> {
    let resources = [("cpu_milli", 64_000), ("memory_mib", 512 * 1024)];
    Ok(Host {
        name: format!("host-{n}").parse()?,
        state: HostState::Up,
        site: format!("site-{}", n / 250),
        labels: [("rack".to_owned(), format!("rack-{}", n / 20))].into(),
        capacity: resources.map(|(name, most)| (name.to_owned(), most)).into(),
        max_volumes: Some(256),
        starts: None,
        maps: None,
        numa: Vec::new(),
        reserve: [].into(),
        spare: false,
    })
}

fn vm(n: usize, class: lifeboat_model::ClassName) -> Result<Vm, Failure> {
    let volumes: Result<_, _> = (0..VOLUMES_PER_VM).map(|which| format!("vm-{n}-d{which}").parse()).collect();
    let resources = [("cpu_milli", 2_000 + 1_000 * (n as u64 % 3)), ("memory_mib", 8_192 << (n % 3))];
    Ok(Vm {
        name: format!("vm-{n}").parse()?,
        host: Some(format!("host-{}", n % HOSTS).parse()?),
        demand: resources.map(|(name, takes)| (name.to_owned(), takes)).into(),
        class,
        volumes: volumes?,
        labels: [("team".to_owned(), format!("team-{}", n % 50))].into(),
        requires: [].into(),
        prefers: Vec::new(),
        preemptible: n % 3 == 2,
        configure_s: Seconds::new(2),
        start_s: Seconds::new(30),
        numa: None,
        numa_at: None,
    })
}
