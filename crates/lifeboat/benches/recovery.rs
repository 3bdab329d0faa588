//! What Lifeboat itself adds to the time that a VM is away when its host dies: a lab of 4 hosts with 9 VMs of 2 volumes, the
//! busiest host cut off its power, 5 times.
//!
//! Of each VM five moments are known: the cut; the host declared failed and proven off (the controller's trace); the VM's
//! QEMU process seen (the lab's watcher) and said to run by its agent (the controller's trace); its first answer to
//! somebody outside, who asks all the time. The last VM that answers counts. Its guest's own boot is from the first of the
//! two words that QEMU runs to its answer, in the same run and under the same load; what Lifeboat adds is all that is left
//! from the proof to the answer.

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use lifeboat_client::api::EventRow;
use lifeboat_lab::{Lab, LabOptions};
use lifeboat_model::{
    HostName, VmName,
    trace::{TraceEvent, What},
};
use support::{
    Failure,
    farm::{ASK_LIMIT, Down, ROUND_LIMIT, all_up, first_answers, now, settled, until, up},
    median, resident_mib, table,
};

const NAME: &str = "bench";
const ROUNDS: usize = 5;
const ADDED_TARGET_S: f64 = 1.0;
const AGENT_TARGET_MIB: f64 = 25.0;
/// What became of the last VM to answer, in seconds after the cut.
#[derive(Debug)]
struct Round {
    vms: usize,
    declared: f64,
    fenced: f64,
    planned: f64,
    mapped: f64,
    /// Its process was there.
    process: f64,
    /// The controller knew that it runs.
    started: f64,
    answered: f64,
}

impl Round {
    /// What Lifeboat added, with all of QEMU's start counted as its work.
    fn added(&self) -> f64 {
        self.started - self.fenced
    }
}

fn main() -> Result<(), Failure> {
    Lab::down(NAME)?;
    let options = LabOptions {
        name: NAME.to_owned(),
        cache: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab-cache"),
        hosts: 4,
        vms: 9,
        volumes_per_vm: 2,
        binary: support::binary(),
        wait_vms: Some(ROUND_LIMIT),
        ..LabOptions::default()
    };
    let _down = Down(NAME);
    let lab = up(&options)?;
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        until("all is well", || settled(&lab))?;
        let round = round(&lab)?;
        eprintln!("round {number} of {ROUNDS}: {:.2} s added; {round:?}", round.added());
        rounds.push(round);
    }
    until("all is well", || settled(&lab))?;
    let agents = agents(&lab)?;
    print!("{}", report(&rounds, &agents)?);
    Ok(())
}

/// Cuts the busiest host off, waits for its VMs, and gives it back.
fn round(lab: &Lab) -> Result<Round, Failure> {
    let host = busiest(lab)?;
    let vms: Vec<VmName> = lab.processes(&host)?.iter().map(|(vm, _)| vm.parse()).collect::<Result<_, _>>()?;
    let boots: Result<Vec<String>, _> =
        vms.iter().map(|vm| lab.sequences(vm, ASK_LIMIT * 5).map(|said| said.boot)).collect();
    let cut = now();
    lab.power_off(&host)?;
    let answered = first_answers(lab, &vms, &boots?)?;
    let (last, at) =
        answered.iter().max_by(|(_, one), (_, other)| one.total_cmp(other)).ok_or("the host had no VMs")?;
    until("the recovery ends", || settled(lab))?;
    let round = moments(lab, &host, last, cut, *at, vms.len())?;
    lab.power_on(&host)?;
    until("the host is back", || all_up(lab))?;
    Ok(round)
}

fn busiest(lab: &Lab) -> Result<HostName, Failure> {
    let counted: Result<BTreeMap<usize, &HostName>, Failure> =
        lab.hosts().iter().map(|host| Ok((lab.processes(host)?.len(), host))).collect();
    Ok((*counted?.last_key_value().ok_or("there are no hosts")?.1).clone())
}

/// Puts a VM's way together from the traces and the events.
fn moments(lab: &Lab, host: &HostName, vm: &VmName, cut: f64, answered: f64, vms: usize) -> Result<Round, Failure> {
    let known = lab.cli(&["trace"])?;
    let known: Vec<TraceEvent> = known.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let world = lab.world()?;
    let events = lab.cli(&["events", "--last", "200", "-o", "json"])?;
    let events: Vec<EventRow> = events.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let missing = |what: &str| format!("the trace does not tell when {what}");
    let of_host = |is: fn(&What) -> bool| {
        let mut found = known.iter().filter(|event| is(&event.what) && event.host.as_ref() == Some(host));
        found.find(|event| event.t > cut).map(|event| event.t - cut)
    };
    let declared =
        of_host(|what| matches!(what, What::HostDeclared { .. })).ok_or_else(|| missing("it was declared"))?;
    let fenced = of_host(|what| matches!(what, What::Fenced { .. })).ok_or_else(|| missing("it was fenced"))?;
    // Of several starts the last before the answer is the one that came up.
    let last = |events: &[TraceEvent], what: &What| {
        let mut found = events.iter().filter(|event| event.what == *what && event.vm.as_ref() == Some(vm));
        let at = found.rfind(|event| event.t > cut && event.t < answered + 1.0).map(|event| event.t - cut);
        at.ok_or_else(|| missing(&format!("{vm}: {what:?}")))
    };
    let planned = events.iter().filter(|event| event.text.starts_with("Plan "));
    let planned = planned.map(|event| event.time_us.as_f64() - cut).filter(|at| *at > 0.0);
    Ok(Round {
        vms,
        declared,
        fenced,
        planned: planned.reduce(f64::min).ok_or_else(|| missing("it was planned"))?,
        mapped: last(&known, &What::VolumeMapped)?,
        process: last(&world, &What::VmStarted)?,
        started: last(&known, &What::VmStarted)?,
        answered: answered - cut,
    })
}

/// The resident memory of each agent, with the VMs that it has.
fn agents(lab: &Lab) -> Result<Vec<(usize, f64)>, Failure> {
    let mut sizes = Vec::new();
    for host in lab.hosts() {
        let config = lab.dir().join("hosts").join(host.as_str()).join("agent.toml");
        let process = process_with(&config).ok_or_else(|| format!("the agent of {host} does not run"))?;
        sizes.push((lab.processes(host)?.len(), resident_mib(process)?.1));
    }
    Ok(sizes)
}

/// The process that was started with a path as an argument, and is no shell or wrapper around it.
fn process_with(path: &Path) -> Option<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.find(|process| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&b"agent".as_slice()) && words.contains(&path.as_os_str().as_encoded_bytes())
    })
}

/// A span of a round, in seconds.
type Part = fn(&Round) -> f64;

fn report(rounds: &[Round], agents: &[(usize, f64)]) -> Result<String, Failure> {
    let middle = |of: Part| median(rounds.iter().map(of)).ok_or("no rounds");
    let parts: [(&str, Part); 8] = [
        ("detection: cut to declared failed", |round| round.declared),
        ("fencing: to power off confirmed", |round| round.fenced - round.declared),
        ("plan (made while it is fenced: 0), or made anew", |round| (round.planned - round.fenced).max(0.0)),
        ("volumes: from power off confirmed to its last one mapped", |round| round.mapped - round.fenced),
        ("configure, start: to its QEMU process", |round| round.process - round.mapped),
        ("QEMU: to the controller knowing that it runs", |round| round.started - round.process),
        ("the guest's boot: to its first answer", |round| round.answered - round.started),
        ("all: cut to its first answer", |round| round.answered),
    ];
    let mut rows = Vec::new();
    for (what, of) in parts {
        let each = rounds.iter().map(|round| format!("{:.2}", of(round)));
        let mut row = vec![what.to_owned()];
        row.extend(each);
        row.push(format!("{:.2}", middle(of)?));
        rows.push(row);
    }
    let mut row = vec!["**added by Lifeboat**: all, less detection, fencing and boot".to_owned()];
    row.extend(rounds.iter().map(|round| format!("{:.2}", round.added())));
    let added = middle(Round::added)?;
    row.push(format!("**{added:.2}**"));
    rows.push(row);
    let numbers: Vec<String> = rounds.iter().map(|round| format!("{} VMs", round.vms)).collect();
    let head: Vec<&str> =
        std::iter::once("seconds").chain(numbers.iter().map(String::as_str)).chain(["median of all"]).collect();
    let mut text = table::markdown(&head, &rows);
    let most = agents.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
    let vms = agents.iter().map(|(vms, _)| *vms).max().unwrap_or(0);
    let rows = [
        vec![
            "added by Lifeboat, median".to_owned(),
            format!("{added:.2} s"),
            format!("{ADDED_TARGET_S:.1} s"),
            table::verdict(added, ADDED_TARGET_S),
        ],
        vec![
            format!("an agent's memory at its highest (4 agents, up to {vms} VMs each)"),
            format!("{most:.1} MiB"),
            format!("{AGENT_TARGET_MIB} MiB"),
            table::verdict(most, AGENT_TARGET_MIB),
        ],
    ];
    text.push('\n');
    text.push_str(&table::markdown(&["lab", "measured", "at most", ""], &rows));
    Ok(text)
}
