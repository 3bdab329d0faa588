//! Hosts that operators keep from getting VMs.

mod world;

use lifeboat_brain::fleet::{OperatorOrder, RefusalKind, records::Upkeep};
use lifeboat_model::Seconds;
use world::{Crash, Faults, World, fleet, host, vm};

fn up(vms: usize) -> World {
    let mut world = World::new(fleet::declaration(&fleet::toml(3, vms)), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.run(2);
    world
}

fn begin(world: &mut World, name: &str, note: Option<&str>, ends_after: Option<u64>) {
    let (note, ends_after) = (note.map(str::to_owned), ends_after.map(Seconds::new));
    world.order(OperatorOrder::Maintenance { host: host(name), on: true, note, ends_after });
}

fn upkeep(world: &World, name: &str) -> Option<Upkeep> {
    world.brain.as_ref()?.hosts()[&host(name)].record.upkeep.clone()
}

#[test]
fn a_maintenance_ends_by_itself_when_its_time_is_over() {
    let mut world = up(3);
    begin(&mut world, "h2", Some("dimm swap"), Some(60));
    world.run(59);
    assert_eq!(upkeep(&world, "h2").expect("it is in maintenance").note.as_deref(), Some("dimm swap"));
    world.run(2);
    assert_eq!(upkeep(&world, "h2"), None);
    assert!(world.brain.as_ref().expect("it runs").takes_vms(&host("h2")));
    assert!(world.said("time that was set for the maintenance of h2 is over"));
}

#[test]
fn a_maintenance_ends_in_time_although_the_controller_died_meanwhile() {
    let mut world = up(3);
    begin(&mut world, "h2", None, Some(60));
    world.faults.crash = Some(Crash::AfterEffects(0));
    world.run(30);
    assert!(upkeep(&world, "h2").is_some(), "it was forgotten\n{}", world.log.join("\n"));
    world.run(31);
    assert_eq!(upkeep(&world, "h2"), None);
}

#[test]
fn the_note_and_the_end_of_a_maintenance_may_be_changed_and_are_kept_otherwise() {
    let mut world = up(3);
    begin(&mut world, "h2", Some("dimm swap"), Some(600));
    let first = upkeep(&world, "h2").expect("it is in maintenance");
    world.run(10);
    begin(&mut world, "h2", None, None);
    assert_eq!(world.answers.last().expect("answered").as_ref().expect("taken").unchanged, 1);
    begin(&mut world, "h2", Some("and a disk"), Some(60));
    let second = upkeep(&world, "h2").expect("it still is");
    assert_eq!((second.since, second.note.as_deref()), (first.since, Some("and a disk")));
    assert_eq!(second.until, Some(world.now + Seconds::new(60)));
    world.run(61);
    assert_eq!(upkeep(&world, "h2"), None);
}

#[test]
fn a_maintenance_of_no_time_or_with_a_note_of_many_lines_changes_nothing() {
    let mut world = up(3);
    let long = "x".repeat(201);
    for (note, ends_after) in [(Some("a\nb"), None), (Some(long.as_str()), None), (None, Some(0))] {
        begin(&mut world, "h2", note, ends_after);
        let refusal = world.answers.last().expect("answered").clone().expect_err("it is no order");
        assert_eq!((refusal.kind, upkeep(&world, "h2")), (RefusalKind::Invalid, None));
    }
}

#[test]
fn a_host_that_was_emptied_gets_vms_again_when_its_time_is_over() {
    let mut world = up(3);
    begin(&mut world, "h1", None, Some(300));
    world.order(OperatorOrder::Drain { host: host("h1") });
    world.until(120, "v1 has left h1", |world| {
        world.all_up(&fleet::names(3)) && world.where_is(&vm("v1")) != [host("h1")]
    });
    world.run(301);
    assert!(world.brain.as_ref().expect("it runs").takes_vms(&host("h1")));
}
