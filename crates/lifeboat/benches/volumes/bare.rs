//! The daemons alone: one connection to each, over which all commands are sent ahead.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Failure, Storage};

/// What is asked of a daemon for all volumes.
struct Commands {
    map: Vec<Value>,
    withdraw: Vec<Value>,
    delete: Vec<Value>,
}

pub struct Bare {
    connections: [Connection; 2],
    commands: Commands,
    _storage: Storage,
}

impl Bare {
    /// All volumes are mapped at the first daemon.
    pub async fn new(storage: Storage) -> Result<Self, Failure> {
        let [one, other] = &storage.daemons;
        let connections = [Connection::open(&one.target.qmp)?, Connection::open(&other.target.qmp)?];
        let commands = commands(&storage);
        let mut bare = Self { connections, commands, _storage: storage };
        bare.connections[0].run(&bare.commands.map, 0)?;
        Ok(bare)
    }

    /// All volumes from one daemon to the other.
    pub fn round(&mut self, to: usize) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let from = &mut self.connections[1 - to];
        from.run(&self.commands.withdraw, self.commands.withdraw.len())?;
        from.run(&self.commands.delete, 0)?;
        self.connections[to].run(&self.commands.map, 0)?;
        Ok(begin.elapsed())
    }
}

fn commands(storage: &Storage) -> Commands {
    let call = |command: &str, arguments: Value| json!({ "execute": command, "arguments": arguments });
    let mut commands = Commands { map: Vec::new(), withdraw: Vec::new(), delete: Vec::new() };
    for (number, volume) in storage.volumes.iter().enumerate() {
        let (node, id) = (format!("node-{number}"), format!("export-{number}"));
        let opened = json!({
            "driver": "file", "node-name": node, "filename": storage.directory.join(volume.file_name()),
            "aio": "threads", "cache": { "direct": true }, "discard": "unmap", "locking": "auto",
        });
        commands.map.push(call("blockdev-add", opened));
        let export = json!({ "type": "nbd", "id": id, "node-name": node, "name": volume.name, "writable": true });
        commands.map.push(call("block-export-add", export));
        commands.withdraw.push(call("block-export-del", json!({ "id": id, "mode": "hard" })));
        commands.delete.push(call("blockdev-del", json!({ "node-name": node })));
    }
    commands
}

struct Connection {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Connection {
    fn open(qmp: &str) -> Result<Self, Failure> {
        let stream = UnixStream::connect(qmp)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        lines.read_line(&mut String::new())?;
        let mut connection = Self { stream, lines };
        connection.run(&[json!({ "execute": "qmp_capabilities" })], 0)?;
        Ok(connection)
    }

    /// Sends all commands at once, then reads until each was answered and so many exports were deleted.
    fn run(&mut self, commands: &[Value], mut deletions: usize) -> Result<(), Failure> {
        let mut text = Vec::new();
        for command in commands {
            serde_json::to_writer(&mut text, command)?;
            text.push(b'\n');
        }
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
            Ok(())
        })
    }
}
