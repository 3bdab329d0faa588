use std::{fs, os::unix::fs::PermissionsExt as _};

use lifeboat_ports::conformance;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A directory with one plugin, a shell script.
fn plugin(script: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("check_it");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn check(directory: &TempDir, limit: Duration) -> NagiosCheck {
    NagiosCheck {
        plugin: "check_it".to_owned(),
        arguments: vec!["a b".to_owned(), "$(id)".to_owned()],
        directories: vec![directory.path().to_owned()],
        limit,
    }
}

async fn look(script: &str) -> CheckReport {
    check(&plugin(script), Duration::from_secs(30)).look().await
}

#[tokio::test]
async fn it_keeps_the_contract_of_a_check() {
    let (up, down) = (plugin("echo fine"), plugin("echo broken; exit 2"));
    let limit = Duration::from_secs(30);
    conformance::check::run(&check(&up, limit), &check(&down, limit)).await;
}

#[tokio::test]
async fn the_exit_code_is_the_status_and_the_first_line_the_words() {
    let statuses = [CheckStatus::Ok, CheckStatus::Warning, CheckStatus::Critical, CheckStatus::Unknown];
    for (code, status) in statuses.into_iter().enumerate() {
        let report = look(&format!("echo 'HTTP OK | time=0.01s;1;2;0 size=5B'; echo more; exit {code}")).await;
        assert_eq!((report.status, report.output.as_str()), (status, "HTTP OK"));
        let measured: Vec<String> = report.performance.iter().map(ToString::to_string).collect();
        assert_eq!(measured, ["time=0.01s", "size=5B"]);
    }
}

#[tokio::test]
async fn arguments_reach_the_plugin_as_they_are_without_a_shell() {
    let report = look(r#"echo "$#:$1:$2""#).await;
    assert_eq!(report.output, "2:a b:$(id)");
}

#[tokio::test]
async fn an_end_that_is_no_plugins_says_nothing_of_the_vm() {
    let report = look("echo out of memory; exit 137").await;
    assert_eq!(report.status, CheckStatus::Unknown);
    assert!(report.output.contains("code 137") && report.output.contains("out of memory"), "{}", report.output);
    let report = look("kill -9 $$").await;
    assert_eq!((report.status, report.output.as_str()), (CheckStatus::Unknown, "check_it was killed by signal 9"));
    let report = look("exit 0").await;
    assert_eq!((report.status, report.output.as_str()), (CheckStatus::Ok, "check_it said nothing"));
}

#[tokio::test]
async fn a_plugin_that_is_missing_or_no_program_is_told_as_that() {
    let directory = plugin("exit 0");
    let mut missing = check(&directory, Duration::from_secs(30));
    missing.plugin = "check_other".to_owned();
    let report = missing.look().await;
    assert_eq!(report.status, CheckStatus::Unknown);
    assert!(report.output.contains("there is no plugin check_other"), "{}", report.output);
    for outside in ["../../bin/sh", "/bin/sh", "", ".", "a\nb"] {
        missing.plugin = outside.to_owned();
        let report = missing.look().await;
        assert!(report.output.contains("no file name of a plugin"), "{outside:?}: {}", report.output);
    }
    fs::write(directory.path().join("check_it"), b"\x7fELF nonsense").unwrap();
    let report = check(&directory, Duration::from_secs(30)).look().await;
    assert!(report.status == CheckStatus::Unknown && report.output.contains("cannot be run"), "{report:?}");
}

#[tokio::test]
async fn a_plugin_that_prints_without_end_is_ended() {
    let report = look("trap '' TERM; yes 0123456789").await;
    assert_eq!(report.status, CheckStatus::Unknown);
    assert!(report.output.starts_with("check_it printed more than 1024 KiB"), "{}", report.output);
}

#[tokio::test]
async fn one_that_prints_much_and_ends_is_heard() {
    let report = look("echo fine; head -c 900000 /dev/zero").await;
    assert_eq!((report.status, report.output.as_str()), (CheckStatus::Ok, "fine"));
}

/// Whether a process that has left its number in a file is gone.
fn is_gone(file: &Path) -> bool {
    let pid = fs::read_to_string(file).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // A zombie is gone; whoever has adopted it takes its time.
    stat.is_empty() || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_plugin_that_does_not_end_is_killed_with_all_that_it_has_started() {
    let directory = TempDir::new().unwrap();
    let (own, child) = (directory.path().join("own"), directory.path().join("child"));
    let script = format!(
        "trap '' TERM; echo waiting; echo $$ > {}; (trap '' TERM; sleep 1000) & echo $! > {}; while :; do sleep 1000; done",
        own.display(),
        child.display()
    );
    let slow = plugin(&script);
    let report = check(&slow, Duration::from_secs(3)).look().await;
    assert_eq!(report.status, CheckStatus::Critical);
    assert_eq!(report.output, "check_it had not ended after 3s and was killed; it said: waiting");
    assert!(is_gone(&own));
    while !is_gone(&child) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_plugin_leaves_running_is_killed_and_does_not_hold_the_look_up() {
    let directory = TempDir::new().unwrap();
    let child = directory.path().join("child");
    let report = look(&format!("sleep 1000 & echo $! > {}; echo fine", child.display())).await;
    assert_eq!((report.status, report.output.as_str()), (CheckStatus::Ok, "fine"));
    while !is_gone(&child) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_look_that_is_given_up_leaves_no_plugin_behind() {
    let directory = TempDir::new().unwrap();
    let own = directory.path().join("own");
    let slow = plugin(&format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", own.display()));
    let check = check(&slow, Duration::from_secs(1000));
    let look = tokio::spawn(async move { check.look().await });
    while !own.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    look.abort();
    assert!(look.await.unwrap_err().is_cancelled());
    while !is_gone(&own) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn what_was_measured_is_read_by_the_guidelines() {
    let text = "'/var log'=93%;80;90;0;100 time=0.004s;1.0;;0 it''s 'don''t'=-1.5 x=U y= =1 users=4c";
    let read: Vec<String> =
        measure(text).iter().map(|value| format!("{value} {}/{}", value.warning, value.critical)).collect();
    assert_eq!(read, ["/var log=93% 80/90", "time=0.004s 1.0/", "don't=-1.5 /", "users=4c /"]);
}

proptest! {
    #[test]
    fn no_output_makes_it_panic_or_grow(said in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (text, performance) = words(&said);
        prop_assert!(performance.len() <= MAX_PERFORMANCE);
        let report = CheckReport { performance, ..CheckReport::new(CheckStatus::Ok, &text) }.bounded();
        prop_assert!(!report.output.contains('\n'));
    }

    #[test]
    fn what_is_measured_is_bounded(text in "[a-z'=0-9;. |]{0,200}") {
        for value in measure(&text) {
            prop_assert!(value.value.parse::<f64>().is_ok());
            prop_assert!(!value.label.is_empty());
        }
    }
}
