//! `lifeboat rules`, and rules where fleets are planned for, as an operator runs them.

use std::process::{Command, Output, Stdio};

use fake::Fake;
use lifeboat_model::plan::Plan;

#[allow(dead_code, reason = "other tests use the rest")]
mod fake;

const FLEET: &str = r#"{"format": "lifeboat/fleet/v1", "hosts": [
    {"name": "h1", "state": "up", "capacity": {"cpu_milli": 16000, "memory_mib": 65536}},
    {"name": "h2", "state": "up", "capacity": {"cpu_milli": 16000, "memory_mib": 65536}}],
    "vms": [
      {"name": "web-1", "host": "h1", "demand": {"cpu_milli": 1000, "memory_mib": 1024}, "class": "bronze", "start_s": 5, "labels": {"app": "shop", "role": "web"}},
      {"name": "web-2", "host": "h1", "demand": {"cpu_milli": 1000, "memory_mib": 1024}, "class": "bronze", "start_s": 5, "labels": {"app": "shop", "role": "web"}},
      {"name": "db-1", "host": "h1", "demand": {"cpu_milli": 1000, "memory_mib": 8192}, "class": "bronze", "start_s": 20, "labels": {"app": "shop", "role": "db", "sla": "gold"}},
      {"name": "dns", "host": "h2", "demand": {"cpu_milli": 1000, "memory_mib": 512}, "class": "bronze", "start_s": 5}],
    "volumes": [], "arrays": [], "classes": [{"name": "gold", "rto_s": 600}, {"name": "bronze", "rto_s": 6000}],
    "limits": {"starts_per_host": 4, "maps_per_host": 4, "fence_s": 15}}"#;

const RULES: &str = r#"
[[restart]]
name = "sla-label"
when = "has(vm.labels.sla)"
class = "= vm.labels.sla"
[[restart]]
name = "large"
when = "vm.memory_mib > 4096"
priority = 10
[[restart]]
name = "never"
when = "vm.name.like('mail-*')"
importance = 3
[[order]]
name = "db-before-web"
first = "vm.labels.role == 'db'"
then = "vm.labels.role == 'web'"
within = "vm.labels.app"
"#;

fn run(fake: &Fake, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    for name in ["LIFEBOAT_SERVER", "LIFEBOAT_CREDENTIALS", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("TZ", "UTC").env("LIFEBOAT_SOCKET", fake.socket()).stdin(Stdio::null());
    command.current_dir(fake.dir.path()).args(arguments).output().expect("run")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", out(output), err(output));
}

#[test]
fn rules_are_tested_on_a_fleet_before_they_hold() {
    let fake = Fake::start();
    fake.file("fleet.json", FLEET);
    fake.file("rules.toml", RULES);
    let tested = run(&fake, &["rules", "test", "rules.toml", "--fleet", "fleet.json"]);
    ends(&tested, 0);
    insta::assert_snapshot!("rules_test", out(&tested));
    let json = run(&fake, &["rules", "test", "rules.toml", "--fleet", "fleet.json", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out(&json)).expect("json");
    assert_eq!(json["vms"][2]["given"][0]["rule"]["name"], "sla-label");
    assert_eq!((&json["vms"][2]["class"], &json["vms"][0]["stage"]), (&"gold".into(), &2.into()));
    fake.file("bad.toml", &RULES.replace("vm.memory_mib", "vm.memory"));
    let bad = run(&fake, &["rules", "test", "bad.toml", "--fleet", "fleet.json"]);
    ends(&bad, 2);
    assert!(
        err(&bad).starts_with(" bad.toml:8: `when` of restart rule `large`: it asks for `vm.memory`"),
        "{}",
        err(&bad)
    );
    fake.file(
        "circle.toml",
        &format!(
            "{RULES}{}",
            RULES[RULES.find("[[order]]").expect("it has one")..]
                .replace("db-before-web", "back")
                .replace("'db'", "'x'")
                .replace("'web'", "'db'")
                .replace("'x'", "'web'")
        ),
    );
    let circle = run(&fake, &["rules", "test", "circle.toml", "--fleet", "fleet.json"]);
    ends(&circle, 2);
    assert!(err(&circle).contains("web-1 before db-1 (start order `back`) before web-1"), "{}", err(&circle));
    fake.file("more.toml", "[[class]]\nname = \"c\"\nrto_s = 1\n");
    ends(&run(&fake, &["rules", "test", "more.toml", "--fleet", "fleet.json"]), 2);
}

#[test]
fn a_template_is_begun_from_a_fleet_and_holds_nothing_yet() {
    let fake = Fake::start();
    fake.file("fleet.json", FLEET);
    ends(&run(&fake, &["rules", "discover", "--fleet", "fleet.json", "--output", "rules.toml"]), 0);
    let template = std::fs::read_to_string(fake.dir.path().join("rules.toml")).expect("written");
    assert!(template.contains("# Label role: web (2), db (1)"), "{template}");
    assert!(template.contains("#name = \"db-before-web\""), "{template}");
    let tested = run(&fake, &["rules", "test", "rules.toml", "--fleet", "fleet.json"]);
    ends(&tested, 2);
    assert!(err(&tested).starts_with(" There is no rule in it."), "{}", err(&tested));
}

#[test]
fn a_plan_keeps_the_order_that_rules_ask_for() {
    let fake = Fake::start();
    fake.file("fleet.json", FLEET);
    fake.file("rules.toml", RULES);
    let ready = |arguments: &[&str]| {
        let all = [&["plan", "--fail", "h1", "--fleet", "fleet.json", "-o", "json"], arguments].concat();
        let plan = Plan::from_json(&out(&run(&fake, &all))).expect("plan/v1");
        plan.summary.makespan_s.as_f64()
    };
    assert_eq!((ready(&[]), ready(&["--rules", "rules.toml"])), (35.0, 40.0));
    ends(&run(&fake, &["plan", "--fail", "h1", "--rules", "rules.toml"]), 2);
    ends(&run(&fake, &["drill", "--fleet", "fleet.json", "--rules", "rules.toml"]), 0);
}

#[test]
fn rules_are_applied_and_tested_beside_those_that_hold() {
    let fake = Fake::start();
    fake.file("fleet.json", FLEET);
    fake.file("rules.toml", RULES);
    ends(&run(&fake, &["rules", "test"]), 2);
    ends(&run(&fake, &["apply", "fleet.json", "rules.toml"]), 0);
    let tested = run(&fake, &["rules", "test"]);
    ends(&tested, 0);
    assert!(out(&tested).contains("gold by sla-label"), "{}", out(&tested));
    fake.file(
        "back.toml",
        "[[order]]\nname = \"back\"\nfirst = \"vm.name == 'web-1'\"\nthen = \"vm.name == 'db-1'\"\n",
    );
    for command in [&["rules", "test", "back.toml"][..], &["apply", "back.toml"]] {
        let refused = run(&fake, command);
        ends(&refused, 2);
        assert!(err(&refused).contains("goes round in a circle"), "{}", err(&refused));
    }
}
