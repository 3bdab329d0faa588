//! Serde over a parsed TOML document that keeps to each fault its place and path.

use std::ops::Range;

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::fault::{Fault, Wrong};

/// Reads a value of a document.
pub(super) fn read<'de, T: Deserialize<'de>>(value: &'de Spanned<DeValue<'_>>) -> Result<T, Fault> {
    T::deserialize(Node(value))
}

/// A value of a document.
#[derive(Clone, Copy)]
struct Node<'de, 'i>(&'de Spanned<DeValue<'i>>);

impl<'de> Node<'de, '_> {
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_borrowed_str(text),
            DeValue::Integer(integer) => visit_integer(integer, visitor),
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(not_a_number(float.as_str())),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(time) => visitor.visit_string(time.to_string()),
            DeValue::Array(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            DeValue::Table(table) => visitor.visit_map(Entries { entries: table.iter().collect(), value: None }),
        }
    }
}

fn not_a_number(text: &str) -> Fault {
    let text: String = text.chars().take(40).collect();
    de::Error::custom(format_args!("{text} is too large for a number here"))
}

fn visit_integer<'de, V: Visitor<'de>>(integer: &DeInteger<'_>, visitor: V) -> Result<V::Value, Fault> {
    if let Ok(value) = u64::from_str_radix(integer.as_str(), integer.radix()) {
        return visitor.visit_u64(value);
    }
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(value) => visitor.visit_i64(value),
        Err(_) => Err(not_a_number(integer.as_str())),
    }
}

/// Where in a table a fault of the table as a whole is best shown: at the key that is too much.
fn place_in(fault: Fault, table: &DeTable<'_>) -> Fault {
    let Wrong::Unknown { field, .. } = &fault.wrong else { return fault };
    let key = table.keys().find(|key| key.get_ref() == field).map(Spanned::span);
    match key {
        Some(span) => fault.at(&span),
        None => fault,
    }
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.visit(visitor).map_err(|fault| {
            let fault = match self.0.get_ref() {
                DeValue::Table(table) if fault.span.is_none() => place_in(fault, table),
                _ => fault,
            };
            fault.at(&self.0.span())
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Only choices without content are written as a value of their own; all others are tables with a `kind`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let read = match self.0.get_ref() {
            DeValue::String(text) => {
                let text: StrDeserializer<'_, Fault> = text.as_ref().into_deserializer();
                visitor.visit_enum(text)
            }
            other => Err(de::Error::invalid_type(de::Unexpected::Other(type_of(other)), &"a text in quotes")),
        };
        read.map_err(|fault| fault.at(&self.0.span()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A value's type, in an operator's words.
pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

struct Items<'de, 'i> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Spanned<DeValue<'i>>>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((at, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Node(item)).map(Some).map_err(|fault| fault.below(format_args!("[{at}]")))
    }
}

type Entry<'de, 'i> = (&'de Spanned<std::borrow::Cow<'i, str>>, &'de Spanned<DeValue<'i>>);

struct Entries<'de, 'i> {
    /// What is left.
    entries: std::collections::VecDeque<Entry<'de, 'i>>,
    /// The entry whose key was handed out.
    value: Option<Entry<'de, 'i>>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.value = self.entries.pop_front();
        let Some((key, _)) = self.value else { return Ok(None) };
        let span: Range<usize> = key.span();
        seed.deserialize(BorrowedStrDeserializer::new(key.get_ref())).map(Some).map_err(|fault: Fault| fault.at(&span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Node(value)).map_err(|fault| fault.below(key.get_ref()))
    }
}
