//! What a controller could have said.

use jiff::tz::TimeZone;
use lifeboat_client::api::{
    ClassProgress, ControllerView, FenceProgress, HostCondition, HostCount, HostNote, Overall, PlanRef, RecoveryRow,
    RecoveryState, RecoveryView, RecoveryVm, RecoveryVmState, Rto, StatusView, VmCount, VmPhase, Warning,
};
use lifeboat_model::{ClassName, Epoch, FenceName, HostName, Seconds, Time, VmName};

use super::super::*;

/// 2026-11-23 12:04:29 UTC.
pub(super) const NOW: u64 = 1_795_435_469;

pub(super) fn at(seconds_ago: u64) -> Time {
    Time::from_micros((NOW - seconds_ago) * 1_000_000)
}

pub(super) fn look(width: Option<usize>) -> Look {
    Look { width, colour: false, zone: TimeZone::UTC }
}

pub(super) fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

pub(super) fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a name")
}

pub(super) fn class(name: &str) -> ClassName {
    ClassName::new(name).expect("a name")
}

pub(super) fn fence(name: &str) -> FenceName {
    FenceName::new(name).expect("a name")
}

pub(super) fn hosts(condition: HostCondition, count: u64, named: &[(&str, u64, Option<&str>)]) -> HostCount {
    let note = |(name, ago, note): &(&str, u64, Option<&str>)| HostNote {
        host: host(name),
        since_us: at(*ago),
        note: note.map(str::to_owned),
        until_us: None,
    };
    HostCount { condition, count, named: named.iter().map(note).collect() }
}

pub(super) fn vms(phase: VmPhase, count: u64) -> VmCount {
    VmCount { phase, count }
}

pub(super) fn calm() -> StatusView {
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
        drill: Some(super::drilled::tests::report(&[])),
        warnings: Vec::new(),
    }
}

pub(super) fn progress(
    name: &str,
    ready: u64,
    total: u64,
    rto: Rto,
    ready_s: Option<u64>,
    doing: &[&str],
) -> ClassProgress {
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

pub(super) fn running() -> RecoveryRow {
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

pub(super) fn recovering() -> StatusView {
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
        drill: None,
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

pub(super) fn stuck() -> StatusView {
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

pub(super) fn incomplete() -> RecoveryRow {
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

pub(super) fn unplaced() -> StatusView {
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
        drill: None,
        warnings: vec![
            warning("report-1", "no host has room: h4 comes nearest, short of 18432 memory_mib", "free 18 GiB on h4"),
            warning("batch-9", "no host that is up has the cpu it requires", "bring h2 back"),
        ],
        ..calm()
    }
}

pub(super) fn all_down() -> StatusView {
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

pub(super) fn view() -> RecoveryView {
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
