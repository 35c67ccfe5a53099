//! One conditional write, described before it is sent: alone, or as a part of a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use chrono::{DateTime, Utc};
use clock::timestamp;

use crate::table::Key;

/// A scalar that can be stored or compared.
pub(crate) trait Scalar {
    /// Its DynamoDB form.
    fn value(self) -> AttributeValue;
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Scalar for $number {
            fn value(self) -> AttributeValue {
                AttributeValue::N(self.to_string())
            }
        })*
    };
}

numbers!(i16, u32, i64, u64);

impl Scalar for &str {
    fn value(self) -> AttributeValue {
        AttributeValue::S(self.to_owned())
    }
}

impl Scalar for bool {
    fn value(self) -> AttributeValue {
        AttributeValue::Bool(self)
    }
}

impl Scalar for DateTime<Utc> {
    fn value(self) -> AttributeValue {
        AttributeValue::S(timestamp(self))
    }
}

impl Scalar for AttributeValue {
    fn value(self) -> AttributeValue {
        self
    }
}

/// An `UpdateItem` under conditions that must all hold. Every attribute goes by a placeholder, so that none can collide
/// with DynamoDB's several hundred reserved words.
#[derive(Debug, Default)]
pub(crate) struct Write {
    pub(crate) key: Key,
    sets: Vec<String>,
    adds: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, AttributeValue>,
}

impl Write {
    /// A write to the item at `key`.
    pub(crate) fn to(key: Key) -> Self {
        Self { key, ..Self::default() }
    }

    fn name(&mut self, attribute: &str) -> String {
        // Numbered rather than spelled out: a name may hold characters that a placeholder must not.
        let known = self.names.iter().find(|(_, name)| *name == attribute).map(|(alias, _)| alias.clone());
        known.unwrap_or_else(|| {
            let alias = format!("#n{}", self.names.len());
            self.names.insert(alias.clone(), attribute.to_owned());
            alias
        })
    }

    fn value(&mut self, scalar: impl Scalar) -> String {
        let alias = format!(":v{}", self.values.len());
        self.values.insert(alias.clone(), scalar.value());
        alias
    }

    /// Sets `attribute`.
    pub(crate) fn set(mut self, attribute: &str, scalar: impl Scalar) -> Self {
        let set = format!("{} = {}", self.name(attribute), self.value(scalar));
        self.sets.push(set);
        self
    }

    /// Sets `entry` of the map `attribute`.
    pub(crate) fn set_entry(mut self, attribute: &str, entry: &str, scalar: impl Scalar) -> Self {
        let set = format!("{}.{} = {}", self.name(attribute), self.name(entry), self.value(scalar));
        self.sets.push(set);
        self
    }

    /// Adds `count` to `attribute`, which starts at 0.
    pub(crate) fn add(mut self, attribute: &str, count: u32) -> Self {
        let add = format!("{} {}", self.name(attribute), self.value(count));
        self.adds.push(add);
        self
    }

    /// Removes `attribute`.
    pub(crate) fn remove(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.removes.push(name);
        self
    }

    /// Only if `attribute` equals `scalar`.
    pub(crate) fn if_equal(mut self, attribute: &str, scalar: impl Scalar) -> Self {
        let condition = format!("{} = {}", self.name(attribute), self.value(scalar));
        self.conditions.push(condition);
        self
    }

    /// Only if `attribute` is absent.
    pub(crate) fn if_absent(mut self, attribute: &str) -> Self {
        let condition = format!("attribute_not_exists({})", self.name(attribute));
        self.conditions.push(condition);
        self
    }

    /// Only if `attribute` is absent or not above `scalar`.
    pub(crate) fn if_at_most(mut self, attribute: &str, scalar: impl Scalar) -> Self {
        let name = self.name(attribute);
        let condition = format!("(attribute_not_exists({name}) OR {name} <= {})", self.value(scalar));
        self.conditions.push(condition);
        self
    }

    /// Only if the item exists.
    pub(crate) fn if_exists(mut self) -> Self {
        let condition = format!("attribute_exists({})", self.name("pk"));
        self.conditions.push(condition);
        self
    }

    /// The update expression.
    pub(crate) fn update(&self) -> String {
        let clauses = [("SET", &self.sets), ("ADD", &self.adds), ("REMOVE", &self.removes)];
        let clauses = clauses.iter().filter(|(_, parts)| !parts.is_empty());
        clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", "))).collect::<Vec<_>>().join(" ")
    }

    /// The condition expression, if there is any condition.
    pub(crate) fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    /// The write as a part of a transaction on `table`, without its key and table name.
    pub(crate) fn into_part(self) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .update_expression(self.update())
            .set_condition_expression(self.condition())
            .set_expression_attribute_names(Some(self.names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(self.values).filter(|values| !values.is_empty()))
            .key("pk", AttributeValue::S(self.key.pk))
            .key("sk", AttributeValue::S(self.key.sk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_spelled_with_placeholders_only() {
        let write = Write::to(Key { pk: "run#a".into(), sk: "meta".into() })
            .set("state", "OPEN")
            .set_entry("facts", "a b", 7_u64)
            .add("executions", 1)
            .remove("token")
            .if_equal("state", "DECIDED")
            .if_absent("tail_next")
            .if_at_most("epoch", 4_u64)
            .if_exists();
        assert_eq!(write.update(), "SET #n0 = :v0, #n1.#n2 = :v1 ADD #n3 :v2 REMOVE #n4");
        assert_eq!(
            write.condition().unwrap(),
            "#n0 = :v3 AND attribute_not_exists(#n5) AND (attribute_not_exists(#n6) OR #n6 <= :v4) AND attribute_exists(#n7)"
        );
        assert_eq!(write.names["#n2"], "a b");
        assert_eq!(Write::default().condition(), None);
    }
}
