//! Any monitoring plugin: `check_http`, `check_ssh`, … of Debian's `monitoring-plugins`, or an operator's own.
//!
//! Theory of operation: the plugin is run once for each look, without a shell, in a process group of its own. Its exit code
//! is the status (0 ok, 1 warning, 2 critical, 3 unknown); the first line that it prints is for people up to a `|`, behind
//! which stands what it measured. Any other end says nothing of the VM, only of the plugin: unknown. One that has not ended
//! in time is asked to (SIGTERM) and then killed with its whole group, as is one that prints without end; so is whatever it
//! left running when it ends. Only plugins in the directories of the machine's own settings are run: whoever may declare
//! checks may not thereby run any program.

use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use lifeboat_model::health::{CheckReport, CheckStatus, MAX_PERFORMANCE, Performance};
use lifeboat_ports::Check;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Where distributions install plugins.
pub const PLUGIN_DIRECTORIES: [&str; 3] =
    ["/usr/lib/nagios/plugins", "/usr/lib64/nagios/plugins", "/usr/local/lib/nagios/plugins"];

/// What is kept of a plugin's words, in bytes.
const MAX_KEPT_BYTES: usize = 16 * 1024;
/// A plugin that prints more than this, in bytes, is ended.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// How long a plugin that is out of time has to end by itself.
const GRACE: Duration = Duration::from_millis(500);
/// How long a plugin's output may stay open after its end: something that it left running holds it.
const DRAIN: Duration = Duration::from_millis(200);

/// Looks by means of a monitoring plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NagiosCheck {
    /// Its file name.
    pub plugin: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it is looked for, the first first.
    pub directories: Vec<PathBuf>,
    /// How long it may take.
    pub limit: Duration,
}

/// How a run ended.
enum Ended {
    By(ExitStatus),
    OutOfTime,
    TooMuch,
}

#[async_trait]
impl Check for NagiosCheck {
    async fn look(&self) -> CheckReport {
        let unknown = |text: String| CheckReport::new(CheckStatus::Unknown, &text);
        let program = match self.find() {
            Ok(program) => program,
            Err(problem) => return unknown(problem),
        };
        match run(&program, &self.arguments, self.limit).await {
            Ok((Ended::By(status), said)) => self.report(status, &said),
            Ok((Ended::OutOfTime, said)) => {
                let said = words(&said).0;
                let said = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
                let text = format!("{} had not ended after {:?} and was killed{said}", self.plugin, self.limit);
                CheckReport::new(CheckStatus::Critical, &text)
            }
            Ok((Ended::TooMuch, said)) => unknown(format!(
                "{} printed more than {} KiB and was killed; it began with: {}",
                self.plugin,
                MAX_OUTPUT_BYTES / 1024,
                words(&said).0.chars().take(80).collect::<String>()
            )),
            Err(error) => unknown(format!("{} cannot be run: {error}", program.display())),
        }
    }
}

impl NagiosCheck {
    fn find(&self) -> Result<PathBuf, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if self.plugin.is_empty() || self.plugin.starts_with('.') || !self.plugin.bytes().all(plain) {
            return Err(format!("`{}` is no file name of a plugin", self.plugin.escape_default()));
        }
        let absolute = self.directories.iter().filter(|directory| directory.is_absolute());
        let mut files = absolute.map(|directory| directory.join(&self.plugin));
        files.find(|file| is_program(file)).ok_or_else(|| {
            let directories: Vec<String> = self.directories.iter().map(|path| path.display().to_string()).collect();
            format!(
                "there is no plugin {} in {}; install it there (Debian: monitoring-plugins)",
                self.plugin,
                directories.join(", ")
            )
        })
    }

    fn report(&self, status: ExitStatus, said: &[u8]) -> CheckReport {
        let (text, performance) = words(said);
        let status = match status.code() {
            Some(0) => CheckStatus::Ok,
            Some(1) => CheckStatus::Warning,
            Some(2) => CheckStatus::Critical,
            Some(3) => CheckStatus::Unknown,
            other => {
                use std::os::unix::process::ExitStatusExt as _;
                let how = match (other, status.signal()) {
                    (Some(code), _) => format!("ended with code {code}, which is none of a plugin's"),
                    (None, Some(signal)) => format!("was killed by signal {signal}"),
                    (None, None) => "ended in an unknown way".to_owned(),
                };
                let said = if text.is_empty() { String::new() } else { format!("; it said: {text}") };
                return CheckReport::new(CheckStatus::Unknown, &format!("{} {how}{said}", self.plugin));
            }
        };
        let text = if text.is_empty() { format!("{} said nothing", self.plugin) } else { text };
        CheckReport { performance, ..CheckReport::new(status, &text) }.bounded()
    }
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// What a plugin said, for people, and what it measured.
fn words(said: &[u8]) -> (String, Vec<Performance>) {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines();
    let first = lines.next().unwrap_or_default();
    let (text, measured) = first.split_once('|').unwrap_or((first, ""));
    // Behind a `|` in a later line, and in all lines after that, stands more of what was measured.
    let later = lines.collect::<Vec<_>>().join(" ");
    let more = later.split_once('|').map_or("", |(_, more)| more);
    let mut performance = measure(measured);
    performance.extend(measure(more));
    performance.truncate(MAX_PERFORMANCE);
    (text.trim().to_owned(), performance)
}

/// Reads `'label'=value[unit];[warning];[critical];[min];[max]`, separated by spaces. What is not of that form is left out.
fn measure(text: &str) -> Vec<Performance> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && values.len() < MAX_PERFORMANCE {
        let Some((label, behind)) = label(rest) else {
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, behind)| behind.trim_start());
            continue;
        };
        let (word, behind) = behind.split_once(char::is_whitespace).unwrap_or((behind, ""));
        rest = behind.trim_start();
        let mut parts = word.split(';');
        let number = parts.next().unwrap_or_default();
        let end = number.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(number.len());
        let (value, unit) = number.split_at(end);
        if value.parse::<f64>().is_err() || unit.len() > 8 {
            continue;
        }
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (warning, critical) = (part(), part());
        values.push(Performance { label, value: value.to_owned(), unit: unit.to_owned(), warning, critical });
    }
    values
}

/// A label before its `=`, and what is behind that. A quoted one may have spaces, and two quotes for one.
fn label(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let (label, behind) = text.split_once('=')?;
        return (!label.is_empty() && !label.contains(char::is_whitespace)).then(|| (label.to_owned(), behind));
    };
    let mut label = String::new();
    loop {
        let (before, behind) = rest.split_once('\'')?;
        label.push_str(before);
        match behind.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return behind.strip_prefix('=').filter(|_| !label.is_empty()).map(|behind| (label, behind)),
        }
    }
}

/// Kills what is left of a plugin's process group.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Nothing to do when none is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn run(program: &Path, arguments: &[String], limit: Duration) -> io::Result<(Ended, Vec<u8>)> {
    let mut child = Command::new(program)
        .args(arguments)
        .process_group(0)
        .kill_on_drop(true)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // Dropped by whoever gives this future up, too.
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let mut kept = Vec::new();
    let stdout = child.stdout.take();
    let ended = timeout(limit, until_end(&mut child, &group, stdout, &mut kept)).await;
    match ended {
        Ok(ended) => {
            let ended = ended?;
            if matches!(ended, Ended::TooMuch) {
                end(&mut child, &group).await;
            }
            Ok((ended, kept))
        }
        Err(_) => {
            end(&mut child, &group).await;
            Ok((Ended::OutOfTime, kept))
        }
    }
}

/// Waits until a plugin has ended or has printed too much.
async fn until_end(
    child: &mut Child,
    group: &Group,
    stdout: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
) -> io::Result<Ended> {
    let mut reading = std::pin::pin!(read(stdout, kept));
    let mut open = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            too_much = &mut reading, if open => {
                if too_much {
                    return Ok(Ended::TooMuch);
                }
                open = false;
            }
        }
    };
    group.signal(Signal::KILL);
    // Its last words are in the pipe already; only what got away from its group keeps that open.
    let too_much = if open { timeout(DRAIN, reading).await.unwrap_or(false) } else { false };
    Ok(if too_much { Ended::TooMuch } else { Ended::By(status) })
}

/// Ends a plugin that must not go on, and reaps it.
async fn end(child: &mut Child, group: &Group) {
    group.signal(Signal::TERM);
    tokio::select! {
        _ = child.wait() => {}
        () = sleep(GRACE) => {}
    }
    group.signal(Signal::KILL);
    let _ = timeout(GRACE, child.wait()).await;
}

/// Reads a plugin's output and keeps its beginning; true when it is too much.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> bool {
    let Some(mut from) = from else { return false };
    let mut chunk = vec![0; 8192];
    let mut total = 0;
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        let room = MAX_KEPT_BYTES - kept.len();
        kept.extend_from_slice(&chunk[..count.min(room)]);
        total += count;
        if total > MAX_OUTPUT_BYTES {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
