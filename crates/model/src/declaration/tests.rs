use proptest::prelude::*;

use super::*;
use crate::{
    fleet::{Fleet, Labels},
    spec::Declaration,
};

const GOOD: &str = r#"
[limits]
starts_per_host = 4
maps_per_host = 4
fence_s = 15

[[class]]
name = "gold"
rto_s = 600

[[class]]
name = "silver"
rto_s = 1200

[[host]]
name = "h1"
labels = { rack = "r1" }
capacity = { cpu_milli = 16000, memory_mib = 65536 }

[[host.fence]]
kind = "redfish"
name = "bmc-h1"
url = "https://10.0.0.11"
user = "lifeboat"
password_file = "/etc/lifeboat/bmc-h1.password"

[[host]]
name = "h2"
labels = { rack = "r2" }
capacity = { cpu_milli = 16000, memory_mib = 65536 }

[[host.fence]]
kind = "agent"
name = "ipmi-h2"
agent = "fence_ipmilan"
options = { ip = "10.0.0.12", username = "lifeboat" }
secret_files = { password = "/etc/lifeboat/bmc-h2.password" }

[[array]]
name = "a1"
max_ops = 16

[array.backend]
kind = "nbd"
directory = "/srv/volumes"
hosts.h1 = { qmp = "/run/qsd-h1.sock", host = "10.0.1.1", port = 10809, tls_psk = true }
hosts.h2 = { qmp = "/run/qsd-h2.sock", host = "10.0.1.2", port = 10809, tls_psk = true }

[[volume]]
name = "db-1-d1"
array = "a1"
size_gib = 20

[[volume]]
name = "web-1-d1"
array = "a1"

[[vm]]
name = "db-1"
class = "gold"
demand = { cpu_milli = 2000, memory_mib = 8192 }
volumes = ["db-1-d1"]

[vm.machine]
kernel = "/boot/vmlinuz"
cmdline = "console=ttyS0"
nic = [{ bridge = "br0", mac = "52:54:00:00:00:01" }]

[vm.check]
kind = "tcp"
address = "10.9.0.1:22"

[[vm]]
name = "web-1"
class = "silver"
host = "h1"
demand = { cpu_milli = 1000, memory_mib = 2048 }
volumes = ["web-1-d1"]

[[group]]
name = "shop"
stages = [["db-1"], ["web-1"]]

[[rule]]
name = "shop-apart"
kind = "apart"
vms = ["db-1", "web-1"]
"#;

fn judge(files: &[(&str, &str)], known: &Declaration) -> Result<Declaration, String> {
    let sources: Vec<_> = files.iter().map(|(name, text)| Source { name, bytes: text.as_bytes() }).collect();
    read_and_check(&sources, known).map_err(|problems| problems.iter().map(|problem| format!("{problem}\n")).collect())
}

fn good() -> Declaration {
    judge(&[("fleet.toml", GOOD)], &Declaration::default()).expect("a good declaration")
}

#[test]
fn a_good_file_is_taken_whole_and_nothing_is_said_against_it() {
    let declaration = good();
    assert_eq!(
        (declaration.hosts.len(), declaration.vms.len(), declaration.volumes.len(), declaration.classes.len()),
        (2, 2, 2, 2)
    );
    assert_eq!(declaration.hosts[0].labels, Labels::from([("rack".to_owned(), "r1".to_owned())]));
    assert_eq!(warnings(&declaration), Vec::<String>::new());
    // Without places, as the controller checks it, and over itself, as a second apply.
    assert_eq!(check(&declaration, &Declaration::default(), &Places::default()), []);
    assert_eq!(check(&declaration, &declaration, &Places::default()), []);
}

#[test]
fn a_volume_of_two_vms_names_both_lines() {
    let bad = GOOD.replace("volumes = [\"web-1-d1\"]", "volumes = [\n  \"web-1-d1\",\n  \"db-1-d1\",\n]");
    let problems = judge(&[("fleet.toml", &bad)], &Declaration::default()).expect_err("two owners");
    let line = |what: &str| 1 + bad.lines().position(|line| line.contains(what)).expect("a line");
    let (first, second) = (line("volumes = [\"db-1-d1\"]"), line("  \"db-1-d1\","));
    assert_eq!(
        problems,
        format!(
            "fleet.toml:{second}: VM `web-1` names volume `db-1-d1`, which VM `db-1` already has (line {first}). A volume \
             belongs to one VM.\n"
        )
    );
}

#[test]
fn everything_wrong_with_a_file_is_told_with_its_line_and_the_way_out() {
    let bad = include_str!("tests/bad.toml");
    let problems = judge(&[("bad.toml", bad)], &Declaration::default()).expect_err("all of it is wrong");
    insta::assert_snapshot!("bad", problems);
}

#[test]
fn every_reference_number_and_double_that_is_wrong_is_told() {
    let bad = include_str!("tests/wrong.toml");
    let problems = judge(&[("wrong.toml", bad)], &Declaration::default()).expect_err("all of it is wrong");
    insta::assert_snapshot!("wrong", problems);
}

#[test]
fn every_slip_in_fences_storage_and_machines_is_told() {
    let bad = include_str!("tests/slips.toml");
    let problems = judge(&[("slips.toml", bad)], &Declaration::default()).expect_err("all of it is wrong");
    insta::assert_snapshot!("slips", problems);
}

#[test]
fn whole_files_that_are_wrong_are_told_from_each_other() {
    let none = Declaration::default();
    let told = |text: &str| judge(&[("f", text)], &none).expect_err("not a declaration");
    insta::assert_snapshot!(
        "whole_files",
        [
            told(""),
            told("# nothing but a comment\n"),
            told("this is prose, not TOML\nat all"),
            told("[[host]\nname = 3\n"),
            told("{}"),
            told("{\"format\": \"lifeboat/fleet/v2\"}"),
            told("{\"format\": \"lifeboat/fleet/v1\",\n \"hosts\": 3}"),
            told("[vm]\nname = \"x\"\n"),
            told("vm = 3\n"),
            told("name = \"x\"\n"),
        ]
        .concat()
    );
    let not_text = read_and_check(&[Source { name: "f", bytes: b"a = 1\n\xff\xfe" }], &none).expect_err("not text");
    assert!(not_text[0].to_string().starts_with("f:2: there are bytes here that are not UTF-8"), "{not_text:?}");
}

#[test]
fn several_files_make_one_declaration_and_doubles_across_them_name_both_places() {
    let (classes, rest) = GOOD.split_at(GOOD.find("[[host]]").expect("hosts"));
    let files = [("classes.toml", classes), ("fleet.toml", rest)];
    assert_eq!(judge(&files, &Declaration::default()).expect("one declaration"), good());
    let double = "\n[[vm]]\nname = \"db-1\"\nclass = \"gold\"\ndemand = { cpu_milli = 1, memory_mib = 1 }\n";
    let told = judge(&[("fleet.toml", GOOD), ("more.toml", double)], &Declaration::default()).expect_err("a double");
    let line = 1 + GOOD.lines().position(|line| line == "[[vm]]").expect("a VM");
    assert_eq!(
        told,
        format!("more.toml:2: VM `db-1` is declared here and in fleet.toml:{line}. Remove one of the two.\n")
    );
}

#[test]
fn what_the_controller_has_counts_as_being_there_and_as_taken() {
    let known = good();
    let more = "[[vm]]\nname = \"web-2\"\nclass = \"gold\"\nhost = \"h2\"\n\
                demand = { cpu_milli = 1000, memory_mib = 1024 }\nvolumes = [\"db-1-d1\"]\n";
    let told = judge(&[("more.toml", more)], &known).expect_err("the volume is taken");
    assert_eq!(
        told,
        "more.toml:6: VM `web-2` names volume `db-1-d1`, which VM `db-1` already has (the controller has it so). A volume \
         belongs to one VM.\n"
    );
    // Giving the volume from one VM to another in one apply is fine.
    let given = "[[vm]]\nname = \"web-1\"\nclass = \"gold\"\ndemand = { cpu_milli = 1000, memory_mib = 1024 }\n\
                 volumes = [\"db-1-d1\"]\n[[vm]]\nname = \"db-1\"\nclass = \"gold\"\n\
                 demand = { cpu_milli = 1000, memory_mib = 1024 }\nvolumes = [\"web-1-d1\"]\n";
    judge(&[("given.toml", given)], &known).expect("the volumes are swapped");
}

#[test]
fn a_second_apply_of_the_same_changes_nothing() {
    let first = merge(&Declaration::default(), &good());
    assert_eq!((first.created.len(), first.changed.len(), first.unchanged), (11, 0, 0));
    let second = merge(&first.declaration, &good());
    assert!(second.is_same());
    assert_eq!((second.unchanged, &second.declaration), (11, &first.declaration));
}

#[test]
fn the_order_of_classes_is_the_files_order_when_they_name_all_of_them() {
    let known = good();
    let mut new = Declaration { classes: known.classes.clone(), ..Declaration::default() };
    new.classes.reverse();
    let merged = merge(&known, &new);
    assert_eq!(merged.declaration.classes, new.classes);
    assert_eq!((merged.changed.len(), merged.unchanged), (2, 0));
    new.classes.truncate(1);
    assert_eq!(merge(&known, &new).declaration.classes, known.classes);
}

#[test]
fn what_is_still_needed_says_by_whom_and_what_goes_takes_its_traces_along() {
    let mut declaration = good();
    let host = Object::new(Kind::Host, "h1");
    let volume = Object::new(Kind::Volume, "db-1-d1");
    assert_eq!(users(&volume, &declaration), [Object::new(Kind::Vm, "db-1")]);
    assert_eq!(users(&Object::new(Kind::Vm, "db-1"), &declaration).len(), 2);
    assert_eq!(users(&host, &declaration), []);
    assert!(remove(&host, &mut declaration));
    assert!(!remove(&host, &mut declaration));
    assert_eq!(check(&declaration, &Declaration::default(), &Places::default()), []);
}

#[test]
fn warnings_tell_what_will_hurt_one_day() {
    let mut declaration = good();
    declaration.hosts[1].fences.clear();
    declaration.vms[0].demand.insert("memory_mib".to_owned(), 1 << 30);
    declaration.vms[1].requires.insert("rack".to_owned(), crate::fleet::OneOrMany::One("r2".to_owned()));
    declaration.rules[0].scope = "room".to_owned();
    insta::assert_snapshot!("warnings", warnings(&declaration).join("\n"));
}

#[test]
fn a_fleet_document_is_a_declaration() {
    let fleet = r#"{"format": "lifeboat/fleet/v1", "hosts": [
        {"name": "h1", "state": "up", "capacity": {"cpu_milli": 4000, "memory_mib": 4096}},
        {"name": "h2", "state": "maintenance", "capacity": {"cpu_milli": 4000, "memory_mib": 4096}}],
        "vms": [{"name": "a", "host": "h1", "demand": {"cpu_milli": 1000, "memory_mib": 1024}, "class": "c"}],
        "volumes": [], "arrays": [], "classes": [{"name": "c", "rto_s": 60}],
        "rules": [{"kind": "apart", "scope": "host", "vms": ["a"]}],
        "limits": {"starts_per_host": 1, "maps_per_host": 1, "fence_s": 15}}"#;
    let declaration = judge(&[("fleet.json", fleet)], &Declaration::default()).expect("a fleet");
    assert_eq!(declaration, from_fleet(&Fleet::from_json(fleet).expect("a fleet")));
    assert!(declaration.hosts[0].maintenance.is_none() && declaration.hosts[1].maintenance.is_some());
    assert_eq!(declaration.rules[0].name.as_str(), "rule-1");
    let twice = judge(&[("one.json", fleet), ("two.json", fleet)], &Declaration::default()).expect_err("doubles");
    assert!(twice.contains("two.json: VM `a` is declared here and in one.json."), "{twice}");
}

/// A good file with a stretch of it replaced by other bytes: nearer to the mark than bytes at random.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let junk = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        "[\\[\\]{}=\"'\n,.a-z0-9_-]{0,40}".prop_map(String::into_bytes),
    ];
    (0..GOOD.len(), 0..60_usize, junk).prop_map(|(at, length, junk)| {
        let mut bytes = GOOD.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, junk);
        bytes
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_and_check(&[Source { name: "f", bytes: &bytes }], &Declaration::default());
    }

    #[test]
    fn a_damaged_file_is_taken_whole_or_each_problem_names_a_line_of_it(bytes in damaged()) {
        let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
        if let Err(problems) = read_and_check(&[Source { name: "f", bytes: &bytes }], &Declaration::default()) {
            prop_assert!(!problems.is_empty() && problems.len() <= MAX_PROBLEMS);
            for problem in problems {
                prop_assert!(!problem.text.contains('\n'), "{}", problem.text);
                let place = problem.place.expect("a place");
                prop_assert!(place.line.is_none_or(|line| (1..=lines).contains(&line)), "{place} of {lines}");
            }
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack(depth in 1..20_000_usize, table: bool) {
        let text = if table { format!("a = {}", "{a=".repeat(depth)) } else { format!("a = {}", "[".repeat(depth)) };
        let json = "{\"a\":".repeat(depth);
        for text in [text, json] {
            let source = Source { name: "f", bytes: text.as_bytes() };
            let told = read_and_check(&[source], &Declaration::default());
            prop_assert!(told.is_err());
        }
    }
}
