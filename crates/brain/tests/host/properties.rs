//! What a host promises under any sequence of inputs: repeats, reorderings, failures, lost links, restarts.

use crate::world::{End, World, vm};
use lifeboat_brain::{
    host::LinkId,
    message::{Command, CommandId, Order, ToAgent},
};
use lifeboat_model::{Epoch, Generation, Seconds, VmName};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Advance(u64),
    AdvanceToDeadline,
    Connect,
    Disconnect,
    Say(ToAgent),
    SayLate(u64, ToAgent),
    End(usize, End),
    Exit(VmName),
    Pause(VmName),
    DieWithin(usize),
    Restart(Vec<bool>),
}

fn name() -> impl Strategy<Value = VmName> {
    prop_oneof![Just(vm("a")), Just(vm("b"))]
}

fn configure() -> Order {
    Order::Configure { vcpus: 1, memory_mib: 64, machine: Box::default(), attachments: Vec::new() }
}

fn command() -> impl Strategy<Value = Command> {
    let order = prop_oneof![2 => Just(configure()), 4 => Just(Order::Start), 2 => Just(Order::Stop { graceful: true })];
    (1..4_u64, name(), 1..4_u64, order, 0..2_u64).prop_map(|(epoch, vm, generation, order, turn)| {
        let kind = match order {
            Order::Configure { .. } => 0,
            Order::Start => 1,
            Order::Stop { .. } => 2,
        };
        let which = u64::from(vm.as_str() == "b");
        let id = CommandId((((epoch * 10 + generation) * 10 + kind) * 10 + which) * 10 + turn);
        Command { id, epoch: Epoch(epoch), vm, generation: Generation(generation), order }
    })
}

fn message() -> impl Strategy<Value = ToAgent> {
    let keep = prop::collection::vec((name(), (1..4_u64).prop_map(Generation)), 0..3);
    let welcome =
        (1..4_u64, keep, prop::collection::vec(name(), 0..2)).prop_map(|(epoch, keep, leave)| ToAgent::Welcome {
            epoch: Epoch(epoch),
            heartbeat_ms: 1000,
            keep,
            leave,
            lease_ms: 0,
            terms: Default::default(),
        });
    prop_oneof![
        4 => welcome,
        12 => command().prop_map(ToAgent::Command),
        1 => Just(ToAgent::Rejected { why: "no".to_owned() }),
        1 => Just(ToAgent::Heard { sequence: 1, lease_ms: 0 }),
        1 => Just(ToAgent::Probe { nonce: 7 }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let end = prop_oneof![
        5 => Just(End::Done),
        1 => Just(End::FailedWithoutProcess),
        1 => Just(End::FailedWithProcess),
        1 => any::<bool>().prop_map(End::FailedUnknown),
    ];
    prop_oneof![
        2 => (0..4000_u64).prop_map(Action::Advance),
        4 => Just(Action::AdvanceToDeadline),
        6 => Just(Action::Connect),
        1 => Just(Action::Disconnect),
        24 => message().prop_map(Action::Say),
        1 => (0..5_u64, message()).prop_map(|(link, message)| Action::SayLate(link, message)),
        10 => (0..4_usize, end).prop_map(|(index, end)| Action::End(index, end)),
        1 => name().prop_map(Action::Exit),
        1 => name().prop_map(Action::Pause),
        1 => (0..3_usize).prop_map(Action::DieWithin),
        1 => prop::collection::vec(any::<bool>(), 0..2).prop_map(Action::Restart),
    ]
}

fn perform(world: &mut World, action: Action) {
    match action {
        Action::Advance(millis) => world.advance(Seconds::from_millis(millis)),
        Action::AdvanceToDeadline => world.advance_to_deadline(),
        Action::Connect => world.connect(),
        Action::Disconnect => world.disconnect(),
        Action::Say(message) => world.say(message),
        Action::SayLate(link, message) => world.say_late(LinkId(link), message),
        Action::End(index, end) => world.end(index, end),
        Action::Exit(vm) => world.exit(&vm),
        Action::Pause(vm) => world.pause(&vm),
        Action::DieWithin(records) => world.dies_after_records = Some(records),
        Action::Restart(took_effect) => world.restart(&took_effect),
    }
}

/// Lets everything end well that runs or, like a kill that failed, is tried again.
fn settle(world: &mut World) {
    world.calm_down();
    world.say(ToAgent::Heard { sequence: 1, lease_ms: 0 });
    world.advance(Seconds::new(1));
    world.calm_down();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_host_obeys_only_the_newest_and_answers_everything(actions in prop::collection::vec(action(), 0..120)) {
        let mut world = World::new();
        for action in actions {
            perform(&mut world, action);
        }
        settle(&mut world);
        world.check_all_answered();

        let epoch = Epoch(world.brain.memory().epoch().0.max(1));
        world.say(ToAgent::Welcome { epoch, heartbeat_ms: 1000, keep: Vec::new(), leave: Vec::new(), lease_ms: 0, terms: Default::default() });
        settle(&mut world);
        prop_assert_eq!(world.list(), [], "what nobody keeps still runs");
    }

    #[test]
    fn the_same_inputs_give_the_same_effects(actions in prop::collection::vec(action(), 0..60)) {
        let run = || {
            let mut world = World::new();
            actions.iter().cloned().for_each(|action| perform(&mut world, action));
            (world.said, world.notices, world.records)
        };
        prop_assert_eq!(run(), run());
    }
}
