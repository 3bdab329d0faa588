//! A message as JSON on a program's standard input.
//!
//! The program has a process group of its own, which is ended whole when the time is over, when the call is dropped, and
//! when the program has ended, so that nothing that it began is left behind. Of what it prints a little is kept, for the
//! message that says that it failed.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use lifeboat_model::{Seconds, notice::Notice};
use lifeboat_ports::{Delivery, Notifier, NotifyError};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::Notify,
    time::{sleep, timeout},
};

use super::{Fault, check_timeout, default_timeout, excerpt, webhook::document};

/// What is kept of each of its outputs, in bytes.
const KEPT: usize = 4096;
/// How long its outputs may stay open after it has ended: something that it left running holds them.
const DRAIN: Duration = Duration::from_millis(500);

/// A program's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The most time that it may take.
    #[serde(default = "default_timeout")]
    pub timeout_s: Seconds,
}

impl CommandSpec {
    pub(super) fn validate(&self) -> Result<(), String> {
        check_timeout(self.timeout_s)?;
        if !self.program.is_absolute() {
            return Err(format!("program is {}; it must begin with `/`", self.program.display()));
        }
        match self.arguments.iter().find(|argument| argument.contains('\0')) {
            Some(_) => Err("an argument has a zero byte".to_owned()),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(super) struct NotifyCommand {
    pub(super) receiver: String,
    pub(super) from: String,
    pub(super) spec: CommandSpec,
}

#[async_trait]
impl Notifier for NotifyCommand {
    async fn deliver(&self, notice: &Notice) -> Result<Delivery, NotifyError> {
        let mut input = document(&self.from, notice);
        input.push(b'\n');
        let program = self.spec.program.display();
        let limit = self.spec.timeout_s;
        let fault = match timeout(limit.into(), run(&self.spec.program, &self.spec.arguments, &input)).await {
            Ok(Ok((status, _))) if status.success() => return Ok(Delivery::default()),
            Ok(Ok((status, said))) => {
                let said = excerpt(&said);
                let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
                Fault::passing(format!("{program} ended with {status}; {said}"))
            }
            Ok(Err(error)) => Fault::passing(format!("{program} cannot be run")).because(error),
            Err(_) => Fault::passing(format!("{program} had not ended after {limit} and was killed")),
        };
        Err(fault.of(&self.receiver))
    }
}

/// Ends what is left of a program's process group.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nothing to do when none is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(program: &Path, arguments: &[String], input: &[u8]) -> io::Result<(ExitStatus, String)> {
    let mut child = Command::new(program)
        .args(arguments)
        .process_group(0)
        .kill_on_drop(true)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = Notify::new();
    let waiting = async {
        let status = feed_and_wait(&mut child, input).await;
        drop(group);
        ended.notify_one();
        status
    };
    let reading = async {
        tokio::select! {
            _ = async { tokio::join!(keep(&mut out, stdout), keep(&mut err, stderr)) } => {}
            // Its last words are in the pipes already; only something that got away from its group keeps them open.
            () = async { ended.notified().await; sleep(DRAIN).await } => {}
        }
    };
    let (status, ()) = tokio::join!(waiting, reading);
    let said = if err.is_empty() { out } else { err };
    Ok((status?, String::from_utf8_lossy(&said).into_owned()))
}

async fn feed_and_wait(child: &mut Child, input: &[u8]) -> io::Result<ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input).await {
            // It ended without reading, or does not want to: its exit code says how it went.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
    }
    child.wait().await
}

/// Reads to the end and keeps the beginning.
async fn keep(kept: &mut Vec<u8>, from: Option<impl AsyncRead + Unpin>) {
    let Some(mut from) = from else { return };
    let mut chunk = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
}
