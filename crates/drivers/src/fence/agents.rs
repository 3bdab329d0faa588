//! Any installed `fence_*` agent of the ClusterLabs collection.
//!
//! Theory of operation: the agent is run once for each call, with its options as `key=value` lines on standard input and
//! nothing in its arguments, so that no secret is seen in a process list. `action=off` succeeds with exit code 0;
//! `action=status` answers 0 for on and 2 for off. The agent has a process group of its own, which is killed whole when
//! the time is over, when the call is dropped, and when the agent has ended, so that no helper of it (`ipmitool`, `ssh`)
//! is left behind. What it prints is read to a limit and searched for secrets before it is shown.

use std::{
    collections::BTreeMap,
    env, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use lifeboat_model::spec::AgentFence;
use lifeboat_ports::{FenceDevice, FenceError, PowerState};
use lifeboat_transport::secret::{Secret, SecretFile};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    sync::Notify,
    time,
};

use super::{CUT, Fault, READ, excerpt};

/// The most that is kept of what an agent prints on each of its outputs, in bytes. The rest is read and dropped.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// How long an agent's outputs may stay open after it has ended: something that it left running holds them.
const DRAIN: Duration = Duration::from_millis(500);

/// A fence device behind an installed agent.
#[derive(Debug)]
pub struct AgentDevice {
    spec: AgentFence,
}

#[derive(Clone, Copy)]
enum Action {
    Off,
    Status,
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Status => "status",
        }
    }
}

struct Answer {
    status: ExitStatus,
    said: String,
}

impl AgentDevice {
    /// The device of a declaration.
    #[must_use]
    pub const fn new(spec: AgentFence) -> Self {
        Self { spec }
    }

    async fn ask(&self, action: Action) -> Result<Answer, Fault> {
        let path = env::var_os("PATH").unwrap_or_default();
        // Service managers often leave /usr/sbin out, where distributions install the agents.
        let folders: Vec<PathBuf> = env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
        self.ask_in(&folders, action).await
    }

    async fn ask_in(&self, folders: &[PathBuf], action: Action) -> Result<Answer, Fault> {
        let program = find(&self.spec.agent, folders)?;
        let secrets = self.secrets()?;
        let input = input(&self.spec, &secrets, action)?;
        let limit = self.spec.timeout_s;
        match time::timeout(limit.into(), run(&program, &input)).await {
            Err(_) => Err(Fault::passing(format!(
                "{} had not ended after {limit} and was killed; look whether its device answers, or raise timeout_s",
                self.spec.agent
            ))),
            Ok(Err(error)) => {
                let problem = format!("{} cannot be run; look at the file and its interpreter", program.display());
                Err(Fault::passing(problem).because(error))
            }
            Ok(Ok((status, said))) => Ok(Answer { status, said: redact(&said, &secrets) }),
        }
    }

    fn secrets(&self) -> Result<BTreeMap<&str, Secret>, Fault> {
        self.spec
            .secret_files
            .iter()
            .map(|(key, file)| match SecretFile::read(Path::new(file)) {
                Ok(secret) => Ok((key.as_str(), secret)),
                Err(error) => Err(Fault::lasting(format!("the secret of option `{key}` is not usable")).because(error)),
            })
            .collect()
    }

    fn failed(&self, action: Action, answer: &Answer) -> Fault {
        let how = match answer.status.code() {
            Some(code) => format!("ended with code {code}"),
            None => "was killed by a signal".to_owned(),
        };
        let said =
            if answer.said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {}", answer.said) };
        Fault::passing(format!(
            "{} {} for action={}; {said}. Try it by hand with the same options",
            self.spec.agent,
            how,
            action.as_str()
        ))
    }
}

#[async_trait]
impl FenceDevice for AgentDevice {
    async fn power_off(&self) -> Result<(), FenceError> {
        let answer = self.ask(Action::Off).await.map_err(|fault| fault.of(&self.spec.name, CUT))?;
        if answer.status.success() {
            return Ok(());
        }
        Err(self.failed(Action::Off, &answer).of(&self.spec.name, CUT))
    }

    async fn power_state(&self) -> Result<PowerState, FenceError> {
        let answer = self.ask(Action::Status).await.map_err(|fault| fault.of(&self.spec.name, READ))?;
        match answer.status.code() {
            Some(0) => Ok(PowerState::On),
            Some(2) => Ok(PowerState::Off),
            _ => Err(self.failed(Action::Status, &answer).of(&self.spec.name, READ)),
        }
    }
}

fn find(agent: &str, folders: &[PathBuf]) -> Result<PathBuf, Fault> {
    let rest = agent.strip_prefix("fence_").unwrap_or_default();
    if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(Fault::lasting(format!(
            "`{}` is no name of a fence agent: that is `fence_` and lower-case letters, digits or `_`",
            excerpt(agent)
        )));
    }
    // A relative folder would make it depend on where the controller was started.
    let files = folders.iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(agent));
    files.into_iter().find(|file| is_program(file)).ok_or_else(|| {
        Fault::lasting(format!(
            "{agent} is not installed on the controller's machine; install its package (fence-agents)"
        ))
    })
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn input(spec: &AgentFence, secrets: &BTreeMap<&str, Secret>, action: Action) -> Result<Secret, Fault> {
    let mut lines = format!("action={}\n", action.as_str());
    for (key, value) in &spec.options {
        if key == "action" {
            return Err(Fault::lasting("option `action` is not yours to set; take it out of the options"));
        }
        if is_secret(key) {
            return Err(Fault::lasting(format!(
                "option `{key}` is a secret; put it into a file named in secret_files"
            )));
        }
        push(&mut lines, key, value)?;
    }
    for (key, secret) in secrets {
        push(&mut lines, key, secret.reveal())?;
    }
    Ok(Secret::new(lines))
}

fn is_secret(key: &str) -> bool {
    matches!(key, "password" | "passwd" | "snmp_priv_passwd" | "snmp-priv-passwd" | "hexadecimal_kg")
}

fn push(lines: &mut String, key: &str, value: &str) -> Result<(), Fault> {
    let key_is_plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !key_is_plain {
        return Err(Fault::lasting(format!("`{}` is no name of an option", excerpt(key))));
    }
    if value.contains(['\n', '\r', '\0']) {
        return Err(Fault::lasting(format!("the value of option `{key}` has more than one line")));
    }
    lines.push_str(key);
    lines.push('=');
    lines.push_str(value);
    lines.push('\n');
    Ok(())
}

/// Kills what is left of an agent's process group.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nothing to do when none is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn run(program: &Path, input: &Secret) -> io::Result<(ExitStatus, String)> {
    let mut child = Command::new(program)
        .process_group(0)
        .kill_on_drop(true)
        .current_dir("/")
        // Python's warnings about the agent's own code would stand in the place of what it has to say.
        .env("PYTHONWARNINGS", "ignore")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let (mut out, mut err) = (Kept::default(), Kept::default());
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
            _ = async { tokio::join!(out.read(stdout), err.read(stderr)) } => {}
            // Its last words are in the pipes already; only something that got away from its group keeps them open.
            () = async { ended.notified().await; time::sleep(DRAIN).await } => {}
        }
    };
    let (status, ()) = tokio::join!(waiting, reading);
    let said = if err.0.is_empty() { out } else { err };
    Ok((status?, String::from_utf8_lossy(&said.0).into_owned()))
}

async fn feed_and_wait(child: &mut Child, input: &Secret) -> io::Result<ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.reveal().as_bytes()).await {
            // It ended without reading: its exit code says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
    }
    child.wait().await
}

/// The beginning of what was read.
#[derive(Default)]
struct Kept(Vec<u8>);

impl Kept {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut chunk = vec![0; 8192];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            let room = MAX_OUTPUT_BYTES - self.0.len();
            self.0.extend_from_slice(&chunk[..count.min(room)]);
        }
    }
}

fn redact(said: &str, secrets: &BTreeMap<&str, Secret>) -> String {
    let hidden = secrets.values().fold(said.to_owned(), |text, secret| text.replace(secret.reveal(), "(not shown)"));
    // The last lines say what happened; those before it how far the agent came.
    let lines: Vec<&str> = hidden.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    excerpt(&lines[lines.len().saturating_sub(2)..].join("; "))
}

#[cfg(test)]
mod tests;
