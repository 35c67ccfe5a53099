//! Records themselves: those of the source that the target will not take, and those of clients that it will refuse later.

use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Facts, Leaving, SingleRecord, TimestampBounds};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(leaving) = &facts.leaving else { return Vec::new() };
    [too_large(facts, leaving), out_of_bounds(facts, leaving)].into_iter().flatten().collect()
}

/// A batch of several records is cut where it is too large; one record cannot be.
fn too_large(facts: &Facts, leaving: &Leaving) -> Option<Finding> {
    let sample = &leaving.sample.known;
    let request = facts.arriving.as_ref().and_then(|arriving| {
        arriving.brokers.as_ref().ok()?.iter().filter_map(|config| config.socket_request_max_bytes).min()
    });
    let limit = |record: &SingleRecord| {
        let of_topic = leaving.configs.known.get(&record.partition.topic)?.copy_limit()?;
        Some(of_topic.min(request.unwrap_or(i64::MAX)))
    };
    let large: Vec<_> = sample
        .single_records
        .values()
        .filter_map(|record| Some((record, limit(record)?)))
        .filter(|(record, limit)| record.bytes > *limit)
        .collect();
    let (first, _) = large.first()?;
    let named = large.iter().map(|(record, limit)| {
        format!("{} offset {} ({} bytes, taken are {limit})", record.partition, record.offset, record.bytes)
    });
    let named: Vec<_> = named.collect();
    let (looked, possible) = sample.partitions;
    let servers = facts.config.source.bootstrap_servers.as_deref().unwrap_or("<source bootstrap servers>");
    Some(
        finding("B17", "source")
            .found(format_args!(
                "records that are larger than the target will take, found where the logs begin in {looked} of {}: {}",
                count(possible, "large partition"),
                few(&named)
            ))
            .of(&named)
            .because(
                "they were stored before their topic's max.message.bytes was lowered; the copy takes batches of up to twice \
                 that limit, and a single larger record stops its partition. Other logs may hold more of them",
            )
            .fix(format_args!(
                "raise the topic's limit on the source for the time of the migration: `kafka-configs.sh --bootstrap-server \
                 {servers} --alter --entity-type topics --entity-name {} --add-config max.message.bytes={}`; above the \
                 target's socket.request.max.bytes, raise that too",
                first.partition.topic, first.bytes
            )),
    )
}

/// Of topics that do not set the bounds themselves. While they are copied they have no bounds, so old records arrive.
fn out_of_bounds(facts: &Facts, leaving: &Leaving) -> Option<Finding> {
    let brokers = facts.arriving.as_ref()?.brokers.as_ref().ok()?;
    let bound = |bound: fn(&TimestampBounds) -> i64| {
        brokers.iter().filter_map(|config| config.timestamps.as_ref().map(bound)).min().unwrap_or(i64::MAX)
    };
    let target = TimestampBounds { before_ms: bound(|at| at.before_ms), after_ms: bound(|at| at.after_ms) };
    let topics: Vec<_> = leaving
        .configs
        .known
        .iter()
        .filter(|(_, config)| {
            let inherits = |name: &str| !config.own.contains_key(name);
            config.timestamps.is_some_and(|source| {
                (target.before_ms < source.before_ms && inherits("message.timestamp.before.max.ms"))
                    || (target.after_ms < source.after_ms && inherits("message.timestamp.after.max.ms"))
            })
        })
        .map(|(name, _)| name)
        .collect();
    (!topics.is_empty()).then(|| {
        finding("W14", "target")
            .found(format_args!(
                "the target's brokers take timestamps {}, the source takes more in {}: {}",
                told(target),
                count(topics.len(), "topic"),
                few(&topics)
            ))
            .of(&topics)
            .because(
                "the copy is not affected, since topics have no bounds while they are copied; after the client switch \
                 producers of records with older or later timestamps get InvalidTimestampException, which they did not before",
            )
            .fix(
                "if clients write such records, set message.timestamp.before.max.ms and message.timestamp.after.max.ms on those \
                 topics of the source (Kafka 3.6 and later), or log.message.timestamp.* in the target's MSK configuration",
            )
    })
}

fn told(bounds: TimestampBounds) -> String {
    let side = |ms: i64, what: &str| (ms < i64::MAX).then(|| format!("up to {ms} ms in the {what}"));
    [side(bounds.before_ms, "past"), side(bounds.after_ms, "future")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Sample, TopicConfig};
    use crate::sample::{self, facts, one};
    use migration::TopicPartition;

    fn with_record(facts: &mut Facts, bytes: i64) {
        let partition = TopicPartition::new("orders", 1);
        let record = SingleRecord { partition, offset: 5, bytes };
        let single_records = [("orders".into(), record)].into();
        sample::leaving(facts).sample.known = Sample { partitions: (64, 90), single_records };
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b17_a_record_above_twice_its_topics_limit() {
        let mut facts = facts();
        with_record(&mut facts, 2 * sample::DEFAULT_MESSAGE_BYTES);
        assert!(judge(&facts).is_empty());
        with_record(&mut facts, 2 * sample::DEFAULT_MESSAGE_BYTES + 1);
        let finding = one(judge(&facts), "B17");
        assert!(
            finding
                .message
                .ends_with("in 64 of 90 large partitions: orders/1 offset 5 (2097177 bytes, taken are 2097176)"),
            "{}",
            finding.message
        );
        assert!(finding.fix.contains("--entity-name orders --add-config max.message.bytes=2097177"), "{}", finding.fix);
    }

    #[test]
    fn b17_a_record_that_no_request_can_carry() {
        let mut facts = facts();
        let large = TopicConfig { max_message_bytes: Some(90_000_000), ..sample::topic_config() };
        sample::with_configs(&mut facts, &[("orders", large)]);
        with_record(&mut facts, 120_000_000);
        assert!(one(judge(&facts), "B17").message.contains("taken are 104857600"));
    }

    fn bounded(before_ms: i64, after_ms: i64) -> Option<TimestampBounds> {
        Some(TimestampBounds { before_ms, after_ms })
    }

    #[test]
    fn w14_bounds_of_the_target_alone() {
        let mut facts = facts();
        let set = |facts: &mut Facts, bounds| {
            let brokers = sample::arriving(facts).brokers.as_mut().unwrap();
            brokers.iter_mut().for_each(|config| config.timestamps = bounds);
        };
        set(&mut facts, bounded(i64::MAX, 3_600_000));
        let message = one(judge(&facts), "W14").message;
        assert!(
            message
                .contains("take timestamps up to 3600000 ms in the future, the source takes more in 1 topic: orders")
        );
        set(&mut facts, bounded(86_400_000, 3_600_000));
        assert!(
            one(judge(&facts), "W14").message.contains("86400000 ms in the past and up to 3600000 ms in the future")
        );
    }

    #[test]
    fn w14_not_of_topics_with_the_same_bounds_or_their_own() {
        let mut facts = facts();
        for config in sample::arriving(&mut facts).brokers.as_mut().unwrap() {
            config.timestamps = bounded(i64::MAX, 3_600_000);
        }
        let own = [("message.timestamp.after.max.ms".to_owned(), "1".to_owned())].into();
        let same = TopicConfig { timestamps: bounded(i64::MAX, 3_600_000), ..sample::topic_config() };
        let set = TopicConfig { own, ..sample::topic_config() };
        let dated_by_brokers = TopicConfig { timestamps: None, ..sample::topic_config() };
        sample::with_configs(&mut facts, &[("a", same), ("b", set), ("c", dated_by_brokers)]);
        assert!(judge(&facts).is_empty());
    }
}
