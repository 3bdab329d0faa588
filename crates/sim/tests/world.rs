//! The world by itself: it keeps time, it is the same each time, and it notices what it is there to notice.

use lifeboat_model::{HostName, Seconds, VmName};
use lifeboat_sim::{Fault, World, WorldSettings, generate::Generate};

fn host(name: &str) -> HostName {
    HostName::new(name).expect("a name")
}

fn vm(name: &str) -> VmName {
    VmName::new(name).expect("a name")
}

fn up(generate: &Generate, seed: u64) -> World {
    let mut world = World::new(WorldSettings::new(seed, generate.declaration().expect("a fleet")));
    let all = |world: &World| world.vms().keys().all(|vm| world.answers(vm));
    assert!(world.run_until(Seconds::new(120), all), "all VMs come up:\n{}", told(&world));
    assert!(world.run_until(Seconds::new(120), World::is_stable), "it settles:\n{}", told(&world));
    world
}

fn told(world: &World) -> String {
    let line =
        |line: &lifeboat_sim::world::Line| format!("{:9.3} {:?} {}\n", line.at.as_f64(), line.severity, line.text);
    let mut text: String = world.timeline().iter().map(line).collect();
    if let Some(broken) = world.broken() {
        text.push_str(&broken.to_string());
    }
    text
}

#[test]
fn vms_of_a_host_without_power_come_back_elsewhere() {
    let mut world = up(&Generate::default(), 1);
    world.fault(&Fault::Power(host("h1"), false));
    assert!(
        world.run_until(Seconds::new(60), |world| world.vms().keys().all(|vm| world.answers(vm))),
        "{}",
        told(&world)
    );
    assert_ne!(world.where_is(&vm("v1")), [&host("h1")]);
    assert!(world.broken().is_none());
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_does_not() {
    let trace = |seed| {
        let mut world = up(&Generate::default(), seed);
        world.fault(&Fault::Power(host("h1"), false));
        world.run(Seconds::new(100));
        world.trace_lines()
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}

#[test]
fn a_world_may_begin_with_everything_running() {
    let settings = WorldSettings { settled: true, ..WorldSettings::new(1, Generate::default().declaration().unwrap()) };
    let mut world = World::new(settings);
    world.run(Seconds::new(100));
    assert_eq!(world.counts().starts.len(), 0, "{}", told(&world));
    assert!(world.vms().keys().all(|vm| world.answers(vm)));
    assert!(world.leader().unwrap().vms().values().all(|vm| vm.phase.may_run_on().is_some()), "{}", told(&world));
    assert!(world.broken().is_none(), "{}", told(&world));
}
