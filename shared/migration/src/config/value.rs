//! A node of the file as serde reads it: what it is follows from the type that is wanted.

use std::vec::IntoIter;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::fault::{Fault, did_you_mean};
use super::problem::{Place, Problem};
use super::reading::{Reading, join};
use super::yaml::{Entry, Kind, Node};

/// How the fields begin that msk-kraft sets itself: nobody is told of them.
const OWN: &str = "run_";

/// A value on its way into a type.
#[derive(Debug)]
pub(super) struct Value<'a> {
    /// The node; none for a value that is made up.
    node: Option<&'a Node>,
    /// Where its key stands: the place of what it lacks.
    key: Place,
    path: String,
    reading: &'a Reading,
}

impl<'a> Value<'a> {
    /// The file as a whole.
    pub(super) const fn root(node: &'a Node, reading: &'a Reading) -> Self {
        Self { node: Some(node), key: Place::START, path: String::new(), reading }
    }

    fn place(&self) -> Place {
        self.node.map_or(self.key, |node| node.place)
    }

    fn fault(self, fault: Fault) -> Fault {
        fault.or_at(self.place(), &self.path)
    }

    /// Whether the value may be a credential, out of the environment or not: messages do not repeat what is below `auth`.
    fn is_secret(&self) -> bool {
        self.path.split('.').any(|field| field == "auth")
    }

    /// The scalar's text; none for a value that is made up.
    fn scalar(&self) -> Result<Option<(&'a str, bool)>, Unexpected<'static>> {
        match self.node.map(|node| (&node.kind, node.is_nothing())) {
            None => Ok(None),
            Some((_, true)) => Err(Unexpected::Unit),
            Some((Kind::Scalar { text, plain }, _)) => Ok(Some((text, *plain))),
            Some((Kind::Sequence(_), _)) => Err(Unexpected::Seq),
            Some((Kind::Mapping(_), _)) => Err(Unexpected::Map),
        }
    }

    /// Entries of a mapping; nothing, and what is made up, has none.
    fn entries(&self) -> Result<&'a [Entry], Unexpected<'static>> {
        match self.node.map(|node| &node.kind) {
            None => Ok(&[]),
            Some(Kind::Mapping(entries)) => Ok(entries),
            Some(_) => self.scalar().map_or_else(
                |found| if found == Unexpected::Unit { Ok(&[][..]) } else { Err(found) },
                |_| Err(Unexpected::Str("")),
            ),
        }
    }

    /// Whether the entry that comes after `before` is to be read; reports one that is not known, or not the first.
    fn takes(&self, entry: &Entry, before: &[Entry], fields: Option<&[&str]>) -> bool {
        let path = join(&self.path, &entry.key);
        if let Some(known) = fields.filter(|known| !known.contains(&entry.key.as_str())) {
            let known: Vec<_> = known.iter().copied().filter(|field| !field.starts_with(OWN)).collect();
            let meant = did_you_mean(&entry.key, &known);
            let known = if meant.is_empty() { format!("; known here: {}", known.join(", ")) } else { meant };
            self.reading.report(Problem::at(entry.place, &path, format!("is not a known field{known}")));
            return false;
        }
        if let Some(first) = before.iter().find(|first| first.key == entry.key) {
            let message = format!("is given again, first on line {}", first.place.line);
            self.reading.report(Problem::at(entry.place, &path, message));
            return false;
        }
        !self.reading.leaves_out(&path)
    }

    /// Reads a mapping with `fields`, or with any.
    fn mapping<'de, V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let entries = match self.entries() {
            Ok(entries) => entries,
            Err(found) => return Err(self.fault(Fault::invalid_type(found, &"a mapping"))),
        };
        let found = entries.iter().enumerate().filter(|(n, entry)| self.takes(entry, &entries[..*n], fields));
        let found = found.map(|(_, entry)| {
            let path = join(&self.path, &entry.key);
            (entry.key.as_str(), Value { node: Some(&entry.value), key: entry.place, path, reading: self.reading })
        });
        let mut values: Vec<_> = found.collect();
        for field in fields.unwrap_or_default() {
            let path = join(&self.path, field);
            if self.reading.makes_up(&path) {
                values.push((field, Value { node: None, key: self.key, path, reading: self.reading }));
            }
        }
        let fields = Fields { values: values.into_iter(), next: None };
        visitor.visit_map(fields).map_err(|fault| fault.or_at(self.key, &self.path))
    }

    /// Reads text as `parse` does it; `made_up` stands for a value that is made up.
    fn parsed<T>(&self, parse: impl Fn(&str) -> Option<T>, made_up: T, expected: &str) -> Result<T, Fault> {
        let fault = |found| Fault::invalid_type(found, &expected).or_at(self.place(), &self.path);
        match self.scalar().map_err(fault)? {
            None => Ok(made_up),
            Some((text, plain)) => match parse(text).filter(|_| plain) {
                Some(value) => Ok(value),
                None if plain && text.parse::<f64>().is_ok() => Err(fault(Unexpected::Float(0.0))),
                None => Err(fault(Unexpected::Str(""))),
            },
        }
    }
}

/// Whole numbers: a type's own range is named where a number is beyond it.
macro_rules! whole_numbers {
    ($($deserialize:ident $visit:ident $number:ty,)*) => {
        $(
            fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
                let wide = self.parsed(|text| text.parse::<i128>().ok(), 1, "a whole number")?;
                let number = <$number>::try_from(wide).map_err(|_| {
                    Fault::new(format_args!("{wide} is not from {} to {}", <$number>::MIN, <$number>::MAX))
                });
                let result = number.and_then(|number| visitor.$visit(number));
                result.map_err(|fault| self.fault(fault))
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Fault;

    whole_numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    /// What YAML's core schema says of a value whose type nobody asks for.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Some(node) = self.node else { return visitor.visit_unit() };
        match &node.kind {
            Kind::Mapping(_) => self.mapping(None, visitor),
            Kind::Sequence(_) => self.deserialize_seq(visitor),
            Kind::Scalar { .. } if node.is_nothing() => visitor.visit_unit(),
            Kind::Scalar { text, plain: true } if boolean(text).is_some() => self.deserialize_bool(visitor),
            Kind::Scalar { text, plain: true } if text.parse::<i64>().is_ok() => self.deserialize_i64(visitor),
            Kind::Scalar { .. } => self.deserialize_string(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.parsed(boolean, false, "true or false")?;
        visitor.visit_bool(value).map_err(|fault| self.fault(fault))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.parsed(|text| text.parse().ok(), 1.0, "a number")?;
        visitor.visit_f64(value).map_err(|fault| self.fault(fault))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    /// Text is whatever one value is written as, a number or `true` included.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = match self.scalar() {
            Ok(scalar) => scalar.map_or("", |(text, _)| text),
            Err(found) => return Err(self.fault(Fault::invalid_type(found, &"text"))),
        };
        visitor.visit_str(text).map_err(|fault| self.fault(fault))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node {
            Some(node) if !node.is_nothing() => visitor.visit_some(self),
            _ => visitor.visit_none(),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let nodes = match self.node.map(|node| &node.kind) {
            None => &[][..],
            Some(Kind::Sequence(nodes)) => nodes,
            Some(_) => {
                let found = self.scalar().map_or_else(|found| found, |_| Unexpected::Str(""));
                return Err(self.fault(Fault::invalid_type(found, &"a list")));
            }
        };
        let items = nodes.iter().enumerate().map(|(n, node)| Value {
            node: Some(node),
            key: node.place,
            path: format!("{}[{n}]", self.path),
            reading: self.reading,
        });
        let items: Vec<_> = items.filter(|item| !self.reading.leaves_out(&item.path)).collect();
        visitor.visit_seq(Items(items.into_iter())).map_err(|fault| self.fault(fault))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.mapping(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.mapping(Some(fields), visitor)
    }

    /// A choice between words; a made-up one is the first.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text = match self.scalar() {
            Ok(Some((text, _))) => text,
            Ok(None) => {
                self.reading.guessed(&self.path);
                variants.first().copied().unwrap_or_default()
            }
            Err(found) => {
                let expected = format!("one of {}", variants.join(", "));
                return Err(self.fault(Fault::invalid_type(found, &expected.as_str())));
            }
        };
        let word: StrDeserializer<'_, Fault> = text.into_deserializer();
        visitor.visit_enum(word).map_err(|fault| {
            let fault = if self.is_secret() { fault } else { fault.about(text) };
            self.fault(fault)
        })
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The fields of a mapping that are read.
struct Fields<'a> {
    values: IntoIter<(&'a str, Value<'a>)>,
    next: Option<Value<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.values.next() else { return Ok(None) };
        self.next = Some(value);
        let key: StrDeserializer<'_, Fault> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let value = self.next.take().ok_or_else(|| Fault::new("a value without a key"))?;
        let (place, path) = (value.place(), value.path.clone());
        seed.deserialize(value).map_err(|fault| fault.or_at(place, &path))
    }
}

/// The items of a list that are read.
struct Items<'a>(IntoIter<Value<'a>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.0.next() else { return Ok(None) };
        let (place, path) = (item.place(), item.path.clone());
        seed.deserialize(item).map(Some).map_err(|fault| fault.or_at(place, &path))
    }
}
