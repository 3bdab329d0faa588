use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

use lifeboat_model::{FenceName, Seconds};
use lifeboat_ports::Retry;

use super::*;

/// A folder with an agent made of a few lines of shell, and a device that uses it.
struct Bench {
    folder: tempfile::TempDir,
    device: AgentDevice,
}

impl Bench {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: String, mode| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            path.to_string_lossy().into_owned()
        };
        let here = folder.path().display();
        write("fence_test", format!("#!/bin/sh\ncd '{here}'\n{script}\n"), 0o755);
        let password = write("password", "hunter2\n".to_owned(), 0o600);
        let spec = AgentFence {
            name: FenceName::new("bmc").expect("name"),
            timeout_s: Seconds::new(20),
            agent: "fence_test".to_owned(),
            options: BTreeMap::from([("ip".to_owned(), "192.0.2.1".to_owned())]),
            secret_files: BTreeMap::from([("password".to_owned(), password)]),
        };
        Self { folder, device: AgentDevice::new(spec) }
    }

    async fn ask(&self, action: Action) -> Result<Answer, Fault> {
        self.device.ask_in(&[self.folder.path().to_owned()], action).await
    }

    fn kept(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

fn alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn options_and_secrets_go_in_on_standard_input_and_none_in_arguments() {
    let bench = Bench::new("cat > input; echo \"$#\" > count; exit 2");
    let answer = bench.ask(Action::Status).await.expect("ran");
    assert_eq!(answer.status.code(), Some(2));
    assert_eq!(bench.kept("input"), "action=status\nip=192.0.2.1\npassword=hunter2\n");
    assert_eq!(bench.kept("count").trim(), "0");
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_no_error_of_its_own() {
    let bench = Bench::new("exec <&-; echo done; exit 0");
    assert!(bench.ask(Action::Off).await.expect("ran").status.success());
}

#[tokio::test]
async fn what_an_agent_says_is_told_without_its_secret() {
    let bench = Bench::new("echo 'Unable to log in with hunter2' >&2; exit 1");
    let answer = bench.ask(Action::Off).await.expect("ran");
    let error = bench.device.failed(Action::Off, &answer).of(&bench.device.spec.name, CUT).to_string();
    assert!(error.contains("ended with code 1") && error.contains("Unable to log in with (not shown)"), "{error}");
}

#[tokio::test]
async fn an_agent_that_talks_without_end_is_read_to_a_limit() {
    let bench = Bench::new("head -c 5000000 /dev/zero | tr '\\0' 'x'; exit 0");
    let answer = bench.ask(Action::Off).await.expect("ran");
    assert!(answer.status.success() && answer.said.len() < 1000);
}

#[tokio::test]
async fn an_agent_that_hangs_is_killed_with_all_its_helpers() {
    let mut bench = Bench::new("sleep 1000 & echo $! > helper; echo $$ > self; wait");
    bench.device.spec.timeout_s = Seconds::from_millis(700);
    let fault = bench.ask(Action::Off).await.err().expect("it hangs");
    assert_eq!(fault.retry, Retry::MayHelp);
    assert!(fault.problem.contains("had not ended"), "{}", fault.problem);
    let started = Instant::now();
    while alive(&bench.kept("helper")) || alive(&bench.kept("self")) {
        assert!(started.elapsed() < Duration::from_secs(10), "they outlive the call");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_helper_left_behind_neither_delays_the_answer_nor_lives_on() {
    let bench = Bench::new("sleep 1000 & echo $! > helper; exit 0");
    assert!(bench.ask(Action::Off).await.expect("ran").status.success());
    let started = Instant::now();
    while alive(&bench.kept("helper")) {
        assert!(started.elapsed() < Duration::from_secs(10), "it outlives the call");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_installed_agents_with_an_agents_name_are_run() {
    let mut bench = Bench::new("exit 0");
    for name in ["", "fence_", "sh", "../fence_test", "fence_../test", "fence_Test", "fence_a b"] {
        bench.device.spec.agent = name.to_owned();
        let fault = bench.ask(Action::Off).await.err().expect(name);
        assert!(fault.problem.contains("no name of a fence agent"), "{name}: {}", fault.problem);
    }
    bench.device.spec.agent = "fence_nobody_has".to_owned();
    let fault = bench.ask(Action::Off).await.err().expect("not there");
    assert!(fault.problem.contains("is not installed"), "{}", fault.problem);
}

#[tokio::test]
async fn what_would_break_out_of_its_line_or_show_a_secret_is_refused() {
    let refused = |key: &str, value: &str| {
        let mut bench = Bench::new("exit 0");
        bench.device.spec.options.insert(key.to_owned(), value.to_owned());
        async move { bench.ask(Action::Off).await.err().expect("refused") }
    };
    for (key, value) in [("action", "on"), ("password", "x"), ("ip", "x\naction=on"), ("a=b", "x"), ("", "x")] {
        let fault = refused(key, value).await;
        assert_eq!(fault.retry, Retry::IsFutile, "{}", fault.problem);
    }
    let mut bench = Bench::new("exit 0");
    bench.device.spec.secret_files.insert("password".to_owned(), "/nowhere/password".to_owned());
    assert!(bench.ask(Action::Off).await.is_err());
}
