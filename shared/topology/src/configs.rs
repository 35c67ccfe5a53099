//! Topic configs while a topic is copied, and afterwards.
//!
//! A broker that applied the source's configs during the copy would expire, compact, recompress or re-date what is being
//! copied, or refuse it. So a topic is copied under configs that take every batch as it is, and gets its own in one step
//! before clients switch.

use std::collections::BTreeMap;

use kafka::ConfigOp;

/// Configs by name.
pub type TopicConfigs = BTreeMap<String, String>;

/// A bound that no timestamp exceeds, and not the largest `long`: that is the default, for which a broker of 3.6 to 3.9 takes
/// its `log.message.timestamp.difference.max.ms` instead (`LogConfig.getMessageTimestampBeforeMaxMs`).
const UNBOUNDED: &str = "9223372036854775806";

/// Configs that take every batch as it is. `message.timestamp.*.max.ms` are named because Kafka 4 bounds the future by an
/// hour (KIP-1030).
const COPYING: [(&str, &str); 7] = [
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
    expected.keys().eq(configs.keys()) && COPYING.iter().all(|(name, value)| configs[*name] == *value)
}

/// The changes that turn `now`, what is set on the target's topic, into `wanted`: nothing else stays set. Empty when there
/// is nothing to change.
pub fn restore(wanted: &TopicConfigs, now: &TopicConfigs) -> Vec<ConfigOp> {
    let set = wanted.iter().filter(|(name, value)| now.get(*name) != Some(value));
    let mut ops: Vec<_> = set.map(|(name, value)| ConfigOp::Set { name: name.clone(), value: value.clone() }).collect();
    let superfluous = now.keys().filter(|name| !wanted.contains_key(*name));
    ops.extend(superfluous.map(|name| ConfigOp::Delete { name: name.clone() }));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

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
