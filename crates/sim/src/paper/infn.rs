//! The prototype of the INFN, 2007: a host fails, and its VMs come back on others after 50 s (detection 20 s, one VM) to
//! 3 min 30 s (detection 60 s, five VMs).

use lifeboat_model::{HostName, Seconds};

use super::{
    Figure, PaperError, Table,
    plot::{Chart, Scale, Series},
    span,
};
use crate::{
    Fault, World, WorldSettings,
    generate::Generate,
    times::{Span, Times, WorldTimes},
};

/// Seeds of each case; the median counts.
const SEEDS: u64 = 15;

/// What the prototype needed, where it was published: detection, VMs a host, seconds.
const THEIRS: [(u64, u32, f64); 2] = [(20, 1, 50.0), (60, 5, 210.0)];

/// How the host fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It loses its power, which its BMC says.
    Power,
    /// It stands still with its power on: only its silence tells.
    Hang,
}

/// Seconds from the failure until all VMs of the host answer again.
fn away(seed: u64, detection: Option<u64>, vms: u32, failure: Failure) -> Result<f64, PaperError> {
    let hosts = 3;
    let generate = Generate {
        hosts,
        vms: vms * hosts,
        starts_per_host: if detection.is_some() { 1 } else { 4 },
        ..Generate::default()
    };
    let mut settings = WorldSettings::new(seed, generate.declaration()?);
    if let Some(seconds) = detection {
        settings.settings.liveness.lost_after_s = Seconds::new(seconds);
    }
    (settings.settled, settings.timeline, settings.trace) = (true, false, false);
    // A guest of its time: the prototype's 50 s less the 20 s until the failure is noticed.
    let guest_boot = Span::Between(Seconds::new(27), Seconds::new(30));
    settings.times = WorldTimes { all: Times { guest_boot, ..Times::default() }, ..WorldTimes::default() };
    let mut world = World::new(settings);
    world.run(Seconds::new(60 + seed % 10) + Seconds::from_millis(137 * seed % 1000));
    let began = world.now();
    let h1 = HostName::new("h1")?;
    world.fault(&match failure {
        Failure::Power => Fault::Power(h1, false),
        Failure::Hang => Fault::Hang(h1, None),
    });
    let lost = vms as usize;
    world.run_until(Seconds::new(1800), |world| world.counts().outages.len() >= lost);
    if let Some(broken) = world.broken() {
        return Err(PaperError::World(broken.to_string()));
    }
    let last = world.counts().ready.iter().map(|(at, _)| at.since(began)).max();
    let last = last.filter(|_| world.counts().outages.len() >= lost);
    last.map(Seconds::as_f64).ok_or_else(|| PaperError::World("not all VMs came back".to_owned()))
}

fn median(detection: Option<u64>, vms: u32, failure: Failure) -> Result<f64, PaperError> {
    let mut all = (0..SEEDS).map(|seed| away(seed, detection, vms, failure)).collect::<Result<Vec<f64>, _>>()?;
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2])
}

/// The figure.
///
/// # Errors
/// When a world breaks a promise or a VM does not come back.
pub fn figure() -> Result<Figure, PaperError> {
    let about = format!(
        "A host of three fails; seconds until all its VMs answer again, from the failure on. Simulated, the median of {SEEDS} seeds: \
         fencing takes 1 to 4 s, a guest 27 to 30 s to boot. With the prototype's detection times VMs start one by one on each host, as \
         there; with Lifeboat's defaults a host is given 3 s of silence, and four VMs start at a time on each. A host without power is \
         known to be lost from what its BMC says; one that hangs only by its silence, as there."
    );
    let headings = [
        "detection",
        "prototype, 1 VM",
        "Lifeboat, 1 VM, power lost",
        "Lifeboat, 1 VM, host hangs",
        "prototype, 5 VMs",
        "Lifeboat, 5 VMs, power lost",
        "Lifeboat, 5 VMs, host hangs",
    ];
    let mut table = Table::new(about, &headings);
    let title = "Time to recover by detection time";
    let cases = [(1, Failure::Power), (1, Failure::Hang), (5, Failure::Power), (5, Failure::Hang)];
    let names = ["1 VM, power lost", "1 VM, host hangs", "5 VMs, power lost", "5 VMs, host hangs"];
    let mut series = names.map(Series::new);
    let mut theirs = Series::marks("prototype of 2007");
    for detection in [None, Some(20), Some(40), Some(60)] {
        let mut row = vec![detection.map_or("default, 3 s".to_owned(), |seconds| format!("{seconds} s"))];
        for ((vms, failure), series) in cases.into_iter().zip(&mut series) {
            if failure == Failure::Power {
                let published = THEIRS.iter().find(|(seconds, count, _)| Some(*seconds) == detection && *count == vms);
                let none = if detection.is_none() { "-" } else { "not published" };
                row.push(published.map_or(none.to_owned(), |(.., seconds)| span(*seconds)));
            }
            let ours = median(detection, vms, failure)?;
            row.push(span(ours));
            let at = detection.unwrap_or(3);
            series.points.push((f64::from(u32::try_from(at).unwrap_or(3)), ours));
        }
        table.rows.push(row);
    }
    for (detection, _, seconds) in THEIRS {
        theirs.points.push((f64::from(u32::try_from(detection).unwrap_or(0)), seconds));
    }
    let mut all = series.to_vec();
    all.push(theirs);
    let chart = Chart {
        title: title.to_owned(),
        x: "seconds of silence until a host counts as failed".to_owned(),
        y: "until all its VMs answer".to_owned(),
        scale: Scale::Linear,
        series: all,
    };
    Ok(Figure { name: "infn-detection", title: "The prototype of 2007: detection and recovery", table, chart })
}
