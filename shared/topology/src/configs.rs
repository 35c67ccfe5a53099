//! Topic configs while a topic is copied, and afterwards.
//!
//! A broker that applied the source's configs during the copy would expire, compact, recompress or re-date what is being
//! copied, or refuse it. So a topic is copied under configs that take every batch as it is, and gets its own in one step
//! before clients switch.

mod value;

use std::collections::BTreeMap;

use kafka::ConfigOp;

pub use value::same_value;

/// Configs by name.
pub type TopicConfigs = BTreeMap<String, String>;

/// A bound that no timestamp exceeds, and not the largest `long`: that is the default, for which a broker of 3.6 to 3.9 takes
/// its `log.message.timestamp.difference.max.ms` instead (`LogConfig.getMessageTimestampBeforeMaxMs`).
const UNBOUNDED: &str = "9223372036854775806";

/// Configs that take every batch as it is. `message.timestamp.*.max.ms` are named because Kafka 4 bounds the future by an
/// hour (KIP-1030).
pub(crate) const COPYING: [(&str, &str); 7] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "CreateTime"),
    ("compression.type", "producer"),
    ("message.timestamp.before.max.ms", UNBOUNDED),
    ("message.timestamp.after.max.ms", UNBOUNDED),
];

/// Smallest size of a batch to be taken while copying, in bytes.
const MIN_MESSAGE_BYTES: i64 = 1024 * 1024;

/// The configs of a topic while it is copied. A batch that has to be encoded again may grow, so twice the source's
/// `max_message_bytes` is taken.
pub fn copying(max_message_bytes: i64) -> TopicConfigs {
    let mut configs: TopicConfigs = COPYING.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let limit = max_message_bytes.max(MIN_MESSAGE_BYTES).saturating_mul(2).min(i64::from(i32::MAX));
    configs.insert("max.message.bytes".to_owned(), limit.to_string());
    configs
}

/// Whether these are copy-time configs, which nobody wants to keep: a topic has them from an attempt that was rolled back.
pub fn is_copying(configs: &TopicConfigs) -> bool {
    let expected = copying(0);
    expected.keys().eq(configs.keys()) && left_from_copy(&TopicConfigs::new(), configs).len() == COPYING.len()
}

/// Copy-time configs that are set in `found` although `wanted` does not want them, by name. Whoever has them may keep records
/// for ever, or not compact them.
pub fn left_from_copy(wanted: &TopicConfigs, found: &TopicConfigs) -> Vec<&'static str> {
    let is_set = |configs: &TopicConfigs, name: &str, value: &str| {
        configs.get(name).is_some_and(|found| same_value(name, value, found))
    };
    let left = COPYING.into_iter().filter(|(name, value)| is_set(found, name, value) && !is_set(wanted, name, value));
    left.map(|(name, _)| name).collect()
}

/// The changes that turn `now`, what is set on the target's topic, into `wanted`: nothing else stays set, and what means the
/// same is left as it is. Empty when there is nothing to change.
pub fn restore(wanted: &TopicConfigs, now: &TopicConfigs) -> Vec<ConfigOp> {
    let is_there = |name: &str, value: &str| now.get(name).is_some_and(|found| same_value(name, value, found));
    let set = wanted.iter().filter(|(name, value)| !is_there(name, value));
    let mut ops: Vec<_> = set.map(|(name, value)| ConfigOp::Set { name: name.clone(), value: value.clone() }).collect();
    let superfluous = now.keys().filter(|name| !wanted.contains_key(*name));
    ops.extend(superfluous.map(|name| ConfigOp::Delete { name: name.clone() }));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn configs(pairs: &[(&str, &str)]) -> TopicConfigs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn apply(mut now: TopicConfigs, ops: Vec<ConfigOp>) -> TopicConfigs {
        for op in ops {
            match op {
                ConfigOp::Set { name, value } => drop(now.insert(name, value)),
                ConfigOp::Delete { name } => drop(now.remove(&name)),
            }
        }
        now
    }

    #[test]
    fn after_the_copy_exactly_the_sources_configs_are_set() {
        let source = configs(&[("cleanup.policy", "compact"), ("retention.ms", "86400000")]);
        assert_eq!(apply(copying(1_048_588), restore(&source, &copying(1_048_588))), source);
        assert!(restore(&source, &source).is_empty());
    }

    #[test]
    fn what_means_the_same_is_not_touched() {
        let wanted = configs(&[("cleanup.policy", "delete,delete"), ("retention.ms", "+5"), ("segment.ms", "7")]);
        let now = configs(&[("cleanup.policy", "delete"), ("retention.ms", "5"), ("segment.ms", "8")]);
        let ops = restore(&wanted, &now);
        assert_eq!(ops, [ConfigOp::Set { name: "segment.ms".to_owned(), value: "7".to_owned() }]);
    }

    #[test]
    fn what_is_left_of_the_copy_is_named_unless_it_is_wanted() {
        let wanted = configs(&[("retention.ms", "-1"), ("cleanup.policy", "compact")]);
        let found = configs(&[("retention.ms", "-1"), ("cleanup.policy", "delete"), ("retention.bytes", "-1")]);
        assert_eq!(left_from_copy(&wanted, &found), ["cleanup.policy", "retention.bytes"]);
        assert!(left_from_copy(&wanted, &wanted).is_empty());
    }

    proptest! {
        #[test]
        fn restoring_ends_with_what_is_wanted_and_twice_changes_nothing(wanted in some(), now in some()) {
            let restored = apply(now.clone(), restore(&wanted, &now));
            prop_assert!(restored.keys().eq(wanted.keys()));
            prop_assert!(wanted.iter().all(|(name, value)| same_value(name, value, &restored[name])));
            prop_assert!(restore(&wanted, &restored).is_empty());
            prop_assert!(restore(&now, &now).is_empty());
        }
    }

    fn some() -> impl Strategy<Value = TopicConfigs> {
        let names = prop::sample::select(vec!["cleanup.policy", "retention.ms", "preallocate", "x"]);
        let values = prop::sample::select(vec!["delete", "delete,delete", "compact", "1", "+1", "2", "true", "TRUE"]);
        prop::collection::btree_map(names.prop_map(str::to_owned), values.prop_map(str::to_owned), 0..4)
    }

    #[test]
    fn copy_time_configs_are_known_whatever_the_size_of_a_batch() {
        assert!(is_copying(&copying(1)) && is_copying(&copying(9_000_000)));
        let mut altered = copying(1);
        altered.insert("retention.ms".to_owned(), "5".to_owned());
        assert!(!is_copying(&altered) && !is_copying(&TopicConfigs::new()));
    }

    #[test]
    fn bounds_of_timestamps_are_not_left_to_the_brokers() {
        let configs = copying(1);
        let bounds =
            configs.iter().filter(|(name, _)| name.starts_with("message.timestamp.") && name.ends_with(".max.ms"));
        assert!(bounds.clone().all(|(_, bound)| bound.parse::<i64>().unwrap() == i64::MAX - 1) && bounds.count() == 2);
    }

    #[test]
    fn a_grown_batch_still_fits() {
        assert_eq!(copying(2_000_000)["max.message.bytes"], "4000000");
        assert_eq!(copying(i64::MAX)["max.message.bytes"], i32::MAX.to_string());
    }
}
