//! What a controller spends on hosts that do nothing but live: processor time and memory with 10,000 of them.
//!
//! The controller is a process of its own; each agent is a real TLS connection with its own certificate that says a heartbeat a
//! second and reads what it is answered. The agents are in this process, and none of their time counts.

use std::{fs, time::Duration};

use lifeboat_model::{
    HostName,
    fleet::{Fleet, Host, HostState},
};
use lifeboat_transport::ca::Authority;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{sync::mpsc, time::sleep};

use crate::support::{
    Failure,
    agent::{self, Session},
    controller::Controller,
    resident_mib, table,
};

const HOSTS: usize = 10_000;
/// Handshakes at once.
const AT_ONCE: usize = 64;
/// After the last has joined, before anything is measured.
const SETTLES: Duration = Duration::from_secs(20);
const MEASURED: Duration = Duration::from_secs(60);
/// A quarter of a core.
const CORE_TARGET: f64 = 25.0;
/// 200 MB.
const MIB_TARGET: f64 = 190.7;

/// Measures; the table.
pub fn run() -> Result<String, Failure> {
    raise_files()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<String, Failure> {
    // The daily drill has a benchmark of its own.
    let controller = Controller::new("[drill]\nevery_s = 0\n").await?;
    let file = controller.scratch().join("fleet.json");
    fs::write(&file, serde_json::to_vec(&fleet()?)?)?;
    controller.cli(&["apply", &file.to_string_lossy()])?;
    let applied = resident_mib(controller.id())?.0;
    let (commands, _kept) = mpsc::channel(1);
    let sessions = join_all(&controller, &commands).await?;
    sleep(SETTLES).await;
    let (before, begin) = (processor_s(controller.id())?, std::time::Instant::now());
    sleep(MEASURED).await;
    let share = (processor_s(controller.id())? - before) / begin.elapsed().as_secs_f64() * 100.0;
    let (now, most) = resident_mib(controller.id())?;
    let status = serde_json::to_value(controller.client().status().await?)?;
    let events = controller.client().hosts().await?;
    let up = events.iter().filter(|row| row.condition.to_string() == "up").count();
    if up != HOSTS || status["recoveries"].as_array().is_some_and(|open| !open.is_empty()) {
        return Err(format!("{up} of {HOSTS} hosts are up: what was measured is not calm").into());
    }
    drop(sessions);
    let rows = [
        vec![
            "the controller's processor time, of one core".to_owned(),
            format!("{share:.1} %"),
            format!("{CORE_TARGET} %"),
            table::verdict(share, CORE_TARGET),
        ],
        vec![
            "its resident memory".to_owned(),
            format!("{now:.0} MiB"),
            format!("{MIB_TARGET:.0} MiB"),
            table::verdict(now, MIB_TARGET),
        ],
        vec![
            "its highest (while all of them connect)".to_owned(),
            format!("{most:.0} MiB"),
            String::new(),
            String::new(),
        ],
        vec![
            "with the hosts declared and none connected".to_owned(),
            format!("{applied:.0} MiB"),
            String::new(),
            String::new(),
        ],
    ];
    Ok(table::markdown(&["10,000 hosts, a heartbeat a second each over TLS", "measured", "at most", ""], &rows))
}

/// Connects an agent for each host.
async fn join_all(
    controller: &Controller,
    commands: &mpsc::Sender<lifeboat_brain::message::Command>,
) -> Result<Vec<Session>, Failure> {
    let authority = Authority::open_or_create(&controller.scratch().join("state/ca"))?;
    let mut sessions = Vec::with_capacity(HOSTS);
    for first in (0..HOSTS).step_by(AT_ONCE) {
        let mut connecting = Vec::new();
        for n in first..HOSTS.min(first + AT_ONCE) {
            let host = agent::Host::signed(name(n)?, controller.port, &authority)?;
            let commands = commands.clone();
            connecting.push(async move { host.connect(1, commands).await });
        }
        for session in futures::future::join_all(connecting).await {
            sessions.push(session?);
        }
        if (first / AT_ONCE).is_multiple_of(20) {
            eprintln!("{} of {HOSTS} agents", sessions.len());
        }
    }
    Ok(sessions)
}

fn name(n: usize) -> Result<HostName, Failure> {
    Ok(format!("host-{n}").parse()?)
}

fn fleet() -> Result<Fleet, Failure> {
    let mut fleet = Fleet::empty();
    for n in 0..HOSTS {
        fleet.hosts.push(Host {
            name: name(n)?,
            site: String::new(),
            labels: [("rack".to_owned(), format!("r{}", n / 20))].into(),
            capacity: [("cpu_milli".to_owned(), 64_000), ("memory_mib".to_owned(), 262_144)].into(),
            max_volumes: None,
            starts: None,
            maps: None,
            numa: Vec::new(),
            reserve: std::collections::BTreeMap::new(),
            spare: false,
            state: HostState::Up,
        });
    }
    Ok(fleet)
}

/// Seconds of processors that a process has used.
fn processor_s(process: u32) -> Result<f64, Failure> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after = text.rsplit_once(')').ok_or("no process name")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|word| word.parse::<f64>().ok()).ok_or("no times of it");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Lets this process, and the controller that it starts, hold a connection for each host.
fn raise_files() -> Result<(), Failure> {
    let most = getrlimit(Resource::Nofile).maximum;
    let wanted = HOSTS as u64 * 2;
    if most.is_some_and(|most| most < wanted) {
        return Err(format!("{wanted} open files are needed, and this user may have {most:?}").into());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: most })?)
}
