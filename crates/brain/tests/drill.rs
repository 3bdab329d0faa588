//! The daily drill: when it is asked for, and what is kept and told of it.

mod world;

use lifeboat_brain::fleet::{Input, OperatorOrder};
use lifeboat_model::drill::Report;
use world::{Faults, World, fleet, host};

fn up(text: &str, vms: usize) -> World {
    let mut world = World::new(fleet::declaration(text), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world
}

fn last(world: &World) -> Option<Report> {
    world.brain.as_ref().expect("the controller lives").last_drill().cloned()
}

#[test]
fn a_new_controller_drills_soon_and_then_once_a_day_at_its_hour() {
    let mut world = up(&fleet::toml(3, 3), 3);
    assert_eq!(last(&world), None);
    world.run(90);
    let first = last(&world).expect("a first drill");
    assert_eq!((first.hosts, first.vms, first.parts.len()), (3, 3, 1));
    assert!(first.parts[0].any_one_may_fail() && world.said("The first drill: any one host may fail"));
    world.crash();
    world.run(120);
    assert_eq!(last(&world).expect("it is kept"), first, "a controller that starts again does not drill at once");
    // The world's clock begins at 13:46:40 UTC; the next is due at 5 o'clock.
    world.run(24 * 3600);
    let second = last(&world).expect("a second drill");
    assert_eq!(second.taken_us.micros() / 1_000_000 % 86_400 / 60, 5 * 60);
    assert_eq!(Report { taken_us: first.taken_us, ..second }, first);
}

#[test]
fn a_worse_answer_is_told_by_name_and_kept_beside_the_better_one() {
    let mut world = up(&fleet::toml(2, 4), 4);
    world.run(90);
    let good = last(&world).expect("a first drill");
    assert!(good.parts[0].any_one_may_fail());
    let shrunk = fleet::toml(2, 4).replacen("memory_mib = 16384", "memory_mib = 3072", 1);
    world.order(OperatorOrder::Apply(Box::new(fleet::declaration(&shrunk))));
    world.drill_now();
    let bad = last(&world).expect("a second drill");
    assert_eq!((bad.parts[0].incomplete, bad.parts[0].bad[0].name.as_str(), bad.parts[0].bad[0].out), (1, "h2", 1));
    assert!(world.said("Warning: The drill's answer got worse: not any one host may fail any more (N+0)"));
    assert!(world.said("if h2 fails, 1 VM (") && world.said("would not come back: no host has room"));
    let earlier = |world: &World| world.brain.as_ref().expect("the controller lives").earlier_drill().cloned();
    assert_eq!(earlier(&world), Some(good.clone()));
    // The same answer again is no news, and the better one is still the one to compare with.
    let told = world.log.iter().filter(|line| line.contains("got worse")).count();
    world.drill_now();
    assert_eq!(world.log.iter().filter(|line| line.contains("got worse")).count(), told);
    assert_eq!(earlier(&world), Some(good));
    world.crash();
    world.run(10);
    assert_eq!(last(&world).map(|it| it.parts), Some(bad.parts));
}

#[test]
fn no_drill_is_made_while_something_is_recovered() {
    let mut world = up(&fleet::toml(3, 6), 6);
    world.hosts.get_mut(&host("h1")).expect("a host").bmc = false;
    world.power_off(&host("h1"));
    world.run(300);
    assert_eq!(last(&world), None, "it would tell of a fleet that has lost a host already");
    world.give(Input::DrillEnded { result: Err("it broke off".to_owned()) });
    assert!(world.said("The drill could not be made: it broke off") && last(&world).is_none());
}
