//! Events to a file, a JSON document a line. The file is opened for each message, so that it may be rotated at any time.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use lifeboat_model::{
    Seconds, Time,
    notice::{Notice, NoticeEvent, Severity},
};
use lifeboat_ports::{Delivery, Notifier, NotifyError};
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::timeout};

use super::{Fault, check_timeout, default_timeout};

/// A file's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSpec {
    /// The file; made where it is missing, its directory is not.
    pub path: PathBuf,
    /// The most time for one delivery.
    #[serde(default = "default_timeout")]
    pub timeout_s: Seconds,
}

impl LogSpec {
    pub(super) fn validate(&self) -> Result<(), String> {
        check_timeout(self.timeout_s)?;
        if self.path.is_absolute() {
            return Ok(());
        }
        Err(format!("path is {}; it must begin with `/`", self.path.display()))
    }
}

/// A line for events that are told by their number only.
#[derive(Serialize)]
struct LeftOut {
    time_us: Option<Time>,
    severity: Severity,
    text: String,
}

fn lines(notice: &Notice) -> Vec<u8> {
    let line = |event: &NoticeEvent| serde_json::to_string(event);
    let mut lines: Vec<String> = notice.events.iter().filter_map(|event| line(event).ok()).collect();
    if notice.left_out > 0 {
        let text = format!("{} events more were left out; `lifeboat events` has them", notice.left_out);
        let time_us = notice.events.last().map(|event| event.time_us);
        lines.extend(serde_json::to_string(&LeftOut { time_us, severity: notice.severity, text }).ok());
    }
    lines.iter().flat_map(|line| line.bytes().chain([b'\n'])).collect()
}

fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    file.write_all(bytes)
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) receiver: String,
    pub(super) spec: LogSpec,
}

#[async_trait]
impl Notifier for Log {
    async fn deliver(&self, notice: &Notice) -> Result<Delivery, NotifyError> {
        let (path, bytes) = (self.spec.path.clone(), lines(notice));
        let written = timeout(self.spec.timeout_s.into(), spawn_blocking(move || append(&path, &bytes))).await;
        let path = self.spec.path.display();
        let fault = match written {
            Ok(Ok(Ok(()))) => return Ok(Delivery::default()),
            Ok(Ok(Err(error))) => Fault::passing(format!("{path} cannot be written")).because(error),
            Ok(Err(error)) => Fault::passing(format!("writing {path} broke off")).because(error),
            Err(_) => Fault::passing(format!("{path} was not written within {}", self.spec.timeout_s)),
        };
        Err(fault.of(&self.receiver))
    }
}
