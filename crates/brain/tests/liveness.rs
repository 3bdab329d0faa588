//! Verdicts on hosts: by which policy, on what evidence, and what follows.

mod world;

use lifeboat_brain::fleet::{Input, records::HostCondition};
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
    world.power_off(&host("h2"));
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
    world.hosts.get_mut(&host("h1")).expect("h1").cut = true;
    for _ in 0..25 {
        world.run_ms(1000);
        says(&mut world, "h1", EvidenceSource::Service { vm: vm("v1") }, Saying::Lives);
        says(&mut world, "h1", EvidenceSource::Service { vm: vm("v4") }, Saying::Lives);
    }
    assert_eq!(rule(&world, "h1"), VerdictRule::VmsAnswer);
    assert!(!world.said("h1 has failed"), "{}", world.log.join("\n"));
    assert!(world.said("its VMs answer"));
    world.hosts.get_mut(&host("h1")).expect("h1").cut = false;
    world.until(20, "it is heard again", |world| rule(world, "h1") == VerdictRule::Heard);
    assert!(world.said("h1 is heard again") && world.no_open_recovery());
}
