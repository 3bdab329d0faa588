//! A host that is about to shut down or reboot: how the agent learns of it, and how it waits until it may go.
//!
//! Two ways lead to an announcement. `lifeboat host announce`, run by a unit or a person, says so on a socket in `run_dir`
//! and is told when the host may go. And when the agent itself is asked to end, it asks the service manager whether the
//! whole system goes with it: a plain restart of the agent announces nothing.

use std::{path::Path, process::Stdio, time::Duration};

use lifeboat_brain::message::Going;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    process::Command,
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::warn;

/// The socket's name in `run_dir`.
pub const SOCKET: &str = "agent.sock";
/// How long the service manager may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How long a client may take to say what it wants.
const WORD_LIMIT: Duration = Duration::from_secs(5);
/// Of what the service manager prints, so much is read.
const MAX_ANSWER: u64 = 64 * 1024;
/// Clients at once, at most.
const CLIENTS: usize = 16;

/// How a host leaves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeavingConfig {
    /// Seconds that the agent waits, when the system shuts down, until the controller lets the host go.
    pub wait_s: u64,
    /// What lists the service manager's jobs: in its output a target tells where the system goes.
    pub jobs_command: Vec<String>,
}

impl Default for LeavingConfig {
    fn default() -> Self {
        let words = ["systemctl", "list-jobs", "--no-legend", "--no-pager"];
        Self { wait_s: 600, jobs_command: words.map(str::to_owned).to_vec() }
    }
}

/// Where the system goes, by the service manager's jobs; none: it stays.
pub(crate) async fn going(command: &[String]) -> Option<Going> {
    let (program, arguments) = command.split_first()?;
    let mut child = Command::new(program);
    child.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let ask = async {
        let mut child = child.spawn()?;
        let mut text = Vec::new();
        if let Some(out) = child.stdout.take() {
            out.take(MAX_ANSWER).read_to_end(&mut text).await?;
        }
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&text).into_owned())
    };
    match timeout(ASK_LIMIT, ask).await {
        Ok(Ok(jobs)) => read_jobs(&jobs),
        // No service manager that could shut the system down behind our back.
        Ok(Err(_)) => None,
        Err(_) => {
            warn!("{program} does not say whether the system shuts down; taken for a restart of the agent alone");
            None
        }
    }
}

/// `123 reboot.target start waiting`, a job a line.
fn read_jobs(jobs: &str) -> Option<Going> {
    let mut going = None;
    for line in jobs.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, unit, "start", ..] = words.as_slice() else { continue };
        match *unit {
            "reboot.target" | "kexec.target" | "soft-reboot.target" => return Some(Going::Reboot),
            "poweroff.target" | "halt.target" => going = Some(Going::Shutdown),
            _ => {}
        }
    }
    going
}

/// What the loop knows of leaving.
pub(crate) struct Leaving {
    pub(crate) config: LeavingConfig,
    pub(crate) asked: mpsc::Receiver<Going>,
    pub(crate) may_go: watch::Sender<bool>,
    /// Whether the host is about to go.
    pub(crate) goes: bool,
}

impl Leaving {
    /// Listens in a directory until the task that serves is dropped with its set.
    pub(crate) fn begin(config: LeavingConfig, run_dir: &Path, tasks: &mut tokio::task::JoinSet<()>) -> Self {
        let (sender, asked) = mpsc::channel(CLIENTS);
        let (may_go, goes) = watch::channel(false);
        match lifeboat_transport::listen::bind_unix(&run_dir.join(SOCKET), 0o600) {
            Ok(listener) => drop(tasks.spawn(serve(listener, sender, goes))),
            // What else it does, it does without.
            Err(error) => warn!("`lifeboat host announce` will not work: {error}"),
        }
        Self { config, asked, may_go, goes: false }
    }
}

async fn serve(listener: UnixListener, asked: mpsc::Sender<Going>, may_go: watch::Receiver<bool>) {
    let mut clients = tokio::task::JoinSet::new();
    loop {
        while clients.len() >= CLIENTS {
            clients.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        clients.spawn(client(stream, asked.clone(), may_go.clone()));
        while clients.try_join_next().is_some() {}
    }
}

/// One announcement: a word in, `noted` out, and `go` when the host may.
async fn client(stream: UnixStream, asked: mpsc::Sender<Going>, mut may_go: watch::Receiver<bool>) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(64));
    if !matches!(timeout(WORD_LIMIT, reader.read_line(&mut line)).await, Ok(Ok(1..))) {
        return;
    }
    let going = match line.trim() {
        "shutdown" => Going::Shutdown,
        "reboot" => Going::Reboot,
        "stays" => Going::Stays,
        _ => {
            let _ = write.write_all(b"what?\n").await;
            return;
        }
    };
    may_go.mark_unchanged();
    if asked.send(going).await.is_err() || write.write_all(b"noted\n").await.is_err() || going == Going::Stays {
        return;
    }
    let mut rest = Vec::new();
    let mut reader = reader.into_inner();
    tokio::select! {
        // Set anew by the loop for each announcement.
        gone = async { while may_go.changed().await.is_ok() { if *may_go.borrow() { return true } } false } => {
            if gone {
                let _ = write.write_all(b"go\n").await;
            }
        }
        // It has gone away.
        _ = reader.read_to_end(&mut rest) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_for_a_target_tells_where_the_system_goes() {
        assert_eq!(read_jobs(""), None);
        assert_eq!(read_jobs("12 lifeboat-agent.service restart running\n"), None);
        assert_eq!(
            read_jobs("1 lifeboat-agent.service stop running\n7 reboot.target start waiting\n"),
            Some(Going::Reboot)
        );
        assert_eq!(read_jobs("7 poweroff.target start waiting\n"), Some(Going::Shutdown));
        assert_eq!(read_jobs("7 reboot.target stop waiting\n"), None);
        assert_eq!(read_jobs("reboot.target\n\u{0}\u{1b}[31m x y start"), None);
    }

    #[tokio::test]
    async fn who_does_not_answer_or_is_not_there_announces_nothing() {
        let words = |words: &[&str]| words.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        assert_eq!(going(&words(&["/nonexistent/systemctl"])).await, None);
        assert_eq!(going(&words(&["sleep", "1000"])).await, None);
        assert_eq!(going(&words(&["echo", "7 reboot.target start waiting"])).await, Some(Going::Reboot));
        assert_eq!(going(&words(&["sh", "-c", "yes '9 x start'"])).await, None);
        assert_eq!(going(&[]).await, None);
    }
}
