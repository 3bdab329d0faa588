//! Measures the simulator. `make bench-sim` runs it and writes its table into docs/benchmarks.md.
//!
//! `bench day|site|seeds`: one line with how much of the world was run; time and memory are measured from outside.

use std::process::ExitCode;

use lifeboat_model::{HostName, Seconds};
use lifeboat_sim::{
    Fault, World, WorldSettings,
    generate::Generate,
    swarm::{self, Case, Profile},
};

/// A fleet that stands and runs, without a timeline and a trace.
fn world(hosts: u32, vms: u32) -> Result<World, lifeboat_model::NameError> {
    let generate = Generate {
        hosts,
        vms,
        arrays: 8.max(hosts / 250),
        max_ops: 32,
        racks: hosts / 20,
        host_memory_mib: u64::from(vms / hosts) * 1024 * 3 / 2 + 2048,
        ..Generate::default()
    };
    let settings = WorldSettings::new(1, generate.declaration()?);
    Ok(World::new(WorldSettings { settled: true, timeline: false, trace: false, ..settings }))
}

fn host(n: u32) -> Result<HostName, lifeboat_model::NameError> {
    HostName::new(&format!("h{n}"))
}

/// One day of 1,000 hosts and 10,000 VMs; a host loses its power each hour and gets it back half an hour later.
fn day(hours: u32) -> Result<String, Box<dyn std::error::Error>> {
    let mut world = world(1000, 10_000)?;
    world.run(Seconds::new(60));
    let mut lost = 0;
    for hour in 0..hours {
        let host = host(hour * 37 % 1000 + 1)?;
        lost += world.machine(host.as_str()).map_or(0, |machine| machine.guests().len());
        world.fault(&Fault::Power(host.clone(), false));
        world.run(Seconds::new(1800));
        world.fault(&Fault::Power(host, true));
        world.run(Seconds::new(1800));
    }
    told(&world, lost)
}

/// 10,000 hosts with 100,000 VMs, of which 100 hosts lose their power at once.
fn site() -> Result<String, Box<dyn std::error::Error>> {
    let mut world = world(10_000, 100_000)?;
    world.run(Seconds::new(60));
    let mut lost = 0;
    for n in 0..100 {
        let host = host(n * 97 + 1)?;
        lost += world.machine(host.as_str()).map_or(0, |machine| machine.guests().len());
        world.fault(&Fault::Power(host, false));
    }
    world.run_until(Seconds::new(1800), |world| world.counts().outages.len() == lost);
    told(&world, lost)
}

fn told(world: &World, lost: usize) -> Result<String, Box<dyn std::error::Error>> {
    if let Some(broken) = world.broken() {
        return Err(broken.to_string().into());
    }
    let outages = &world.counts().outages;
    let mut spans: Vec<Seconds> = outages.iter().map(|(_, span)| *span).collect();
    spans.sort();
    if spans.len() != lost {
        return Err(format!("{} of {lost} VMs came back", spans.len()).into());
    }
    let at = |share: usize| spans.get((spans.len() * share / 100).min(spans.len().saturating_sub(1)));
    let second = |span: Option<&Seconds>| span.map_or(0.0, |span| span.as_f64());
    Ok(format!(
        "{} events, {lost} VMs lost and back (median {:.1} s, worst {:.1} s)",
        world.counts().events,
        second(at(50)),
        second(at(100)),
    ))
}

/// Stormy seeds of 5 hosts and 20 VMs, one hour each.
fn seeds(count: u64, threads: usize) -> Result<String, Box<dyn std::error::Error>> {
    let case = |seed| Case { minutes: 60, size: Some((5, 20)), ..Case::new(seed, Profile::Stormy) };
    let cases: Vec<Case> = (0..count).map(case).collect();
    let events = std::sync::atomic::AtomicU64::new(0);
    let failed = swarm::run_many(&cases, threads, false, |outcome| {
        events.fetch_add(outcome.events, std::sync::atomic::Ordering::Relaxed);
    });
    for outcome in &failed {
        if let Some(failure) = &outcome.failure {
            eprintln!("{}: {failure}", outcome.case.command());
        }
    }
    Ok(format!("{} events, {} seeds failed", events.into_inner(), failed.len()))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| arguments.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let result = match arguments.first().map(String::as_str) {
        Some("day") => day(small(number(1, 24))),
        Some("site") => site(),
        Some("version") => Ok(env!("CARGO_PKG_VERSION").to_owned()),
        Some("seeds") => seeds(number(1, 1000), usize::try_from(number(2, 2)).unwrap_or(2)),
        _ => Err("usage: bench day [HOURS] | site | seeds [COUNT] [THREADS] | version".into()),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
