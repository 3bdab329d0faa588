//! `lifeboat sim` as a person runs it.

use std::{
    path::Path,
    process::{Command, Output},
};

fn lifeboat(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lifeboat")).current_dir(dir).args(arguments).output().expect("run")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "out: {}\nerr: {}", out(output), err(output));
}

fn scenario(script: &str, expect: &str) -> String {
    format!(
        "about = 'shows something'\nscript = '''\n{script}\n'''\n[generate]\nhosts = 3\nvms = 6\n[expect]\n{expect}\n"
    )
}

fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("write");
    }
    dir
}

#[test]
fn a_scenario_that_holds_is_told_as_a_timeline_and_leaves_its_trace() {
    let dir = folder(&[("off.toml", scenario("10 power h1 off", "declared = ['h1']"))]);
    let ran = lifeboat(dir.path(), &["sim", "run", "off.toml", "--trace", "out.ndjson"]);
    ends(&ran, 0);
    assert!(out(&ran).contains("10.000 ▶ power h1 off"), "{}", out(&ran));
    assert!(out(&ran).contains("h1 is fenced"), "{}", out(&ran));
    assert!(out(&ran).contains("HOLDS"), "{}", out(&ran));
    let trace = std::fs::read_to_string(dir.path().join("out.ndjson")).expect("a trace");
    assert!(trace.starts_with(r#"{"t":0.0,"event":"trace_started","source":"simulator"}"#), "{trace}");
    assert!(trace.contains(r#""event":"host_down""#), "{trace}");
    let again = lifeboat(dir.path(), &["sim", "run", "off.toml", "--trace", "again.ndjson"]);
    assert_eq!(out(&ran), out(&again));
    assert_eq!(trace, std::fs::read_to_string(dir.path().join("again.ndjson")).expect("a trace"));
    let other = lifeboat(dir.path(), &["sim", "run", "off.toml", "--seed", "2"]);
    assert_ne!(out(&ran), out(&other));
}

#[test]
fn an_expectation_that_does_not_hold_is_said_and_ends_with_1() {
    let dir = folder(&[("off.toml", scenario("10 power h1 off", "host = { v1 = 'h1' }"))]);
    let ran = lifeboat(dir.path(), &["sim", "run", "off.toml"]);
    ends(&ran, 1);
    assert!(out(&ran).contains("expected was h1"), "{}", out(&ran));
    let ran = lifeboat(dir.path(), &["sim", "run", "off.toml", "--json"]);
    ends(&ran, 1);
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("a document");
    assert_eq!(report["unmet"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["file"], "off.toml");
}

#[test]
fn a_scenario_that_is_wrong_is_told_by_line_and_nothing_is_run() {
    let bad = scenario("10 power h9 off\n5 power h1 off", "");
    let dir = folder(&[("good.toml", scenario("10 power h1 off", "")), ("bad.toml", bad)]);
    let ran = lifeboat(dir.path(), &["sim", "run", "."]);
    ends(&ran, 2);
    assert!(err(&ran).contains("bad.toml:3: there is no host `h9`"), "{}", err(&ran));
    assert!(err(&ran).contains("bad.toml:4: this goes back in time"), "{}", err(&ran));
    assert_eq!(out(&ran), "");
    ends(&lifeboat(dir.path(), &["sim", "run", "none.toml"]), 2);
}

#[test]
fn a_folder_is_a_table_with_a_trace_a_scenario() {
    let holds = scenario("10 power h1 off", "declared = ['h1']");
    let fails = scenario("10 power h1 off", "declared = []");
    let dir = folder(&[("a.toml", holds), ("b.toml", fails)]);
    let ran = lifeboat(dir.path(), &["sim", "run", ".", "--trace", "traces"]);
    ends(&ran, 1);
    assert!(out(&ran).contains("2 scenarios, 1 does not hold"), "{}", out(&ran));
    assert_eq!(std::fs::read_dir(dir.path().join("traces")).expect("traces").count(), 2);
    let empty = folder(&[]);
    ends(&lifeboat(empty.path(), &["sim", "run", "."]), 2);
}

#[test]
fn a_swarm_is_summed_up_and_each_seed_leaves_its_trace() {
    let dir = folder(&[]);
    let swarm = ["sim", "swarm", "--seeds", "0..6", "--minutes", "5"];
    let ran = lifeboat(dir.path(), &[&swarm[..], &["--trace", "traces"]].concat());
    ends(&ran, 0);
    assert!(out(&ran).contains("6 seeds of profile stormy"), "{}", out(&ran));
    assert!(out(&ran).contains("ALL PROMISES KEPT"), "{}", out(&ran));
    assert_eq!(err(&ran), "", "no progress where nobody looks");
    assert_eq!(std::fs::read_dir(dir.path().join("traces")).expect("traces").count(), 6);
    let ran = lifeboat(dir.path(), &[&swarm[..], &["--json", "--threads", "1"]].concat());
    ends(&ran, 0);
    let summary: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("a document");
    assert_eq!((&summary["seeds"], &summary["failed"]), (&6.into(), &serde_json::json!([])), "{summary}");
}

#[test]
fn one_seed_of_a_swarm_is_told_as_a_timeline() {
    let dir = folder(&[]);
    let line = ["sim", "swarm", "--seeds", "3", "--profile", "hell", "--minutes", "5", "--only", "0,1"];
    let ran = lifeboat(dir.path(), &line);
    ends(&ran, 0);
    assert!(out(&ran).contains("Seed 3, hell · 5 minutes, 2 mishaps"), "{}", out(&ran));
    assert!(out(&ran).contains("ALL PROMISES KEPT"), "{}", out(&ran));
}

#[test]
fn wrong_seeds_profiles_and_sizes_end_with_2() {
    let dir = folder(&[]);
    let wrong: [&[&str]; 5] = [
        &["--seeds", "5..5"],
        &["--seeds", "x"],
        &["--profile", "sunny"],
        &["--size", "0x3"],
        &["--seeds", "0..9", "--only", "1"],
    ];
    for line in wrong {
        let ran = lifeboat(dir.path(), &[&["sim", "swarm"], line].concat());
        ends(&ran, 2);
        assert!(!err(&ran).is_empty());
    }
}
