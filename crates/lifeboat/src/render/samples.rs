//! Screens as an operator sees them, on days good and bad.

use lifeboat_client::api::{
    AgentLink, ApplyOutcome, Desired, EventRow, EvidenceView, FenceCheck, FenceRow, HostCondition, HostRow, Overall,
    PolicyView, RecoveryVmState, Severity, StatusView, VmPhase, VmRow, VolumeIntent, VolumeRow, VolumeState,
};
use lifeboat_model::{
    ArrayName, Epoch, Generation, Seconds, VolumeName,
    declaration::{Kind, Object},
    fleet::Resources,
    liveness::{Evidence, EvidenceSource, Judgement, PolicyName, Saying, VerdictRule},
};

use super::*;

mod views;

use views::*;

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
    let view = StatusView { hosts: Vec::new(), vms: Vec::new(), drill: None, ..calm() };
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
