use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use lifeboat_ports::{
    Notifier,
    conformance::notify::{Mood, NotifyBench, conforms, notice},
};
use serde_json::{Value, json};

use super::spec;

struct File {
    dir: tempfile::TempDir,
}

impl File {
    fn path(&self) -> PathBuf {
        self.dir.path().join("logs/events.jsonl")
    }
}

#[async_trait]
impl NotifyBench for File {
    fn notifier(&self) -> Arc<dyn Notifier> {
        spec("log", json!({"path": self.path(), "timeout_s": 5})).notifier("file", "c1")
    }

    /// A file whose directory has gone refuses; no file hangs that a test can have.
    async fn set(&self, mood: Mood) -> bool {
        let (logs, away) = (self.dir.path().join("logs"), self.dir.path().join("away"));
        match mood {
            Mood::Takes => std::fs::rename(away, logs).is_ok(),
            Mood::Refuses => std::fs::rename(logs, away).is_ok(),
            Mood::Hangs => false,
        }
    }

    async fn taken(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).expect("the file");
        let event = |line: &str| serde_json::from_str::<Value>(line).expect("a document a line");
        text.lines().map(|line| event(line)["text"].as_str().expect("text").to_owned()).collect()
    }
}

fn file() -> File {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("logs")).expect("made");
    File { dir }
}

#[tokio::test]
async fn a_file_conforms() {
    conforms(&file()).await;
}

#[tokio::test]
async fn a_file_that_is_rotated_goes_on_and_others_do_not_read_it() {
    let file = file();
    let notifier = file.notifier();
    notifier.deliver(&notice(1, "before")).await.expect("written");
    std::fs::rename(file.path(), file.dir.path().join("logs/events.jsonl.1")).expect("rotated");
    notifier.deliver(&notice(2, "after")).await.expect("written");
    assert_eq!(file.taken().await, ["after"]);
    let mode = std::fs::metadata(file.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
}
