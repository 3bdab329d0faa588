//! The views, over brains in known states.

use lifeboat_brain::fleet::{Effect, Input, OperatorOrder, RecoveryId, VmAction, VolumeOutcome};
use lifeboat_client::api::{
    HostCondition, Overall, RecoveryState, RecoveryVmState, Rto, StatusView, VmPhase, VolumeIntent, VolumeState,
};
use lifeboat_model::Seconds;

use super::bench::{Bench, Held, fleet, host, vm};
use crate::api::{hosts, recoveries, status, vms, volumes};

fn status_of(bench: &Bench) -> StatusView {
    status::view(&bench.brain, bench.now)
}

fn phase(bench: &Bench, name: &str) -> VmPhase {
    vms::row(&bench.brain, &vm(name), bench.now).expect("the VM").phase
}

/// A fleet whose h1 was declared failed a moment ago.
fn failed(text: &str, held: &[Held]) -> Bench {
    let mut bench = Bench::up(text);
    bench.held.extend(held);
    bench.silence("h1");
    bench.run(4);
    bench
}

#[test]
fn a_fleet_at_rest_is_calm_and_says_what_runs_where() {
    let bench = Bench::up(&fleet(3, 6));
    let view = status_of(&bench);
    assert_eq!((view.overall, view.warnings.as_slice()), (Overall::Calm, [].as_slice()));
    assert_eq!(view.hosts.iter().map(|it| (it.condition, it.count)).collect::<Vec<_>>(), [(HostCondition::Up, 3)]);
    assert_eq!(view.vms.iter().map(|it| (it.phase, it.count)).collect::<Vec<_>>(), [(VmPhase::Running, 6)]);
    let rows = hosts::rows(&bench.brain, bench.now);
    let first = &rows[0];
    assert_eq!((first.vms, first.used["memory_mib"], first.verdict.as_deref()), (2, 2048, Some("alive")));
    assert_eq!(
        (first.fences[0].kind.as_str(), first.agent.as_ref().map(|it| it.connected)),
        ("fence_ipmilan", Some(true))
    );
    let volumes = volumes::rows(&bench.brain, bench.now);
    let settled = |row: &lifeboat_client::api::VolumeRow| row.state == VolumeState::Settled && row.host.is_some();
    assert!(volumes.iter().all(settled), "{volumes:?}");
}

#[test]
fn hosts_that_never_joined_and_vms_that_wait_for_them_say_so() {
    let bench = Bench::declared(&fleet(2, 2));
    let view = status_of(&bench);
    assert_eq!(view.overall, Overall::Attention);
    assert_eq!(view.hosts[0].condition, HostCondition::New);
    assert_eq!(view.warnings[0].mend.as_deref(), Some("lifeboat token create --host h1"));
    let row = vms::row(&bench.brain, &vm("v1"), bench.now).expect("v1");
    assert_eq!((row.phase, row.host), (VmPhase::Waiting, None));
    assert!(row.why_not.expect("a reason").contains("h1"));
}

#[test]
fn a_host_that_is_silent_is_suspect_before_it_is_failed() {
    let mut bench = Bench::up(&fleet(2, 2));
    bench.silence("h1");
    bench.run(2);
    let row = &hosts::rows(&bench.brain, bench.now)[0];
    assert_eq!((row.condition, row.verdict.as_deref()), (HostCondition::Suspect, Some("suspect")));
    bench.held.insert(Held::Fence);
    bench.run(2);
    let row = &hosts::rows(&bench.brain, bench.now)[0];
    assert_eq!((row.condition, row.verdict.as_deref()), (HostCondition::Failed, Some("dead")));
    assert!(!row.agent.as_ref().expect("it joined").connected);
}

#[test]
fn while_the_first_round_of_fencing_runs_nobody_is_called() {
    let bench = failed(&fleet(3, 6), &[Held::Fence]);
    let view = status_of(&bench);
    let row = &view.recoveries[0];
    assert_eq!((view.overall, row.state), (Overall::Recovering, RecoveryState::Fencing));
    assert_eq!(row.fence.waits_for, None);
    assert_eq!(row.fence.device.as_ref().map(|it| it.as_str()), Some("bmc-h1"));
    assert_eq!((row.total, row.ready, row.fence.attempts), (2, 0, 1));
    assert!(row.expected_us.is_some_and(|at| at > bench.now), "the plan says when");
    assert_eq!(row.classes[0].doing, ["1 waiting for the fence"]);
    assert_eq!(row.classes[0].rto, Rto::OnTrack);
    assert_eq!(phase(&bench, "v1"), VmPhase::Lost);
}

#[test]
fn a_fence_that_fails_says_why_and_what_to_do() {
    let mut bench = failed(&fleet(3, 6), &[Held::Fence]);
    let Some(Effect::Fence { host: failed, attempt, .. }) = bench.waiting.pop() else { panic!("a fence was tried") };
    let result = Err("no answer within 10 s".to_owned());
    bench.give(Input::FenceEnded { host: failed, attempt, result });
    bench.run(1);
    let view = status_of(&bench);
    let row = &view.recoveries[0];
    assert_eq!((view.overall, row.expected_us), (Overall::Stuck, None));
    let waits_for = row.fence.waits_for.as_ref().expect("it is stuck");
    assert!(waits_for.contains("bmc-h1: no answer within 10 s"), "{waits_for}");
    assert!(row.fence.mends.iter().any(|mend| mend.contains("lifeboat recover h1 --confirm-off")));
    assert_eq!((row.fence.attempts, row.classes[0].rto), (2, Rto::AtRisk));
    bench.order(OperatorOrder::ConfirmOff { host: host("h1") });
    bench.run(1);
    let row = recoveries::rows(&bench.brain, bench.now).remove(0);
    assert_eq!((row.state, row.fence.method.as_deref()), (RecoveryState::Complete, Some("operator")));
}

#[test]
fn each_step_of_a_vm_on_its_way_is_shown_as_what_it_is() {
    let all = [Held::Volume, Held::Configure, Held::Start, Held::Check];
    let mut bench = failed(&fleet(3, 3), &all);
    let mut seen = Vec::new();
    for next in all {
        let view = recoveries::view(&bench.brain, RecoveryId(1), bench.now).expect("the recovery");
        seen.push((view.vms[0].state, view.row.classes[0].doing.clone()));
        assert!(view.row.expected_us.is_some() && view.vms[0].to.is_some(), "{next:?}: {view:?}");
        bench.release(next);
        bench.run(1);
    }
    let to = recoveries::view(&bench.brain, RecoveryId(1), bench.now).expect("the recovery").vms[0].to.clone();
    let to = to.expect("it is up somewhere");
    assert_eq!(seen[0], (RecoveryVmState::Remapping, vec![format!("1 waiting for volumes on {to}")]));
    assert_eq!(seen[1], (RecoveryVmState::Configuring, vec![format!("1 being configured on {to}")]));
    assert_eq!(seen[2], (RecoveryVmState::Starting, vec![format!("1 starting on {to}")]));
    assert_eq!(seen[3].0, RecoveryVmState::Starting);
}

#[test]
fn an_ended_recovery_says_how_each_class_did() {
    let bench = failed(&fleet(3, 6), &[]);
    let view = status_of(&bench);
    assert_eq!((view.overall, view.recoveries.len()), (Overall::Attention, 0), "h1 is off");
    let row = &view.recent[0];
    assert_eq!((row.state, row.ready, row.total), (RecoveryState::Complete, 2, 2));
    assert_eq!(row.fence.method.as_deref(), Some("power"));
    assert!(row.classes.iter().all(|class| class.rto == Rto::Met && class.ready_s.is_some()), "{row:?}");
    assert_eq!(hosts::rows(&bench.brain, bench.now)[0].condition, HostCondition::Off);
}

#[test]
fn a_late_class_has_missed_its_objective() {
    let mut bench = failed(&fleet(3, 6), &[Held::Volume]);
    bench.run(70);
    let row = status_of(&bench).recoveries.remove(0);
    let rtos: Vec<Rto> = row.classes.iter().map(|class| class.rto).collect();
    assert_eq!(rtos, [Rto::Missed, Rto::OnTrack], "gold has 60 s, bronze 600");
    assert!(row.expected_us.is_some_and(|at| at >= bench.now));
}

#[test]
fn vms_without_room_end_a_recovery_for_people_and_call_them() {
    // Two hosts of four VMs each: nothing fits after a failure.
    let bench = failed(&fleet(2, 8), &[]);
    let view = status_of(&bench);
    assert_eq!((view.overall, view.recoveries.len()), (Overall::Stuck, 0));
    let row = &view.recent[0];
    assert_eq!((row.state, row.total, row.unplaced, row.ready), (RecoveryState::Incomplete, 4, 4, 0));
    assert!(row.ended_us.is_some());
    let warning = &view.warnings[0];
    assert!(warning.text.contains("v1 (gold) has no place"), "{warning:?}");
    assert_eq!(warning.mend.as_deref(), Some("free 1024 memory_mib on h2, or bring up another host"));
    let row = vms::row(&bench.brain, &vm("v1"), bench.now).expect("v1");
    assert!(row.phase == VmPhase::Unplaced && row.reason.is_some() && row.why_not.is_some(), "{row:?}");
}

#[test]
fn a_later_stage_waits_by_name_for_the_one_before() {
    let text = fleet(3, 6) + "[[group]]\nname = \"shop\"\nstages = [[\"v1\"], [\"v4\"]]\n";
    let mut bench = failed(&text, &[Held::Check]);
    bench.run(1);
    let view = recoveries::view(&bench.brain, RecoveryId(1), bench.now).expect("the recovery");
    let later = view.vms.iter().find(|it| it.vm == vm("v4")).expect("v4");
    assert_eq!(later.state, RecoveryVmState::Waiting);
    assert_eq!(later.detail.as_deref(), Some("waits for v1 of an earlier stage of its group"));
    let bronze = view.row.classes.iter().find(|it| it.class.as_str() == "bronze").expect("bronze");
    assert_eq!(bronze.doing, ["1 for v1 (same group)"]);
}

#[test]
fn a_host_that_answers_again_before_its_fence_withdraws_the_recovery() {
    let text =
        fleet(2, 2).replace("[[host.fence]]\nname = \"bmc-h1\"\nkind = \"agent\"\nagent = \"fence_ipmilan\"\n", "");
    let mut bench = failed(&text, &[]);
    let view = status_of(&bench);
    assert_eq!(view.overall, Overall::Stuck, "without a fence it waits for a person");
    assert!(view.warnings.iter().any(|it| it.text.contains("h1 has no fence device")));
    bench.join(&host("h1"));
    let row = recoveries::rows(&bench.brain, bench.now).remove(0);
    assert_eq!((row.state, row.ready, row.total), (RecoveryState::Withdrawn, 1, 1));
}

#[test]
fn a_paused_vm_is_not_called_running() {
    let mut bench = Bench::up(&fleet(2, 2));
    bench.pause_guest("v1");
    let view = status_of(&bench);
    assert_eq!((phase(&bench, "v1"), view.overall), (VmPhase::Paused, Overall::Attention));
    assert!(view.warnings[0].mend.as_ref().is_some_and(|mend| mend.contains("lifeboat vm restart v1")));
}

#[test]
fn stopped_and_disabled_vms_are_as_their_owners_want_them() {
    let mut bench = Bench::up(&fleet(2, 3));
    for (name, action) in [("v1", VmAction::Stop), ("v2", VmAction::Disable)] {
        bench.order(OperatorOrder::Vm { vm: vm(name), action });
    }
    assert_eq!((phase(&bench, "v1"), phase(&bench, "v2")), (VmPhase::Stopped, VmPhase::Running));
    assert_eq!(status_of(&bench).overall, Overall::Calm);
}

#[test]
fn a_volume_that_its_array_does_not_map_says_what_the_array_said() {
    let mut bench = failed(&fleet(3, 3), &[Held::Volume]);
    let Some(Effect::Volume { op, .. }) = bench.waiting.pop() else { panic!("an array was asked") };
    let outcome = VolumeOutcome::Failed { problem: "the array is busy".to_owned(), retry_may_help: true };
    bench.give(Input::VolumeEnded { op, outcome });
    let volume = volumes::rows(&bench.brain, bench.now).remove(0);
    assert_eq!((volume.state, volume.problem.as_deref()), (VolumeState::Failing, Some("the array is busy")));
    assert!(matches!(volume.intent, VolumeIntent::Mapped { .. }));
    let warnings = status_of(&bench).warnings;
    assert!(warnings.iter().any(|it| it.text.contains("the array is busy") && it.mend.is_some()), "{warnings:?}");
}

#[test]
fn a_fence_that_is_quicker_than_planned_brings_the_end_nearer() {
    let before = failed(&fleet(3, 3), &[Held::Fence]);
    let mut after = failed(&fleet(3, 3), &[Held::Fence, Held::Volume]);
    let planned = status_of(&before).recoveries[0].expected_us.expect("an end");
    after.release(Held::Fence);
    let sooner = status_of(&after).recoveries[0].expected_us.expect("an end");
    assert!(planned.since(sooner) >= Seconds::new(5), "{planned:?} {sooner:?}");
}
