//! The rules of a host's side, one by one.

use crate::world::{End, World, vm};
use lifeboat_brain::{
    host::{Act, HostInput, Notice},
    message::{Command, CommandId, FromAgent, LeaseTerms, Order, Outcome, ToAgent},
};
use lifeboat_model::{
    Epoch, Generation, Seconds,
    health::{CheckReport, CheckStatus},
    running::VmRunState,
    spec::CheckSpec,
};

fn welcome(epoch: u64, keep: &[(&str, u64)], leave: &[&str]) -> ToAgent {
    ToAgent::Welcome {
        epoch: Epoch(epoch),
        heartbeat_ms: 1000,
        keep: keep.iter().map(|(name, generation)| (vm(name), Generation(*generation))).collect(),
        leave: leave.iter().map(|name| vm(name)).collect(),
        lease_ms: 0,
        terms: LeaseTerms::default(),
    }
}

fn command(id: u64, epoch: u64, name: &str, generation: u64, order: Order) -> ToAgent {
    ToAgent::Command(Command {
        id: CommandId(id),
        epoch: Epoch(epoch),
        vm: vm(name),
        generation: Generation(generation),
        order,
    })
}

const STOP: Order = Order::Stop { graceful: true };

fn configure() -> Order {
    Order::Configure { vcpus: 1, memory_mib: 64, machine: Box::default(), attachments: Vec::new() }
}

/// A host that a leader of epoch 1 has just welcomed.
fn led() -> World {
    let mut world = World::new();
    world.connect();
    world.say(welcome(1, &[], &[]));
    world.said.clear();
    world
}

fn answers(world: &World) -> Vec<(u64, Outcome)> {
    let dones = world.said.iter().filter_map(|said| match said {
        FromAgent::Done { command, outcome } => Some((command.0, outcome.clone())),
        _ => None,
    });
    dones.collect()
}

fn hello(world: &World) -> &lifeboat_brain::message::Hello {
    let hellos = world.said.iter().rev().filter_map(|said| match said {
        FromAgent::Hello(hello) => Some(hello),
        _ => None,
    });
    hellos.into_iter().next().expect("a Hello")
}

#[test]
fn a_vm_is_configured_started_and_stopped_in_the_order_of_the_commands() {
    let mut world = led();
    for (id, order) in [(1, configure()), (2, Order::Start)] {
        world.say(command(id, 1, "a", 1, order));
    }
    assert_eq!(world.running.len(), 1, "one operation at a time on a VM");
    world.say(command(3, 1, "b", 1, configure()));
    assert_eq!(world.running.len(), 2, "another VM need not wait");
    world.calm_down();
    world.say(command(4, 1, "a", 1, STOP));
    world.calm_down();
    let ids: Vec<u64> = answers(&world).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 3, 2, 4]);
    assert!(answers(&world).iter().all(|(_, outcome)| *outcome == Outcome::Done));
}

#[test]
fn a_stop_supersedes_a_start_that_waits() {
    let mut world = led();
    for (id, order) in [(1, configure()), (2, Order::Start), (3, STOP)] {
        world.say(command(id, 1, "a", 1, order));
    }
    world.calm_down();
    let answers = answers(&world);
    assert!(matches!(answers[0], (2, Outcome::Failed { retry_may_help: false, .. })), "{answers:?}");
    assert_eq!(answers[1..], [(1, Outcome::Done), (3, Outcome::Done)]);
    assert_eq!(world.list(), []);
}

#[test]
fn old_commands_are_refused_even_after_a_restart() {
    let mut world = led();
    world.say(command(1, 1, "a", 5, configure()));
    world.calm_down();
    world.say(command(2, 1, "a", 4, Order::Start));
    let refused = Outcome::Refused { epoch: Epoch(1), generation: Generation(5) };
    assert_eq!(answers(&world).last(), Some(&(2, refused.clone())));

    world.restart(&[]);
    world.calm_down();
    assert_eq!(hello(&world).epoch, Epoch(1));
    world.say(welcome(1, &[], &[]));
    world.say(command(3, 1, "a", 4, Order::Start));
    assert_eq!(answers(&world).last(), Some(&(3, refused)));
    assert!(world.running.is_empty());
}

#[test]
fn a_repeat_is_done_again_unless_something_was_done_since() {
    let mut world = led();
    for _ in 0..3 {
        world.say(command(1, 1, "a", 1, Order::Start));
    }
    assert_eq!(world.running.len(), 1);
    world.calm_down();
    assert_eq!(answers(&world).len(), 1, "one answer for a command that came again while it ran");
    world.say(command(2, 1, "a", 1, STOP));
    world.calm_down();
    world.say(command(1, 1, "a", 1, Order::Start));
    assert!(world.running.is_empty(), "a start from before the stop is not done again");
    world.say(command(2, 1, "a", 1, STOP));
    world.calm_down();
    assert_eq!(answers(&world), [1, 2, 1, 2].map(|id| (id, Outcome::Done)));
}

#[test]
fn a_number_that_is_used_again_is_no_repeat() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, configure()));
    world.calm_down();
    world.say(command(2, 1, "a", 1, Order::Start));
    world.calm_down();
    world.say(command(1, 1, "a", 1, STOP));
    world.calm_down();
    assert_eq!(world.list(), []);
}

#[test]
fn commands_that_have_not_begun_are_dropped_with_their_link() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, configure()));
    world.say(command(2, 1, "a", 1, Order::Start));
    world.disconnect();
    world.calm_down();
    world.say(welcome(1, &[], &[]));
    world.calm_down();
    assert_eq!(world.list(), [], "its leader may think differently by now");
    world.say(command(2, 1, "a", 1, Order::Start));
    world.calm_down();
    assert_eq!(world.list().len(), 1);
}

#[test]
fn what_the_welcome_neither_keeps_nor_leaves_is_killed_and_told() {
    let mut world = led();
    for (id, name) in ["kept", "left", "other", "gone"].into_iter().enumerate() {
        world.say(command(id as u64, 1, name, 7, Order::Start));
    }
    world.calm_down();
    world.disconnect();
    world.advance_to_deadline();
    world.connect();
    world.say(welcome(2, &[("kept", 7), ("other", 8)], &["left"]));
    assert!(world.running.iter().all(|operation| operation.act == Act::Order(Order::Stop { graceful: false })));
    world.end(0, End::FailedWithProcess);
    assert!(matches!(world.notices.last(), Some(Notice::KillFailed { .. })));
    world.calm_down();
    world.advance(Seconds::new(1));
    world.calm_down();
    let running: Vec<String> = world.list().iter().map(|running| running.vm.to_string()).collect();
    assert_eq!(running, ["kept", "left"]);
    let exits = world.said.iter().filter_map(|said| match said {
        FromAgent::VmExited { vm, .. } => Some(vm.to_string()),
        _ => None,
    });
    let mut exits: Vec<String> = exits.collect();
    exits.sort();
    assert_eq!(exits, ["gone", "other"]);
}

#[test]
fn a_start_that_failed_is_told_only_when_its_process_is_gone() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.end(0, End::FailedUnknown(true));
    assert_eq!(answers(&world), []);
    world.calm_down();
    assert_eq!(world.list(), []);
    assert!(matches!(answers(&world)[..], [(1, Outcome::Failed { .. })]));
}

#[test]
fn a_vm_that_is_being_started_is_in_the_hello() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.disconnect();
    world.advance_to_deadline();
    world.connect();
    assert_eq!(hello(&world).vms.len(), 1);
    world.say(welcome(2, &[("a", 1)], &[]));
    world.calm_down();
    assert_eq!(answers(&world), [], "its leader is gone, and the number means nothing to the next");
    assert!(matches!(world.said.last(), Some(FromAgent::VmChanged(_))), "{:?}", world.said);
}

#[test]
fn a_vm_that_ends_between_hello_and_welcome_is_told() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.calm_down();
    world.disconnect();
    world.advance_to_deadline();
    world.connect();
    world.exit(&vm("a"));
    assert_eq!(world.running[0].act, Act::Look, "an event is a hint");
    world.end(0, End::Done);
    assert!(matches!(world.said.last(), Some(FromAgent::VmExited { .. })));
}

#[test]
fn a_late_word_of_an_earlier_process_is_not_believed() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.calm_down();
    let detail = "killed by signal 9".to_owned();
    world.feed(HostInput::VmExited { vm: vm("a"), generation: Generation(1), by_guest: false, detail });
    world.calm_down();
    assert!(!world.said.iter().any(|said| matches!(said, FromAgent::VmExited { .. })), "{:?}", world.said);
}

#[test]
fn a_guest_that_stops_executing_is_told() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.calm_down();
    world.pause(&vm("a"));
    world.calm_down();
    let FromAgent::VmChanged(changed) = world.said.last().expect("a word") else { panic!("{:?}", world.said) };
    assert_eq!(changed.state, VmRunState::Paused);
}

#[test]
fn a_vm_that_ends_while_nobody_listens_is_missing_from_the_hello() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.calm_down();
    world.disconnect();
    world.exit(&vm("a"));
    world.end(0, End::Done);
    world.calm_down();
    assert_eq!(hello(&world).vms, []);
}

#[test]
fn an_older_leader_is_turned_away_and_the_next_controller_tried() {
    let mut world = led();
    world.say(welcome(4, &[], &[]));
    world.disconnect();
    world.advance_to_deadline();
    world.connect();
    world.say(welcome(3, &[], &[]));
    assert_eq!(world.link, None);
    let notice = Notice::OldLeader { controller: 0, epoch: Epoch(3), obeyed: Epoch(4) };
    assert!(world.notices.contains(&notice), "{:?}", world.notices);
    world.calm_down();
    world.say(welcome(4, &[], &[]));
    assert_eq!(world.notices.last(), Some(&Notice::Led { controller: 1, epoch: Epoch(4) }));
}

#[test]
fn heartbeats_go_out_and_silence_closes_the_link() {
    let mut world = led();
    for sequence in 1..3 {
        world.advance(Seconds::new(1));
        world.say(ToAgent::Heard { sequence, lease_ms: 0 });
    }
    let beats = world.said.iter().filter(|said| matches!(said, FromAgent::Heartbeat { .. })).count();
    assert_eq!(beats, 2, "{:?}", world.said);
    world.advance(Seconds::from_millis(2999));
    assert!(world.link.is_some());
    world.advance(Seconds::from_millis(1));
    assert!(world.link.is_none());
    assert_eq!(world.notices.last(), Some(&Notice::Silent { controller: 0 }));
    world.advance(Seconds::new(1));
    assert!(world.connecting.is_some(), "it connects anew");
}

#[test]
fn commands_beyond_the_bound_are_answered_at_once() {
    let mut world = led();
    for id in 0..30 {
        world.say(command(id, 1, "a", 1, configure()));
    }
    let answers = answers(&world);
    assert!(answers.len() > 10, "{answers:?}");
    assert!(answers.iter().all(|(_, outcome)| matches!(outcome, Outcome::Failed { retry_may_help: true, .. })));
    world.calm_down();
    world.check_all_answered();
}

#[test]
fn a_vm_that_left_is_forgotten_under_a_later_leader() {
    let mut world = led();
    world.say(command(1, 1, "a", 5, configure()));
    world.say(command(2, 1, "b", 5, Order::Start));
    world.calm_down();
    assert_eq!(world.brain.memory().record_count(), 3);
    world.disconnect();
    world.calm_down();
    world.say(welcome(2, &[("b", 5)], &[]));
    assert_eq!(world.brain.memory().record_count(), 2);
    assert_eq!(world.brain.memory().generation(&vm("b")), Generation(5));
}

#[test]
fn a_start_that_is_repeated_after_its_process_has_ended_is_not_done_again() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.end(0, End::Done);
    world.exit(&vm("a"));
    world.end(0, End::Done);
    assert!(world.processes.is_empty());
    world.say(command(1, 1, "a", 1, Order::Start));
    assert!(world.running.is_empty() && world.processes.is_empty(), "{:?}", world.running);
    let last = answers(&world).pop().expect("an answer");
    assert!(matches!(last, (1, Outcome::Failed { retry_may_help: true, .. })), "{last:?}");
}

#[test]
fn another_leaders_start_that_waited_does_not_begin_a_generation_again_that_was_told_to_have_ended() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.disconnect();
    world.advance_to_deadline();
    world.connect();
    world.say(welcome(2, &[("a", 1)], &[]));
    world.say(command(1, 2, "a", 1, Order::Start));
    // The first leader's start has done its work, and the process dies before the agent hears of either.
    world.processes.insert(vm("a"), (Generation(1), VmRunState::Running));
    world.exit(&vm("a"));
    world.end(0, End::FailedWithoutProcess);
    world.calm_down();
    assert!(world.processes.is_empty(), "{:?}", world.said);
    let told = |said: &FromAgent| matches!(said, FromAgent::VmExited { .. });
    assert!(world.said.iter().any(told), "{:?}", world.said);
    assert!(matches!(answers(&world)[..], [(1, Outcome::Failed { retry_may_help: true, .. })]));
}

#[test]
fn a_start_that_finds_an_earlier_process_has_failed_only_when_that_is_gone() {
    let mut world = led();
    world.say(command(1, 1, "a", 1, Order::Start));
    world.end(0, End::Done);
    world.say(command(2, 1, "a", 2, Order::Start));
    assert_eq!(answers(&world).len(), 1, "nothing is said of the second start while the first process is there");
    world.end(0, End::Done);
    assert!(world.processes.is_empty());
    let last = answers(&world).pop().expect("an answer");
    assert!(matches!(last, (2, Outcome::Failed { retry_may_help: true, .. })), "{last:?}");
}

fn look(sequence: u64) -> ToAgent {
    let look = CheckSpec::Tcp { address: "a:1".to_owned() };
    ToAgent::Look { sequence, vm: vm("a"), look, limit: Seconds::new(1) }
}

fn looked(sequence: u64) -> HostInput {
    HostInput::Looked { sequence, report: CheckReport::new(CheckStatus::Ok, "fine") }
}

fn told_looks(world: &World) -> Vec<u64> {
    let looks = world.said.iter().filter_map(|said| match said {
        FromAgent::Looked { sequence, .. } => Some(*sequence),
        _ => None,
    });
    looks.collect()
}

#[test]
fn a_look_is_answered_once_and_only_over_the_link_that_it_came_by() {
    let mut world = led();
    world.say(look(7));
    world.say(look(7));
    world.say(look(8));
    assert_eq!(world.looks, [7, 8], "a repeated look is one");
    world.feed(looked(7));
    world.feed(looked(7));
    assert_eq!(told_looks(&world), [7]);
    world.disconnect();
    world.advance_to_deadline();
    world.connect();
    world.say(welcome(1, &[], &[]));
    world.feed(looked(8));
    assert_eq!(told_looks(&world), [7], "what an earlier link's leader asked is of no use to this one's");
}

#[test]
fn nobody_who_does_not_lead_has_vms_looked_at_and_no_flood_of_looks_grows() {
    let mut world = World::new();
    world.connect();
    world.say(look(1));
    assert!(world.looks.is_empty());
    let mut world = led();
    (0..2000).for_each(|sequence| world.say(look(sequence)));
    assert_eq!((world.looks.len(), told_looks(&world).len()), (512, 1488), "the others are answered at once");
}

#[test]
fn another_host_is_looked_at_for_the_leader_alone_and_what_was_seen_is_told_it() {
    let look_at = || {
        let host = lifeboat_model::HostName::new("h2").expect("a name");
        ToAgent::LookAt { host, address: "192.0.2.2:7444".to_owned(), boot: lifeboat_model::BootId("b".to_owned()) }
    };
    let mut world = World::new();
    world.connect();
    world.say(look_at());
    assert!(world.peers.is_empty(), "nobody has welcomed this agent");
    let mut world = led();
    world.say(look_at());
    assert_eq!(world.peers.len(), 1);
    let (host, says) = (world.peers[0].clone(), lifeboat_model::liveness::Saying::Hangs);
    world.feed(HostInput::PeerSeen { host: host.clone(), says, detail: None });
    assert_eq!(world.said.last(), Some(&FromAgent::PeerSeen { host, says, detail: None }));
}
