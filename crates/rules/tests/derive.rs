//! What rules make of fleets: by example, and as promises over many.

use lifeboat_model::{
    Seconds,
    declaration::{self, Places, Source},
    fleet::{Class, Fleet, Group, Vm},
    spec::{RestartRule, StartOrder},
};
use lifeboat_rules::{Derived, Fault, derive, discover};
use proptest::prelude::*;

fn vm(name: &str, labels: &[(&str, &str)]) -> Vm {
    Vm {
        name: name.parse().expect("a name"),
        host: None,
        demand: [("memory_mib".to_owned(), 1024 * (1 + name.len() as u64))].into(),
        class: "bronze".parse().expect("a name"),
        volumes: Vec::new(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        requires: Default::default(),
        prefers: Vec::new(),
        preemptible: false,
        configure_s: Default::default(),
        start_s: Default::default(),
        numa: None,
        numa_at: None,
    }
}

fn group(name: &str, stages: &[&[&str]]) -> Group {
    Group {
        name: name.parse().expect("a name"),
        importance: 3,
        stages: stages.iter().map(|stage| stage.iter().map(|vm| vm.parse().expect("a name")).collect()).collect(),
        stage_delay_s: Default::default(),
        all_or_nothing: false,
    }
}

fn fleet(vms: Vec<Vm>, groups: Vec<Group>) -> Fleet {
    let class = |name: &str| Class { name: name.parse().expect("a name"), rto_s: Seconds::new(600), liveness: None };
    Fleet { vms, groups, classes: ["gold", "silver", "bronze"].map(class).to_vec(), ..Fleet::empty() }
}

/// Two applications of three layers each, and a name server.
fn shops() -> Fleet {
    let mut vms = vec![vm("dns-1", &[("role", "infra")])];
    for app in ["shop", "crm"] {
        for role in ["db", "app", "web"] {
            vms.push(vm(&format!("{app}-{role}"), &[("app", app), ("role", role), ("sla", "gold")]));
        }
    }
    fleet(vms, Vec::new())
}

fn rules(text: &str) -> (Vec<RestartRule>, Vec<StartOrder>) {
    let reading = declaration::read(&[Source { name: "rules.toml", bytes: text.as_bytes() }]);
    assert_eq!(reading.problems, Vec::new());
    (reading.declaration.restarts, reading.declaration.orders)
}

fn made(text: &str, fleet: &Fleet) -> Result<Derived, Vec<Fault>> {
    let (restarts, orders) = rules(text);
    let derived = derive(&restarts, &orders, fleet)?;
    let mut effective = fleet.clone();
    derived.apply_to(&mut effective);
    effective.validate().expect("what rules make is a fleet");
    Ok(derived)
}

/// The faults, at their lines.
fn faults(text: &str, fleet: &Fleet) -> String {
    let reading = declaration::read(&[Source { name: "rules.toml", bytes: text.as_bytes() }]);
    let (restarts, orders) = (reading.declaration.restarts, reading.declaration.orders);
    let faults = derive(&restarts, &orders, fleet).expect_err("there is a fault");
    let places: &Places = &reading.places;
    faults.into_iter().map(|fault| fault.problem(places).to_string()).collect::<Vec<_>>().join("\n")
}

fn stages(derived: &Derived) -> Vec<String> {
    let stage = |stage: &Vec<_>| stage.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    derived
        .groups
        .iter()
        .map(|group| format!("{}: {}", group.name, group.stages.iter().map(stage).collect::<Vec<_>>().join(" | ")))
        .collect()
}

const LAYERS: &str = r#"
[[order]]
name = "db-first"
first = "vm.labels.role == 'db'"
then = "vm.labels.role == 'app'"
within = "vm.labels.app"
[[order]]
name = "web-last"
first = "vm.labels.role == 'app'"
then = "vm.labels.role == 'web'"
within = "vm.labels.app"
delay_s = 5
"#;

#[test]
fn an_order_within_a_label_makes_a_group_of_each_application() {
    let derived = made(LAYERS, &shops()).expect("taken");
    assert_eq!(
        stages(&derived),
        ["db-first.shop: shop-db | shop-app | shop-web", "db-first.crm: crm-db | crm-app | crm-web"]
    );
    assert_eq!(derived.groups[0].stage_delay_s, Seconds::new(5));
}

#[test]
fn who_goes_first_does_not_wait_for_itself() {
    let text = "[[order]]\nname = \"dns\"\nfirst = \"vm.labels.role == 'infra'\"\nthen = \"true\"\n";
    let derived = made(text, &shops()).expect("taken");
    assert_eq!(stages(&derived), ["dns.dns-1: dns-1 | shop-db shop-app shop-web crm-db crm-app crm-web"]);
}

#[test]
fn a_declared_group_keeps_its_order_and_its_name_when_others_are_tied_to_it() {
    let mut fleet = shops();
    fleet.groups = vec![group("shop", &[&["shop-app"], &["shop-web"]])];
    let text = "[[order]]\nname = \"dns\"\nfirst = \"vm.name == 'dns-1'\"\nthen = \"vm.name == 'shop-app'\"\n";
    let derived = made(text, &fleet).expect("taken");
    assert_eq!(stages(&derived), ["shop: dns-1 | shop-app | shop-web"]);
    assert_eq!(derived.groups[0].importance, 3);
}

#[test]
fn the_most_important_class_and_the_highest_number_hold_whatever_the_order_of_rules() {
    let text = r#"
[[restart]]
name = "low"
when = "vm.labels.app == 'shop'"
class = "silver"
priority = 1
[[restart]]
name = "high"
when = "vm.name.like('*-db')"
class = "= vm.labels.sla"
priority = "= vm.memory_mib / 1024"
"#;
    let derived = made(text, &shops()).expect("taken");
    let class = |name: &str| derived.classes.get(name).map(ToString::to_string);
    assert_eq!(class("shop-db"), Some("gold".to_owned()));
    assert_eq!(class("shop-web"), Some("silver".to_owned()));
    assert_eq!(class("crm-db"), Some("gold".to_owned()));
    assert_eq!(class("dns-1"), None);
    let importance =
        |name: &str| derived.groups.iter().find(|group| group.name.as_str() == name).map(|it| it.importance);
    assert_eq!(importance("shop-db"), Some(8));
    assert_eq!(importance("shop-web"), Some(1));
    let (restarts, orders) = rules(text);
    let turned: Vec<_> = restarts.into_iter().rev().collect();
    let other = derive(&turned, &orders, &shops()).expect("taken");
    assert_eq!((other.classes, other.groups), (derived.classes, derived.groups));
}

#[test]
fn what_is_wrong_names_the_line_the_rule_and_the_vm() {
    let all_or_nothing = Group { all_or_nothing: true, ..group("shop", &[&["shop-db"], &["shop-web"]]) };
    let mut grouped = shops();
    grouped.groups = vec![all_or_nothing];
    let circle = "\n[[order]]\nname = \"back\"\nfirst = \"vm.name == 'shop-web'\"\nthen = \"vm.name == 'shop-db'\"\n";
    let own = "[[order]]\nname = \"own\"\nfirst = \"vm.name == 'dns-1'\"\nthen = \"vm.name == 'crm-db'\"\n\
               [[order]]\nname = \"other\"\nfirst = \"vm.name == 'crm-db'\"\nthen = \"true\"\n";
    let ties = "[[order]]\nname = \"ties\"\nfirst = \"vm.name == 'dns-1'\"\nthen = \"vm.name == 'shop-db'\"\n";
    let within = "[[order]]\nname = \"in-group\"\nfirst = \"vm.name == 'shop-web'\"\nthen = \"vm.name == 'shop-db'\"\n";
    let values = "[[restart]]\nname = \"a\"\nwhen = \"vm.name == 'dns-1'\"\nclass = \"glod\"\n\
                  [[restart]]\nname = \"b\"\nwhen = \"vm.labels.app == 'crm'\"\npriority = \"= vm.name\"\n\
                  [[restart]]\nname = \"c\"\nwhen = \"vm.lable == ''\"\npriority = 2\n";
    let broken = "[[restart]]\nname = \"c\"\nwhen = \"vm.name ==\"\nimportance = \"7\"\n[[restart]]\nname = \"d\"\nwhen = \"true\"\n";
    let values = values.split("[[restart]]\nname = \"c\"").next().expect("taken");
    insta::assert_snapshot!(
        [
            faults(&format!("{LAYERS}{circle}"), &shops()),
            faults(own, &shops()),
            faults(ties, &grouped),
            faults(within, &grouped),
            faults(values, &shops()),
            faults(broken, &shops()),
        ]
        .join("\n---\n")
    );
}

#[test]
fn rules_that_match_nothing_are_told() {
    let text = "[[restart]]\nname = \"a\"\nwhen = \"vm.name == 'nobody'\"\nclass = \"gold\"\n\
                [[order]]\nname = \"b\"\nfirst = \"vm.name == 'dns-1'\"\nthen = \"vm.name == 'nobody'\"\n";
    let derived = made(text, &shops()).expect("taken");
    let idle: Vec<String> = derived.idle.iter().map(|it| format!("{} {}", it.rule, it.why)).collect();
    assert_eq!(idle, ["restart rule `a` matches no VM", "start order `b` has no VM that is `then`"]);
    assert_eq!(derived.groups, Vec::new());
}

#[test]
fn a_template_with_every_comment_taken_away_is_a_rules_file_that_works() {
    let mut fleet = shops();
    fleet.vms[1].labels.insert("odd key'\"\\".to_owned(), "gold".to_owned());
    let template = discover(&fleet);
    insta::assert_snapshot!(template);
    let live: String = template
        .lines()
        .map(|line| if line.starts_with("# ") || line == "#" { "" } else { line.trim_start_matches('#') })
        .map(|line| format!("{line}\n"))
        .collect();
    let derived = made(&live, &fleet).expect("taken");
    assert_eq!(derived.idle, Vec::new());
    assert!(derived.classes.values().all(|class| class.as_str() == "gold"));
    assert_eq!(derived.groups[0].stages.len(), 4);
}

/// A small fleet with groups, and orders over names: often with a cycle.
fn worlds() -> impl Strategy<Value = (Fleet, Vec<StartOrder>)> {
    let names =
        |of: &[usize]| format!("vm.name in [{}]", of.iter().map(|it| format!("'v{it}'")).collect::<Vec<_>>().join(","));
    let order = (prop::collection::vec(0..12_usize, 1..3), prop::collection::vec(0..12_usize, 1..3));
    (prop::collection::vec(0..6_usize, 12), prop::collection::vec(order, 0..6)).prop_map(move |(places, orders)| {
        // A VM's place: its group (0, 1, or none) and its stage in it.
        let vms = (0..12).map(|at| vm(&format!("v{at}"), &[])).collect();
        let member = |group: usize, stage: usize| {
            let here = move |(_, place): &(usize, &usize)| **place / 2 == group && **place % 2 == stage;
            places
                .iter()
                .enumerate()
                .filter(here)
                .map(|(at, _)| format!("v{at}").parse().expect("a name"))
                .collect::<Vec<_>>()
        };
        let groups = (0..2)
            .map(|at| Group { stages: vec![member(at, 0), member(at, 1)], ..group(&format!("g{at}"), &[]) })
            .collect();
        let orders = orders.iter().enumerate().map(|(at, (first, then))| StartOrder {
            name: format!("o{at}").parse().expect("a name"),
            first: names(first),
            then: names(then),
            within: None,
            delay_s: Default::default(),
        });
        (fleet(vms, groups), orders.collect())
    })
}

/// Every pair of VMs of which the one must be ready before the other starts: asked for, not derived.
fn asked(fleet: &Fleet, orders: &[StartOrder]) -> Vec<(String, String)> {
    let side = |text: &str| -> Vec<String> { text.split('\'').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut pairs = Vec::new();
    for order in orders {
        let firsts = side(&order.first);
        for first in &firsts {
            let then = side(&order.then).into_iter().filter(|then| !firsts.contains(then));
            pairs.extend(then.map(|then| (first.clone(), then)));
        }
    }
    for group in &fleet.groups {
        for first in &group.stages[0] {
            pairs.extend(group.stages[1].iter().map(|then| (first.to_string(), then.to_string())));
        }
    }
    pairs
}

fn has_cycle(pairs: &[(String, String)]) -> bool {
    let mut left: Vec<&(String, String)> = pairs.iter().collect();
    loop {
        let before = left.len();
        let waiting: std::collections::BTreeSet<&str> = left.iter().map(|(_, then)| then.as_str()).collect();
        left.retain(|(first, _)| waiting.contains(first.as_str()));
        if left.len() == before {
            return !left.is_empty();
        }
    }
}

proptest! {
    #[test]
    fn the_composition_keeps_every_order_and_group_or_names_a_cycle((fleet, orders) in worlds()) {
        let pairs = asked(&fleet, &orders);
        match derive(&[], &orders, &fleet) {
            Err(faults) => {
                prop_assert!(has_cycle(&pairs), "{faults:?}");
                let ring: Vec<&str> = faults[0].text.split(": ").nth(1).expect("taken").split(" before ").collect();
                let names: Vec<&str> = ring.iter().map(|part| part.split([' ', '.']).next().expect("taken")).collect();
                prop_assert_eq!(names.first(), names.last());
                for pair in names.windows(2) {
                    prop_assert!(pairs.contains(&(pair[0].to_owned(), pair[1].to_owned())), "{}: {:?}", faults[0], pair);
                }
            }
            Ok(derived) => {
                prop_assert!(!has_cycle(&pairs));
                let place = |name: &str| derived.groups.iter().enumerate().find_map(|(at, group)| {
                    let stage = group.stages.iter().position(|stage| stage.iter().any(|vm| vm.as_str() == name));
                    stage.map(|stage| (at, stage))
                });
                for (first, then) in &pairs {
                    let (a, b) = (place(first).expect("taken"), place(then).expect("taken"));
                    prop_assert!(a.0 == b.0 && a.1 < b.1, "{first} {a:?} {then} {b:?}");
                }
                let mut seen = std::collections::BTreeSet::new();
                for vm in derived.groups.iter().flat_map(|group| group.stages.iter().flatten()) {
                    prop_assert!(seen.insert(vm), "{vm} is in two places");
                }
                let again = derive(&[], &orders, &fleet).expect("taken");
                prop_assert_eq!(&again, &derived);
                let turned: Vec<StartOrder> = orders.iter().rev().cloned().collect();
                let other = derive(&[], &turned, &fleet).expect("taken");
                let bare = |it: &Derived| it.groups.iter().map(|group| group.stages.clone()).collect::<Vec<_>>();
                prop_assert_eq!(bare(&other), bare(&derived));
                let mut effective = fleet.clone();
                derived.apply_to(&mut effective);
                prop_assert!(effective.validate().is_ok());
                let twice = derive(&[], &orders, &effective).expect("taken");
                prop_assert_eq!(bare(&twice), bare(&derived), "rules over what they made change nothing");
            }
        }
    }

    #[test]
    fn any_text_as_an_expression_is_taken_or_refused(text in ".{0,80}") {
        let rule = RestartRule {
            name: "a".parse().expect("a name"), when: text.clone(), class: Some(format!("= {text}")), priority: None, importance: None,
        };
        let _ = derive(&[rule], &[], &shops());
    }
}
