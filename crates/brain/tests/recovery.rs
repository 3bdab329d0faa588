//! A host dies and its VMs come back, whatever else fails on the way.

mod world;

use lifeboat_brain::fleet::OperatorOrder;
use world::{Crash, Faults, World, fleet, host};

fn up(hosts: usize, vms: usize, faults: Faults) -> World {
    let mut world = World::new(fleet::declaration(&fleet::toml(hosts, vms)), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.run(2);
    world.faults = faults;
    world.effects = 0;
    world
}

/// Cuts h1's power and waits until everything is back.
fn lose_h1(world: &mut World, vms: usize) {
    world.power_off(&host("h1"));
    let all = fleet::names(vms);
    world.until(400, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
    for name in &all {
        assert_ne!(world.where_is(name), [host("h1")], "{name}");
    }
}

#[test]
fn vms_of_a_dead_host_come_back_elsewhere() {
    let mut world = up(3, 6, Faults::default());
    lose_h1(&mut world, 6);
    assert!(world.said("h1 has failed"));
    assert!(world.said("fenced"));
    assert!(world.said("2 of 2 VMs up"));
    assert!(world.most_ops <= 6, "{} operations at once at an array that takes 6", world.most_ops);
}

#[test]
fn each_step_may_fail_once() {
    let effects = {
        let mut world = up(3, 6, Faults::default());
        lose_h1(&mut world, 6);
        world.effects
    };
    assert!(
        effects >= 15,
        "a recovery of two VMs has at least a fence, 8 volume operations, 4 commands, 2 checks: {effects}"
    );
    for n in 1..=effects {
        let mut world = up(3, 6, Faults { fail_effect: Some(n), ..Faults::default() });
        lose_h1(&mut world, 6);
    }
}

#[test]
fn each_step_may_be_repeated() {
    for n in 1..=20 {
        let mut world = up(3, 6, Faults { repeat_effect: Some(n), ..Faults::default() });
        lose_h1(&mut world, 6);
        world.run(30);
        assert!(world.all_up(&fleet::names(6)));
    }
}

#[test]
fn the_controller_may_be_killed_before_and_after_each_write_and_each_effect() {
    for n in 1..=120 {
        for crash in [Crash::BeforeWrites(n), Crash::AfterWrites(n), Crash::AfterEffects(n)] {
            let mut world = up(3, 6, Faults::default());
            let base = world.outputs();
            world.faults.crash = Some(match crash {
                Crash::BeforeWrites(n) => Crash::BeforeWrites(base + n),
                Crash::AfterWrites(n) => Crash::AfterWrites(base + n),
                Crash::AfterEffects(n) => Crash::AfterEffects(base + n),
            });
            lose_h1(&mut world, 6);
        }
    }
}

#[test]
fn a_recovery_goes_on_after_a_restart_in_which_the_lost_host_answers_first() {
    let mut world = up(3, 6, Faults::default());
    world.hosts.get_mut(&host("h1")).expect("h1").bmc = false;
    world.power_off(&host("h1"));
    world.run(10);
    world.faults.crash = Some(Crash::AfterEffects(world.outputs() + 1));
    world.until(10, "the controller is killed", |world| world.brain.is_none());
    for other in ["h2", "h3"] {
        world.hosts.get_mut(&host(other)).expect("a host").cut = true;
    }
    world.power_on(&host("h1"));
    world.run(5);
    for other in ["h2", "h3"] {
        world.hosts.get_mut(&host(other)).expect("a host").cut = false;
    }
    let all = fleet::names(6);
    world.until(60, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
}

#[test]
fn nothing_starts_before_the_host_is_off_and_it_goes_on_when_the_bmc_is_back() {
    let mut world = up(3, 6, Faults::default());
    world.hosts.get_mut(&host("h1")).expect("h1").bmc = false;
    world.power_off(&host("h1"));
    let starts = world.starts.len();
    world.run(60);
    assert_eq!(world.starts.len(), starts, "a VM was started though h1 was never confirmed off");
    let waits =
        world.brain.as_ref().and_then(|brain| brain.fence_wait(&host("h1"))).expect("it says what it waits for");
    assert!(waits.contains("--confirm-off") && waits.contains("the BMC does not answer"), "{waits}");
    world.hosts.get_mut(&host("h1")).expect("h1").bmc = true;
    let all = fleet::names(6);
    world.until(30, "it goes on by itself", |world| world.all_up(&all));
}

#[test]
fn an_operators_word_is_the_last_rung() {
    let mut world = up(3, 6, Faults::default());
    world.hosts.get_mut(&host("h1")).expect("h1").bmc = false;
    world.order(OperatorOrder::ConfirmOff { host: host("h1") });
    let refused = world.answers.last().expect("an answer").clone().expect_err("h1 is up");
    assert!(refused.message.contains("is up"), "{refused}");
    world.power_off(&host("h1"));
    world.run(20);
    world.order(OperatorOrder::ConfirmOff { host: host("h1") });
    let all = fleet::names(6);
    world.until(30, "the operator's word suffices", |world| world.all_up(&all));
}

#[test]
fn a_hung_host_is_fenced_before_its_vms_start_elsewhere() {
    let mut world = up(3, 6, Faults::default());
    world.hosts.get_mut(&host("h1")).expect("h1").frozen = true;
    let all = fleet::names(6);
    world.until(10, "it is noticed", |world| world.said("h1 has failed"));
    world.until(60, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
    assert!(!world.hosts[&host("h1")].power, "h1 was cut");
}

#[test]
fn a_host_that_answers_again_before_it_was_cut_keeps_its_vms() {
    let mut world = up(3, 6, Faults::default());
    let h1 = world.hosts.get_mut(&host("h1")).expect("h1");
    (h1.bmc, h1.cut) = (false, true);
    world.run(10);
    let starts = world.starts.len();
    world.hosts.get_mut(&host("h1")).expect("h1").cut = false;
    world.until(60, "the recovery is called off", |world| world.no_open_recovery());
    world.run(5);
    assert_eq!(world.starts.len(), starts);
    assert!(world.all_up(&fleet::names(6)));
    assert!(world.said("was never cut off"));
}

#[test]
fn a_host_that_comes_back_starts_nothing_of_what_it_had() {
    let mut world = up(3, 6, Faults::default());
    lose_h1(&mut world, 6);
    let starts = world.starts.len();
    world.power_on(&host("h1"));
    world.run(20);
    assert_eq!(world.starts.len(), starts);
    assert!(world.hosts[&host("h1")].vms.is_empty());
    assert!(world.said("h1 is back"));
}

#[test]
fn a_destination_may_die_in_the_middle() {
    for after_ms in (0..9000).step_by(250) {
        let mut world = up(4, 12, Faults::default());
        world.power_off(&host("h1"));
        world.run_ms(after_ms);
        world.power_off(&host("h2"));
        let all = fleet::names(12);
        world.until(200, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
    }
}

#[test]
fn an_array_that_answers_nobody_is_waited_for() {
    let mut world = up(3, 6, Faults::default());
    world.array_works = false;
    world.power_off(&host("h1"));
    world.run(120);
    assert!(!world.all_up(&fleet::names(6)));
    world.array_works = true;
    let all = fleet::names(6);
    world.until(60, "all VMs are back", |world| world.all_up(&all));
}

#[test]
fn a_dead_array_does_not_hold_up_the_vms_of_another() {
    let mut text = fleet::toml(2, 12)
        + "[[array]]\nname = \"a2\"\nmax_ops = 6\nremap_s = 0.1\nbackend = { kind = \"shared\", directory = \"/more\" }\n";
    let other = [5, 11];
    for v in other {
        for d in 0..2 {
            text = text.replace(
                &format!("name = \"v{v}-d{d}\"\narray = \"a1\""),
                &format!("name = \"v{v}-d{d}\"\narray = \"a2\""),
            );
        }
    }
    let mut world = World::new(fleet::declaration(&text), Faults::default());
    let all = fleet::names(12);
    world.until(120, "all VMs are up at first", |world| world.all_up(&all));
    for v in (1..=12).filter(|v| !other.contains(v)) {
        for d in 0..2 {
            world.dead_volumes.insert(lifeboat_model::VolumeName::new(&format!("v{v}-d{d}")).expect("a name"));
        }
    }
    world.power_off(&host("h1"));
    let others = other.map(|v| world::vm(&format!("v{v}")));
    world.until(60, "the VMs of the array that works are back", |world| world.all_up(&others));
}

#[test]
fn a_host_that_boots_anew_unseen_gets_its_vms_restarted() {
    let mut world = up(3, 6, Faults::default());
    world.power_off(&host("h1"));
    world.power_on(&host("h1"));
    let all = fleet::names(6);
    world.until(60, "all VMs are back", |world| world.all_up(&all));
    assert!(!world.said("h1 has failed"), "it was back within the time that makes a host lost");
}

#[test]
fn without_room_a_vm_waits_with_a_reason_and_starts_when_there_is_room() {
    let text = fleet::toml(2, 4).replace("memory_mib = 16384", "memory_mib = 3072");
    let mut world = World::new(fleet::declaration(&text), Faults::default());
    let all = fleet::names(4);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.power_off(&host("h1"));
    world.run(60);
    let brain = world.brain.as_ref().expect("a controller");
    assert_eq!(brain.unplaced().len(), 1);
    let (unplaced, _) = brain.unplaced().first_key_value().expect("one VM has no place");
    assert!(brain.why_not(unplaced).expect("a reason").contains("memory_mib"));
    world.power_on(&host("h1"));
    world.until(60, "the rest starts when the host is back", |world| world.all_up(&all) && world.no_open_recovery());
}

#[test]
fn a_preemptible_vm_of_a_lower_class_gives_way_and_comes_back_when_there_is_room() {
    // v1 gold on h1, v2 silver on h2, v3 bronze on h1 (preemptible), v4 gold on h2: two of three hosts' worth of room.
    let text = fleet::toml(2, 4)
        .replace("memory_mib = 16384", "memory_mib = 3072")
        .replace("name = \"v3\"\nhost = \"h1\"", "name = \"v3\"\nhost = \"h2\"\npreemptible = true");
    let mut world = World::new(fleet::declaration(&text), Faults::default());
    let all = fleet::names(4);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    assert_eq!(world.where_is(&world::vm("v3")), [host("h2")]);
    world.power_off(&host("h1"));
    let gold = [world::vm("v1"), world::vm("v2"), world::vm("v4")];
    world.until(60, "the more important ones are up", |world| world.said("to make room") && world.all_up(&gold));
    assert!(world.where_is(&world::vm("v3")).is_empty());
    world.power_on(&host("h1"));
    world.until(60, "the one that gave way is back", |world| world.all_up(&all));
}
