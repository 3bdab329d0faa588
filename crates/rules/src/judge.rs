//! What the rules say of each VM by itself. The order in which rules stand does not matter.

use std::collections::BTreeMap;

use cel::Context;
use lifeboat_model::{
    ClassName, VmName,
    declaration::{Kind, Object, nearest},
    fleet::{Fleet, Vm},
    spec::{Amount, RestartRule, StartOrder},
};
use serde::Serialize;

use crate::{
    Idle,
    expression::{Formula, ground},
    facts::Facts,
    fault::{Fault, MAX_FAULTS},
};

/// How large a priority or an importance may be, either way.
const MAX_AMOUNT: i64 = 1_000_000_000;

/// Something that a rule gave a VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Given {
    /// The rule.
    pub rule: Object,
    /// What.
    #[serde(flatten)]
    pub what: Gift,
    /// Whether it holds: no other rule gave something that goes before it.
    pub holds: bool,
}

/// What rules give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "gives", content = "value", rename_all = "snake_case")]
pub enum Gift {
    /// A class.
    Class(ClassName),
    /// A priority.
    Priority(i64),
    /// An importance for its group.
    Importance(i64),
    /// It is to be ready before others, among those of the same text.
    First(Option<String>),
    /// It is to start after others, among those of the same text.
    Then(Option<String>),
}

/// What all rules together say of a VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) class: Option<ClassName>,
    /// How much its group matters, or it without one.
    pub(crate) importance: Option<i64>,
    /// For each order that it is part of: which, as what, and among whom.
    pub(crate) orders: Vec<Part>,
    pub(crate) given: Vec<Given>,
    /// The restart rules that matched, by number.
    pub(crate) matched: Vec<usize>,
}

/// A VM's part in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) order: usize,
    pub(crate) first: bool,
    pub(crate) then: bool,
    pub(crate) within: Option<String>,
}

/// Rules that were read.
pub(crate) struct Rules {
    restarts: Vec<Restart>,
    orders: Vec<Order>,
}

struct Restart {
    object: Object,
    when: Formula,
    class: Option<Say<String>>,
    priority: Option<Say<i64>>,
    importance: Option<Say<i64>>,
}

struct Order {
    object: Object,
    first: Formula,
    then: Formula,
    within: Option<Formula>,
}

/// A value, or how it is found.
enum Say<T> {
    Just(T),
    Formula(Formula),
}

impl Rules {
    /// Reads all rules.
    pub(crate) fn compile(restarts: &[RestartRule], orders: &[StartOrder]) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader { faults: Vec::new() };
        let restarts = restarts.iter().map(|rule| reader.restart(rule)).collect::<Vec<_>>();
        let orders = orders.iter().map(|order| reader.order(order)).collect::<Vec<_>>();
        if reader.faults.is_empty() {
            return Ok(Self {
                restarts: restarts.into_iter().flatten().collect(),
                orders: orders.into_iter().flatten().collect(),
            });
        }
        reader.faults.truncate(MAX_FAULTS);
        Err(reader.faults)
    }
}

struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn formula(&mut self, rule: &Object, field: &'static str, text: &str) -> Option<Formula> {
        match Formula::read(text) {
            Ok(formula) => Some(formula),
            Err(why) => {
                self.faults.push(Fault { rule: rule.clone(), field, text: format!("`{field}` of {rule}: {why}") });
                None
            }
        }
    }

    fn amount(&mut self, rule: &Object, field: &'static str, amount: &Amount) -> Option<Say<i64>> {
        match amount {
            Amount::Number(number) if number.abs() > MAX_AMOUNT => {
                let text = format!("`{field}` of {rule} is {number}; it is {MAX_AMOUNT} at most.");
                self.faults.push(Fault { rule: rule.clone(), field, text });
                None
            }
            Amount::Number(number) => Some(Say::Just(*number)),
            Amount::Formula(text) => {
                let Some(text) = text.trim_start().strip_prefix('=') else {
                    let text =
                        format!("`{field}` of {rule} is text. Give a whole number, or \"= \" and an expression.");
                    self.faults.push(Fault { rule: rule.clone(), field, text });
                    return None;
                };
                self.formula(rule, field, text).map(Say::Formula)
            }
        }
    }

    fn restart(&mut self, rule: &RestartRule) -> Option<Restart> {
        let object = Object::new(Kind::Restart, &rule.name);
        let before = self.faults.len();
        if rule.class.is_none() && rule.priority.is_none() && rule.importance.is_none() {
            let text = format!("{object} gives nothing. Add `class`, `priority` or `importance`.");
            self.faults.push(Fault { rule: object.clone(), field: "name", text });
        }
        let when = self.formula(&object, "when", &rule.when);
        let class = rule.class.as_ref().and_then(|class| match class.trim_start().strip_prefix('=') {
            Some(text) => self.formula(&object, "class", text).map(Say::Formula),
            None => Some(Say::Just(class.clone())),
        });
        let priority = rule.priority.as_ref().and_then(|it| self.amount(&object, "priority", it));
        let importance = rule.importance.as_ref().and_then(|it| self.amount(&object, "importance", it));
        (self.faults.len() == before).then_some(())?;
        Some(Restart { object, when: when?, class, priority, importance })
    }

    fn order(&mut self, order: &StartOrder) -> Option<Order> {
        let object = Object::new(Kind::Order, &order.name);
        let first = self.formula(&object, "first", &order.first);
        let then = self.formula(&object, "then", &order.then);
        let within = order.within.as_ref().map(|text| self.formula(&object, "within", text));
        Some(Order { object, first: first?, then: then?, within: within.map_or(Some(None), |it| it.map(Some))? })
    }
}

/// What the rules say of every VM, in the fleet's order.
pub(crate) fn judge(rules: &Rules, fleet: &Fleet) -> Result<Vec<Judgement>, Vec<Fault>> {
    let facts = Facts::new(fleet);
    let ground = ground();
    let mut judged = Vec::with_capacity(fleet.vms.len());
    let mut broken = Broken::new();
    for vm in &fleet.vms {
        let mut context = ground.new_inner_scope();
        facts.set(vm, &mut context);
        let mut bench = Bench { vm, fleet, context, faults: &mut broken };
        judged.push(bench.judge(rules));
        if broken.len() >= MAX_FAULTS {
            break;
        }
    }
    if broken.is_empty() {
        return Ok(judged);
    }
    let told = |((rule, field, why), (vm, count)): ((Object, &'static str, String), (VmName, u64))| {
        let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let end = if why.ends_with('?') { "" } else { "." };
        Fault { text: format!("`{field}` of {rule}, for VM `{vm}`{more}: {why}{end}"), rule, field }
    };
    Err(broken.into_iter().map(told).collect())
}

/// What broke off: of which rule, in which field, why; for which VM first, and for how many.
type Broken = BTreeMap<(Object, &'static str, String), (VmName, u64)>;

/// One VM before the rules.
struct Bench<'a, 'g> {
    vm: &'a Vm,
    fleet: &'a Fleet,
    context: Context<'g, 'static>,
    faults: &'a mut Broken,
}

impl Bench<'_, '_> {
    fn judge(&mut self, rules: &Rules) -> Judgement {
        let mut judgement = Judgement::default();
        for (at, rule) in rules.restarts.iter().enumerate() {
            let when = rule.when.holds(&self.context);
            if self.or_fault(&rule.object, "when", when).unwrap_or(false) {
                judgement.matched.push(at);
                self.take(rule, &mut judgement.given);
            }
        }
        for (at, order) in rules.orders.iter().enumerate() {
            self.part(at, order, &mut judgement);
        }
        self.settle(&mut judgement);
        judgement
    }

    fn or_fault<T>(&mut self, rule: &Object, field: &'static str, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(why) => {
                let (_, more) =
                    self.faults.entry((rule.clone(), field, why)).or_insert_with(|| (self.vm.name.clone(), 0));
                *more += 1;
                None
            }
        }
    }

    fn take(&mut self, rule: &Restart, given: &mut Vec<Given>) {
        let mut give = |what| given.push(Given { rule: rule.object.clone(), what, holds: false });
        if let Some(class) = &rule.class {
            let name = match class {
                Say::Just(name) => Ok(Some(name.clone())),
                Say::Formula(formula) => formula.text(&self.context),
            };
            let found = name.and_then(|name| name.map(|name| self.class(&name)).transpose());
            if let Some(Some(class)) = self.or_fault(&rule.object, "class", found) {
                give(Gift::Class(class));
            }
        }
        if let Some(Some(number)) = rule.priority.as_ref().and_then(|it| self.amount(&rule.object, "priority", it)) {
            give(Gift::Priority(number));
        }
        if let Some(Some(number)) = rule.importance.as_ref().and_then(|it| self.amount(&rule.object, "importance", it))
        {
            give(Gift::Importance(number));
        }
    }

    /// The class of a name.
    fn class(&self, name: &str) -> Result<ClassName, String> {
        let names = || self.fleet.classes.iter().map(|class| class.name.as_str());
        if let Some(class) = self.fleet.classes.iter().find(|class| class.name.as_str() == name) {
            return Ok(class.name.clone());
        }
        let name: String = name.chars().take(60).collect();
        let meant = nearest(&name, names()).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        Err(format!("it gives class `{name}`, which does not exist{meant}"))
    }

    fn amount(&mut self, rule: &Object, field: &'static str, amount: &Say<i64>) -> Option<Option<i64>> {
        let number = match amount {
            Say::Just(number) => Ok(Some(*number)),
            Say::Formula(formula) => formula.number(&self.context),
        };
        let number = number.and_then(|number| match number {
            Some(number) if !(-MAX_AMOUNT..=MAX_AMOUNT).contains(&number) => {
                Err(format!("it gives {number}; it is {MAX_AMOUNT} at most"))
            }
            number => Ok(number),
        });
        self.or_fault(rule, field, number)
    }

    fn part(&mut self, at: usize, order: &Order, judgement: &mut Judgement) {
        let (first, then) = (order.first.holds(&self.context), order.then.holds(&self.context));
        let first = self.or_fault(&order.object, "first", first).unwrap_or(false);
        // Who goes first is none of those that wait for it: `then = "true"` is everybody else.
        let then = self.or_fault(&order.object, "then", then).unwrap_or(false) && !first;
        if !first && !then {
            return;
        }
        let within = match &order.within {
            None => None,
            Some(formula) => {
                let text = formula.text(&self.context);
                match self.or_fault(&order.object, "within", text) {
                    Some(Some(text)) => Some(text),
                    // It belongs to no one: the order is not about it.
                    _ => return,
                }
            }
        };
        let mut give = |what| judgement.given.push(Given { rule: order.object.clone(), what, holds: true });
        if first {
            give(Gift::First(within.clone()));
        }
        if then {
            give(Gift::Then(within.clone()));
        }
        judgement.orders.push(Part { order: at, first, then, within });
    }

    /// Of several classes the most important holds, of several numbers the highest, and importance before priority.
    fn settle(&self, judgement: &mut Judgement) {
        let rank = |class: &ClassName| self.fleet.classes.iter().position(|it| it.name == *class);
        let classes = judgement.given.iter().filter_map(|it| match &it.what {
            Gift::Class(class) => Some((rank(class), class.clone())),
            _ => None,
        });
        judgement.class = classes.min().map(|(_, class)| class);
        let highest = |of: fn(&Gift) -> Option<i64>| judgement.given.iter().filter_map(|it| of(&it.what)).max();
        let importance = highest(|gift| if let Gift::Importance(it) = gift { Some(*it) } else { None });
        let priority = highest(|gift| if let Gift::Priority(it) = gift { Some(*it) } else { None });
        judgement.importance = importance.or(priority);
        for given in &mut judgement.given {
            match &given.what {
                Gift::Class(class) => given.holds = judgement.class.as_ref() == Some(class),
                Gift::Importance(number) => given.holds = importance == Some(*number),
                Gift::Priority(number) => given.holds = importance.is_none() && priority == Some(*number),
                Gift::First(_) | Gift::Then(_) => {}
            }
        }
    }
}

/// Rules that match nothing.
pub(crate) fn idle(restarts: &[RestartRule], orders: &[StartOrder], judged: &[Judgement]) -> Vec<Idle> {
    let mut idle = Vec::new();
    let mut matched = vec![0_u64; restarts.len()];
    let mut parts = vec![(0_u64, 0_u64); orders.len()];
    for judgement in judged {
        judgement.matched.iter().for_each(|at| matched[*at] += 1);
        for part in &judgement.orders {
            parts[part.order].0 += u64::from(part.first);
            parts[part.order].1 += u64::from(part.then);
        }
    }
    for (rule, _) in restarts.iter().zip(matched).filter(|(_, matched)| *matched == 0) {
        idle.push(Idle { rule: Object::new(Kind::Restart, &rule.name), why: "matches no VM".to_owned() });
    }
    for (order, (first, then)) in orders.iter().zip(parts) {
        let why = match (first, then) {
            (0, 0) => "matches no VM",
            (0, _) => "has no VM that is `first`",
            (_, 0) => "has no VM that is `then`",
            _ => continue,
        };
        idle.push(Idle { rule: Object::new(Kind::Order, &order.name), why: why.to_owned() });
    }
    idle
}
