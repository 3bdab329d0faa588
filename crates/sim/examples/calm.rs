//! Measures how often a host is fenced though nothing ails it. `make bench-liveness` runs it and writes its table into
//! docs/benchmarks.md.
//!
//! `calm HOST_DAYS LOST_AFTER_MS LOSS_PERCENT PAUSE_MS`: 1,000 hosts whose agents say a heartbeat a second, over links that
//! lose so many packets; each host stands still about once an hour, and the controller about every ten minutes, for up to
//! PAUSE_MS; every clock runs fast or slow by up to 500 in a million. One line: what was decided.

use std::{cmp::Reverse, collections::BinaryHeap, process::ExitCode};

use lifeboat_brain::fleet::Settings;
use lifeboat_model::{HostName, Seconds, Time};
use lifeboat_sim::{Fault, World, WorldSettings, generate::Generate, random::Random, world::Mischief};

const HOSTS: u32 = 1000;
/// Mean time between two pauses of a host.
const HOST_PAUSES: Seconds = Seconds::new(3600);
/// Mean time between two pauses of the controller.
const CONTROLLER_PAUSES: Seconds = Seconds::new(600);
/// How much a clock runs fast or slow, at most, in a million.
const DRIFT: u64 = 500;

/// What ails a calm fleet.
struct Calm {
    span: Seconds,
    lost_after: Seconds,
    loss_percent: f64,
    pause: Seconds,
}

/// Who stands still next; none: the controller.
type Pauses = BinaryHeap<Reverse<(Time, Option<HostName>)>>;

impl Calm {
    /// From words.
    fn read(words: &[String]) -> Option<Self> {
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok()).filter(|it| *it >= 0.0);
        let seconds = |value: f64| Seconds::from_f64(value);
        Some(Self {
            span: seconds(number(0)? * 86_400.0 / f64::from(HOSTS))?,
            lost_after: seconds(number(1)? / 1000.0)?,
            loss_percent: number(2)?,
            pause: seconds(number(3)? / 1000.0)?,
        })
    }

    fn world(&self) -> Result<World, lifeboat_model::NameError> {
        let generate = Generate { hosts: HOSTS, vms: HOSTS, arrays: 8, racks: 50, ..Generate::default() };
        let mut settings = Settings::default();
        let usual = settings.liveness.suspect_after_s;
        settings.liveness.suspect_after_s = usual.min(Seconds::from_micros(self.lost_after.micros() * 2 / 3));
        settings.liveness.lost_after_s = self.lost_after;
        let world = WorldSettings { settings, ..WorldSettings::new(1, generate.declaration()?) };
        Ok(World::new(WorldSettings { settled: true, timeline: false, trace: false, ..world }))
    }

    fn run(&self) -> Result<String, Box<dyn std::error::Error>> {
        let mut world = self.world()?;
        let mut random = Random::of(1, "calm");
        let mut pauses = Pauses::new();
        for n in 1..=HOSTS {
            let name = HostName::new(&format!("h{n}"))?;
            world.fault(&Fault::ClockRate(name.clone(), drift(&mut random)));
            pauses.push(Reverse((world.now() + wait(&mut random, HOST_PAUSES), Some(name))));
        }
        world.fault(&Fault::ControllerClockRate(0, drift(&mut random)));
        pauses.push(Reverse((world.now() + wait(&mut random, CONTROLLER_PAUSES), None)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a million")]
        let lose = (self.loss_percent * 10_000.0) as u32;
        world.fault(&Fault::Messages(Mischief { lose, ..Mischief::default() }));
        world.run(Seconds::new(60));
        let (end, before) = (world.now() + self.span, world.counts().clone());
        let mut stood_still = 0_u64;
        while let Some(Reverse((at, who))) = pauses.pop().filter(|Reverse((at, _))| *at < end) {
            world.run(at.since(world.now()));
            self.let_go_on(&mut world);
            let span = random.between(Seconds::ZERO, self.pause);
            let mean = if who.is_some() { HOST_PAUSES } else { CONTROLLER_PAUSES };
            match &who {
                Some(host) => world.fault(&Fault::Hang(host.clone(), Some(span))),
                None => world.fault(&Fault::ControllerHangs(0, span)),
            }
            stood_still += 1;
            pauses.push(Reverse((world.now() + wait(&mut random, mean), who)));
        }
        world.run(end.since(world.now()));
        if let Some(broken) = world.broken() {
            return Err(broken.to_string().into());
        }
        let counts = world.counts();
        Ok(format!(
            "{} {stood_still} {} {} {}",
            counts.events - before.events,
            counts.asked - before.asked,
            counts.declared.len(),
            counts.fenced.len(),
        ))
    }

    /// Whoever was cut off its power gets it back, so that there are always as many to be judged.
    fn let_go_on(&self, world: &mut World) {
        let off: Vec<HostName> = world.counts().fenced.clone();
        for host in off {
            world.fault(&Fault::Power(host, true));
        }
    }
}

/// The rate of a clock that is nearly right.
fn drift(random: &mut Random) -> u64 {
    1_000_000 - DRIFT + random.below(2 * DRIFT + 1)
}

/// A time until something that happens at any time alike, so often on average.
fn wait(random: &mut Random, mean: Seconds) -> Seconds {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are enough for a chance")]
    let chance = ((random.number() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    Seconds::from_f64(-chance.ln() * mean.as_f64()).unwrap_or(mean)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(calm) = Calm::read(&words) else {
        eprintln!("usage: calm HOST_DAYS LOST_AFTER_MS LOSS_PERCENT PAUSE_MS");
        return ExitCode::from(2);
    };
    match calm.run() {
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
