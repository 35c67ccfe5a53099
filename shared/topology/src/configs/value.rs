//! What a topic config's value means, whatever it is written like.
//!
//! A broker trims a value, and reads numbers, lists and booleans out of it (`org.apache.kafka.common.config.ConfigDef
//! .parseType`). Some keep what was written, others what they read: one of Kafka 4.3 stores `delete` of `delete,delete`.

use std::collections::BTreeSet;

/// A value as it is read.
#[derive(Debug, PartialEq)]
enum Value {
    Integer(i64),
    Decimal(f64),
    Boolean(bool),
    /// In any order, each element once.
    List(BTreeSet<String>),
    Text(String),
}

/// Configs that hold a fraction (`org.apache.kafka.storage.internals.log.LogConfig`).
const DECIMALS: [&str; 1] = ["min.cleanable.dirty.ratio"];

/// Configs that hold one of a few words, which the broker compares in small letters.
const WORDS: [&str; 3] = ["compression.type", "message.timestamp.type", "message.format.version"];

/// Whether both values mean the same to a topic config called `name`: lists in any order and with repeats, numbers and
/// booleans however they are written, surrounding blanks.
pub fn same_value(name: &str, wanted: &str, found: &str) -> bool {
    wanted == found || read(name, wanted) == read(name, found)
}

fn read(name: &str, value: &str) -> Value {
    // What Java's `String.trim` takes off.
    let value = value.trim_matches(|letter| letter <= ' ');
    if is_list(name) {
        let elements = value.split(',').map(|element| element.trim_matches(|letter| letter <= ' '));
        return Value::List(elements.filter(|element| !element.is_empty()).map(str::to_lowercase).collect());
    }
    if WORDS.contains(&name) {
        return Value::Text(value.to_lowercase());
    }
    if DECIMALS.contains(&name)
        && let Some(decimal) = decimal(value)
    {
        return Value::Decimal(decimal);
    }
    match value.parse() {
        Ok(integer) => Value::Integer(integer),
        Err(_) if value.eq_ignore_ascii_case("true") => Value::Boolean(true),
        Err(_) if value.eq_ignore_ascii_case("false") => Value::Boolean(false),
        Err(_) => Value::Text(value.to_owned()),
    }
}

fn is_list(name: &str) -> bool {
    name == "cleanup.policy" || name.ends_with(".throttled.replicas")
}

/// As Java's `Double.parseDouble` reads it, which lets a suffix stand for the type.
fn decimal(value: &str) -> Option<f64> {
    let digits = value.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(value);
    digits.parse().ok().filter(|decimal: &f64| decimal.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let same = [
            ("cleanup.policy", "delete,delete", "delete"),
            ("cleanup.policy", "compact, delete", "delete,compact"),
            ("cleanup.policy", " ", ""),
            ("leader.replication.throttled.replicas", "0:1,1:2", "1:2 , 0:1"),
            ("retention.ms", "+5", "5"),
            ("retention.ms", "007", "7"),
            ("retention.ms", " 5\t", "5"),
            ("retention.ms", "-0", "0"),
            ("min.insync.replicas", "02", "2"),
            ("min.cleanable.dirty.ratio", ".5", "0.50"),
            ("min.cleanable.dirty.ratio", "5e-1", "0.5d"),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("preallocate", "TRUE", "true"),
            ("unclean.leader.election.enable", "False", "false "),
            ("compression.type", "ZSTD", "zstd"),
            ("message.timestamp.type", "createtime", "CreateTime"),
            ("something.newer", "010", "10"),
        ];
        for (name, one, other) in same {
            assert!(same_value(name, one, other) && same_value(name, other, one), "{name}: {one:?} and {other:?}");
        }
        let different = [
            ("cleanup.policy", "delete", "compact"),
            ("cleanup.policy", "delete", "compact,delete"),
            ("cleanup.policy", "", "delete"),
            ("retention.ms", "-1", "1"),
            ("retention.ms", "1e3", "1000"),
            ("retention.ms", "9223372036854775807", "9223372036854775806"),
            ("retention.ms", "9223372036854775808", "9223372036854775807"),
            ("min.cleanable.dirty.ratio", "0.5", "0.51"),
            ("min.cleanable.dirty.ratio", "NaN", "0"),
            ("preallocate", "true", "false"),
            ("preallocate", "true", "1"),
            ("compression.type", "zstd", "gzip"),
            ("message.format.version", "2.8", "2.80"),
            ("something.newer", "a,b", "b,a"),
            ("something.newer", "Word", "word"),
            ("retention.ms", "", "0"),
        ];
        for (name, one, other) in different {
            assert!(!same_value(name, one, other) && !same_value(name, other, one), "{name}: {one:?} and {other:?}");
        }
    }

    fn names() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["cleanup.policy", "retention.ms", "min.cleanable.dirty.ratio", "preallocate", "x"])
    }

    fn values() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec!["delete", "compact,delete", "1", "+1", "01", "1.0", "true", "TRUE", "NaN", ""])
                .prop_map(str::to_owned),
            any::<i64>().prop_map(|value| value.to_string()),
            "[ -~]{0,8}",
        ]
    }

    proptest! {
        #[test]
        fn every_value_is_the_same_as_itself_and_none_is_so_in_one_direction_only(
            name in names(), a in values(), b in values(), c in values(),
        ) {
            prop_assert!(same_value(name, &a, &a));
            prop_assert_eq!(same_value(name, &a, &b), same_value(name, &b, &a));
            if same_value(name, &a, &b) && same_value(name, &b, &c) {
                prop_assert!(same_value(name, &a, &c));
            }
        }

        #[test]
        fn a_number_may_be_written_in_many_ways(value in any::<i64>(), zeros in 0_usize..4, blanks in 0_usize..3) {
            let sign = if value < 0 { "-" } else { "+" };
            let written = format!("{0}{sign}{1}{2}{0}", " ".repeat(blanks), "0".repeat(zeros), value.unsigned_abs());
            prop_assert!(same_value("retention.bytes", &written, &value.to_string()));
        }

        #[test]
        fn a_list_may_be_in_any_order(mut elements in prop::collection::vec("[a-z]{1,4}", 0..5), at in any::<prop::sample::Index>()) {
            let written = elements.join(",");
            if !elements.is_empty() {
                elements.push(elements[at.index(elements.len())].clone());
            }
            elements.reverse();
            prop_assert!(same_value("cleanup.policy", &written, &elements.join(" , ")));
        }
    }
}
