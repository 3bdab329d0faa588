//! How long 24 volumes take from one host to another: what the storage daemons themselves take, what the driver takes with
//! them, and what a recovery takes with them, from a host being proven off to the last volume being mapped: the brain, with
//! its plan made, checked and stored, each volume's intent and end stored, the driver and the daemons.
//!
//! Each of the three has two daemons of its own, one a host, and moves the volumes to and fro between them. The rounds of
//! the three alternate, so that whatever else the machine does meets all of them.

#[path = "../../../drivers/tests/support/storage_daemon.rs"]
mod storage_daemon;
#[path = "../support/mod.rs"]
mod support;

mod bare;
mod driver;
mod recovery;

use std::{fs, path::Path, time::Duration};

use lifeboat_model::{ArrayName, spec::VolumeSpec};
use storage_daemon::StorageDaemon;
use support::{Failure, median, table};

const VOLUMES: usize = 24;
const ROUNDS: u64 = 21;
const TARGET: f64 = 2.0;

/// The images, and the two daemons of one of the three.
struct Storage {
    directory: std::path::PathBuf,
    daemons: [StorageDaemon; 2],
    volumes: Vec<VolumeSpec>,
}

impl Storage {
    fn new(directory: &Path) -> Result<Self, Failure> {
        fs::create_dir(directory)?;
        let daemons = ["h1", "h2"].map(|name| StorageDaemon::start(directory, name, None));
        let mut volumes = Vec::new();
        for number in 0..VOLUMES {
            let name = format!("disk-{number}").parse()?;
            let volume = VolumeSpec { name, array: ArrayName::new("a1")?, size_gib: 0, file: None };
            fs::File::create(directory.join(volume.file_name()))?.set_len(64 << 20)?;
            volumes.push(volume);
        }
        Ok(Self { directory: directory.to_owned(), daemons, volumes })
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let scratch = tempfile::tempdir()?;
    let place = |name: &str| Storage::new(&scratch.path().join(name));
    let mut bare = bare::Bare::new(place("bare")?).await?;
    let mut driver = driver::Driver::new(place("driver")?).await?;
    let mut recovery = recovery::Recovery::new(place("recovery")?).await?;
    let mut rounds: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        let to = usize::from(round % 2 == 0);
        let moved = recovery.round(to).await?;
        let times = [bare.round(to)?, driver.round(to, round).await?, moved.volumes, moved.all];
        eprintln!("round {} of {ROUNDS}: {times:.1?}", round + 1);
        for (rounds, time) in rounds.iter_mut().zip(times) {
            rounds.push(time.as_secs_f64() * 1e3);
        }
    }
    let medians: Vec<f64> = rounds.into_iter().filter_map(median).collect();
    let [bare, driver, volumes, all] = medians[..] else { return Err("no rounds".into()) };
    let row = |what: &str, ms: f64, target: bool| {
        let ratio = ms / bare;
        let (most, verdict) =
            if target { (format!("{TARGET:.1}"), table::verdict(ratio, TARGET)) } else { Default::default() };
        vec![what.to_owned(), format!("{ms:.1} ms"), format!("{ratio:.2}"), most, verdict]
    };
    let rows = [
        row("the daemons alone, commands sent ahead", bare, false),
        row("through the driver", driver, false),
        row("through brain, store, driver: proven off to the last mapped", volumes, true),
        row("the same with API and agent: operator's word to configure order", all, false),
    ];
    let head = format!("{VOLUMES} volumes unmapped and mapped, median of {ROUNDS}");
    print!("{}", table::markdown(&[&head, "time", "ratio", "at most", ""], &rows));
    Ok(())
}

/// How long a round of the recovery took.
struct Moved {
    /// From the proof to the last volume, by the controller's trace.
    volumes: Duration,
    /// From the operator's word that the host is off to the order to configure the VM, at the agent.
    all: Duration,
}
