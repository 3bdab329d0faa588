//! A controller as a process of its own, in a directory of its own.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lifeboat_client::Client;
use tempfile::TempDir;

use super::{Failure, binary};

/// How long a controller may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Between two tries to reach one that starts.
const PAUSE: Duration = Duration::from_millis(5);

pub struct Controller {
    process: Child,
    dir: TempDir,
    pub port: u16,
    /// From its process being started to its first answer.
    pub start: Duration,
}

impl Drop for Controller {
    fn drop(&mut self) {
        // One that has ended by itself needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Controller {
    /// A new one, with an empty store. `settings` are lines of its configuration.
    pub async fn new(settings: &str) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let text = format!(
            "state_dir = {:?}\nsocket = {:?}\nlisten = \"127.0.0.1:{port}\"\n{settings}",
            dir.path().join("state"),
            dir.path().join("socket"),
        );
        fs::write(dir.path().join("controller.toml"), text)?;
        let (process, start) = Self::start(&dir).await?;
        Ok(Self { process, dir, port, start })
    }

    async fn start(dir: &TempDir) -> Result<(Child, Duration), Failure> {
        let log = fs::File::options().create(true).append(true).open(dir.path().join("log"))?;
        let begin = Instant::now();
        let mut process = Command::new(binary())
            .arg("controller")
            .arg("--config")
            .arg(dir.path().join("controller.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let client = Client::unix(dir.path().join("socket"));
        while client.status().await.is_err() {
            let ended = process.try_wait()?.is_some();
            if ended || begin.elapsed() > START_LIMIT {
                let _ = process.kill();
                let said = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
                return Err(format!("the controller does not answer:\n{said}").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok((process, begin.elapsed()))
    }

    /// Kills it and starts it again on what it has stored.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.process.kill()?;
        self.process.wait()?;
        (self.process, self.start) = Self::start(&self.dir).await?;
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub fn client(&self) -> Client {
        Client::unix(self.socket())
    }

    /// A directory that goes away with it.
    pub fn scratch(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Runs `lifeboat` against it, and gives how long that took.
    pub fn cli(&self, args: &[&str]) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let output = Command::new(binary()).arg("--socket").arg(self.socket()).args(args).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("lifeboat {}: {said}", args.join(" ")).into());
        }
        Ok(begin.elapsed())
    }
}
