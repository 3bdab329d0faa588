//! Salapura and Harper 2015: one of 12 hosts fails, and its VMs are restarted on the 11 others.
//!
//! Serial: one VM after the other, its volumes one after the other. Parallel: a stream a host, so up to 11 times as fast.
//! Parallel with 4 disks: each stream maps 4 volumes of its VM at a time, so up to 44 times. Lifeboat makes one joint plan
//! under the same limits.

use std::collections::BTreeMap;

use lifeboat_model::{
    ArrayName, ClassName, HostName, Seconds, VmName, VolumeName,
    fleet::{self, Array, Class, Fleet, Host, HostState, Limits, Vm, Volume},
    plan::Request,
};
use lifeboat_planner::{Options, Scheme, plan};

use super::{
    Figure, PaperError, Table,
    plot::{Chart, Scale, Series},
    span,
};

/// Hosts, of which one fails.
const HOSTS: u32 = 12;
/// Seconds to take one volume from the failed host to another.
const REMAP_S: u64 = 12;
/// Seconds to configure a VM.
const CONFIGURE_S: u64 = 3;
/// Seconds from a VM's start to its being ready.
const START_S: u64 = 60;

const SCHEMES: [(Scheme, &str); 4] = [
    (Scheme::Serial, "serial"),
    (Scheme::Parallel, "parallel"),
    (Scheme::Paper, "parallel, 4 disks"),
    (Scheme::Lifeboat, "Lifeboat"),
];

/// The fleet: all VMs on the host that fails, the same for each.
fn fleet(vms: u32, volumes: u32) -> Result<Fleet, PaperError> {
    let class = ClassName::new("all")?;
    let host = |n: u32| -> Result<Host, PaperError> {
        Ok(Host {
            name: HostName::new(&format!("h{n}"))?,
            state: if n == 0 { HostState::Down } else { HostState::Up },
            site: String::new(),
            labels: BTreeMap::new(),
            capacity: BTreeMap::from([("memory_mib".to_owned(), u64::from(vms) * 1024)]),
            max_volumes: None,
            starts: None,
            maps: None,
            numa: Vec::new(),
            reserve: BTreeMap::new(),
            spare: false,
        })
    };
    let mut fleet = Fleet {
        format: fleet::FORMAT.to_owned(),
        hosts: (0..HOSTS).map(host).collect::<Result<_, _>>()?,
        vms: Vec::new(),
        volumes: Vec::new(),
        arrays: vec![Array { name: ArrayName::new("a")?, max_ops: 4 * 11, remap_s: Seconds::new(REMAP_S) }],
        classes: vec![Class { name: class.clone(), rto_s: Seconds::new(3600), liveness: None }],
        groups: Vec::new(),
        rules: Vec::new(),
        limits: Limits { starts_per_host: 4, maps_per_host: 4, fence_s: Seconds::ZERO },
    };
    for n in 0..vms {
        let mut own = Vec::new();
        for d in 0..volumes {
            let name = VolumeName::new(&format!("v{n}-d{d}"))?;
            fleet.volumes.push(Volume { name: name.clone(), array: ArrayName::new("a")?, size_gib: 10 });
            own.push(name);
        }
        fleet.vms.push(Vm {
            name: VmName::new(&format!("v{n}"))?,
            host: Some(HostName::new("h0")?),
            demand: BTreeMap::from([("memory_mib".to_owned(), 1024)]),
            class: class.clone(),
            volumes: own,
            labels: BTreeMap::new(),
            requires: BTreeMap::new(),
            prefers: Vec::new(),
            preemptible: false,
            configure_s: Seconds::new(CONFIGURE_S),
            start_s: Seconds::new(START_S),
            numa: None,
            numa_at: None,
        });
    }
    Ok(fleet)
}

/// How long each scheme takes until the last VM is ready.
fn times(vms: u32, volumes: u32) -> Result<Vec<f64>, PaperError> {
    let fleet = fleet(vms, volumes)?;
    let request = Request { failed: vec![HostName::new("h0")?], ..Request::default() };
    let mut times = Vec::new();
    for (scheme, _) in SCHEMES {
        let plan = plan(&fleet, &request, &Options { scheme, ..Options::default() })?;
        if !plan.unplaced.is_empty() {
            return Err(PaperError::World(format!("{} VMs have no place", plan.unplaced.len())));
        }
        times.push(plan.summary.makespan_s.as_f64());
    }
    Ok(times)
}

fn figure(
    (name, title, about): (&'static str, &'static str, String),
    (axis, first): (&'static str, &str),
    points: &[(u32, u32, u32)],
) -> Result<Figure, PaperError> {
    let mut table =
        Table::new(about, &[first, "serial", "parallel", "times", "parallel, 4 disks", "times", "Lifeboat", "times"]);
    let mut series: Vec<Series> = SCHEMES.iter().map(|(_, name)| Series::new(*name)).collect();
    for (at, vms, volumes) in points {
        let times = times(*vms, *volumes)?;
        let mut row = vec![at.to_string(), span(times[0])];
        for time in &times[1..] {
            row.extend([span(*time), format!("{:.1}", times[0] / time)]);
        }
        table.rows.push(row);
        for (series, time) in series.iter_mut().zip(&times) {
            series.points.push((f64::from(*at), *time));
        }
    }
    let chart = Chart {
        title: title.to_owned(),
        x: axis.to_owned(),
        y: "until the last VM is ready".to_owned(),
        scale: Scale::LogLog,
        series,
    };
    Ok(Figure { name, title, table, chart })
}

fn given(what: &str) -> String {
    format!(
        "One of {HOSTS} hosts fails; {what}. A volume takes {REMAP_S} s, a VM {CONFIGURE_S} s to configure and {START_S} s to start; 4 volumes \
         and 4 starts at a time a host, 44 operations at the array. Computed: plans of the same fleet by each scheme. The published \
         figures are up to 11 times for parallel, up to 44 times for parallel with 4 disks."
    )
}

/// Over the number of VMs.
///
/// # Errors
/// When there is no plan.
pub fn over_vms() -> Result<Figure, PaperError> {
    let points = [1, 11, 22, 44, 88, 176].map(|vms| (vms, vms, 16));
    let head =
        ("ibm-vms", "Recovery of one host by its number of VMs, 16 volumes each", given("each VM has 16 volumes"));
    figure(head, ("VMs of the failed host", "VMs"), &points)
}

/// Over the volumes of each VM.
///
/// # Errors
/// When there is no plan.
pub fn over_volumes() -> Result<Figure, PaperError> {
    let points = [1, 2, 4, 8, 16, 32, 64].map(|volumes| (volumes, 44, volumes));
    let head = ("ibm-volumes", "Recovery of one host with 44 VMs by the volumes of each", given("it ran 44 VMs"));
    figure(head, ("volumes of each VM", "volumes a VM"), &points)
}
