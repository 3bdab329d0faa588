//! What operators order while something else is under way.

mod world;

use lifeboat_brain::fleet::{Kind, OperatorOrder, RefusalKind, VmAction};
use world::{Faults, World, fleet, host, vm};

fn up(text: &str, vms: usize) -> World {
    let mut world = World::new(fleet::declaration(text), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.run(2);
    world
}

fn order(world: &mut World, name: &str, action: VmAction) {
    world.order(OperatorOrder::Vm { vm: vm(name), action });
}

fn apply(world: &mut World, text: &str) {
    world.order(OperatorOrder::Apply(Box::new(fleet::declaration(text))));
}

fn maintain(world: &mut World, name: &str, on: bool) {
    world.order(OperatorOrder::maintenance(host(name), on));
}

#[test]
fn a_volume_is_not_given_to_another_vm_while_its_own_runs() {
    let text = fleet::toml(3, 3);
    let mut world = up(&text, 3);
    order(&mut world, "v2", VmAction::Stop);
    world.run(5);
    let swapped = text
        .replace("[\"v1-d0\", \"v1-d1\"]", "[\"v1-d0\"]")
        .replace("[\"v2-d0\", \"v2-d1\"]", "[\"v2-d0\", \"v2-d1\", \"v1-d1\"]");
    apply(&mut world, &swapped);
    let refusal = world.answers.last().expect("an answer").clone().expect_err("v1 runs with v1-d1");
    assert_eq!(refusal.kind, RefusalKind::Conflict, "{refusal}");
    order(&mut world, "v2", VmAction::Start);
    world.run(30);
    assert!(world.mapped[&lifeboat_model::VolumeName::new("v1-d1").expect("a name")].contains(&host("h1")));
}

#[test]
fn a_fleet_that_breaks_its_own_limits_is_still_recovered() {
    let text = fleet::toml(4, 8);
    for (what, worse) in [
        (
            "capacity",
            text.replacen(
                "name = \"h2\"\ncapacity = { cpu_milli = 16000, memory_mib = 16384 }",
                "name = \"h2\"\ncapacity = { cpu_milli = 1000, memory_mib = 1024 }",
                1,
            ),
        ),
        ("volumes", text.replacen("name = \"h2\"\n", "name = \"h2\"\nmax_volumes = 1\n", 1)),
        ("rule", text.clone() + "[[rule]]\nname = \"apart\"\nkind = \"apart\"\nvms = [\"v2\", \"v6\"]\n"),
        ("requires", text.replacen("name = \"v2\"\n", "name = \"v2\"\nrequires = { disk = \"fast\" }\n", 1)),
    ] {
        let mut world = up(&text, 8);
        apply(&mut world, &worse);
        world.answers.last().expect("an answer").clone().unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        world.power_off(&host("h1"));
        let two = [vm("v1"), vm("v5")];
        world.until(60, what, |world| world.all_up(&two));
    }
}

#[test]
fn a_disabled_vm_that_a_host_taken_for_off_still_runs_is_not_started_twice() {
    let mut world = up(&fleet::toml(3, 3), 3);
    order(&mut world, "v1", VmAction::Disable);
    let h1 = world.hosts.get_mut(&host("h1")).expect("h1");
    (h1.bmc, h1.cut) = (false, true);
    world.run(10);
    world.order(OperatorOrder::ConfirmOff { host: host("h1") });
    world.run(5);
    world.hosts.get_mut(&host("h1")).expect("h1").cut = false;
    world.run(10);
    maintain(&mut world, "h1", true);
    order(&mut world, "v1", VmAction::Enable);
    world.run(30);
    assert!(world.all_up(&fleet::names(3)), "{}", world.log.join("\n"));
}

#[test]
fn a_vm_that_was_to_be_stopped_is_stopped_when_its_host_answers_again() {
    for at in [1, 10] {
        let mut world = up(&fleet::toml(3, 3), 3);
        let h1 = world.hosts.get_mut(&host("h1")).expect("h1");
        (h1.bmc, h1.cut) = (false, true);
        world.run(at);
        order(&mut world, "v1", VmAction::Stop);
        world.run(10);
        world.hosts.get_mut(&host("h1")).expect("h1").cut = false;
        world.until(60, "v1 is stopped", |world| world.where_is(&vm("v1")).is_empty());
    }
}

#[test]
fn a_fence_that_is_changed_while_it_is_tried_proves_nothing() {
    let text = fleet::toml(3, 3);
    let mut world = up(&text, 3);
    world.hosts.get_mut(&host("h1")).expect("h1").cut = true;
    world.until(10, "it is being fenced", |world| world.said("h1 has failed"));
    apply(&mut world, &text.replace("https://192.0.2.1\"", "https://192.0.2.99\""));
    world.hosts.get_mut(&host("h1")).expect("h1").bmc = false;
    let fenced = lifeboat_brain::fleet::Input::FenceEnded { host: host("h1"), attempt: 1, result: Ok(()) };
    world.give(fenced);
    world.run(20);
    assert!(!world.said("h1 is fenced"), "the wrong machine was read as off\n{}", world.log.join("\n"));
}

#[test]
fn a_host_that_booted_anew_is_not_taken_back_before_the_attempt_to_cut_its_power_has_ended() {
    let mut world = up(&fleet::toml(3, 3), 3);
    world.power_off(&host("h1"));
    world.run_ms(2700);
    world.power_on(&host("h1"));
    world.run(10);
    assert!(!world.hosts[&host("h1")].power, "the attempt cut it");
    let brain = world.brain.as_ref().expect("a controller");
    assert_eq!(brain.recoveries().len(), 1, "it was never up\n{}", world.log.join("\n"));
    world.power_on(&host("h1"));
    world.until(10, "it is taken back", |world| world.said("h1 is back"));
    assert!(world.all_up(&fleet::names(3)));
}

#[test]
fn a_disabled_vm_that_went_unseen_can_be_enabled() {
    let mut world = up(&fleet::toml(3, 3), 3);
    order(&mut world, "v1", VmAction::Disable);
    world.power_off(&host("h1"));
    world.power_on(&host("h1"));
    world.run(10);
    order(&mut world, "v1", VmAction::Enable);
    world.until(60, "v1 is up", |world| world.all_up(&[vm("v1")]));
}

#[test]
fn a_disabled_vm_is_not_stopped_for_not_answering() {
    let mut world = up(&fleet::toml(3, 3), 3);
    world.guest_answers = false;
    order(&mut world, "v1", VmAction::Restart);
    world.run(10);
    assert_eq!(world.where_is(&vm("v1")), [host("h1")]);
    order(&mut world, "v1", VmAction::Disable);
    world.run(120);
    assert_eq!(world.where_is(&vm("v1")), [host("h1")]);
}

#[test]
fn a_vm_that_was_up_is_not_stopped_when_its_host_answers_again_and_the_check_does_not() {
    let mut world = up(&fleet::toml(3, 3), 3);
    let h1 = world.hosts.get_mut(&host("h1")).expect("h1");
    (h1.bmc, h1.cut) = (false, true);
    world.guest_answers = false;
    world.run(10);
    world.hosts.get_mut(&host("h1")).expect("h1").cut = false;
    world.run(300);
    assert_eq!(world.starts.len(), 3, "{}", world.log.join("\n"));
    assert!(world.all_up(&fleet::names(3)));
}

#[test]
fn a_fence_device_that_is_declared_during_a_recovery_is_used() {
    let text = fleet::toml(3, 3);
    let bare = {
        let start = text.find("[[host.fence]]\nname = \"bmc-h1\"").expect("h1's fence");
        let end = text[start + 2..].find("[[").expect("more") + start + 2;
        text[..start].to_owned() + &text[end..]
    };
    let mut world = up(&bare, 3);
    world.power_off(&host("h1"));
    world.run(10);
    assert!(world.said("h1 has failed"));
    apply(&mut world, &text);
    world.until(60, "the new device is tried", |world| world.all_up(&fleet::names(3)));
}

#[test]
fn a_stage_does_not_wait_for_a_vm_that_was_disabled_meanwhile() {
    let text = fleet::toml(3, 6) + "[[group]]\nname = \"shop\"\nstages = [[\"v4\"], [\"v1\"]]\n";
    for after_ms in (3000..9000).step_by(500) {
        let mut world = up(&text, 6);
        world.power_off(&host("h1"));
        world.run_ms(after_ms);
        order(&mut world, "v4", VmAction::Disable);
        world.until(120, "v1 is back", |world| world.all_up(&[vm("v1")]));
    }
}

#[test]
fn a_vm_that_shuts_itself_down_makes_room_for_one_that_waits() {
    let text = fleet::toml(2, 4).replace("memory_mib = 16384", "memory_mib = 3072");
    let mut world = up(&text, 4);
    world.power_off(&host("h1"));
    world.run(60);
    let brain = world.brain.as_ref().expect("a controller");
    let (waits, _) = brain.unplaced().first_key_value().expect("one VM has no place");
    let waits = [waits.clone()];
    world.kill_vm(&vm("v2"), true);
    world.until(60, "it takes the room", |world| world.all_up(&waits));
}

#[test]
fn a_vm_that_is_ordered_to_run_while_the_news_of_its_shutdown_is_on_its_way_is_started_again() {
    let mut world = up(&fleet::toml(3, 3), 3);
    let v1 = [vm("v1")];
    world.kill_vm(&vm("v1"), true);
    order(&mut world, "v1", VmAction::Start);
    world.run(1);
    assert!(world.said("when it was ordered to run"), "the news came after the order");
    world.until(60, "it runs again", |world| world.all_up(&v1));
    world.run(60);
    world.kill_vm(&vm("v1"), true);
    world.run(60);
    assert!(world.where_is(&vm("v1")).is_empty(), "a shutdown after that is its owner's will");
}

#[test]
fn a_disabled_vms_end_makes_room_for_one_that_waits() {
    let text = fleet::toml(2, 4).replace("memory_mib = 16384", "memory_mib = 3072");
    let mut world = up(&text, 4);
    world.power_off(&host("h1"));
    world.run(60);
    let brain = world.brain.as_ref().expect("a controller");
    let (waits, _) = brain.unplaced().first_key_value().expect("one VM has no place");
    let waits = [waits.clone()];
    order(&mut world, "v2", VmAction::Disable);
    world.kill_vm(&vm("v2"), false);
    world.until(60, "it takes the room", |world| world.all_up(&waits));
}

#[test]
fn vms_that_never_answered_and_were_given_up_leave_the_start_slots_to_others() {
    let mut world = up(&fleet::toml(1, 6), 6);
    world.guest_answers = false;
    for name in ["v1", "v2"] {
        order(&mut world, name, VmAction::Restart);
    }
    world.until(900, "they are given up", |world| world.said("v1 is given up") && world.said("v2 is given up"));
    world.guest_answers = true;
    order(&mut world, "v3", VmAction::Restart);
    world.run(1);
    world.until(60, "v3 is up", |world| world.all_up(&[vm("v3")]));
    order(&mut world, "v1", VmAction::Start);
    world.until(60, "v1 is looked at again", |world| world.all_up(&[vm("v1")]));
}

#[test]
fn a_recovery_ends_when_the_last_vm_that_it_waits_for_is_deleted() {
    let text = fleet::toml(2, 4).replace("memory_mib = 16384", "memory_mib = 3072");
    let mut world = up(&text, 4);
    world.power_off(&host("h1"));
    world.run(60);
    let brain = world.brain.as_ref().expect("a controller");
    let (waits, _) = brain.unplaced().first_key_value().expect("one VM has no place");
    let name = waits.to_string();
    world.order(OperatorOrder::Delete { kind: Kind::Vm, name });
    world.answers.last().expect("an answer").clone().expect("it is deleted");
    world.run(1);
    assert!(world.no_open_recovery(), "{}", world.log.join("\n"));
}

#[test]
fn a_vm_that_is_deleted_and_declared_again_runs() {
    let text = fleet::toml(2, 2);
    let mut world = up(&text, 2);
    for _ in 0..3 {
        for on in ["h1", "h2"] {
            maintain(&mut world, on, true);
            order(&mut world, "v1", VmAction::Restart);
            world.run(30);
            maintain(&mut world, on, false);
        }
    }
    order(&mut world, "v1", VmAction::Stop);
    world.run(5);
    world.order(OperatorOrder::Delete { kind: Kind::Vm, name: "v1".to_owned() });
    apply(&mut world, &text);
    world.until(60, "v1 is up", |world| world.all_up(&[vm("v1")]));
    assert!(!world.said("refused an order"), "{}", world.log.join("\n"));
}
