//! Running programs: short ones to their end, long ones inside a host or the fabric.
//!
//! Theory of operation: a process belongs to the lab by its cgroup, from before its first instruction to its end, so that
//! nothing of it can be missed when its host loses power or the lab is taken down. To get there without a shell, the
//! lab's own binary is run once more with the hidden words `lab internal enter` ([`Enter::run`]): it moves itself into the
//! cgroup and the namespaces, starts the program, and ends. The program is an orphan then, as a daemon should be, and
//! its starter has learnt whether it could be started.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns, unshare};
use serde::{Deserialize, Serialize};

use crate::LabError;

/// The most that is kept of what a short program prints, in bytes.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// [`LabError::Program`] when it cannot be run or ends with an error.
pub(crate) fn run<A: AsRef<OsStr>>(operation: &str, program: &str, args: &[A]) -> Result<String, LabError> {
    run_command(operation, Command::new(program).args(args))
}

/// As [`run`], for a command with more than arguments.
pub(crate) fn run_command(operation: &str, command: &mut Command) -> Result<String, LabError> {
    let failed = |detail: String| LabError::Program { operation: operation.to_owned(), detail };
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(format!("`{program}` cannot be run ({error})")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Err(failed(format!("`{program}` ended with {}: {}", output.status, last.join("; "))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where and how a program is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enter {
    /// Directory of the cgroup.
    pub(crate) cgroup: PathBuf,
    /// File of the network namespace.
    pub(crate) netns: PathBuf,
    /// Host name in a UTS namespace of its own; none: this machine's.
    pub(crate) hostname: Option<String>,
    /// File that its outputs are appended to.
    pub(crate) log: PathBuf,
    /// Whether to wait for its end: a program that makes itself a daemon ends when it is ready.
    pub(crate) wait: bool,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

impl Enter {
    /// Starts the program through the lab's own binary.
    ///
    /// # Errors
    /// [`LabError`] when the cgroup or a namespace cannot be entered or the program not be started.
    pub(crate) fn start(&self, entry: &EntryPoint) -> Result<(), LabError> {
        let what = self.command.first().map_or("nothing", String::as_str);
        let operation = format!("start {what} in {}", self.cgroup.display());
        let order = serde_json::to_string(self).map_err(io::Error::from).map_err(LabError::system(&*operation))?;
        run_command(&operation, &mut entry.command(&["enter", &order]))?;
        Ok(())
    }

    /// The hidden entry: enters, starts, ends.
    ///
    /// # Errors
    /// [`LabError`] when something of it cannot be done.
    pub(crate) fn run(&self) -> Result<(), LabError> {
        let name = self.command.first().map_or("", String::as_str).to_owned();
        fs::write(self.cgroup.join("cgroup.procs"), "0")
            .map_err(LabError::system(format!("enter {}", self.cgroup.display())))?;
        enter_netns(&self.netns)?;
        if let Some(hostname) = &self.hostname {
            unshare(CloneFlags::CLONE_NEWUTS)
                .and_then(|()| nix::unistd::sethostname(hostname))
                .map_err(io::Error::from)
                .map_err(LabError::system(format!("take the host name {hostname}")))?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(LabError::system(format!("open {}", self.log.display())))?;
        let also = log.try_clone().map_err(LabError::system("share a log file"))?;
        let started = Command::new(&name)
            .args(self.command.get(1..).unwrap_or_default())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also)
            .spawn();
        let mut child = started.map_err(LabError::system(format!("run {name}")))?;
        if !self.wait {
            return Ok(());
        }
        let status = child.wait().map_err(LabError::system(format!("wait for {name}")))?;
        if status.success() {
            return Ok(());
        }
        let detail = format!("{name} ended with {status}: {}", last_lines(&self.log));
        Err(LabError::Program { operation: format!("start {name}"), detail })
    }
}

/// How the lab's own binary is run for its hidden entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryPoint {
    /// The `lifeboat` binary.
    pub(crate) binary: PathBuf,
}

impl EntryPoint {
    /// The words of a hidden entry, the program first.
    pub(crate) fn words(&self, args: &[&str]) -> Vec<String> {
        let binary = self.binary.to_string_lossy().into_owned();
        [binary, "lab".to_owned(), "internal".to_owned()]
            .into_iter()
            .chain(args.iter().map(ToString::to_string))
            .collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let words = self.words(args);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }
}

/// Moves this thread into a network namespace.
pub(crate) fn enter_netns(file: &Path) -> Result<(), LabError> {
    let open = File::open(file).map_err(LabError::system(format!("open {}", file.display())))?;
    setns(open, CloneFlags::CLONE_NEWNET)
        .map_err(io::Error::from)
        .map_err(LabError::system(format!("enter network namespace {}", file.display())))
}

/// Runs something in a network namespace, on a thread of its own: a thread that has moved cannot serve others.
pub(crate) fn in_netns<T: Send>(file: &Path, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
    thread::scope(|scope| {
        let moved = scope.spawn(|| enter_netns(file).map(|()| work()));
        moved.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Looks again and again until there is something to see: for the readiness of programs that tell nobody of it.
pub(crate) fn wait_for<T>(
    what: &str,
    hint: &str,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if started.elapsed() > limit {
            return Err(LabError::TimedOut { what: what.to_owned(), limit, hint: hint.to_owned() });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The end of a log file, as one line for an error.
pub(crate) fn last_lines(log: &Path) -> String {
    let mut text = String::new();
    let read = File::open(log).and_then(|file| file.take(MAX_OUTPUT_BYTES).read_to_string(&mut text));
    if read.is_err() || text.trim().is_empty() {
        return format!("it said nothing ({})", log.display());
    }
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// Programs that cannot be found in `PATH` or where distributions put what root runs.
pub(crate) fn missing(programs: &[&'static str]) -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    programs.iter().copied().filter(|program| !folders.iter().any(|folder| folder.join(program).is_file())).collect()
}
