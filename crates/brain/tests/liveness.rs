//! Verdicts on hosts: by which policy, on what evidence, and what follows.

mod world;

use lifeboat_brain::{
    fleet::{Input, Settings, records::HostCondition},
    message::FromAgent,
};
use lifeboat_model::{
    Seconds,
    liveness::{EvidenceSource, PolicyName, Saying, Verdict, VerdictRule},
};
use world::{Faults, World, fleet, host, vm};

fn up(text: &str, vms: usize) -> World {
    let mut world = World::new(fleet::declaration(text), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.run(2);
    world
}

/// The fleet of other tests, with a policy for some classes.
fn with_policies(hosts: usize, vms: usize, policies: &[(&str, &str)]) -> String {
    let mut text = fleet::toml(hosts, vms);
    for (class, policy) in policies {
        let name = format!("name = \"{class}\"\n");
        text = text.replace(&name, &format!("{name}liveness = \"{policy}\"\n"));
    }
    text
}

fn rule(world: &World, name: &str) -> VerdictRule {
    let brain = world.brain.as_ref().expect("a brain");
    brain.judgement(&host(name)).expect("a host that has joined").rule
}

fn says(world: &mut World, name: &str, source: EvidenceSource, says: Saying) {
    world.give(Input::Evidence { host: host(name), source, says, detail: None });
}

fn peer(name: &str) -> EvidenceSource {
    EvidenceSource::Peer { host: host(name) }
}

#[test]
fn the_strictest_class_on_a_host_rules_and_hosts_without_vms_are_judged_by_the_settings_for_all() {
    let world = up(&with_policies(4, 3, &[("gold", "relaxed"), ("silver", "normal")]), 3);
    let brain = world.brain.as_ref().expect("a brain");
    let policy = |name: &str| (brain.policy_name(&host(name)), brain.hosts()[&host(name)].policy.lost_after_s);
    assert_eq!(policy("h1"), (Some(PolicyName::Relaxed), Seconds::new(60)), "gold's v1 alone");
    assert_eq!(policy("h2"), (Some(PolicyName::Normal), Seconds::new(10)), "silver's v2 alone");
    assert_eq!(policy("h3"), (None, Seconds::new(3)), "bronze names none");
    assert_eq!(policy("h4"), (None, Seconds::new(3)), "nothing runs there");
}

#[test]
fn when_vms_of_a_strict_class_come_a_host_is_judged_strictly_and_not_for_the_silence_before() {
    let mut world = up(&with_policies(3, 3, &[("gold", "relaxed"), ("silver", "relaxed"), ("bronze", "critical")]), 3);
    world.power_off(&host("h3"));
    world.until(60, "bronze's v3 is back", |world| world.all_up(&fleet::names(3)) && world.no_open_recovery());
    let place = world.where_is(&vm("v3"))[0].clone();
    let brain = world.brain.as_ref().expect("a brain");
    assert_eq!(brain.hosts()[&place].policy.lost_after_s, Seconds::new(3));
    world.run(30);
    let brain = world.brain.as_ref().expect("a brain");
    assert_eq!(brain.hosts()[&place].record.condition, HostCondition::Up, "{}", world.log.join("\n"));
}

#[test]
fn a_hosts_own_policy_is_above_those_of_its_classes() {
    let text = fleet::toml(3, 3).replace("name = \"h2\"\n", "name = \"h2\"\nliveness = \"relaxed\"\n");
    let mut world = up(&text, 3);
    set(&mut world, &["h2"], |machine| machine.frozen = true);
    world.run(50);
    assert!(!world.said("h2 has failed"), "{}", world.log.join("\n"));
    world.until(20, "it is lost after a minute", |world| world.said("h2 has failed"));
}

#[test]
fn a_verdict_of_failure_is_written_down_with_its_rule_and_evidence() {
    let mut world = up(&fleet::toml(3, 6), 6);
    world.hosts.get_mut(&host("h1")).expect("h1").frozen = true;
    world.run_ms(2500);
    assert_eq!(rule(&world, "h1"), VerdictRule::Silent);
    says(&mut world, "h1", peer("h2"), Saying::Hangs);
    world.until(3, "it is declared", |world| world.said("h1 has failed"));
    let brain = world.brain.as_ref().expect("a brain");
    assert_eq!(brain.judgement(&host("h1")).map(|it| it.verdict), Some(Verdict::Hung));
    let recovery = brain.recoveries().values().next_back().expect("a recovery");
    assert_eq!((recovery.verdict.as_str(), recovery.rule), ("hung", Some(VerdictRule::PeersFindNoAgent)));
    assert!(recovery.evidence.iter().any(|it| it.source == peer("h2") && it.says == Saying::Hangs));
    assert!(recovery.evidence.iter().any(|it| it.source == EvidenceSource::Agent && it.says == Saying::Silent));
}

#[test]
fn power_read_as_off_ends_the_waiting() {
    let mut world = up(&fleet::toml(3, 6), 6);
    world.power_off(&host("h1"));
    world.until(3, "it is silent", |world| rule(world, "h1") == VerdictRule::Silent);
    let device = EvidenceSource::Power { device: "bmc-h1".parse().expect("a name") };
    says(&mut world, "h1", device, Saying::PowerOff);
    assert!(world.said("h1 has failed"), "{}", world.log.join("\n"));
    assert_eq!(rule(&world, "h1"), VerdictRule::PowerOff);
    assert!(!world.said("fenced after"), "a power that was only read is no proof: its fence device cuts it first");
    let all = fleet::names(6);
    world.until(60, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
}

#[test]
fn an_agent_that_is_away_while_its_vms_answer_is_waited_for() {
    let mut world = up(&fleet::toml(3, 6), 6);
    world.vms_seen = true;
    world.hosts.get_mut(&host("h1")).expect("h1").cut = true;
    world.run(25);
    assert_eq!(rule(&world, "h1"), VerdictRule::VmsAnswer);
    assert!(!world.said("h1 has failed"), "{}", world.log.join("\n"));
    assert!(world.said("its VMs answer"));
    world.hosts.get_mut(&host("h1")).expect("h1").cut = false;
    world.until(20, "it is heard again", |world| rule(world, "h1") == VerdictRule::Heard);
    assert!(world.said("h1 is heard again") && world.no_open_recovery());
    world.hosts.get_mut(&host("h1")).expect("h1").cut = true;
    world.until(40, "it is not waited for without end", |world| world.said("its agent has been away for too long"));
    let all = fleet::names(6);
    world.until(60, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
}

fn condition(world: &World, name: &str) -> HostCondition {
    world.brain.as_ref().expect("a brain").hosts()[&host(name)].record.condition.clone()
}

fn set(world: &mut World, names: &[&str], change: impl Fn(&mut world::Machine)) {
    for name in names {
        change(world.hosts.get_mut(&host(name)).expect("a host"));
    }
}

#[test]
fn a_controller_that_is_cut_off_from_most_hosts_suspects_itself_and_fences_nothing() {
    let mut world = up(&fleet::toml(5, 10), 10);
    let starts = world.starts.len();
    set(&mut world, &["h1", "h2", "h3", "h4"], |machine| machine.cut = true);
    world.run(60);
    let brake = world.brain.as_ref().and_then(|brain| brain.brake()).expect("the brake is on");
    assert_eq!((brake.hosts, brake.why.as_str()), (4, "4 of 5 hosts seem lost at once"));
    assert!(world.said("suspects itself") && !world.said("has failed"), "{}", world.log.join("\n"));
    set(&mut world, &["h1", "h2", "h3"], |machine| machine.cut = false);
    world.run(10);
    assert!(world.said("hosts that are still silent have 15 s to come back"), "{}", world.log.join("\n"));
    set(&mut world, &["h4"], |machine| machine.cut = false);
    world.until(20, "the brake ends", |world| world.said("no longer suspects itself"));
    world.run(20);
    assert!(!world.said("has failed") && world.starts.len() == starts, "{}", world.log.join("\n"));
}

#[test]
fn hosts_that_come_and_go_around_the_share_make_the_brake_told_of_once() {
    let mut world = up(&fleet::toml(5, 5), 5);
    let some = ["h1", "h2", "h3"];
    let held = |world: &World| world.brain.as_ref().is_some_and(|brain| brain.brake().is_some());
    for _ in 0..3 {
        set(&mut world, &some, |machine| machine.cut = true);
        world.until(10, "the brake is on", held);
        set(&mut world, &some, |machine| machine.cut = false);
        world.until(10, "all are heard again", |world| !held(world));
    }
    world.until(10, "the brake ends", |world| world.said("no longer suspects itself"));
    let told = |what: &str| world.log.iter().filter(|line| line.contains(what)).count();
    assert_eq!((told("This controller suspects itself"), told("no longer suspects itself")), (1, 1));
    assert!(!world.said("has failed"), "{}", world.log.join("\n"));
}

#[test]
fn a_rack_that_lost_its_power_is_recovered_although_it_is_most_of_the_fleet() {
    let mut world = up(&fleet::toml(5, 5), 5);
    for name in ["h1", "h2", "h3"] {
        world.power_off(&host(name));
    }
    world.run(4);
    assert!(!world.said("has failed"), "nobody has confirmed it yet\n{}", world.log.join("\n"));
    let all = fleet::names(5);
    world.until(60, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
    assert!(world.said("its power is read as off"), "{}", world.log.join("\n"));
}

#[test]
fn hosts_that_peers_outside_of_the_trouble_find_dead_are_recovered_and_others_are_held() {
    let mut world = up(&fleet::toml(6, 6), 6);
    set(&mut world, &["h1", "h2", "h3", "h4"], |machine| machine.frozen = true);
    for _ in 0..6 {
        world.run(1);
        says(&mut world, "h1", peer("h5"), Saying::Silent);
        // What a host says that is silent itself counts for nothing.
        says(&mut world, "h2", peer("h3"), Saying::Silent);
    }
    assert!(!matches!(condition(&world, "h1"), HostCondition::Up), "{}", world.log.join("\n"));
    assert_eq!(condition(&world, "h2"), HostCondition::Up);
    assert_eq!(rule(&world, "h2"), VerdictRule::Brake);
}

#[test]
fn a_controller_that_reaches_none_of_its_references_fences_nothing() {
    let mut settings = Settings::default();
    settings.liveness.brake.references = vec!["192.0.2.1:53".to_owned()];
    let mut world = World::with(fleet::declaration(&fleet::toml(3, 6)), Faults::default(), settings);
    let all = fleet::names(6);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.references = false;
    set(&mut world, &["h1"], |machine| machine.frozen = true);
    world.run(30);
    assert!(
        world.said("it reaches none of its references") && !world.said("h1 has failed"),
        "{}",
        world.log.join("\n")
    );
    world.references = true;
    world.until(25, "it goes on", |world| world.said("h1 has failed"));
    world.until(60, "all VMs are back", |world| world.all_up(&all) && world.no_open_recovery());
}

#[test]
fn references_that_answer_delay_no_verdict() {
    let mut settings = Settings::default();
    settings.liveness.brake.references = vec!["192.0.2.1:53".to_owned()];
    let mut world = World::with(fleet::declaration(&fleet::toml(3, 6)), Faults::default(), settings);
    let all = fleet::names(6);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    set(&mut world, &["h1"], |machine| machine.frozen = true);
    world.run(4);
    assert!(world.said("h1 has failed"), "{}", world.log.join("\n"));
}

#[test]
fn a_host_whose_hypervisor_does_not_answer_lives_and_gets_no_vms_until_it_does() {
    let mut world = up(&fleet::toml(3, 3), 3);
    let problem = |text: Option<&str>| FromAgent::Hypervisor { problem: text.map(str::to_owned) };
    world.agent_says(&host("h2"), problem(Some("no answer within 10 s")));
    assert_eq!(rule(&world, "h2"), VerdictRule::Heard);
    let told = |world: &World, what: &str| world.log.iter().filter(|line| line.contains(what)).count();
    assert_eq!(told(&world, "The hypervisor of h2 does not answer its agent (no answer within 10 s)"), 1);
    world.power_off(&host("h1"));
    world.until(60, "v1 is back", |world| world.all_up(&fleet::names(3)) && world.no_open_recovery());
    assert_eq!(world.where_is(&vm("v1")), [host("h3")], "h2 could not start it");
    world.agent_says(&host("h2"), problem(None));
    assert_eq!(told(&world, "The hypervisor of h2 answers again"), 1);
    let brain = world.brain.as_ref().expect("a brain");
    assert!(brain.takes_vms(&host("h2")));
}
