//! Expressions: CEL over one variable, `vm`, short and bounded.

use std::sync::Arc;

use cel::{
    Context, ExecutionError, Program, Value,
    common::ast::{EntryExpr, Expr, IdedExpr},
    extractors::This,
};
use lifeboat_model::declaration::nearest;

use crate::facts::PROPERTIES;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 500;
/// How deep brackets may be nested.
const MAX_BRACKETS: usize = 12;
/// The most `exists`, `all`, `map` and `filter` of one expression.
const MAX_LOOPS: usize = 4;
/// The longest text that comes out of an expression.
const MAX_TEXT: usize = 256;

/// An expression that was read.
#[derive(Debug)]
pub(crate) struct Formula(Program);

impl Formula {
    /// Reads an expression.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        within_bounds(text)?;
        let program = Program::compile(text).map_err(|errors| {
            let first = errors.errors.first();
            let said = first.map_or_else(|| errors.to_string(), |error| error.msg.clone());
            let at = first.map_or(1, |error| error.pos.1.max(0) + 1);
            let said = said.strip_prefix("Syntax error: ").unwrap_or(&said);
            let said = said
                .split(" expecting ")
                .next()
                .unwrap_or(said)
                .replace("mismatched input '<EOF>'", "it ends too soon");
            let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("it is no CEL expression: {said} (character {at}).")
        })?;
        let mut walk = Walk { names: vec!["vm".to_owned()], loops: 0, inside: false };
        walk.look(program.expression())?;
        Ok(Self(program))
    }

    /// What it gives; none where it asks for a label, or another key, that is not there.
    ///
    /// # Errors
    /// Why it broke off, as the end of a sentence.
    pub(crate) fn value(&self, context: &Context<'_, '_>) -> Result<Option<Value>, String> {
        match self.0.execute(context) {
            Ok(value) => Ok(Some(value)),
            Err(ExecutionError::NoSuchKey(_)) => Ok(None),
            Err(error) => Err(cut(&error.to_string())),
        }
    }

    /// Whether it gives true; a key that is not there makes it false.
    ///
    /// # Errors
    /// As [`value`](Self::value), and when it gives something else than true or false.
    pub(crate) fn holds(&self, context: &Context<'_, '_>) -> Result<bool, String> {
        match self.value(context)? {
            None => Ok(false),
            Some(Value::Bool(holds)) => Ok(holds),
            Some(other) => Err(format!("it gives {}, not true or false", kind(&other))),
        }
    }

    /// The text that it gives, numbers written out; none where a key is not there, or the text is empty.
    ///
    /// # Errors
    /// As [`value`](Self::value), and when it gives no text or number.
    pub(crate) fn text(&self, context: &Context<'_, '_>) -> Result<Option<String>, String> {
        let text = match self.value(context)? {
            None => return Ok(None),
            Some(Value::String(text)) => text.as_ref().clone(),
            Some(Value::Int(number)) => number.to_string(),
            Some(Value::UInt(number)) => number.to_string(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(other) => return Err(format!("it gives {}, not text", kind(&other))),
        };
        if text.len() > MAX_TEXT {
            return Err(format!("it gives a text of {} bytes; {MAX_TEXT} at most", text.len()));
        }
        Ok((!text.is_empty()).then_some(text))
    }

    /// The whole number that it gives; none where a key is not there.
    ///
    /// # Errors
    /// As [`value`](Self::value), and when it gives no whole number.
    pub(crate) fn number(&self, context: &Context<'_, '_>) -> Result<Option<i64>, String> {
        match self.value(context)? {
            None => Ok(None),
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::UInt(number)) => {
                i64::try_from(number).map(Some).map_err(|_| "the number is too large".to_owned())
            }
            Some(other) => Err(format!("it gives {}, not a whole number", kind(&other))),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Int(_) | Value::UInt(_) => "a number",
        Value::Float(_) => "a fraction",
        Value::String(_) => "text",
        Value::Bool(_) => "true or false",
        Value::Null => "nothing",
        _ => "something else",
    }
}

fn cut(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// What every expression is evaluated in: CEL's own functions, and `like`.
///
/// # Panics
/// Never: CEL has no `like` of its own.
pub(crate) fn ground() -> Context<'static, 'static> {
    let mut context = Context::default();
    let like = |This(text): This<Arc<String>>, pattern: Arc<String>| matches(&pattern, &text);
    context.add_function("like", like).expect("CEL has no `like`");
    context
}

/// Whether a text is like a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether a text is small and flat enough to be read: the parser, and what walks the tree, call themselves. What is
/// allowed here fits into [`crate::stack::BYTES`].
fn within_bounds(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty.".to_owned());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("it has {} bytes; {MAX_LENGTH} at most. Make several rules of it.", text.len()));
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > MAX_BRACKETS {
        return Err(format!("its brackets are nested {deepest} deep; {MAX_BRACKETS} at most."));
    }
    Ok(())
}

/// A look at every part of an expression before it is ever evaluated.
struct Walk {
    /// Names that mean something here.
    names: Vec<String>,
    loops: usize,
    inside: bool,
}

impl Walk {
    fn look(&mut self, node: &IdedExpr) -> Result<(), String> {
        match &node.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == "vm") {
                    return property(&select.field);
                }
                self.look(&select.operand)
            }
            Expr::Call(call) => {
                call.target.iter().map(AsRef::as_ref).chain(&call.args).try_for_each(|it| self.look(it))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|it| self.look(it)),
            Expr::Map(map) => map.entries.iter().try_for_each(|it| self.entry(&it.expr)),
            Expr::Struct(_) => Err("it makes a message; rules know none.".to_owned()),
            Expr::Comprehension(it) => self.repeat(it),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn entry(&mut self, entry: &EntryExpr) -> Result<(), String> {
        match entry {
            EntryExpr::StructField(field) => self.look(&field.value),
            EntryExpr::MapEntry(entry) => self.look(&entry.key).and_then(|()| self.look(&entry.value)),
        }
    }

    fn name(&self, name: &str) -> Result<(), String> {
        let types = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "type", "null_type"];
        if name.starts_with('@') || types.contains(&name) || self.names.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(format!("it names `{name}`, which is nothing here. Write text in quotes, and `vm.{name}` for a property."))
    }

    /// Repeats only over short lists: what is written out, and `vm.arrays`. Maps have no order to go by.
    fn repeat(&mut self, it: &cel::common::ast::ComprehensionExpr) -> Result<(), String> {
        let arrays = |range: &Expr| {
            matches!(range, Expr::Select(select) if select.field == "arrays"
                && matches!(&select.operand.expr, Expr::Ident(name) if name == "vm"))
        };
        if !matches!(it.iter_range.expr, Expr::List(_)) && !arrays(&it.iter_range.expr) {
            return Err("it goes through something else than a list that is written out or `vm.arrays`.".to_owned());
        }
        self.loops += 1;
        if self.inside || self.loops > MAX_LOOPS {
            return Err(format!("it goes through lists within lists, or through more than {MAX_LOOPS}."));
        }
        self.look(&it.iter_range)?;
        let before = self.names.len();
        self.names.push(it.iter_var.clone());
        self.names.extend(it.iter_var2.clone());
        self.names.push(it.accu_var.clone());
        self.inside = true;
        let looked =
            [&it.accu_init, &it.loop_cond, &it.loop_step, &it.result].into_iter().try_for_each(|part| self.look(part));
        self.inside = false;
        self.names.truncate(before);
        looked
    }
}

fn property(name: &str) -> Result<(), String> {
    let known = || PROPERTIES.iter().map(|(property, _)| *property);
    if known().any(|property| property == name) {
        return Ok(());
    }
    let text = format!("it asks for `vm.{name}`, which no VM has.");
    Err(match nearest(name, known()) {
        Some(meant) => format!("{text} Did you mean `vm.{meant}`?"),
        None => format!("{text} There are {}; labels are `vm.labels.{name}`.", known().collect::<Vec<_>>().join(", ")),
    })
}

#[cfg(test)]
mod tests;
