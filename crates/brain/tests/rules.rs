//! Restart rules and start orders: what they derive holds in the fleet, in recoveries and at each start.

mod world;

use lifeboat_brain::fleet::{Kind, OperatorOrder, RefusalKind};
use world::{Faults, World, fleet, host, vm};

const RULES: &str = r#"
[[restart]]
name = "odd-ones"
when = "vm.labels.odd == 'yes' || vm.name == 'v3'"
class = "gold"
[[order]]
name = "v1-after-all"
first = "vm.name in ['v3', 'v2']"
then = "vm.name == 'v1'"
"#;

fn up(text: &str, vms: usize) -> World {
    let mut world = World::new(fleet::declaration(text), Faults::default());
    let all = fleet::names(vms);
    world.until(60, "all VMs are up at first", |world| world.all_up(&all));
    world.run(2);
    world
}

fn apply(world: &mut World, text: &str) {
    world.order(OperatorOrder::Apply(Box::new(fleet::declaration(text))));
}

fn class(world: &World, name: &str) -> String {
    let brain = world.brain.as_ref().expect("the controller lives");
    brain.declared().class(&vm(name)).expect("a VM").to_string()
}

#[test]
fn what_rules_give_holds_in_the_fleet_and_after_a_new_start() {
    let mut world = up(&fleet::toml(3, 3), 3);
    assert_eq!(class(&world, "v3"), "bronze");
    apply(&mut world, RULES);
    let answer = world.answers.last().expect("an answer").clone().expect("taken");
    assert_eq!(answer.created, ["restart odd-ones", "order v1-after-all"]);
    let check = |world: &World| {
        let fleet = world.brain.as_ref().expect("the controller lives").fleet();
        let stages: Vec<Vec<String>> =
            fleet.groups[0].stages.iter().map(|stage| stage.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(stages, [vec!["v2".to_owned(), "v3".to_owned()], vec!["v1".to_owned()]]);
        assert_eq!(class(world, "v3"), "gold");
        fleet.validate().expect("a fleet");
    };
    check(&world);
    world.crash();
    world.run(15);
    check(&world);
    apply(&mut world, RULES);
    let again = world.answers.last().expect("an answer").clone().expect("taken");
    assert_eq!((again.created.len() + again.changed.len(), again.unchanged), (0, 2));
}

#[test]
fn vms_of_a_lost_host_start_in_the_order_that_rules_ask_for() {
    let text = fleet::toml(3, 9);
    let rules = "[[order]]\nname = \"turned\"\nfirst = \"vm.name == 'v7'\"\nthen = \"vm.name == 'v4'\"\n\
                 [[order]]\nname = \"more\"\nfirst = \"vm.name == 'v4'\"\nthen = \"vm.name == 'v1'\"\n";
    let mut world = up(&(text + rules), 9);
    world.starts.clear();
    world.power_off(&host("h1"));
    let lost = [vm("v1"), vm("v4"), vm("v7")];
    world.until(90, "what was lost is up", |world| world.all_up(&lost));
    let order: Vec<String> = world.starts.iter().map(|(_, vm, _)| vm.to_string()).collect();
    assert_eq!(order, ["v7", "v4", "v1"]);
    let brain = world.brain.as_ref().expect("the controller lives");
    let entry = brain.recoveries().values().next().expect("a recovery");
    assert_eq!(entry.vms.len(), 3);
}

#[test]
fn rules_that_fail_are_refused_and_change_nothing() {
    let mut world = up(&fleet::toml(2, 2), 2);
    let before = world.brain.as_ref().expect("the controller lives").declared().clone();
    for (bad, why) in [
        ("[[restart]]\nname = \"a\"\nwhen = \"true\"\nclass = \"glod\"\n", "did you mean `gold`?"),
        ("[[restart]]\nname = \"a\"\nwhen = \"vm.\"\nclass = \"gold\"\n", "no CEL expression"),
        (
            "[[order]]\nname = \"a\"\nfirst = \"vm.name == 'v1'\"\nthen = \"vm.name == 'v2'\"\n\
             [[order]]\nname = \"b\"\nfirst = \"vm.name == 'v2'\"\nthen = \"vm.name == 'v1'\"\n",
            "v1 before v2",
        ),
    ] {
        apply(&mut world, bad);
        let refusal = world.answers.last().expect("an answer").clone().expect_err("it is wrong");
        assert_eq!(refusal.kind, RefusalKind::Invalid);
        assert!(refusal.message.contains(why), "{refusal}");
        assert_eq!(world.brain.as_ref().expect("the controller lives").declared(), &before);
    }
}

#[test]
fn a_class_that_a_rule_gives_is_not_deleted_and_a_deleted_rule_gives_nothing_any_more() {
    let text = fleet::toml(2, 2) + "[[class]]\nname = \"iron\"\nrto_s = 9000\n";
    let mut world = up(&text, 2);
    apply(&mut world, "[[restart]]\nname = \"a\"\nwhen = \"vm.name == 'v1'\"\nclass = \"= 'iron'\"\n");
    assert_eq!(class(&world, "v1"), "iron");
    let delete = |world: &mut World, kind, name: &str| {
        world.order(OperatorOrder::Delete { kind, name: name.to_owned() });
        world.answers.last().expect("an answer").clone()
    };
    let refusal = delete(&mut world, Kind::Class, "iron").expect_err("the rule gives it");
    assert!(refusal.message.contains("still needed") && refusal.message.contains("restart rule `a`"), "{refusal}");
    delete(&mut world, Kind::Restart, "a").expect("nothing needs it");
    assert_eq!(class(&world, "v1"), "gold");
    delete(&mut world, Kind::Class, "iron").expect("nothing gives it now");
    world.crash();
    world.run(5);
    assert_eq!(class(&world, "v1"), "gold");
}
