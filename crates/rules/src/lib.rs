//! Restart rules: each VM's class, importance and place in the start order, derived from what the VM is.
//!
//! # Theory of operation
//!
//! A rule looks at one VM at a time: its expressions (CEL, [`expression`]) see the VM as it is declared ([`facts`]), never
//! where it happens to run, so that what follows from it does not change when it moves. What the rules say of each VM
//! ([`judge`](mod@judge)) does not depend on the order in which they stand: of several classes the most important holds, of several
//! numbers the highest.
//!
//! Start orders and the stages of groups are then composed into one partial order ([`compose`](mod@compose)). A cycle in it is an
//! error that names it. Groups and VMs that orders tie together become one group, whose stages are the levels of the
//! order; so the planner, the checker and the execution, which know groups, keep it without knowing of rules.
//!
//! The same rules and fleet give the same result, byte for byte. Evaluation is bounded: expressions are short, not nested
//! deeply, and repeat nothing but over short lists that are written out.

use std::collections::BTreeMap;

use lifeboat_model::{
    ClassName, VmName,
    declaration::{Kind, Object, Places, Problem, merge, to_fleet},
    fleet::{Fleet, Group},
    spec::{Declaration, RestartRule, StartOrder},
};
use serde::Serialize;

mod compose;
mod discover;
mod expression;
mod facts;
mod fault;
mod judge;
mod stack;

pub use compose::Tie;
pub use discover::discover;
pub use expression::MAX_LENGTH;
pub use fault::{Fault, MAX_FAULTS};
pub use judge::{Gift, Given};

/// What rules make of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Derived {
    /// The class of each VM that has another one by the rules than it declares.
    pub classes: BTreeMap<VmName, ClassName>,
    /// All groups as they are by the rules, the declared ones among them.
    pub groups: Vec<Group>,
    /// What each rule gave each VM that one matched, in the fleet's order.
    pub given: Vec<(VmName, Vec<Given>)>,
    /// Groups and VMs that start orders tie together.
    pub ties: Vec<Tie>,
    /// Rules that matched nothing, and halves of orders that did.
    pub idle: Vec<Idle>,
}

/// A rule that does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// The rule.
    pub rule: Object,
    /// Why, as the end of a sentence: `matches no VM`.
    pub why: String,
}

impl Derived {
    /// Puts what was derived into a fleet that has the same VMs.
    pub fn apply_to(&self, fleet: &mut Fleet) {
        for vm in &mut fleet.vms {
            if let Some(class) = self.classes.get(&vm.name) {
                vm.class = class.clone();
            }
        }
        fleet.groups.clone_from(&self.groups);
    }
}

/// Derives what rules and orders make of a fleet.
///
/// # Errors
/// Everything that is wrong, at most [`MAX_FAULTS`]: an expression that cannot be read or breaks off for a VM, a class that
/// does not exist, an order with a cycle, a group that cannot be tied to others.
pub fn derive(restarts: &[RestartRule], orders: &[StartOrder], fleet: &Fleet) -> Result<Derived, Vec<Fault>> {
    if restarts.is_empty() && orders.is_empty() {
        return Ok(Derived { groups: fleet.groups.clone(), ..Derived::default() });
    }
    // What breaks off in there must not break off what depends on this.
    stack::with_room(|| derive_here(restarts, orders, fleet)).unwrap_or_else(|| {
        let rule = restarts.first().map(|rule| Object::new(Kind::Restart, &rule.name));
        let rule = rule.or_else(|| orders.first().map(|order| Object::new(Kind::Order, &order.name)));
        let rule = rule.unwrap_or_else(|| Object::new(Kind::Restart, ""));
        let text = "the evaluation of the rules broke off. Please report this with the rules.".to_owned();
        Err(vec![Fault { rule, field: "name", text }])
    })
}

/// What is wrong with the rules of a declaration, laid over what is known. The rest of it must have been found right.
#[must_use]
pub fn problems(new: &Declaration, known: &Declaration, places: &Places) -> Vec<Problem> {
    let all = merge(known, new).declaration;
    let faults = derive(&all.restarts, &all.orders, &to_fleet(&all)).err().unwrap_or_default();
    faults.into_iter().map(|fault| fault.problem(places)).collect()
}

fn derive_here(restarts: &[RestartRule], orders: &[StartOrder], fleet: &Fleet) -> Result<Derived, Vec<Fault>> {
    let rules = judge::Rules::compile(restarts, orders)?;
    let judged = judge::judge(&rules, fleet)?;
    let composed = compose::compose(orders, fleet, &judged)?;
    let mut derived = Derived { groups: composed.groups, ties: composed.ties, ..Derived::default() };
    derived.idle = judge::idle(restarts, orders, &judged);
    for (vm, judgement) in fleet.vms.iter().zip(judged) {
        if let Some(class) = judgement.class.filter(|class| *class != vm.class) {
            derived.classes.insert(vm.name.clone(), class);
        }
        if !judgement.given.is_empty() {
            derived.given.push((vm.name.clone(), judgement.given));
        }
    }
    Ok(derived)
}
