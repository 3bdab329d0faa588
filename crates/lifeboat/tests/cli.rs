//! The program as an operator runs it, against a fake controller.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output, Stdio},
};

use axum::http::StatusCode;
use lifeboat_client::api::{
    ConfirmedOff, ControllerView, Desired, ErrorBody, ErrorCode, EventRow, FenceProgress, HostCondition, HostOrdered,
    HostRow, MaintenanceView, NotifyTested, Overall, ReceiverRow, RecoveryRow, RecoveryState, RecoveryView, RecoveryVm,
    RecoveryVmState, Severity, StatusView, TokenIssued, VmPhase, VmRow,
};
use lifeboat_model::{
    ClassName, Epoch, Generation, HostName, Seconds, Time, VmName,
    declaration::{Kind, Object, Problem},
    fleet::{Fleet, Resources},
    plan::Plan,
    trace::{Source, TraceEvent, What},
};

use fake::Fake;

mod fake;

const GOOD: &str = r#"
[[class]]
name = "gold"
rto_s = 600
[[host]]
name = "h1"
capacity = { cpu_milli = 16000, memory_mib = 65536 }
[[vm]]
name = "web-1"
class = "gold"
demand = { cpu_milli = 1000, memory_mib = 2048 }
"#;

fn lifeboat() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    for name in ["LIFEBOAT_SOCKET", "LIFEBOAT_SERVER", "LIFEBOAT_CREDENTIALS", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("TZ", "UTC").stdin(Stdio::null());
    command
}

fn run(fake: &Fake, arguments: &[&str]) -> Output {
    lifeboat().current_dir(fake.dir.path()).env("LIFEBOAT_SOCKET", fake.socket()).args(arguments).output().expect("run")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "out: {}\nerr: {}", out(output), err(output));
}

fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

fn status(overall: Overall) -> StatusView {
    StatusView {
        overall,
        now_us: Time::from_micros(1_795_435_469_000_000),
        controller: ControllerView { version: "0.1.0".to_owned(), epoch: Epoch(1), since_us: Time::default() },
        hosts: Vec::new(),
        vms: Vec::new(),
        recoveries: Vec::new(),
        recent: Vec::new(),
        drill: None,
        warnings: Vec::new(),
    }
}

fn vm_row(name: &str) -> VmRow {
    VmRow {
        name: VmName::new(name).expect("a name"),
        class: ClassName::new("gold").expect("a name"),
        group: None,
        host: Some(host("h1")),
        phase: VmPhase::Running,
        since_us: Time::from_micros(1),
        generation: Generation(1),
        desired: Desired::Running,
        enabled: true,
        why_not: None,
        reason: None,
        volumes: Vec::new(),
    }
}

fn recovery(state: RecoveryState, ready: u64) -> RecoveryView {
    let now_us = Time::from_micros(1_795_435_469_000_000);
    let one = |at: u64, name: &str| RecoveryVm {
        vm: VmName::new(name).expect("a name"),
        class: ClassName::new("gold").expect("a name"),
        from: host("h2"),
        to: Some(host("h1")),
        state: if at < ready { RecoveryVmState::Ready } else { RecoveryVmState::Starting },
        detail: None,
        ready_s: (at < ready).then(|| Seconds::new(9 + at)),
    };
    RecoveryView {
        row: RecoveryRow {
            id: 7,
            host: host("h2"),
            verdict: "dead".to_owned(),
            declared_us: Time::from_micros(1_795_435_449_000_000),
            state,
            fence: FenceProgress { method: Some("power".to_owned()), ..FenceProgress::default() },
            total: 2,
            ready,
            unplaced: if state == RecoveryState::Incomplete { 2 - ready } else { 0 },
            classes: Vec::new(),
            plan: None,
            expected_us: None,
            ended_us: state.has_ended().then_some(now_us),
        },
        now_us,
        vms: vec![one(0, "db-1"), one(1, "web-1")],
    }
}

#[test]
fn status_says_by_its_exit_code_whether_somebody_must_act() {
    let fake = Fake::start();
    fake.says("GET /v1/status", &status(Overall::Calm)).says("GET /v1/status", &status(Overall::Stuck));
    let calm = run(&fake, &["status"]);
    ends(&calm, 0);
    assert!(out(&calm).starts_with(" ALL WELL "), "{}", out(&calm));
    assert!(!out(&calm).contains('\x1b'), "colours in a pipe");
    let stuck = run(&fake, &["status", "-o", "json"]);
    ends(&stuck, 1);
    let view: StatusView = serde_json::from_str(&out(&stuck)).expect("json");
    assert_eq!(view, status(Overall::Stuck));
}

#[test]
fn a_controller_that_is_not_there_is_told_from_one_that_is_not_ready() {
    let nothing = lifeboat().args(["--socket", "/nowhere/at/all.sock", "status"]).output().expect("run");
    ends(&nothing, 3);
    assert!(err(&nothing).contains("nothing listens on /nowhere/at/all.sock"), "{}", err(&nothing));
    let fake = Fake::start();
    let body = ErrorBody::new(ErrorCode::Unavailable, "This controller does not lead.").advice("ask the leader");
    fake.refuses("GET /v1/status", &body).says_with(StatusCode::BAD_GATEWAY, "GET /v1/hosts", "<html>".to_owned());
    let standby = run(&fake, &["status"]);
    ends(&standby, 3);
    assert_eq!(err(&standby), " This controller does not lead.\n   → ask the leader\n");
    let proxy = run(&fake, &["get", "hosts"]);
    ends(&proxy, 3);
    fake.says_with(StatusCode::OK, "GET /v1/vms", "[{}]".to_owned());
    let strange = run(&fake, &["get", "vms"]);
    ends(&strange, 1);
    assert!(err(&strange).contains("same release"), "{}", err(&strange));
}

#[test]
fn apply_takes_all_or_nothing_and_a_second_time_changes_nothing() {
    let fake = Fake::start();
    fake.file("fleet.toml", GOOD);
    let checked = run(&fake, &["apply", "--check", "fleet.toml"]);
    ends(&checked, 0);
    assert_eq!(fake.asked("POST /v1/apply"), 0);
    let first = run(&fake, &["apply", "fleet.toml"]);
    ends(&first, 0);
    assert!(out(&first).contains(" Created   class gold · host h1 · VM web-1\n"), "{}", out(&first));
    assert!(out(&first).contains("no fence"), "{}", out(&first));
    let second = run(&fake, &["apply", "fleet.toml"]);
    ends(&second, 0);
    assert!(out(&second).starts_with(" Nothing changed: all 3 objects are as declared.\n"), "{}", out(&second));
    fake.file("bad.toml", "[[vm]]\nname = \"web-2\"\nclass = \"glod\"\ndemand = { cpu_milli = 1, memory_mib = 1 }\n");
    let bad = run(&fake, &["apply", "fleet.toml", "bad.toml"]);
    ends(&bad, 2);
    assert_eq!(
        err(&bad),
        " bad.toml:3: VM `web-2` names class `glod`, which does not exist. Did you mean `gold`?\n Nothing was changed.\n"
    );
    assert_eq!((out(&bad).as_str(), fake.asked("POST /v1/apply")), ("", 2));
    ends(&run(&fake, &["apply", "missing.toml"]), 2);
}

#[test]
fn apply_tells_what_is_wrong_in_a_file_even_without_a_controller() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("f.toml"), "[[vms]]\n").expect("written");
    let told = lifeboat().current_dir(dir.path()).args(["--socket", "none", "apply", "f.toml"]).output().expect("run");
    ends(&told, 2);
    assert!(err(&told).starts_with(" f.toml:1: there is no section `vms`; did you mean `[[vm]]`?"), "{}", err(&told));
}

#[test]
fn what_only_the_controller_finds_wrong_is_shown_at_its_line() {
    let fake = Fake::start();
    fake.file("fleet.toml", GOOD);
    let mut body = ErrorBody::new(ErrorCode::Refused, "Nothing was changed.");
    let object = Some(Object::new(Kind::Vm, "web-1"));
    body.problems.push(Problem { place: None, object, text: "VM `web-1` is being deleted.".to_owned() });
    fake.refuses("POST /v1/apply", &body);
    let refused = run(&fake, &["apply", "fleet.toml"]);
    ends(&refused, 4);
    assert_eq!(err(&refused), " fleet.toml:8: VM `web-1` is being deleted.\n Nothing was changed.\n");
}

#[test]
fn lists_are_tables_or_documents_and_may_be_narrowed_by_name() {
    let fake = Fake::start();
    let rows = [vm_row("web-1"), vm_row("web-2"), vm_row("db-1")];
    fake.says("GET /v1/vms", &rows).says("GET /v1/hosts", &[(); 0]).says("GET /v1/volumes", &[(); 0]);
    fake.says("GET /v1/recoveries", &[recovery(RecoveryState::Complete, 2).row]);
    fake.says("GET /v1/recoveries/7", &recovery(RecoveryState::Complete, 2));
    let table = run(&fake, &["get", "vms"]);
    ends(&table, 0);
    assert_eq!(out(&table).lines().count(), 4);
    let narrowed = run(&fake, &["get", "vms", "web-*", "-o", "json"]);
    let narrowed: Vec<VmRow> = serde_json::from_str(&out(&narrowed)).expect("json");
    assert_eq!(narrowed, rows[..2]);
    let unknown = run(&fake, &["get", "vms", "web-1", "db-l"]);
    ends(&unknown, 5);
    assert_eq!(err(&unknown), " There is no VM `db-l`.\n   → did you mean db-1?\n");
    ends(&run(&fake, &["get", "hosts"]), 0);
    ends(&run(&fake, &["get", "volumes"]), 0);
    ends(&run(&fake, &["get", "recoveries"]), 0);
    assert!(out(&run(&fake, &["get", "recoveries", "7"])).contains("db-1"));
    ends(&run(&fake, &["get", "recoveries", "8"]), 5);
}

const FLEET: &str = r#"{"format": "lifeboat/fleet/v1", "hosts": [
    {"name": "h1", "state": "up", "capacity": {"cpu_milli": 4000, "memory_mib": 4096}},
    {"name": "h2", "state": "up", "capacity": {"cpu_milli": 4000, "memory_mib": 4096}}],
    "vms": [{"name": "a", "host": "h1", "demand": {"cpu_milli": 1000, "memory_mib": 1024}, "class": "c", "start_s": 5},
            {"name": "b", "host": "h2", "demand": {"cpu_milli": 1000, "memory_mib": 4000}, "class": "c"}],
    "volumes": [], "arrays": [], "classes": [{"name": "c", "rto_s": 60}],
    "limits": {"starts_per_host": 1, "maps_per_host": 1, "fence_s": 15}}"#;

#[test]
fn a_plan_without_a_controller_says_who_comes_back_and_who_does_not() {
    let fake = Fake::start();
    fake.file("fleet.json", FLEET);
    fake.file("roomy.json", &FLEET.replace("4096", "8192"));
    let roomy = run(&fake, &["plan", "--fail", "h1", "--fleet", "roomy.json", "--output", "plan.json"]);
    ends(&roomy, 0);
    assert!(out(&roomy).starts_with(" If h1 fails: the one VM comes back, the last 20 s after"), "{}", out(&roomy));
    let plan = std::fs::read_to_string(fake.dir.path().join("plan.json")).expect("written");
    assert_eq!(Plan::from_json(&plan).expect("plan/v1").placements.len(), 1);
    let tight = run(&fake, &["plan", "--fail", "h1", "--fleet", "fleet.json"]);
    ends(&tight, 1);
    assert!(out(&tight).contains("1 VM would have no place:\n   a (c): no host has room"), "{}", out(&tight));
    let both = run(&fake, &["plan", "--fail", "h*", "--fleet", "fleet.json", "-o", "json"]);
    assert_eq!(Plan::from_json(&out(&both)).expect("plan/v1").failed.len(), 2);
    ends(&run(&fake, &["plan", "--fail", "h9", "--fleet", "fleet.json"]), 5);
    fake.file("broken.json", "{");
    ends(&run(&fake, &["plan", "--fail", "h1", "--fleet", "broken.json"]), 2);
    ends(&run(&fake, &["plan"]), 2);
}

#[test]
fn hosts_fail_by_label_and_how_to_plan_is_said_only_without_a_controller() {
    let fake = Fake::start();
    let racks = FLEET.replace("4096", "8192").replacen("\"state\"", "\"labels\": {\"rack\": \"r3\"}, \"state\"", 1);
    fake.file("fleet.json", &racks);
    let failed = |arguments: &[&str]| {
        let all = [&["plan", "--fleet", "fleet.json", "-o", "json"], arguments].concat();
        Plan::from_json(&out(&run(&fake, &all))).expect("plan/v1").failed
    };
    assert_eq!(failed(&["--fail-label", "rack=r*"]), [host("h1")]);
    assert_eq!(failed(&["--fail-label", "rack=r3", "--fail", "h2"]).len(), 2);
    assert_eq!(failed(&["--fail", "h2", "--scheme", "serial", "--effort", "10", "--seed", "4"]), [host("h2")]);
    let unknown = run(&fake, &["plan", "--fail-label", "rack=x", "--fleet", "fleet.json"]);
    ends(&unknown, 5);
    assert_eq!(err(&unknown), " No host has the label `rack=x`.\n   → rack is one of r3\n");
    ends(&run(&fake, &["plan", "--fail-label", "rack", "--fleet", "fleet.json"]), 2);
    let online = run(&fake, &["plan", "--fail", "h1", "--seed", "4"]);
    ends(&online, 2);
    assert!(err(&online).contains("need --fleet FILE"), "{}", err(&online));
}

#[test]
fn a_plan_is_explained_and_drawn() {
    let fake = Fake::start();
    fake.file("fleet.json", &FLEET.replace("4096", "8192"));
    fake.file("tight.json", FLEET);
    let why = run(&fake, &["plan", "explain", "a", "--fail", "h1", "--fleet", "fleet.json"]);
    ends(&why, 0);
    insta::assert_snapshot!("explain", out(&why));
    let out_of = run(&fake, &["plan", "explain", "a", "--fail", "h1", "--fleet", "tight.json"]);
    ends(&out_of, 1);
    insta::assert_snapshot!("explain_left_out", out(&out_of));
    ends(&run(&fake, &["plan", "explain", "z", "--fail", "h1", "--fleet", "fleet.json"]), 5);
    ends(&run(&fake, &["plan", "--fail", "h1", "--fleet", "fleet.json", "--output", "p.json"]), 0);
    ends(&run(&fake, &["plan", "show", "p.json", "--fleet", "fleet.json", "--svg", "p.svg"]), 0);
    let picture = std::fs::read_to_string(fake.dir.path().join("p.svg")).expect("written");
    assert!(picture.starts_with("<svg") && picture.contains("start a"), "{picture}");
}

#[test]
fn a_drill_and_rolling_groups_say_by_their_exit_code_whether_all_is_well() {
    let fake = Fake::start();
    fake.says("GET /v1/fleet", &Fleet::from_json(&FLEET.replace("4096", "8192")).expect("a fleet"));
    fake.file("tight.json", FLEET);
    let fine = run(&fake, &["drill"]);
    ends(&fine, 0);
    insta::assert_snapshot!("drill", out(&fine));
    let tight = run(&fake, &["drill", "--fleet", "tight.json", "--depth", "2"]);
    ends(&tight, 1);
    insta::assert_snapshot!("drill_left_out", out(&tight));
    ends(&run(&fake, &["drill", "--by", "rack"]), 5);
    let groups = run(&fake, &["rolling"]);
    ends(&groups, 0);
    insta::assert_snapshot!("rolling", out(&groups));
    ends(&run(&fake, &["rolling", "--fleet", "tight.json"]), 1);
}

#[test]
fn a_plan_is_asked_of_the_controller_for_its_own_fleet() {
    let fake = Fake::start();
    let fleet = Fleet::from_json(FLEET).expect("a fleet");
    fake.says("GET /v1/fleet", &fleet).says("POST /v1/plan", &Plan::empty());
    ends(&run(&fake, &["plan", "--fail", "h1,h2"]), 0);
    assert_eq!(fake.body("POST /v1/plan"), r#"{"failed":["h1","h2"]}"#);
    let exported = run(&fake, &["export"]);
    assert_eq!(Fleet::from_json(&out(&exported)).expect("fleet/v1"), fleet);
    ends(&run(&fake, &["export", "--output", "f.json"]), 0);
    assert!(fake.dir.path().join("f.json").exists());
}

#[test]
fn an_operators_word_is_asked_for_twice_and_may_be_refused() {
    let fake = Fake::start();
    let refusal =
        ErrorBody::new(ErrorCode::Refused, "h1 has not failed: its agent answers.").advice("cut its power first");
    fake.says("POST /v1/hosts/h2/confirm-off", &ConfirmedOff { host: host("h2"), recovery: 7 });
    fake.refuses("POST /v1/hosts/h1/confirm-off", &refusal);
    let unasked = run(&fake, &["recover", "h2", "--confirm-off"]);
    ends(&unasked, 2);
    assert_eq!(fake.asked("POST /v1/hosts/h2/confirm-off"), 0);
    ends(&run(&fake, &["recover", "h2", "--yes"]), 2);
    let word = run(&fake, &["recover", "h2", "--confirm-off", "--yes"]);
    ends(&word, 0);
    assert_eq!(fake.body("POST /v1/hosts/h2/confirm-off"), r#"{"host":"h2"}"#);
    let refused = run(&fake, &["recover", "h1", "--confirm-off", "--yes"]);
    ends(&refused, 4);
    assert_eq!(err(&refused), " h1 has not failed: its agent answers.\n   → cut its power first\n");
}

#[test]
fn orders_go_to_every_vm_and_the_first_failure_decides() {
    let fake = Fake::start();
    for action in ["start", "stop", "restart", "disable", "enable"] {
        fake.says(&format!("POST /v1/vms/web-1/{action}"), &vm_row("web-1"));
        let done = run(&fake, &["vm", action, "web-1"]);
        ends(&done, 0);
        assert!(out(&done).ends_with("now running on h1\n"), "{}", out(&done));
    }
    fake.refuses("POST /v1/vms/a/stop", &ErrorBody::new(ErrorCode::NotFound, "There is no VM `a`."));
    fake.refuses("POST /v1/vms/b/stop", &ErrorBody::new(ErrorCode::Refused, "VM `b` is disabled."));
    let mixed = run(&fake, &["vm", "stop", "a", "web-1", "b"]);
    ends(&mixed, 5);
    assert!(
        out(&mixed).contains("web-1") && err(&mixed).contains("`a`") && err(&mixed).contains("`b`"),
        "{}",
        err(&mixed)
    );
    ends(&run(&fake, &["vm", "stop", "../x"]), 2);
}

fn ordered(maintenance: Option<MaintenanceView>, vms: u64, warnings: &[&str]) -> HostOrdered {
    let host = HostRow {
        name: host("h7"),
        condition: HostCondition::Maintenance,
        verdict: None,
        since_us: Time::from_micros(0),
        note: None,
        maintenance,
        agent: None,
        vms,
        used: Resources::new(),
        capacity: Resources::new(),
        fences: Vec::new(),
        epoch: None,
    };
    HostOrdered { host, changed: true, warnings: warnings.iter().map(|&it| it.to_owned()).collect() }
}

#[test]
fn a_host_is_kept_from_vms_or_emptied_and_what_follows_is_said() {
    let fake = Fake::start();
    let since_us = Time::from_micros(0);
    let view = |note: Option<&str>, draining| MaintenanceView {
        since_us,
        note: note.map(str::to_owned),
        until_us: None,
        draining,
    };
    fake.says("POST /v1/hosts/h7/maintenance", &ordered(Some(view(Some("dimm swap"), false)), 3, &[]));
    fake.says("POST /v1/hosts/h7/maintenance", &ordered(None, 3, &["the fleet's file still says so"]));
    fake.says("POST /v1/hosts/h7/drain", &ordered(Some(view(None, true)), 3, &[]));
    let on = run(&fake, &["maintenance", "h7", "on", "--note", "dimm swap", "--for", "2h"]);
    ends(&on, 0);
    assert_eq!(out(&on), " h7 is in maintenance (\"dimm swap\"): it gets no new VMs, its 3 VMs stay.\n");
    let body = fake.body("POST /v1/hosts/h7/maintenance");
    assert_eq!(body, r#"{"on":true,"note":"dimm swap","ends_after_s":7200.0}"#);
    let off = run(&fake, &["maintenance", "h7", "off"]);
    assert_eq!(out(&off), " h7 is no longer in maintenance by an order.\n ⚠ the fleet's file still says so\n");
    let drain = run(&fake, &["drain", "h7"]);
    assert_eq!(
        out(&drain),
        " h7 is being emptied: 3 VMs are to move, and it gets no new ones.\n   → lifeboat get hosts h7\n"
    );
    ends(&run(&fake, &["maintenance", "h7", "off", "--note", "x"]), 2);
    ends(&run(&fake, &["maintenance", "h7", "on", "--for", "soon"]), 2);
    ends(&run(&fake, &["maintenance", "h7"]), 2);
    assert_eq!(fake.asked("POST /v1/hosts/h7/maintenance"), 2, "what is wrong does not reach the controller");
}

#[test]
fn receivers_are_listed_and_tested_and_a_test_that_is_not_taken_fails() {
    let fake = Fake::start();
    let row = |name: &str, problem: Option<&str>| ReceiverRow {
        name: name.to_owned(),
        kind: "mail".to_owned(),
        target: "ops@example.org by mail.example.org:587".to_owned(),
        severity: Severity::Warning,
        delivered_us: None,
        waiting: 2,
        lost: 1,
        held_back: problem.is_none(),
        problem: problem.map(str::to_owned),
    };
    fake.says("GET /v1/receivers", &[row("night", None), row("ops", Some("no answer within 10 s"))]);
    let list = run(&fake, &["notify", "list"]);
    ends(&list, 0);
    assert_eq!(
        out(&list),
        "RECEIVER  KIND  TOLD FROM  LAST TAKEN  WAITING  TO                                       PROBLEM\n\
         night     mail  warning             -        3  ops@example.org by mail.example.org:587  held back by its rate\n\
         ops       mail  warning             -        3  ops@example.org by mail.example.org:587  no answer within 10 s\n"
    );
    let tested = |problem: Option<&str>, remark: Option<&str>| NotifyTested {
        name: "ops".to_owned(),
        target: "ops@example.org".to_owned(),
        remark: remark.map(str::to_owned),
        problem: problem.map(str::to_owned),
    };
    fake.says("POST /v1/receivers/ops/test", &tested(None, Some("night@example.org was refused")));
    fake.says("POST /v1/receivers/ops/test", &tested(Some("receiver ops: no answer within 10 s"), None));
    let good = run(&fake, &["notify", "test", "ops"]);
    ends(&good, 0);
    let said = " ops has taken the test message (ops@example.org).\n ⚠ night@example.org was refused\n";
    assert_eq!(out(&good), said);
    let bad = run(&fake, &["notify", "test", "ops"]);
    ends(&bad, 1);
    assert!(err(&bad).starts_with(" receiver ops: no answer within 10 s\n   → mend it"), "{}", err(&bad));
    ends(&run(&fake, &["notify", "test", "ops", "-o", "json"]), 1);
    ends(&run(&fake, &["notify", "test", "nobody"]), 5);
}

fn event(sequence: u64) -> EventRow {
    EventRow {
        sequence,
        time_us: Time::from_micros(1_795_435_469_000_000),
        severity: Severity::Info,
        text: format!("event {sequence}"),
        host: None,
        vm: None,
        recovery: None,
    }
}

#[test]
fn events_come_as_lines_and_go_on_when_followed() {
    let fake = Fake::start();
    fake.says_lines("GET /v1/events?after=0&follow=false", &[event(1), event(2), event(3)]);
    fake.says_lines("GET /v1/events?after=3&follow=true", &[event(4)]);
    fake.says_lines("GET /v1/events?after=4&follow=true", &[event(5)]);
    let last = run(&fake, &["events", "-n", "2"]);
    ends(&last, 0);
    assert_eq!(out(&last), "2026-11-23 12:04:29   event 2\n2026-11-23 12:04:29   event 3\n");
    let json = out(&run(&fake, &["events", "-o", "json"]));
    assert_eq!(json.lines().map(|line| serde_json::from_str(line).expect("json")).collect::<Vec<EventRow>>().len(), 3);
    let mut child = lifeboat()
        .args(["events", "--follow", "--last", "0", "--socket"])
        .arg(fake.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a line").expect("text");
    let second = lines.next().expect("a line, after the controller was lost").expect("text");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(first.ends_with("event 4") && second.ends_with("event 5"), "{first} {second}");
}

#[test]
fn a_trace_is_written_as_it_is() {
    let fake = Fake::start();
    let trace = [
        TraceEvent::new(Time::from_micros(1), What::TraceStarted { source: Source::Controller }),
        TraceEvent::new(Time::from_micros(2), What::HostUp).host(&host("h1")),
    ];
    fake.says_lines("GET /v1/trace?follow=false", &trace);
    let printed = run(&fake, &["trace"]);
    ends(&run(&fake, &["trace", "--output", "trace.ndjson"]), 0);
    assert_eq!(std::fs::read_to_string(fake.dir.path().join("trace.ndjson")).expect("written"), out(&printed));
    let read = out(&printed).lines().map(|line| serde_json::from_str(line).expect("json")).collect::<Vec<TraceEvent>>();
    assert_eq!(read, trace);
}

#[test]
fn what_is_still_needed_is_not_deleted() {
    let fake = Fake::start();
    fake.file("fleet.toml", GOOD);
    ends(&run(&fake, &["apply", "fleet.toml"]), 0);
    let needed = run(&fake, &["delete", "class", "gold"]);
    ends(&needed, 4);
    assert!(err(&needed).contains("VM `web-1` needs it"), "{}", err(&needed));
    ends(&run(&fake, &["delete", "vm", "web-1"]), 0);
    ends(&run(&fake, &["delete", "class", "gold"]), 0);
    ends(&run(&fake, &["delete", "class", "gold"]), 5);
    ends(&run(&fake, &["delete", "class", "../../x"]), 5);
    ends(&run(&fake, &["delete", "node", "x"]), 2);
}

#[test]
fn a_token_goes_where_it_is_wanted_and_nowhere_else() {
    let fake = Fake::start();
    let token = TokenIssued { host: host("h4"), token: "lb1.secret".to_owned(), expires_us: Time::from_micros(1) };
    fake.says("POST /v1/tokens", &token);
    let printed = run(&fake, &["token", "create", "--host", "h4"]);
    assert_eq!((out(&printed).as_str(), err(&printed).as_str()), ("lb1.secret\n", ""));
    let kept = run(&fake, &["token", "create", "--host", "h4", "--output", "h4.token"]);
    ends(&kept, 0);
    let path = fake.dir.path().join("h4.token");
    assert!(!out(&kept).contains("secret") && !err(&kept).contains("secret"));
    assert_eq!(std::fs::read_to_string(&path).expect("written"), "lb1.secret\n");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_operators_certificate_opens_the_controller_over_tls() {
    let fake = Fake::start();
    fake.authority();
    fake.says("GET /v1/status", &status(Overall::Calm));
    ends(&run(&fake, &["operator", "create", "alice", "--out", "alice"]), 0);
    let mode = |path: &str| std::fs::metadata(fake.dir.path().join(path)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("alice"), mode("alice/credentials.pem")), (0o700, 0o600));
    let server = format!("localhost:{}", fake.tls());
    ends(&run(&fake, &["--server", &server, "--credentials", "alice", "status"]), 0);
    let bare = run(&fake, &["--server", &server, "status"]);
    ends(&bare, 2);
    let missing = run(&fake, &["--server", &server, "--credentials", "bob", "status"]);
    ends(&missing, 2);
    assert!(err(&missing).contains("operator create"), "{}", err(&missing));
    ends(&run(&fake, &["--server", "nonsense", "--credentials", "alice", "status"]), 2);
    ends(&run(&fake, &["--server", "localhost:1", "--credentials", "alice", "status"]), 3);
}

#[test]
fn a_recovery_is_watched_to_its_end() {
    let fake = Fake::start();
    let mut running = status(Overall::Recovering);
    running.recoveries.push(recovery(RecoveryState::Recovering, 0).row);
    fake.says("GET /v1/status", &status(Overall::Calm)).says("GET /v1/status", &running);
    fake.says("GET /v1/status", &status(Overall::Calm));
    for (state, ready) in [(RecoveryState::Recovering, 0), (RecoveryState::Recovering, 1), (RecoveryState::Complete, 2)]
    {
        fake.says("GET /v1/recoveries/7", &recovery(state, ready));
    }
    let watched = run(&fake, &["recoveries", "watch", "--wait"]);
    ends(&watched, 0);
    for line in
        ["h2 failed 20 s ago", "db-1 (gold) is up on h1 after 9 s   1 of 2", "complete after 20 s: 2 of 2 VMs up"]
    {
        assert!(out(&watched).contains(line), "{line} is missing in\n{}", out(&watched));
    }
    let none = run(&fake, &["recoveries", "watch"]);
    ends(&none, 0);
    assert_eq!(out(&none), " No recovery is running.\n");
    fake.says("GET /v1/recoveries/8", &recovery(RecoveryState::Incomplete, 1));
    ends(&run(&fake, &["recoveries", "watch", "8"]), 1);
    ends(&run(&fake, &["recoveries", "watch", "9"]), 5);
}

#[test]
fn a_reader_that_goes_away_is_no_trouble() {
    let fake = Fake::start();
    let rows: Vec<VmRow> = (0..5000).map(|at| vm_row(&format!("vm-{at}"))).collect();
    fake.says("GET /v1/vms", &rows);
    let mut child = lifeboat()
        .args(["get", "vms", "--socket"])
        .arg(fake.socket())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run");
    let mut first = [0; 10];
    child.stdout.take().expect("piped").read_exact(&mut first).expect("some of it");
    let ended = child.wait_with_output().expect("ended");
    ends(&ended, 0);
    assert_eq!(err(&ended), "");
}

#[test]
fn every_command_has_help_with_examples_and_shells_can_complete_it() {
    let commands = [
        "status",
        "apply",
        "get",
        "plan",
        "plan explain",
        "plan show",
        "drill",
        "rolling",
        "rules",
        "rules discover",
        "rules test",
        "recover",
        "recoveries watch",
        "vm",
        "events",
        "trace",
        "delete",
        "export",
        "token create",
        "operator create",
        "completions",
        "controller",
        "agent",
        "lab",
    ];
    for command in commands {
        let help = lifeboat().args(command.split(' ')).arg("--help").output().expect("run");
        ends(&help, 0);
        assert!(out(&help).contains("Examples:\n  lifeboat "), "{command}: {}", out(&help));
    }
    let whole = lifeboat().arg("--help").output().expect("run");
    assert!(out(&whole).contains("Exit codes:"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = lifeboat().args(["completions", shell]).output().expect("run");
        ends(&script, 0);
        assert!(out(&script).contains("recoveries"), "{shell}");
    }
    ends(&lifeboat().arg("frobnicate").output().expect("run"), 2);
}
