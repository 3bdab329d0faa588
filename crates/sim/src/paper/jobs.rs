//! 200 jobs in 6 hours, with the host of the job server killed every 10 minutes: none may be lost.
//!
//! The job server is a VM. It answers only while its guest does, and keeps its queue on its volume: what it has accepted
//! is written there before it answers, by the host that can write to that volume. Workers are VMs too: each asks for a
//! job, computes, and hands in the result; a job whose worker is lost is given to another. Clients ask again until they are
//! answered. All of that is modelled here; that there is one server at a time, with its volume, is the world's.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_model::{HostName, Seconds, VmName, VolumeName};

use super::{
    Figure, PaperError, Table,
    plot::{Chart, Scale, Series},
    span,
};
use crate::{Fault, World, WorldSettings, generate::Generate, times::Span};

const JOBS: usize = 200;
const HOURS: u64 = 6;
const KILL_EVERY_S: u64 = 600;
/// A host that was killed is powered on after this.
const BACK_AFTER_S: u64 = 240;
/// Seconds that a worker computes.
const WORK_S: u64 = 300;
/// A job is given to another worker when nothing was heard of it for so long.
const GIVE_AGAIN_S: u64 = 900;

/// What is on the server's volume: only what was written there counts.
#[derive(Debug, Default)]
struct Disk {
    waiting: BTreeSet<usize>,
    given: BTreeMap<usize, u64>,
    done: BTreeSet<usize>,
}

/// A worker's memory; it is gone when its VM is.
#[derive(Clone, Copy, Debug)]
struct Work {
    job: usize,
    left_s: u64,
    start: u64,
}

struct Run {
    world: World,
    server: VmName,
    volume: VolumeName,
    disk: Disk,
    workers: BTreeMap<VmName, Option<Work>>,
    accepted: BTreeSet<usize>,
    kills: u64,
    /// Hosts that are powered on again, and when.
    back: Vec<(u64, HostName)>,
    away_s: u64,
    longest_s: u64,
    down_s: u64,
    handed: Series,
    done: Series,
}

/// The figure.
///
/// # Errors
/// When the world breaks a promise, or a job is lost.
pub fn figure() -> Result<Figure, PaperError> {
    let mut run = Run::new()?;
    let mut second = 0;
    // Clients hand jobs in for six hours; then those that are left are finished.
    while second < HOURS * 3600 || (run.disk.done.len() < JOBS && second < 2 * HOURS * 3600) {
        run.second(second)?;
        second += 1;
    }
    let lost = run.accepted.iter().filter(|job| !run.disk.done.contains(job)).count();
    if let Some(broken) = run.world.broken() {
        return Err(PaperError::World(broken.to_string()));
    }
    let share = 100.0 * (1.0 - part(run.away_s, HOURS * 3600));
    let about = format!(
        "{JOBS} jobs of {} each are handed in over {HOURS} h; every 10 minutes the host on which the job server then runs loses its power, \
         and gets it back {} later. Simulated: 4 hosts, the server and 6 workers as VMs, default delays, guests that boot in 20 to 40 s.",
        span(seconds(WORK_S)),
        span(seconds(BACK_AFTER_S)),
    );
    let mut table = Table::new(about, &["", "published", "Lifeboat"]);
    let mut row = |what: &str, theirs: &str, ours: String| {
        table.rows.push(vec![what.to_owned(), theirs.to_owned(), ours]);
    };
    row("hosts killed", "every 10 min", run.kills.to_string());
    row("jobs accepted", "200", run.accepted.len().to_string());
    row("jobs done", "200", run.disk.done.len().to_string());
    row("jobs lost", "0", lost.to_string());
    row("the server answered", "-", format!("{share:.1} % of the time"));
    row("longest without it", "-", span(seconds(run.longest_s)));
    let chart = Chart {
        title: "200 jobs while the job server's host is killed every 10 minutes".to_owned(),
        x: "minutes".to_owned(),
        y: "jobs".to_owned(),
        scale: Scale::Linear,
        series: vec![run.handed, run.done],
    };
    if lost > 0 || run.disk.done.len() < JOBS {
        return Err(PaperError::World(format!("{lost} accepted jobs were lost, {} done", run.disk.done.len())));
    }
    Ok(Figure { name: "jobs", title: "200 jobs, the server's host killed every 10 minutes", table, chart })
}

fn seconds(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn part(of: u64, whole: u64) -> f64 {
    seconds(of) / seconds(whole)
}

impl Run {
    fn new() -> Result<Self, PaperError> {
        let generate = Generate { hosts: 4, vms: 7, ..Generate::default() };
        let mut settings = WorldSettings::new(7, generate.declaration()?);
        (settings.settled, settings.timeline, settings.trace) = (true, false, false);
        settings.times.all.guest_boot = Span::Between(Seconds::new(20), Seconds::new(40));
        let mut world = World::new(settings);
        world.run(Seconds::new(60));
        let workers = (2..=7).map(|n| Ok((VmName::new(&format!("v{n}"))?, None)));
        Ok(Self {
            server: VmName::new("v1")?,
            volume: VolumeName::new("v1-d0")?,
            workers: workers.collect::<Result<_, PaperError>>()?,
            world,
            disk: Disk::default(),
            accepted: BTreeSet::new(),
            kills: 0,
            back: Vec::new(),
            away_s: 0,
            longest_s: 0,
            down_s: 0,
            handed: Series::new("accepted by the server"),
            done: Series::new("done"),
        })
    }

    fn second(&mut self, now: u64) -> Result<(), PaperError> {
        self.mishaps(now);
        self.world.run(Seconds::new(1));
        let serves = self.serves()?;
        if serves {
            self.down_s = 0;
        } else if now < HOURS * 3600 {
            self.away_s += 1;
            self.down_s += 1;
            self.longest_s = self.longest_s.max(self.down_s);
        }
        // Clients: the n-th job is handed in from its minute on, until the server has said that it has it.
        let due = (usize::try_from(now).unwrap_or(usize::MAX) * JOBS / (usize::try_from(HOURS * 3600).unwrap_or(1))
            + 1)
        .min(JOBS);
        for job in 0..due {
            if serves && !self.accepted.contains(&job) {
                self.disk.waiting.insert(job);
                self.accepted.insert(job);
            }
        }
        self.work(now, serves);
        if now.is_multiple_of(60) {
            let minute = seconds(now / 60);
            self.handed.points.push((minute, seconds(self.accepted.len() as u64)));
            self.done.points.push((minute, seconds(self.disk.done.len() as u64)));
        }
        Ok(())
    }

    fn mishaps(&mut self, now: u64) {
        let due = now > 0 && now.is_multiple_of(KILL_EVERY_S) && now < HOURS * 3600;
        let server = || self.world.where_is(&self.server).first().map(|host| (*host).clone());
        if let Some(host) = due.then(server).flatten() {
            self.world.fault(&Fault::Power(host.clone(), false));
            self.back.push((now + BACK_AFTER_S, host));
            self.kills += 1;
        }
        for (_, host) in self.back.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.world.fault(&Fault::Power(host, true));
        }
    }

    /// Whether the server answers; then it must be one, where its volume can be written.
    fn serves(&self) -> Result<bool, PaperError> {
        if !self.world.answers(&self.server) {
            return Ok(false);
        }
        let places = self.world.where_is(&self.server);
        let writes = self.world.volumes().get(&self.volume).map(|volume| self.world.hosts_of(volume));
        if places.len() == 1 && writes.as_ref().is_some_and(|hosts| *hosts == places) {
            return Ok(true);
        }
        Err(PaperError::World(format!("the server runs on {places:?}, its volume is written from {writes:?}")))
    }

    fn work(&mut self, now: u64, serves: bool) {
        let starts = |world: &World, vm: &VmName| world.counts().starts.get(vm).copied().unwrap_or(0);
        for (vm, work) in &mut self.workers {
            let start = starts(&self.world, vm);
            if !self.world.answers(vm) || work.is_some_and(|work| work.start != start) {
                // Its guest is gone, and with it what it had computed.
                *work = None;
                continue;
            }
            match work {
                Some(work) if work.left_s > 0 => work.left_s -= 1,
                Some(Work { job, .. }) if serves => {
                    self.disk.given.remove(job);
                    self.disk.done.insert(*job);
                    *work = None;
                }
                None if serves => {
                    let Some(job) = self.disk.waiting.pop_first() else { continue };
                    self.disk.given.insert(job, now);
                    *work = Some(Work { job, left_s: WORK_S, start });
                }
                _ => {}
            }
        }
        if serves {
            let late: Vec<usize> =
                self.disk.given.iter().filter(|(_, since)| now - **since > GIVE_AGAIN_S).map(|(job, _)| *job).collect();
            for job in late {
                self.disk.given.remove(&job);
                self.disk.waiting.insert(job);
            }
        }
    }
}
