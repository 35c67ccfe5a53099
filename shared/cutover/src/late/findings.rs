//! Whether the target would take late records as they are, and what an operator should know before they are appended.

use std::ops::ControlFlow;

use copy::Slice;
use kafka::ConfigEntry;
use kafka::batch::{BatchError, DecodeLimit};
use migration::TopicPartition;

/// What is known of records that are to be appended. Timestamps in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    /// The smallest timestamp.
    pub(super) oldest: i64,
    /// The largest one.
    pub(super) newest: i64,
    /// Whether there is a record without a key.
    pub(super) without_key: bool,
}

impl Traits {
    /// Those of the records of `slice`.
    ///
    /// # Errors
    /// When a batch cannot be read.
    pub(super) fn of(slice: &Slice) -> Result<Self, BatchError> {
        let mut traits = Self { oldest: i64::MAX, newest: i64::MIN, without_key: false };
        for batch in &slice.batches {
            batch.to_raw().visit(DecodeLimit::default(), |record| {
                traits.oldest = traits.oldest.min(record.timestamp);
                traits.newest = traits.newest.max(record.timestamp);
                traits.without_key |= record.key.is_none();
                ControlFlow::Continue(())
            })?;
        }
        Ok(traits)
    }
}

/// A topic's configs on the target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configs<'a>(pub(super) &'a [ConfigEntry]);

impl Configs<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|config| config.name == name)?.value.as_deref()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok()
    }

    fn is_compacted(&self) -> bool {
        self.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    }

    /// Most bytes of a batch.
    pub(super) fn max_batch_bytes(&self) -> Option<usize> {
        usize::try_from(self.number("max.message.bytes")?).ok()
    }

    /// The bound `name` of timestamps; before 3.6, and where it is the default, `message.timestamp.difference.max.ms` is.
    fn bound(&self, name: &str) -> i64 {
        let named = self.number(name).filter(|bound| *bound != i64::MAX);
        named.or_else(|| self.number("message.timestamp.difference.max.ms")).unwrap_or(i64::MAX)
    }

    /// Why the target would not keep timestamps as they are, whatever they are.
    pub(super) fn replaces_timestamps(&self) -> Option<String> {
        (self.get("message.timestamp.type") == Some("LogAppendTime")).then(|| {
            "the target's topic has message.timestamp.type=LogAppendTime, so it would replace their timestamps; set it to CreateTime \
             while they are appended"
                .to_owned()
        })
    }

    /// Why the target would not take records of these traits as they are.
    pub(super) fn refusal(&self, traits: Traits, now: i64) -> Option<String> {
        let before = self.bound("message.timestamp.before.max.ms");
        let after = self.bound("message.timestamp.after.max.ms");
        if let Some(why) = self.replaces_timestamps() {
            return Some(why);
        }
        if now.saturating_sub(traits.oldest) > before {
            return Some(format!(
                "the oldest is {} ms old, and the target's topic takes none older than {before} ms: raise \
                 message.timestamp.before.max.ms (before Kafka 3.6 message.timestamp.difference.max.ms) while they are appended",
                now.saturating_sub(traits.oldest)
            ));
        }
        if traits.newest.saturating_sub(now) > after {
            return Some(format!(
                "the newest is {} ms in the future, and the target's topic takes none beyond {after} ms: raise \
                 message.timestamp.after.max.ms (before Kafka 3.6 message.timestamp.difference.max.ms) while they are appended",
                traits.newest.saturating_sub(now)
            ));
        }
        (traits.without_key && self.is_compacted()).then(|| {
            "the target's topic is compacted and takes no records without a key, and there are some; set cleanup.policy=delete while \
             they are appended"
                .to_owned()
        })
    }

    /// What is to be known before records of `partition` are appended, the newest of which is of `newest`.
    pub(super) fn notices(&self, partition: &TopicPartition, newest: Option<i64>, now: i64) -> Vec<String> {
        let compacted = self.is_compacted().then(|| {
            format!(
                "{partition} is compacted: an appended record counts as newer than what clients wrote for its key since the switch, and \
                 replaces it"
            )
        });
        let deletes = self.get("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
        let kept = self.number("retention.ms").filter(|kept| deletes && *kept >= 0);
        let expired = kept.zip(newest).filter(|(kept, newest)| now.saturating_sub(*newest) > *kept).map(|(kept, _)| {
            format!("{partition} keeps records for {kept} ms, and these are older: the target removes them soon after")
        });
        compacted.into_iter().chain(expired).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::ConfigSource;

    const NOW: i64 = 1_700_000_000_000;

    fn configs(values: &[(&str, &str)]) -> Vec<ConfigEntry> {
        let config = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::DynamicTopic,
            sensitive: false,
            read_only: false,
        };
        values.iter().map(config).collect()
    }

    fn refused(values: &[(&str, &str)], oldest: i64, newest: i64, without_key: bool) -> Option<String> {
        Configs(&configs(values)).refusal(Traits { oldest, newest, without_key }, NOW)
    }

    #[test]
    fn what_the_target_would_change_or_refuse_is_said_with_its_config() {
        let day = 86_400_000;
        let took = |values: &[(&str, &str)]| refused(values, NOW - day, NOW, false);
        assert_eq!(took(&[]), None);
        assert_eq!(took(&[("message.timestamp.before.max.ms", "9223372036854775807")]), None);
        assert!(took(&[("message.timestamp.type", "LogAppendTime")]).unwrap().contains("replace their timestamps"));
        assert!(
            took(&[("message.timestamp.before.max.ms", "3600000")]).unwrap().contains("none older than 3600000 ms")
        );
        let old = [
            ("message.timestamp.difference.max.ms", "3600000"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
        ];
        assert!(took(&old).unwrap().contains("none older than 3600000 ms"));
        let ahead = refused(&[("message.timestamp.after.max.ms", "1000")], NOW, NOW + day, false);
        assert!(ahead.unwrap().contains("in the future"));
    }

    #[test]
    fn a_compacted_topic_takes_no_records_without_keys() {
        let compacted = [("cleanup.policy", "compact")];
        assert_eq!(refused(&compacted, NOW, NOW, false), None);
        assert!(refused(&compacted, NOW, NOW, true).unwrap().contains("without a key"));
        assert_eq!(refused(&[("cleanup.policy", "delete")], NOW, NOW, true), None);
    }

    #[test]
    fn an_operator_is_told_what_compaction_and_retention_do() {
        let notices = |values: &[(&str, &str)], newest| {
            Configs(&configs(values)).notices(&TopicPartition::new("t", 0), Some(newest), NOW)
        };
        assert!(notices(&[("cleanup.policy", "compact")], NOW)[0].contains("replaces it"));
        let week = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];
        assert!(notices(&week, NOW).is_empty());
        assert!(notices(&week, NOW - 604_800_001)[0].contains("removes them soon after"));
        assert!(notices(&[("retention.ms", "-1")], 0).is_empty());
    }
}
