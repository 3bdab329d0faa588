//! What is wrong with a fleet is said in one message that names it, with exit code 2, and no plan is written.

use std::process::{Command, Output};

use serde_json::{Value, json};

/// Two hosts, two VMs.
fn fleet() -> Value {
    let host = |name| {
        json!({"name": name, "state": "up", "site": "s1", "labels": {},
               "capacity": {"cpu_milli": 8000, "memory_mib": 8192}})
    };
    let vm = |name| {
        json!({"name": name, "host": "h1", "demand": {"cpu_milli": 1000, "memory_mib": 1024}, "class": "gold",
               "volumes": [], "labels": {}, "requires": {}, "configure_s": 1.0, "start_s": 10.0})
    };
    json!({"format": "lifeboat/fleet/v1", "hosts": [host("h1"), host("h2")], "vms": [vm("db"), vm("web")],
           "volumes": [], "arrays": [], "classes": [{"name": "gold", "rto_s": 60.0}], "groups": [], "rules": [],
           "limits": {"starts_per_host": 1, "maps_per_host": 1, "fence_s": 5.0}})
}

fn group(name: &str, stages: &Value) -> Value {
    json!({"name": name, "importance": 1, "stages": stages, "stage_delay_s": 0.0, "all_or_nothing": false})
}

fn run(arguments: &[&str], document: &[u8]) -> Output {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("fleet.json"), document).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.env("NO_COLOR", "1").current_dir(dir.path()).args(arguments).output().expect("run")
}

/// Every command that reads a fleet refuses it, in few words that have all of `says`.
fn refused(document: &[u8], says: &[&str]) {
    let readers: [&[&str]; 3] = [
        &["plan", "--fleet", "fleet.json", "--fail", "h1"],
        &["drill", "--fleet", "fleet.json"],
        &["rolling", "--fleet", "fleet.json"],
    ];
    for arguments in readers {
        let output = run(arguments, document);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?} wrote {}", String::from_utf8_lossy(&output.stdout));
        assert!(said.len() < 1_000, "{arguments:?} said {} bytes", said.len());
        for word in says {
            assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
    }
}

fn refused_with(change: impl FnOnce(&mut Value), says: &[&str]) {
    let mut fleet = fleet();
    change(&mut fleet);
    refused(fleet.to_string().as_bytes(), says);
}

#[test]
fn the_sound_one_is_planned() {
    let output = run(&["plan", "--fleet", "fleet.json", "--fail", "h1"], fleet().to_string().as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_cycle_of_stages_is_named() {
    refused_with(
        |fleet| fleet["groups"] = json!([group("shop", &json!([["db"], ["web"], ["db"]]))]),
        &["VM `db`", "group `shop`", "before itself"],
    );
}

#[test]
fn a_vm_in_two_groups_is_named() {
    refused_with(
        |fleet| fleet["groups"] = json!([group("shop", &json!([["db"]])), group("mail", &json!([["web"], ["db"]]))]),
        &["VM `db`", "`shop`", "`mail`"],
    );
}

#[test]
fn a_rule_over_an_unknown_vm_is_named() {
    refused_with(
        |fleet| {
            fleet["rules"] = json!([{"kind": "apart", "scope": "host", "vms": ["db", "ghost"], "required": true}]);
        },
        &["rule 0", "`ghost`"],
    );
}

#[test]
fn a_set_with_a_vm_that_its_rule_does_not_bind_is_named() {
    refused_with(
        |fleet| {
            let rule = json!({"kind": "apart", "scope": "host", "vms": ["db"], "sets": [["db"], ["web"]]});
            fleet["rules"] = json!([rule]);
        },
        &["rule 0", "VM `web`", "`vms`"],
    );
}

#[test]
fn a_class_that_does_not_exist_is_named() {
    refused_with(|fleet| fleet["vms"][1]["class"] = json!("iron"), &["VM `web`", "class `iron`"]);
}

#[test]
fn a_capacity_out_of_range_is_named_with_its_place() {
    let out_of_range = [
        ("9223372036854775808", "host `h1`", "9223372036854775808"),
        ("1180591620717411303424", "hosts[0].capacity.memory_mib", "1.18"),
        ("-1", "hosts[0].capacity.memory_mib", "-1"),
    ];
    for (value, place, says) in out_of_range {
        let text = fleet().to_string().replacen("\"memory_mib\":8192", &format!("\"memory_mib\":{value}"), 1);
        refused(text.as_bytes(), &[place, "memory_mib", says]);
    }
}

#[test]
fn ten_megabytes_of_garbage_give_one_short_error() {
    let mut state = 1_u64;
    let mut noise = Vec::new();
    while noise.len() < 10 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&state.to_be_bytes());
    }
    refused(&noise, &["fleet.json", "not text"]);
    refused("[".repeat(10 << 20).as_bytes(), &["fleet.json"]);
    refused("{\"format\":".repeat(1 << 20).as_bytes(), &["fleet.json"]);
    refused(format!("\"{}\"", "x".repeat(10 << 20)).as_bytes(), &["fleet.json"]);
    refused(format!("{{\"format\":\"{}\"}}", "x".repeat(10 << 20)).as_bytes(), &["fleet.json", "format"]);
    refused(b"", &["fleet.json"]);
}
