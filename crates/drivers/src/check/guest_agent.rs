//! The QEMU guest agent answers over its VM's virtio-serial channel.
//!
//! The channel is a Unix socket of QEMU that one program at a time may use, and may hold answers to questions that somebody
//! asked who has gone. So a `guest-sync` with a number of its own comes first, and what is heard before that number is left
//! out; then the agent is pinged.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use lifeboat_model::health::{CheckReport, CheckStatus};
use lifeboat_ports::Check;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixStream, unix::OwnedReadHalf},
    time::timeout,
};

/// The most that is read in one look, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// The longest path that the address of a unix socket takes.
const MOST_SOCKET_PATH_BYTES: usize = 107;

/// Asks a guest agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestAgentCheck {
    /// The channel's socket.
    pub socket: PathBuf,
    /// A number that no other look at the same channel has.
    pub sync: u32,
    /// How long it may take.
    pub limit: Duration,
}

#[async_trait]
impl Check for GuestAgentCheck {
    async fn look(&self) -> CheckReport {
        match timeout(self.limit, self.ask()).await {
            Ok(report) => report,
            Err(_) => {
                let text = format!("the guest agent did not answer within {:?}", self.limit);
                CheckReport::new(CheckStatus::Critical, &text)
            }
        }
    }
}

impl GuestAgentCheck {
    async fn ask(&self) -> CheckReport {
        let unknown = |text: String| CheckReport::new(CheckStatus::Unknown, &text);
        let stream = match connect(&self.socket).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return unknown(
                    "the VM has no channel to a guest agent: set machine.guest_agent = true and restart it".to_owned(),
                );
            }
            Err(error) => return unknown(format!("the channel {} cannot be opened: {error}", self.socket.display())),
        };
        match self.converse(stream).await {
            Ok(None) => CheckReport::new(CheckStatus::Ok, "the guest agent answers"),
            Ok(Some(problem)) => CheckReport::new(CheckStatus::Critical, &problem),
            Err(error) => {
                CheckReport::new(CheckStatus::Critical, &format!("the channel to the guest agent broke: {error}"))
            }
        }
    }

    /// None when it answers a ping; otherwise what it said instead.
    async fn converse(&self, stream: UnixStream) -> io::Result<Option<String>> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read.take(MAX_BYTES));
        // The 0xff makes the agent drop half a line that somebody left.
        write.write_all(b"\xff").await?;
        let sync = json!({ "execute": "guest-sync", "arguments": { "id": self.sync } });
        write.write_all(format!("{sync}\n").as_bytes()).await?;
        while next(&mut lines).await?["return"] != json!(self.sync) {}
        write.write_all(b"{\"execute\":\"guest-ping\"}\n").await?;
        let answer = next(&mut lines).await?;
        if answer.get("return").is_some() {
            return Ok(None);
        }
        let said = answer["error"]["desc"].as_str().unwrap_or("what it said is no answer");
        Ok(Some(format!("the guest agent refuses a ping: {said}")))
    }
}

/// Connects, however long the path is: the kernel takes 107 bytes.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    if socket.as_os_str().len() <= MOST_SOCKET_PATH_BYTES {
        return UnixStream::connect(socket).await;
    }
    let directory = File::open(directory)?;
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)).await
}

/// The next line as JSON; what is none is as good as empty.
async fn next(lines: &mut BufReader<tokio::io::Take<OwnedReadHalf>>) -> io::Result<Value> {
    let mut line = Vec::new();
    if lines.read_until(b'\n', &mut line).await? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was closed, or more was said than an answer"));
    }
    let from = line.iter().position(|byte| *byte == b'{').unwrap_or(line.len());
    Ok(serde_json::from_slice(&line[from..]).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use lifeboat_ports::conformance;
    use tempfile::TempDir;
    use tokio::net::UnixListener;

    use super::*;

    /// How a guest agent behaves.
    #[derive(Clone, Copy, PartialEq)]
    enum Agent {
        Well,
        Silent,
        Refuses,
        Babbles,
        Closes,
    }

    /// A guest agent at a socket, one client at a time as with QEMU, with words in the channel that nobody has fetched.
    fn agent(behaviour: Agent) -> (TempDir, PathBuf) {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = serve(stream, behaviour).await;
            }
        });
        (directory, socket)
    }

    async fn serve(stream: UnixStream, behaviour: Agent) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read);
        if behaviour == Agent::Babbles {
            loop {
                write.write_all(&[b'x'; 4096]).await?;
            }
        }
        write.write_all(b"{\"return\": 1}\n\xff{\"return\": {}}\n").await?;
        loop {
            let mut line = Vec::new();
            if lines.read_until(b'\n', &mut line).await? == 0 || behaviour == Agent::Closes {
                return Ok(());
            }
            let from = line.iter().position(|byte| *byte == b'{').unwrap_or(0);
            let asked: Value = serde_json::from_slice(&line[from..])?;
            let answer = match (asked["execute"].as_str(), behaviour) {
                (_, Agent::Silent) => continue,
                (Some("guest-sync"), _) => json!({ "return": asked["arguments"]["id"] }),
                (_, Agent::Refuses) => json!({ "error": { "class": "GenericError", "desc": "frozen" } }),
                _ => json!({ "return": {} }),
            };
            write.write_all(format!("{answer}\n").as_bytes()).await?;
        }
    }

    fn check(socket: &std::path::Path, limit: Duration) -> GuestAgentCheck {
        GuestAgentCheck { socket: socket.to_owned(), sync: 4711, limit }
    }

    #[tokio::test]
    async fn it_keeps_the_contract_of_a_check() {
        let (up, down) = (agent(Agent::Well), agent(Agent::Refuses));
        let limit = Duration::from_secs(30);
        conformance::check::run(&check(&up.1, limit), &check(&down.1, limit)).await;
        assert_eq!(check(&down.1, limit).look().await.output, "the guest agent refuses a ping: frozen");
    }

    #[tokio::test]
    async fn one_that_is_silent_babbles_or_closes_is_not_well_and_bounded() {
        for behaviour in [Agent::Silent, Agent::Babbles, Agent::Closes] {
            let (_directory, socket) = agent(behaviour);
            let limit = if behaviour == Agent::Silent { 200 } else { 30_000 };
            let report = check(&socket, Duration::from_millis(limit)).look().await;
            assert_eq!(report.status, CheckStatus::Critical, "{report:?}");
        }
    }

    #[tokio::test]
    async fn a_vm_without_a_channel_is_not_called_silent() {
        let report = check(std::path::Path::new("/nonexistent/agent"), Duration::from_secs(30)).look().await;
        assert_eq!(report.status, CheckStatus::Unknown);
        assert!(report.output.contains("machine.guest_agent"), "{}", report.output);
    }
}
