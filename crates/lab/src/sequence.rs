//! Asks guests for the last durable sequence number of each of their volumes.

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::guest::program::PORT;

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1024;

/// What a guest sees of its volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeHealth {
    /// It alone has written to them.
    Ok,
    /// Somebody else has written to one.
    Foreign,
    /// One has failed.
    Failed,
}

/// What a guest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequences {
    /// The guest's boot: another one means that it was started anew.
    pub boot: String,
    /// How its volumes are.
    pub health: VolumeHealth,
    /// The last durable number of each volume, in order.
    pub durable: Vec<u64>,
}

impl Sequences {
    /// Reads a guest's line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        let (magic, boot, health) = (words.next()?, words.next()?, words.next()?);
        let health = match health {
            "ok" => VolumeHealth::Ok,
            "foreign" => VolumeHealth::Foreign,
            "failed" => VolumeHealth::Failed,
            _ => return None,
        };
        let durable = words.map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>()?;
        (magic == "lifeboat-guest").then(|| Self { boot: boot.to_owned(), health, durable })
    }
}

/// Asks one guest. This thread must be in the fabric.
pub(crate) fn ask(address: Ipv4Addr, limit: Duration) -> io::Result<Sequences> {
    let ends = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), limit)?;
    let left = ends.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left))?;
    let mut line = String::new();
    stream.by_ref().take(MAX_ANSWER_BYTES).read_to_string(&mut line)?;
    Sequences::parse(&line)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no answer of a lab guest"))
}

/// Asks several guests at once. This thread must be in the fabric.
pub(crate) fn ask_all(addresses: &[Ipv4Addr], limit: Duration) -> Vec<io::Result<Sequences>> {
    thread::scope(|scope| {
        let asked: Vec<_> = addresses.iter().map(|address| scope.spawn(move || ask(*address, limit))).collect();
        let gone = |_| Err(io::Error::other("the asking thread has panicked"));
        asked.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_line_is_read_whole_or_not_at_all() {
        let line = crate::guest::program::line("boot-7", &[]);
        assert_eq!(Sequences::parse(&line).map(|told| told.boot), Some("boot-7".to_owned()));
        let told = Sequences::parse("lifeboat-guest b foreign 12 7\n").expect("a line");
        assert_eq!((told.health, told.durable), (VolumeHealth::Foreign, vec![12, 7]));
        for bad in
            ["", "lifeboat-guest b ok 1", "lifeboat-guest b fine 1\n", "lifeboat-guest b ok 1x\n", "other b ok\n"]
        {
            assert_eq!(Sequences::parse(bad), None, "{bad:?}");
        }
    }
}
