//! How long 24 volumes take to map and to unmap through the driver, against what the daemon itself takes for the same
//! work: the bare commands, all of them sent ahead on one connection. Prints a table and the ratio.
//!
//! The rounds of the two alternate, at two daemons that are alike, so that whatever else the machine does meets both.

#[path = "../tests/support/storage_daemon.rs"]
mod storage_daemon;

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use lifeboat_drivers::storage::NbdArray;
use lifeboat_model::{ArrayName, Epoch, Generation, HostName, VolumeName, spec::VolumeSpec};
use lifeboat_ports::{MapOrder, StorageArray as _};
use serde_json::{Value, json};
use storage_daemon::StorageDaemon;
use tokio::runtime::Runtime;

const VOLUMES: usize = 24;
const ROUNDS: u64 = 51;

type Failure = Box<dyn Error + Send + Sync>;

/// The time to map all and the time to unmap all.
type Times = (Duration, Duration);

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let mut volumes = Vec::new();
    for number in 0..VOLUMES {
        let name = VolumeName::new(&format!("disk-{number}"))?;
        let volume = VolumeSpec { name, array: ArrayName::new("a1")?, size_gib: 0, file: None };
        fs::File::create(directory.path().join(volume.file_name()))?.set_len(64 << 20)?;
        volumes.push(volume);
    }
    let daemons = ["h1", "h2"].map(|name| StorageDaemon::start(directory.path(), name, None));
    let mut bare = Bare::new(&daemons[0], directory.path(), &volumes)?;
    let mut driver = Driver::new(&daemons[1], directory.path(), volumes)?;
    let (mut bare_rounds, mut driver_rounds) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare_rounds.push(bare.round()?);
        driver_rounds.push(driver.round(round)?);
    }
    println!("{VOLUMES} volumes, median of {ROUNDS} rounds       map      unmap        both");
    let print = |what: &str, (map, unmap): Times| {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        println!("{what:<32} {:>7.2} ms {:>7.2} ms {:>8.2} ms", ms(map), ms(unmap), ms(map + unmap));
        map + unmap
    };
    let bare = print("the daemon alone", median(bare_rounds));
    let driver = print("through the driver", median(driver_rounds));
    println!("ratio {:.2} (at most 2 is the aim)", driver.as_secs_f64() / bare.as_secs_f64());
    Ok(())
}

fn median(mut rounds: Vec<Times>) -> Times {
    rounds.sort_by_key(|(map, unmap)| *map + *unmap);
    rounds[rounds.len() / 2]
}

/// One connection over which commands are sent ahead.
struct Bare {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    map: Vec<Value>,
    withdraw: Vec<Value>,
    delete: Vec<Value>,
}

impl Bare {
    fn new(daemon: &StorageDaemon, directory: &Path, volumes: &[VolumeSpec]) -> Result<Self, Failure> {
        let stream = UnixStream::connect(&daemon.target.qmp)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        lines.read_line(&mut String::new())?;
        let mut bare = Self { stream, lines, map: Vec::new(), withdraw: Vec::new(), delete: Vec::new() };
        bare.run(&[json!({ "execute": "qmp_capabilities" })], 0)?;
        let call = |command: &str, arguments: Value| json!({ "execute": command, "arguments": arguments });
        for (number, volume) in volumes.iter().enumerate() {
            let (node, id) = (format!("node-{number}"), format!("export-{number}"));
            let opened = json!({
                "driver": "file", "node-name": node, "filename": directory.join(volume.file_name()),
                "aio": "threads", "cache": { "direct": true }, "discard": "unmap", "locking": "auto",
            });
            bare.map.push(call("blockdev-add", opened));
            let export = json!({ "type": "nbd", "id": id, "node-name": node, "name": volume.name, "writable": true });
            bare.map.push(call("block-export-add", export));
            bare.withdraw.push(call("block-export-del", json!({ "id": id, "mode": "hard" })));
            bare.delete.push(call("blockdev-del", json!({ "node-name": node })));
        }
        Ok(bare)
    }

    fn round(&mut self) -> Result<Times, Failure> {
        let (map, withdraw, delete) = (self.map.clone(), self.withdraw.clone(), self.delete.clone());
        let mapped = self.run(&map, 0)?;
        let withdrawn = self.run(&withdraw, withdraw.len())?;
        Ok((mapped, withdrawn + self.run(&delete, 0)?))
    }

    /// Sends all commands at once, then reads until each was answered and so many exports were deleted.
    fn run(&mut self, commands: &[Value], mut deletions: usize) -> Result<Duration, Failure> {
        let mut text = Vec::new();
        for command in commands {
            serde_json::to_writer(&mut text, command)?;
            text.push(b'\n');
        }
        let begin = Instant::now();
        let mut answers = commands.len();
        let mut writer = self.stream.try_clone()?;
        std::thread::scope(|scope| {
            let written = scope.spawn(move || writer.write_all(&text));
            while answers > 0 || deletions > 0 {
                let mut line = String::new();
                self.lines.read_line(&mut line)?;
                let message: Value = serde_json::from_str(&line)?;
                if message["return"].is_object() {
                    answers -= 1;
                } else if message["event"] == "BLOCK_EXPORT_DELETED" {
                    deletions -= 1;
                } else {
                    return Err(format!("the daemon said {}", line.trim()).into());
                }
            }
            written.join().map_err(|_| "the writer panicked")??;
            Ok(begin.elapsed())
        })
    }
}

/// The driver, mapping all volumes at once.
struct Driver {
    runtime: Runtime,
    array: NbdArray,
    host: HostName,
    volumes: Vec<VolumeSpec>,
}

impl Driver {
    fn new(daemon: &StorageDaemon, directory: &Path, volumes: Vec<VolumeSpec>) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let host = HostName::new("h2")?;
        let targets = BTreeMap::from([(host.clone(), daemon.target.clone())]);
        let directory = directory.to_str().ok_or("the temporary directory's path is not printable")?;
        let array = NbdArray::new(ArrayName::new("a1")?, directory, targets)?;
        runtime.block_on(array.mappings())?;
        Ok(Self { runtime, array, host, volumes })
    }

    fn round(&mut self, round: u64) -> Result<Times, Failure> {
        let order = MapOrder { epoch: Epoch(1), generation: Generation(round) };
        let (array, host) = (&self.array, &self.host);
        self.runtime.block_on(async {
            let begin = Instant::now();
            try_join_all(self.volumes.iter().map(|volume| array.map(volume, host, order))).await?;
            let mapped = begin.elapsed();
            try_join_all(self.volumes.iter().map(|volume| array.unmap(volume, host, order))).await?;
            Ok((mapped, begin.elapsed() - mapped))
        })
    }
}
