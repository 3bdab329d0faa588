//! Runs a program that answers on its standard output, within bounds.

use std::{io, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);
/// What is read of it.
const MAX_BYTES: u64 = 1 << 20;

/// Why a program did not answer.
pub(super) enum Silent {
    /// It is not installed.
    Missing,
    /// Anything else.
    Failed(String),
}

/// What it printed, and its exit code.
pub(super) async fn ask(program: &str, arguments: &[&str]) -> Result<(String, i32), Silent> {
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Silent::Missing),
        Err(error) => return Err(Silent::Failed(format!("{program} cannot be run: {error}"))),
    };
    let answer = async {
        let mut text = Vec::new();
        if let Some(out) = child.stdout.take() {
            out.take(MAX_BYTES).read_to_end(&mut text).await?;
        }
        // What prints more than that is not waited for: its pipe is closed.
        let status = child.wait().await?;
        Ok::<_, io::Error>((String::from_utf8_lossy(&text).into_owned(), status.code().unwrap_or(-1)))
    };
    match timeout(LIMIT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Silent::Failed(format!("{program} broke off: {error}"))),
        Err(_) => Err(Silent::Failed(format!("{program} had not ended after {} s", LIMIT.as_secs()))),
    }
}
