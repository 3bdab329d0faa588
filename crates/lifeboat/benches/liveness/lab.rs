//! From what happens to a host to the verdict, and to the last of its 5 VMs answering.

use std::path::Path;

use lifeboat_lab::{Lab, LabOptions};
use lifeboat_model::{
    HostName, VmName,
    spec::Isolation,
    trace::{TraceEvent, What},
};
use serde_json::Value;

use crate::support::{
    Failure, binary,
    farm::{ASK_LIMIT, Down, ROUND_LIMIT, all_up, first_answers, now, settled, until, up},
    median, table,
};

const NAME: &str = "bench-live";
/// Of each kind.
const ROUNDS: usize = 3;
const VMS: usize = 5;
/// What the lab's controller grants.
const LEASE_S: f64 = 15.0;

/// What happens to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    PowerCut,
    Hang,
    PowerCutWithBmc,
}

impl Mishap {
    const ALL: [Self; 3] = [Self::PowerCut, Self::Hang, Self::PowerCutWithBmc];

    const fn text(self) -> &'static str {
        match self {
            Self::PowerCut => "power cut",
            Self::Hang => "hang",
            Self::PowerCutWithBmc => "power cut, and its BMC dead with it",
        }
    }

    /// The longest that the verdict may take, where there is a target.
    const fn verdict_s(self) -> Option<f64> {
        match self {
            Self::PowerCut => Some(3.5),
            Self::Hang => Some(5.0),
            Self::PowerCutWithBmc => None,
        }
    }

    /// And all of it, to the last VM answering.
    const fn all_s(self) -> f64 {
        match self {
            Self::PowerCut | Self::Hang => 15.0,
            Self::PowerCutWithBmc => LEASE_S + 10.0,
        }
    }
}

/// Seconds after the mishap.
#[derive(Debug)]
struct Round {
    /// The host was judged to have failed.
    verdict: f64,
    /// It was proven to run nothing.
    proven: f64,
    /// By what.
    method: String,
    /// The controller knew that the last of its VMs runs.
    started: f64,
    /// The last of its VMs answered.
    answered: f64,
}

/// Runs all rounds; the tables.
pub fn run() -> Result<String, Failure> {
    Lab::down(NAME)?;
    let options = LabOptions {
        name: NAME.to_owned(),
        cache: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab-cache"),
        hosts: 2,
        vms: VMS,
        binary: binary(),
        isolation: Isolation::Stop,
        wait_vms: Some(ROUND_LIMIT),
        ..LabOptions::default()
    };
    let _down = Down(NAME);
    let lab = up(&options)?;
    gather(&lab)?;
    let mut rounds = Vec::new();
    for mishap in Mishap::ALL {
        for number in 1..=ROUNDS {
            let round = round(&lab, mishap)?;
            eprintln!("{}, {number} of {ROUNDS}: {round:?}", mishap.text());
            rounds.push((mishap, round));
        }
    }
    report(&rounds)
}

/// Brings all VMs to one host.
fn gather(lab: &Lab) -> Result<(), Failure> {
    let away = &lab.hosts()[1];
    lab.cli(&["drain", away.as_str()])?;
    until("one host is empty and all is well", || Ok(lab.processes(away)?.is_empty() && settled(lab)?))?;
    lab.cli(&["maintenance", away.as_str(), "off"])?;
    Ok(())
}

fn has_all(lab: &Lab) -> Result<HostName, Failure> {
    for host in lab.hosts() {
        if lab.processes(host)?.len() == VMS {
            return Ok(host.clone());
        }
    }
    Err("no host has all the VMs".into())
}

/// The lease rung of every host is ready, and nobody is missing.
fn armed(lab: &Lab) -> Result<bool, Failure> {
    for host in lab.hosts() {
        let test: Value = serde_json::from_str(&lab.cli(&["fence", "test", host.as_str(), "-o", "json"])?)?;
        let rungs = test["rungs"].as_array().cloned().unwrap_or_default();
        if !rungs.iter().any(|rung| rung["rung"] == "lease" && rung["works"] == true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn round(lab: &Lab, mishap: Mishap) -> Result<Round, Failure> {
    until("all VMs answer", || settled(lab))?;
    until("the leases are pledged", || armed(lab))?;
    let host = has_all(lab)?;
    let vms: Vec<VmName> = lab.vms().to_vec();
    let boots: Result<Vec<String>, _> =
        vms.iter().map(|vm| lab.sequences(vm, ASK_LIMIT * 5).map(|said| said.boot)).collect();
    let boots = boots?;
    if mishap == Mishap::PowerCutWithBmc {
        lab.bmc(&host, false)?;
    }
    let begin = now();
    match mishap {
        Mishap::Hang => lab.hang(&host)?,
        Mishap::PowerCut | Mishap::PowerCutWithBmc => lab.power_off(&host)?,
    }
    let answered = first_answers(lab, &vms, &boots)?;
    let last = answered.values().copied().fold(begin, f64::max);
    until("the recovery ends", || settled(lab))?;
    let round = moments(lab, &host, begin, last)?;
    if mishap == Mishap::PowerCutWithBmc {
        lab.bmc(&host, true)?;
    }
    lab.power_on(&host)?;
    until("the host is back", || all_up(lab))?;
    // Three failures within an hour hold a host out, as they should; here it is wanted again.
    lab.cli(&["maintenance", host.as_str(), "off"])?;
    Ok(round)
}

fn moments(lab: &Lab, host: &HostName, begin: f64, last: f64) -> Result<Round, Failure> {
    let known = lab.cli(&["trace"])?;
    let known: Vec<TraceEvent> = known.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let of_host = |event: &&TraceEvent| event.host.as_ref() == Some(host) && event.t > begin;
    let first = |is: fn(&What) -> bool| {
        let found = known.iter().filter(of_host).find(|event| is(&event.what));
        found.ok_or("the trace does not tell when the host was declared and fenced")
    };
    let verdict = first(|what| matches!(what, What::HostDeclared { .. }))?;
    let proof = first(|what| matches!(what, What::Fenced { .. }))?;
    let method = match &proof.what {
        What::Fenced { method } => method.clone(),
        _ => String::new(),
    };
    let started = known.iter().filter(|event| event.what == What::VmStarted && event.t > begin && event.t < last + 1.0);
    let started = started.map(|event| event.t).fold(begin, f64::max);
    Ok(Round {
        verdict: verdict.t - begin,
        proven: proof.t - begin,
        method,
        started: started - begin,
        answered: last - begin,
    })
}

fn report(rounds: &[(Mishap, Round)]) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for mishap in Mishap::ALL {
        let of = |part: fn(&Round) -> f64| -> Result<(String, f64), Failure> {
            let each: Vec<f64> =
                rounds.iter().filter(|(which, _)| *which == mishap).map(|(_, round)| part(round)).collect();
            let text: Vec<String> = each.iter().map(|value| format!("{value:.2}")).collect();
            Ok((text.join(", "), median(each).ok_or("no rounds")?))
        };
        let mut row = |what: String, (each, middle): (String, f64), target: Option<f64>| {
            let most = target.map_or_else(String::new, |target| format!("{target} s"));
            let met = target.map_or_else(String::new, |target| table::verdict(middle, target));
            rows.push(vec![format!("{}: {what}", mishap.text()), each, format!("{middle:.2} s"), most, met]);
        };
        row("to the verdict".to_owned(), of(|round| round.verdict)?, mishap.verdict_s());
        let methods: Vec<&str> =
            rounds.iter().filter(|(which, _)| *which == mishap).map(|(_, round)| round.method.as_str()).collect();
        row(format!("to the proof ({})", methods.join(", ")), of(|round| round.proven)?, None);
        row(
            "to the last of 5 VMs running, without its guest's boot".to_owned(),
            of(|round| round.started)?,
            Some(mishap.all_s()),
        );
        row("to the last of 5 VMs answering".to_owned(), of(|round| round.answered)?, Some(mishap.all_s()));
    }
    Ok(table::markdown(&["lab of 2 hosts, 5 VMs on one", "rounds", "median", "at most", ""], &rows))
}
