//! VM health: what a controller's death, an operator and a check that cannot be made change. What happens in time is in
//! `scenarios/health`.

mod world;

use lifeboat_brain::fleet::{
    Kind, OperatorOrder, VmAction,
    health::{WatchKey, WatchState},
};
use lifeboat_model::{CheckName, health::CheckStatus};
use world::{Faults, World, fleet, vm};

const CHECK: &str = "[[check]]\nname = \"web\"\nlook = { kind = \"tcp\", address = \"{vm}:80\" }\n\
     vms = [\"v1\", \"v2\", \"v3\"]\ninterval_s = 10\ntimeout_s = 5\nfailures = 3\n";

fn up(more: &str) -> World {
    let text = fleet::toml(3, 3) + CHECK + more;
    let mut world = World::new(fleet::declaration(&text), Faults::default());
    let all = fleet::names(3);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.until(60, "all are seen to be well", |world| {
        fleet::names(3).iter().all(|vm| state(world, vm) == WatchState::Ok)
    });
    world
}

fn key(vm: &lifeboat_model::VmName) -> WatchKey {
    (CheckName::new("web").expect("a name"), vm.clone())
}

fn state(world: &World, vm: &lifeboat_model::VmName) -> WatchState {
    world
        .brain
        .as_ref()
        .and_then(|brain| brain.watches().get(&key(vm)))
        .map_or(WatchState::Pending, |it| it.record.state)
}

fn starts(world: &World) -> usize {
    world.starts.iter().filter(|(_, name, _)| *name == vm("v1")).count()
}

#[test]
fn restarts_are_counted_across_the_deaths_of_controllers() {
    let mut world = up("actions = [\"restart\"]\nrestarts_per_hour = 2\n");
    world.checks.insert(vm("v1"), CheckStatus::Critical);
    for restarts in 1..=2 {
        world.until(400, "it is restarted", |world| starts(world) == 1 + restarts);
        world.crash();
        world.run(10);
    }
    world.run(1500);
    assert_eq!(starts(&world), 3, "{}", world.log.join("\n"));
    assert!(world.said("It is not restarted any more: it was restarted 2 times within an hour"));
    world.crash();
    world.run(600);
    assert_eq!(starts(&world), 3, "a new controller holds to it\n{}", world.log.join("\n"));
    world.order(OperatorOrder::Vm { vm: vm("v1"), action: VmAction::Restart });
    world.until(400, "an operator's restart lets it be restarted again", |world| starts(world) == 5);
}

#[test]
fn a_check_that_cannot_be_made_is_told_once_and_restarts_nothing() {
    let mut world = up("");
    for name in fleet::names(3) {
        world.checks.insert(name, CheckStatus::Unknown);
    }
    world.run(900);
    assert_eq!(world.starts.len(), 3);
    let told = world.log.iter().filter(|line| line.contains("Check web of v1 cannot be made: it is unknown")).count();
    assert_eq!(told, 1, "{}", world.log.join("\n"));
    world.checks.clear();
    world.run(30);
    assert_eq!(state(&world, &vm("v1")), WatchState::Ok);
}

#[test]
fn a_warning_is_an_answer() {
    let mut world = up("");
    world.checks.insert(vm("v1"), CheckStatus::Warning);
    world.run(300);
    assert_eq!((state(&world, &vm("v1")), starts(&world)), (WatchState::Ok, 1));
}

#[test]
fn a_failure_in_between_is_soft_and_an_answer_ends_the_row() {
    let mut world = up("");
    for _ in 0..20 {
        world.checks.insert(vm("v1"), CheckStatus::Critical);
        world.until(60, "it has failed twice", |world| state(world, &vm("v1")) == WatchState::Soft { failures: 2 });
        world.checks.clear();
        world.until(60, "it answers", |world| state(world, &vm("v1")) == WatchState::Ok);
    }
    assert_eq!(starts(&world), 1);
}

#[test]
fn a_check_that_is_deleted_leaves_no_record_and_one_with_a_vm_that_is_not_up_looks_at_nothing() {
    let mut world = up("");
    assert!(world.store.contains_key("state/check/web/v1"), "{:?}", world.store.keys());
    world.order(OperatorOrder::Vm { vm: vm("v1"), action: VmAction::Stop });
    world.checks.insert(vm("v1"), CheckStatus::Critical);
    world.run(300);
    assert_eq!(state(&world, &vm("v1")), WatchState::Pending);
    assert!(!world.said("fails its check"));
    world.order(OperatorOrder::Delete { kind: Kind::Check, name: "web".to_owned() });
    world.run(60);
    assert!(!world.store.keys().any(|key| key.contains("check")), "{:?}", world.store.keys());
    assert!(world.brain.as_ref().expect("a controller").watches().is_empty());
}

#[test]
fn an_agent_that_looks_for_the_controller_is_asked_only_while_it_has_a_link() {
    let mut world = up("from = \"agent\"\nactions = [\"restart-elsewhere\"]\n");
    world.checks.insert(vm("v1"), CheckStatus::Critical);
    world.until(400, "it is restarted", |world| starts(world) == 2);
    world.run(10);
    assert_ne!(world.where_is(&vm("v1")), [world::host("h1")]);
}
