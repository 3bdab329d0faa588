use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use async_trait::async_trait;
use lifeboat_ports::{
    Notifier, NotifyError, Retry,
    conformance::notify::{Mood, NotifyBench, conforms, notice},
};
use serde_json::{Value, json};

use super::spec;

/// A script that does as a file beside it says.
struct Program {
    dir: tempfile::TempDir,
}

const TAKES: &str = "cat > taken.$$.part && mv taken.$$.part taken.$$\n";

impl Program {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let it = Self { dir };
        it.write(script);
        it
    }

    /// Replaced as a whole, so that no program is written while it runs.
    fn write(&self, script: &str) {
        let (new, program) = (self.dir.path().join("new"), self.dir.path().join("program"));
        std::fs::write(&new, format!("cd {}\n{script}", self.dir.path().display())).expect("written");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("made a program");
        std::fs::rename(new, program).expect("in its place");
    }

    fn with_limit(&self, timeout_s: f64) -> Arc<dyn Notifier> {
        // By a shell, for a program that another thread has open for writing when this one forks cannot be run.
        let arguments = [self.dir.path().join("program")];
        spec("command", json!({"program": "/bin/sh", "arguments": arguments, "timeout_s": timeout_s}))
            .notifier("pager", "c1")
    }
}

#[async_trait]
impl NotifyBench for Program {
    fn notifier(&self) -> Arc<dyn Notifier> {
        self.with_limit(3.0)
    }

    async fn set(&self, mood: Mood) -> bool {
        self.write(match mood {
            Mood::Takes => TAKES,
            Mood::Hangs => "sleep 1000 & sleep 1000\n",
            Mood::Refuses => "cat >/dev/null; echo no >&2; exit 1\n",
        });
        true
    }

    async fn taken(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path()).expect("the directory").map(|file| file.expect("a file").path());
        let taken = files.filter(|path| path.extension().is_some_and(|it| it != "part"));
        let text = |path: &Path| {
            let document: Value = serde_json::from_slice(&std::fs::read(path).expect("read")).expect("a document");
            assert_eq!(document["format"], "lifeboat/notice/v1");
            document["events"][0]["text"].as_str().expect("text").to_owned()
        };
        taken.map(|path| text(&path)).collect()
    }
}

#[tokio::test]
async fn a_command_conforms() {
    conforms(&Program::new(TAKES)).await;
}

async fn fails(script: &str, limit: f64) -> NotifyError {
    Program::new(script).with_limit(limit).deliver(&notice(1, "x")).await.expect_err(script)
}

#[tokio::test]
async fn a_command_that_fails_says_how_and_what_it_said() {
    let error = fails("cat >/dev/null; echo 'the modem\u{1b}[31m is off' >&2; exit 3", 20.0).await;
    assert!(error.problem.contains("exit status: 3") && error.problem.contains("the modem [31m is off"), "{error}");
    let error = fails("kill -9 $$", 20.0).await;
    assert!(error.problem.contains("signal: 9"), "{error}");
    let missing = spec("command", json!({"program": "/nonexistent/page"})).notifier("pager", "c1");
    let error = missing.deliver(&notice(1, "x")).await.expect_err("it is not there");
    assert_eq!(error.retry, Retry::MayHelp, "it may be installed: {error}");
}

#[tokio::test]
async fn a_command_that_prints_for_ever_is_ended_in_time_and_little_of_it_is_kept() {
    let error = fails("while :; do echo 0123456789012345678901234567890123456789; done", 0.5).await;
    assert!(error.problem.contains("had not ended") && error.problem.len() < 500, "{error}");
    let error = fails("cat >/dev/null; head -c 5000000 /dev/zero | tr '\\0' x >&2; exit 1", 60.0).await;
    assert!(error.problem.len() < 1000, "{}", error.problem.len());
}

#[tokio::test]
async fn nothing_of_a_command_is_left_when_it_hangs_or_has_ended() {
    for (script, limit) in
        [("sleep 987 & echo $! > child; exec sleep 987", 1.0), ("cat >/dev/null; sleep 987 & echo $! > child", 20.0)]
    {
        let program = Program::new(script);
        let _ = program.with_limit(limit).deliver(&notice(1, "x")).await;
        let child = std::fs::read_to_string(program.dir.path().join("child")).expect("it began a child");
        let stat = format!("/proc/{}/stat", child.trim());
        // It is gone as soon as the system has ended it; one that is only not yet waited for is a zombie.
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"));
        let mut looks = 0;
        while !gone() {
            looks += 1;
            assert!(looks < 1000, "{script}: {child} lives on");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
