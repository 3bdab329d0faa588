//! VMs that fail alone, and what operators order.

mod world;

use lifeboat_brain::fleet::{Kind, OperatorOrder, RefusalKind, VmAction, records::Wanted};
use world::{Faults, World, fleet, host, vm};

fn up(text: &str, vms: usize) -> World {
    let mut world = World::new(fleet::declaration(text), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.run(2);
    world
}

fn order(world: &mut World, action: VmAction) {
    world.order(OperatorOrder::Vm { vm: vm("v1"), action });
}

#[test]
fn a_vm_whose_process_dies_is_restarted_in_place_then_elsewhere_then_given_up() {
    let mut world = up(&fleet::toml(3, 3), 3);
    let one = [vm("v1")];
    for life in 1..=4 {
        assert_eq!(
            world.where_is(&one[0]),
            [host(if life <= 3 { "h1" } else { "h2" })],
            "life {life}\n{}",
            world.log.join("\n")
        );
        world.kill_vm(&one[0], false);
        world.run(1);
        world.until(60, "it is restarted", |world| world.all_up(&one));
    }
    world.kill_vm(&one[0], false);
    world.run(30);
    assert!(world.where_is(&one[0]).is_empty());
    assert!(world.said("v1 is given up"));
    order(&mut world, VmAction::Start);
    world.until(60, "an operator's start tries again", |world| world.all_up(&one));
}

#[test]
fn a_vm_that_shuts_itself_down_is_left_off() {
    let mut world = up(&fleet::toml(3, 3), 3);
    world.kill_vm(&vm("v1"), true);
    world.run(30);
    assert!(world.where_is(&vm("v1")).is_empty());
    let brain = world.brain.as_ref().expect("a controller");
    assert_eq!(brain.vms()["v1"].wanted, Wanted::ShutDown);
}

#[test]
fn stop_start_restart_and_disable_do_what_they_say() {
    let mut world = up(&fleet::toml(3, 3), 3);
    let one = [vm("v1")];
    order(&mut world, VmAction::Stop);
    world.run(10);
    assert!(world.where_is(&one[0]).is_empty());
    world.power_off(&host("h1"));
    world.run(30);
    assert!(world.where_is(&one[0]).is_empty(), "a stopped VM is not recovered");
    order(&mut world, VmAction::Start);
    world.until(30, "it starts", |world| world.all_up(&one));
    let starts = world.starts.len();
    order(&mut world, VmAction::Restart);
    world.run(1);
    world.until(30, "it restarts", |world| world.all_up(&one));
    assert_eq!(world.starts.len(), starts + 1);
    order(&mut world, VmAction::Disable);
    world.kill_vm(&one[0], false);
    world.run(30);
    assert!(world.where_is(&one[0]).is_empty(), "a disabled VM is left alone");
    order(&mut world, VmAction::Start);
    assert_eq!(
        world.answers.last().expect("an answer").clone().expect_err("it is disabled").kind,
        RefusalKind::Conflict
    );
    order(&mut world, VmAction::Enable);
    world.until(30, "it is looked after again", |world| world.all_up(&one));
}

#[test]
fn a_second_apply_changes_nothing_and_says_so() {
    let text = fleet::toml(3, 3);
    let mut world = up(&text, 3);
    let before = world.store.clone();
    world.order(OperatorOrder::Apply(Box::new(fleet::declaration(&text))));
    let answer = world.answers.last().expect("an answer").clone().expect("it is taken");
    assert!(answer.created.is_empty() && answer.changed.is_empty(), "{answer:?}");
    assert_eq!(answer.unchanged, 17, "3 classes, limits, array, 3 hosts, 3 VMs, 6 volumes");
    assert_eq!(world.store, before);
}

#[test]
fn a_bad_apply_changes_nothing() {
    let mut world = up(&fleet::toml(3, 3), 3);
    let before = world.store.clone();
    for (from, to) in [
        ("class = \"gold\"", "class = \"lead\""),
        ("\"v1-d0\", \"v1-d1\"", "\"v1-d0\", \"v2-d1\""),
        ("host = \"h1\"", "host = \"h9\""),
    ] {
        let text = fleet::toml(3, 3).replace(from, to);
        world.order(OperatorOrder::Apply(Box::new(fleet::declaration(&text))));
        let refusal = world.answers.last().expect("an answer").clone().expect_err("it is refused");
        assert_eq!(refusal.kind, RefusalKind::Invalid);
        assert_eq!(world.store, before, "{refusal}");
    }
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let mut world = up(&fleet::toml(3, 3), 3);
    for (kind, name) in
        [(Kind::Host, "h1"), (Kind::Vm, "v1"), (Kind::Volume, "v1-d0"), (Kind::Class, "gold"), (Kind::Array, "a1")]
    {
        world.order(OperatorOrder::Delete { kind, name: name.to_owned() });
        assert_eq!(
            world.answers.last().expect("an answer").clone().expect_err(name).kind,
            RefusalKind::Conflict,
            "{name}"
        );
    }
    order(&mut world, VmAction::Stop);
    world.run(5);
    world.order(OperatorOrder::Delete { kind: Kind::Vm, name: "v1".to_owned() });
    world.order(OperatorOrder::Delete { kind: Kind::Volume, name: "v1-d0".to_owned() });
    world.order(OperatorOrder::Delete { kind: Kind::Host, name: "h1".to_owned() });
    assert!(world.answers.iter().rev().take(3).all(Result::is_ok), "{:?}", world.answers);
}

#[test]
fn stages_of_a_group_start_in_order() {
    let text = fleet::toml(3, 6) + "[[group]]\nname = \"shop\"\nstages = [[\"v4\"], [\"v1\"]]\nstage_delay_s = 3\n";
    let mut world = up(&text, 6);
    world.starts.clear();
    world.power_off(&host("h1"));
    let all = fleet::names(6);
    world.until(120, "all VMs are back", |world| world.all_up(&all));
    let order: Vec<&str> = world.starts.iter().map(|(_, vm, _)| vm.as_str()).collect();
    assert_eq!(order, ["v4", "v1"]);
    let apart = world.starts[1].0.since(world.starts[0].0);
    assert!(apart.millis() >= 6000, "the second stage waits for the first to be up (3 s) and its delay (3 s): {apart}");
}

#[test]
fn a_vm_that_does_not_answer_its_check_is_tried_elsewhere_and_given_up_at_last() {
    let mut world = up(&fleet::toml(3, 3), 3);
    world.guest_answers = false;
    world.power_off(&host("h1"));
    world.until(900, "it is given up", |world| world.said("v1 is given up"));
    let tried: std::collections::BTreeSet<_> =
        world.starts.iter().filter(|(_, name, _)| *name == vm("v1")).map(|(_, _, on)| on.clone()).collect();
    assert!(tried.contains(&host("h2")) && tried.contains(&host("h3")), "{tried:?}");
}
