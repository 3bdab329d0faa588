//! Any bytes as a rules file: refused with an error, or rules that make a sound fleet of another, the same each time.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use lifeboat_model::{
    declaration::{self, Source},
    fleet::Fleet,
};

const FLEET: &str = include_str!("../seeds/fleet-with-labels.json");

fn fleet() -> &'static Fleet {
    static ONE: OnceLock<Fleet> = OnceLock::new();
    ONE.get_or_init(|| Fleet::from_json(FLEET).expect("the fleet is one"))
}

fuzz_target!(|bytes: &[u8]| {
    let reading = declaration::read(&[Source { name: "rules.toml", bytes }]);
    let (restarts, orders) = (&reading.declaration.restarts, &reading.declaration.orders);
    let Ok(derived) = lifeboat_rules::derive(restarts, orders, fleet()) else { return };
    assert_eq!(lifeboat_rules::derive(restarts, orders, fleet()).as_ref(), Ok(&derived));
    let mut effective = fleet().clone();
    derived.apply_to(&mut effective);
    effective.validate().expect("what rules make of a fleet is a fleet");
});
