//! The swarm: random worlds with random mishaps, one a seed, on all cores.
//!
//! # Theory of operation
//!
//! From a seed and a [`Profile`] everything is drawn before the world begins ([`draw`]): the fleet and a list of
//! [`Mishap`]s. The world then runs through them with all promises held after every event. At the end the mishaps stop and
//! what is broken is mended ([`mend`]); every VM that fits must come back: promise 9. Since the list is fixed, a failing
//! seed is made small by leaving mishaps out ([`shrink`]) and is run again by one line.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use lifeboat_model::Seconds;
use serde::Serialize;

use crate::{
    panics,
    promises::Violation,
    world::{Line, World, WorldSettings},
};

mod draw;
mod health;
mod mend;
mod more;
mod profile;
mod shrink;
mod tally;

pub use draw::{Happening, Mishap};
pub use profile::Profile;
pub use shrink::shrink;
pub use tally::Tally;

/// What is run for one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// How bad it gets.
    pub profile: Profile,
    /// How long, in minutes of the world, until the mishaps stop.
    pub minutes: u64,
    /// Hosts and VMs; none: drawn.
    pub size: Option<(u32, u32)>,
    /// The mishaps that happen, by number; none: all.
    pub only: Option<Vec<usize>>,
}

impl Case {
    /// All mishaps of a seed, over half an hour.
    #[must_use]
    pub const fn new(seed: u64, profile: Profile) -> Self {
        Self { seed, profile, minutes: 30, size: None, only: None }
    }

    /// The line that runs it again.
    #[must_use]
    pub fn command(&self) -> String {
        use std::fmt::Write as _;
        let Self { seed, profile, minutes, size, only } = self;
        let mut line = format!("lifeboat sim swarm --seeds {seed} --profile {profile} --minutes {minutes}");
        // Writing to a text never fails.
        if let Some((hosts, vms)) = size {
            let _ = write!(line, " --size {hosts}x{vms}");
        }
        if let Some(only) = only {
            let numbers: Vec<String> = only.iter().map(usize::to_string).collect();
            let _ = write!(line, " --only {}", numbers.join(","));
        }
        line
    }
}

/// How a seed went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub case: Case,
    /// The broken promise, or where the code itself gave up.
    pub failure: Option<Failure>,
    /// What happened, for people; empty where it was not asked for.
    pub timeline: Vec<Line>,
    /// The trace, likewise.
    pub trace: String,
    /// Events of the world.
    pub events: u64,
    /// How long each VM that was lost was away, where it came back.
    pub outages: Vec<Seconds>,
    /// How many mishaps there were.
    pub mishaps: usize,
    /// Hosts that were declared failed.
    pub declared: u64,
    /// Hosts whose power was cut by their BMC.
    pub fenced: u64,
    /// Processes of VMs that were started.
    pub starts: u64,
    /// Controllers' deaths.
    pub crashes: u64,
}

/// Why a seed failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A promise was broken.
    Broken(Violation),
    /// An assertion of the code itself did not hold.
    Panicked(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(violation) => violation.fmt(f),
            Self::Panicked(why) => write!(f, "an assertion does not hold: {why}"),
        }
    }
}

/// Runs one seed. With `told`, keeps the timeline and the trace.
#[must_use]
pub fn run(case: &Case, told: bool) -> Outcome {
    let (mut settings, mishaps) = draw::draw(case);
    (settings.timeline, settings.trace) = (told, told);
    let count = mishaps.len();
    let mut outcome = Outcome {
        case: case.clone(),
        failure: None,
        timeline: Vec::new(),
        trace: String::new(),
        events: 0,
        outages: Vec::new(),
        mishaps: count,
        declared: 0,
        fenced: 0,
        starts: 0,
        crashes: 0,
    };
    let mut world = World::new(settings);
    if let Err(text) = panics::caught(|| run_world(&mut world, case, &mishaps)) {
        outcome.failure = Some(Failure::Panicked(text));
    } else if let Some(broken) = world.broken() {
        outcome.failure = Some(Failure::Broken(broken.clone()));
    }
    let counts = world.counts();
    outcome.events = counts.events;
    outcome.outages = counts.outages.iter().map(|(_, span)| *span).collect();
    outcome.declared = counts.declared.len() as u64;
    outcome.fenced = counts.fenced.len() as u64;
    outcome.starts = counts.starts.values().sum();
    outcome.crashes = counts.crashes;
    if told {
        outcome.timeline = world.timeline().to_vec();
        outcome.trace = world.trace_lines();
    }
    outcome
}

fn run_world(world: &mut World, case: &Case, mishaps: &[Mishap]) {
    // The fleet comes up first: a swarm is about what runs.
    world.run_until(Seconds::new(120), World::is_stable);
    let begin = world.now();
    let chosen = |number: usize| case.only.as_ref().is_none_or(|only| only.contains(&number));
    let mut happenings: Vec<(Seconds, usize, &Happening)> = Vec::new();
    for (number, mishap) in mishaps.iter().enumerate().filter(|(number, _)| chosen(*number)) {
        happenings.extend(mishap.happenings.iter().map(|(at, what)| (*at, number, what)));
    }
    happenings.sort_by_key(|(at, number, _)| (*at, *number));
    for (at, _, happening) in happenings {
        world.run((begin + at).since(world.now()));
        if world.broken().is_some() {
            return;
        }
        match happening {
            Happening::Fault(fault) => world.fault(fault),
            Happening::Order(order) => drop(world.order(order.clone())),
        }
    }
    world.run((begin + Seconds::new(case.minutes * 60)).since(world.now()));
    mend::mend(world);
}

/// Runs seeds on several threads; those that failed, by seed. `progress` is called with each outcome as it comes, in no
/// order, with its timeline and trace if they are wanted.
///
/// # Panics
/// Never: a panic in a world is that seed's failure.
pub fn run_many(cases: &[Case], threads: usize, told: bool, progress: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                    let Some(case) = cases.get(number) else { return };
                    let outcome = run(case, told);
                    progress(&outcome);
                    if outcome.failure.is_some() {
                        failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(outcome);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.sort_by_key(|outcome| outcome.case.seed);
    failed
}

/// The settings of a case's world: for who wants to look at it.
#[must_use]
pub fn world_of(case: &Case) -> (WorldSettings, Vec<Mishap>) {
    draw::draw(case)
}
