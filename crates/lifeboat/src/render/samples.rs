//! Screens as an operator sees them, on days good and bad.

use jiff::tz::TimeZone;
use lifeboat_client::api::{
    AgentLink, ApplyOutcome, ClassProgress, ControllerView, Desired, EventRow, EvidenceView, FenceCheck, FenceProgress,
    FenceRow, HostCondition, HostCount, HostNote, HostRow, Overall, PlanRef, PolicyView, RecoveryRow, RecoveryState,
    RecoveryView, RecoveryVm, RecoveryVmState, Rto, Severity, StatusView, VmCount, VmPhase, VmRow, VolumeIntent,
    VolumeRow, VolumeState, Warning,
};
use lifeboat_model::{
    ArrayName, ClassName, Epoch, FenceName, Generation, HostName, Seconds, Time, VmName, VolumeName,
    declaration::{Kind, Object},
    fleet::Resources,
    liveness::{Evidence, EvidenceSource, Judgement, PolicyName, Saying, VerdictRule},
};

use super::*;

/// 2026-11-23 12:04:29 UTC.
const NOW: u64 = 1_795_435_469;

fn at(seconds_ago: u64) -> Time {
    Time::from_micros((NOW - seconds_ago) * 1_000_000)
}

fn look(width: Option<usize>) -> Look {
    Look { width, colour: false, zone: TimeZone::UTC }
}

fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a name")
}

fn class(name: &str) -> ClassName {
    ClassName::new(name).expect("a name")
}

fn fence(name: &str) -> FenceName {
    FenceName::new(name).expect("a name")
}

fn hosts(condition: HostCondition, count: u64, named: &[(&str, u64, Option<&str>)]) -> HostCount {
    let note = |(name, ago, note): &(&str, u64, Option<&str>)| HostNote {
        host: host(name),
        since_us: at(*ago),
        note: note.map(str::to_owned),
        until_us: None,
    };
    HostCount { condition, count, named: named.iter().map(note).collect() }
}

fn vms(phase: VmPhase, count: u64) -> VmCount {
    VmCount { phase, count }
}

fn calm() -> StatusView {
    StatusView {
        overall: Overall::Calm,
        now_us: at(0),
        controller: ControllerView { version: "0.1.0".to_owned(), epoch: Epoch(3), since_us: at(86_400 * 12) },
        hosts: vec![
            hosts(HostCondition::Up, 6, &[]),
            hosts(HostCondition::Maintenance, 1, &[("h7", 10_800, Some("dimm swap"))]),
        ],
        vms: vec![vms(VmPhase::Running, 215), vms(VmPhase::Stopped, 2)],
        recoveries: Vec::new(),
        recent: Vec::new(),
        warnings: Vec::new(),
    }
}

fn progress(name: &str, ready: u64, total: u64, rto: Rto, ready_s: Option<u64>, doing: &[&str]) -> ClassProgress {
    let rto_s = match name {
        "gold" => 600,
        "silver" => 1200,
        _ => 7200,
    };
    ClassProgress {
        class: class(name),
        total,
        ready,
        unplaced: 0,
        rto_s: Seconds::new(rto_s),
        rto,
        ready_s: ready_s.map(Seconds::new),
        doing: doing.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn running() -> RecoveryRow {
    RecoveryRow {
        id: 7,
        host: host("h2"),
        verdict: "dead".to_owned(),
        declared_us: at(41),
        state: RecoveryState::Recovering,
        fence: FenceProgress {
            method: Some("power".to_owned()),
            device: Some(fence("bmc-h2")),
            after_s: Some(Seconds::from_millis(2100)),
            attempts: 1,
            ..FenceProgress::default()
        },
        total: 18,
        ready: 14,
        unplaced: 0,
        classes: vec![
            progress("gold", 4, 4, Rto::Met, Some(19), &[]),
            progress("silver", 7, 8, Rto::OnTrack, None, &["1 starting on h4"]),
            progress("bronze", 3, 6, Rto::OnTrack, None, &["2 waiting for volumes on h1", "1 for db-3 (same group)"]),
        ],
        plan: Some(PlanRef { id: 9, parent: None }),
        expected_us: Some(Time::from_micros((NOW + 22) * 1_000_000)),
        ended_us: None,
    }
}

fn recovering() -> StatusView {
    StatusView {
        overall: Overall::Recovering,
        hosts: vec![
            hosts(HostCondition::Up, 5, &[]),
            hosts(HostCondition::Maintenance, 1, &[("h7", 10_800, Some("dimm swap"))]),
            hosts(HostCondition::Off, 1, &[("h2", 39, None)]),
        ],
        vms: vec![
            vms(VmPhase::Running, 211),
            vms(VmPhase::Starting, 1),
            vms(VmPhase::Remapping, 2),
            vms(VmPhase::Waiting, 1),
            vms(VmPhase::Stopped, 2),
        ],
        recoveries: vec![running()],
        warnings: vec![Warning {
            text: "bmc-h5 did not answer its last check: h5 could not be fenced by power".to_owned(),
            mend: Some("lifeboat get hosts h5".to_owned()),
            since_us: Some(at(7200)),
            host: Some(host("h5")),
            vm: None,
        }],
        ..calm()
    }
}

fn stuck() -> StatusView {
    let mut recovery = running();
    recovery.state = RecoveryState::Fencing;
    recovery.declared_us = at(190);
    recovery.fence = FenceProgress {
        device: Some(fence("bmc-h2")),
        attempts: 6,
        waits_for: Some("bmc-h2 does not answer (https://10.0.0.12: no answer within 10 s)".to_owned()),
        mends: vec![
            "look at the BMC's network and password; it is asked again every 10 s".to_owned(),
            "if you know that h2 has no power: lifeboat recover h2 --confirm-off".to_owned(),
        ],
        ..FenceProgress::default()
    };
    recovery.ready = 0;
    recovery.classes = vec![
        progress("gold", 0, 4, Rto::AtRisk, None, &["4 waiting for the fence"]),
        progress("silver", 0, 14, Rto::OnTrack, None, &["14 waiting for the fence"]),
    ];
    recovery.expected_us = None;
    StatusView {
        overall: Overall::Stuck,
        hosts: vec![
            hosts(HostCondition::Up, 6, &[]),
            hosts(HostCondition::Failed, 1, &[("h2", 190, Some("no heartbeat, no answer"))]),
        ],
        vms: vec![vms(VmPhase::Running, 199), vms(VmPhase::Lost, 18)],
        recoveries: vec![recovery],
        ..calm()
    }
}

fn incomplete() -> RecoveryRow {
    let mut recovery = running();
    recovery.state = RecoveryState::Incomplete;
    recovery.ended_us = Some(at(2));
    (recovery.ready, recovery.unplaced, recovery.expected_us) = (16, 2, None);
    recovery.classes = vec![
        progress("gold", 4, 4, Rto::Met, Some(19), &[]),
        progress("silver", 8, 8, Rto::Met, Some(33), &[]),
        ClassProgress { unplaced: 2, ..progress("bronze", 4, 6, Rto::AtRisk, Some(39), &[]) },
    ];
    recovery
}

fn unplaced() -> StatusView {
    let warning = |name: &str, why: &str, mend: &str| Warning {
        text: format!("{name} (bronze) has no place: {why}"),
        mend: Some(mend.to_owned()),
        since_us: Some(at(2)),
        host: None,
        vm: Some(vm(name)),
    };
    StatusView {
        overall: Overall::Stuck,
        hosts: vec![hosts(HostCondition::Up, 6, &[]), hosts(HostCondition::Off, 1, &[("h2", 39, None)])],
        vms: vec![vms(VmPhase::Running, 215), vms(VmPhase::Unplaced, 2)],
        recent: vec![incomplete()],
        warnings: vec![
            warning("report-1", "no host has room: h4 comes nearest, short of 18432 memory_mib", "free 18 GiB on h4"),
            warning("batch-9", "no host that is up has the cpu it requires", "bring h2 back"),
        ],
        ..calm()
    }
}

fn all_down() -> StatusView {
    let mut first = stuck().recoveries.remove(0);
    first.total = 217;
    first.fence.waits_for = Some("no fence device of h1 answers".to_owned());
    let mut second = first.clone();
    (second.id, second.host) = (8, host("h3"));
    StatusView {
        hosts: vec![hosts(
            HostCondition::Failed,
            7,
            &[
                ("h1", 190, None),
                ("h2", 190, None),
                ("h3", 190, None),
                ("h4", 189, None),
                ("h5", 188, None),
                ("h6", 188, None),
            ],
        )],
        vms: vec![vms(VmPhase::Lost, 217)],
        recoveries: vec![first, second],
        ..stuck()
    }
}

fn view() -> RecoveryView {
    let one =
        |name: &str, class_name: &str, to: Option<&str>, state, detail: Option<&str>, ready: Option<u64>| RecoveryVm {
            vm: vm(name),
            class: class(class_name),
            from: host("h2"),
            to: to.map(host),
            state,
            detail: detail.map(str::to_owned),
            ready_s: ready.map(Seconds::from_millis),
        };
    let why = "no host has room: h4 comes nearest, short of 18432 memory_mib";
    RecoveryView {
        row: incomplete(),
        now_us: at(0),
        vms: vec![
            one("db-3", "gold", Some("h4"), RecoveryVmState::Ready, None, Some(19_400)),
            one("web-12", "silver", Some("h1"), RecoveryVmState::Starting, Some("3 of 3 volumes mapped"), None),
            one("report-1", "bronze", None, RecoveryVmState::Unplaced, Some(why), None),
        ],
    }
}

#[test]
fn judged_as_it_is_shown() {
    for view in [calm(), recovering(), stuck(), unplaced(), all_down()] {
        assert_eq!(view.judge(), view.overall);
    }
    assert_eq!(
        StatusView { overall: Overall::Calm, recoveries: Vec::new(), ..recovering() }.judge(),
        Overall::Attention
    );
}

#[test]
fn status_on_a_calm_day() {
    insta::assert_snapshot!(status::screen(&calm(), &look(Some(100))));
}

#[test]
fn status_while_vms_come_back() {
    insta::assert_snapshot!("status_recovering", status::screen(&recovering(), &look(Some(110))));
    insta::assert_snapshot!("status_recovering_narrow", status::screen(&recovering(), &look(Some(72))));
}

#[test]
fn status_while_a_dead_bmc_holds_everything_up_says_what_to_do() {
    insta::assert_snapshot!(status::screen(&stuck(), &look(Some(100))));
}

#[test]
fn status_with_vms_without_a_place_says_why() {
    insta::assert_snapshot!(status::screen(&unplaced(), &look(Some(100))));
}

#[test]
fn status_when_everything_is_down() {
    insta::assert_snapshot!(status::screen(&all_down(), &look(Some(100))));
}

#[test]
fn status_of_a_controller_that_knows_nothing_yet() {
    let view = StatusView { hosts: Vec::new(), vms: Vec::new(), ..calm() };
    insta::assert_snapshot!(status::screen(&view, &look(None)));
}

#[test]
fn colours_change_nothing_but_colours() {
    let strip = |text: &str| {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('\x1b') {
            plain.push_str(&rest[..at]);
            rest = rest[at..].split_once('m').map_or("", |(_, rest)| rest);
        }
        plain + rest
    };
    for view in [calm(), recovering(), stuck(), unplaced(), all_down()] {
        let coloured = status::screen(&view, &Look { colour: true, ..look(Some(100)) });
        assert!(coloured.contains('\x1b'));
        let plain = status::screen(&view, &look(Some(100)));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&strip(&coloured)), words(&plain));
    }
}

#[test]
fn a_recovery_with_its_vms() {
    insta::assert_snapshot!(recovery::whole(&view(), &look(Some(100))));
}

#[test]
fn a_recovery_line_by_line() {
    let mut first = view();
    first.row = stuck().recoveries.remove(0);
    first.vms.iter_mut().for_each(|vm| (vm.state, vm.to) = (RecoveryVmState::Waiting, None));
    let mut second = view();
    second.row = running();
    second.vms[0].state = RecoveryVmState::Starting;
    let mut lines = progress::changes(None, &first, &look(None));
    lines.extend(progress::changes(Some(&first), &second, &look(None)));
    lines.extend(progress::changes(Some(&second), &view(), &look(None)));
    assert_eq!(progress::changes(Some(&second), &second, &look(None)), Vec::<String>::new());
    insta::assert_snapshot!(lines.join("\n"));
}

fn resources(cpu_milli: u64, memory_mib: u64) -> Resources {
    Resources::from([("cpu_milli".to_owned(), cpu_milli), ("memory_mib".to_owned(), memory_mib)])
}

fn host_rows() -> Vec<HostRow> {
    let agent = |connected, heard| AgentLink {
        connected,
        since_us: at(heard + 5000),
        heard_us: at(heard),
        version: "0.1.0".to_owned(),
    };
    let device = |name: &str, problem: Option<&str>| FenceRow {
        name: fence(name),
        kind: "redfish".to_owned(),
        checked: Some(FenceCheck { at_us: at(7200), problem: problem.map(str::to_owned) }),
    };
    let up = HostRow {
        name: host("h1"),
        condition: HostCondition::Up,
        verdict: Some("alive".to_owned()),
        since_us: at(86_400 * 12),
        note: None,
        maintenance: None,
        agent: Some(agent(true, 0)),
        vms: 36,
        used: resources(28_000, 98_304),
        capacity: resources(64_000, 131_072),
        fences: vec![device("bmc-h1", None)],
        epoch: Some(Epoch(3)),
    };
    let off = HostRow {
        name: host("h2"),
        condition: HostCondition::Failed,
        verdict: Some("dead".to_owned()),
        since_us: at(41),
        note: Some("no heartbeat for 3 s, no answer to a probe".to_owned()),
        agent: Some(agent(false, 44)),
        fences: vec![device("bmc-h2", Some("no answer")), device("pdu-r2", None)],
        ..up.clone()
    };
    let new = HostRow {
        name: host("h10"),
        condition: HostCondition::New,
        verdict: None,
        agent: None,
        vms: 0,
        used: Resources::new(),
        fences: Vec::new(),
        epoch: None,
        ..up.clone()
    };
    vec![up, off, new]
}

#[test]
fn hosts_in_a_table() {
    insta::assert_snapshot!("hosts", rows::hosts(&host_rows(), at(0), &look(None)));
    insta::assert_snapshot!("hosts_narrow", rows::hosts(&host_rows(), at(0), &look(Some(80))));
}

#[test]
fn vms_in_a_table() {
    let up = VmRow {
        name: vm("db-3"),
        class: class("gold"),
        group: None,
        host: Some(host("h4")),
        phase: VmPhase::Running,
        since_us: at(22),
        generation: Generation(2),
        desired: Desired::Running,
        enabled: true,
        why_not: None,
        reason: None,
        volumes: Vec::new(),
    };
    let waits = VmRow {
        name: vm("report-1"),
        class: class("bronze"),
        host: None,
        phase: VmPhase::Unplaced,
        why_not: Some("no host has room: h4 comes nearest, short of 18432 memory_mib".to_owned()),
        ..up.clone()
    };
    let stopped =
        VmRow { name: vm("test-1"), host: None, phase: VmPhase::Stopped, desired: Desired::Stopped, ..up.clone() };
    insta::assert_snapshot!(rows::vms(&[up, waits, stopped], at(0), &look(Some(90))));
}

#[test]
fn volumes_in_a_table() {
    let settled = VolumeRow {
        name: VolumeName::new("db-3-d1").expect("a name"),
        array: ArrayName::new("a1").expect("a name"),
        size_gib: 20,
        vm: Some(vm("db-3")),
        host: Some(host("h4")),
        intent: VolumeIntent::Mapped { host: host("h4") },
        state: VolumeState::Settled,
        since_us: at(30),
        generation: Generation(2),
        problem: None,
    };
    let failing = VolumeRow {
        name: VolumeName::new("web-12-d1").expect("a name"),
        host: None,
        state: VolumeState::Failing,
        problem: Some("a1 refused to map it to h4: too many exports".to_owned()),
        ..settled.clone()
    };
    insta::assert_snapshot!(rows::volumes(&[settled, failing], at(0), &look(None)));
}

#[test]
fn recoveries_in_a_table() {
    let rows = [running(), stuck().recoveries.remove(0), incomplete()];
    insta::assert_snapshot!(rows::recoveries(&rows, at(0), &look(None)));
}

#[test]
fn what_an_apply_did() {
    let object = |kind, name: &str| Object::new(kind, name);
    let some = ApplyOutcome {
        created: vec![object(Kind::Host, "h1"), object(Kind::Vm, "web-1"), object(Kind::Vm, "web-2")],
        changed: vec![object(Kind::Class, "gold")],
        unchanged: 12,
        limits_changed: true,
        warnings: vec!["1 host has no fence (h1): add [[host.fence]].".to_owned()],
    };
    let none = ApplyOutcome { unchanged: 217, ..ApplyOutcome::default() };
    insta::assert_snapshot!(outcome::apply(&some, &look(None)) + &outcome::apply(&none, &look(None)));
}

#[test]
fn an_event_is_one_line() {
    let event = EventRow {
        sequence: 1,
        time_us: at(0),
        severity: Severity::Critical,
        text: "h2 failed:\nno heartbeat".to_owned(),
        host: None,
        vm: None,
        recovery: None,
    };
    assert_eq!(event::line(&event, &look(None)), "2026-11-23 12:04:29 ‼ h2 failed: no heartbeat\n");
}

fn evidence_view() -> EvidenceView {
    let said = |source, says, ago, detail: Option<&str>| Evidence {
        source,
        says,
        at_us: at(ago),
        detail: detail.map(str::to_owned),
    };
    let peer = EvidenceSource::Peer { host: host("h3") };
    let rule = VerdictRule::PeersFindNoAgent;
    let now = vec![
        said(EvidenceSource::Agent, Saying::Silent, 44, Some("it has no link")),
        said(peer.clone(), Saying::Silent, 1, None),
        said(EvidenceSource::Power { device: fence("bmc-h2") }, Saying::PowerOff, 2, None),
    ];
    let then = vec![
        said(EvidenceSource::Agent, Saying::Silent, 44, Some("its link is open, and nothing comes")),
        said(peer, Saying::Hangs, 42, Some("a connection was taken, no answer within 1 s")),
    ];
    let suspect = VerdictRule::Silent;
    EvidenceView {
        host: host("h2"),
        now_us: at(0),
        judgement: Some(Judgement { verdict: rule.verdict(), rule, since_us: at(41) }),
        because: Some(rule.to_string()),
        policy: PolicyView {
            name: Some(PolicyName::Critical),
            heartbeat_s: Seconds::new(1),
            suspect_after_s: Seconds::new(2),
            lost_after_s: Seconds::new(3),
        },
        evidence: now,
        when_declared: then,
        earlier: vec![Judgement { verdict: suspect.verdict(), rule: suspect, since_us: at(42) }],
    }
}

#[test]
fn evidence_on_a_failed_host() {
    insta::assert_snapshot!("evidence", evidence::text(&evidence_view(), &look(None)));
}
