//! The topics to be copied, and those of the same names on the target.

use std::fmt::Display;
use std::sync::Arc;

use migration::report::Finding;

use super::{blocker, count, few, warning};
use crate::facts::{Facts, Topic, TopicConfig};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let findings =
        [occupied(facts), reshaped(facts), leaderless(facts), compacted(facts), expiring(facts), replicas(facts)];
    findings.into_iter().flatten().collect()
}

/// Topics of both sides, with the source's and the target's shape.
fn shared(facts: &Facts) -> impl Iterator<Item = (&Arc<str>, &Topic, &Topic)> {
    let target = facts.target.reached.as_ref().ok().filter(|_| !facts.is_one_cluster());
    let topics = move |(name, source)| Some((name, source, target?.topics.get(name)?));
    facts.source_topics().filter_map(topics)
}

/// Topics of the source that pass `test`, with what a message says of them.
fn described<T: Display>(facts: &Facts, test: impl Fn(&Arc<str>, &TopicConfig) -> Option<T>) -> Vec<T> {
    let configs = facts.leaving.iter().flat_map(|leaving| &leaving.configs.known);
    configs.filter_map(|(name, config)| test(name, config)).collect()
}

fn occupied(facts: &Facts) -> Option<Finding> {
    if facts.copying {
        return None;
    }
    let ends = &facts.arriving.as_ref()?.ends.known;
    let taken: Vec<_> =
        shared(facts).map(|(name, ..)| name).filter(|name| ends.get(*name).is_some_and(|end| *end > 0)).collect();
    (!taken.is_empty()).then(|| {
        blocker(
            "B14",
            format_args!(
                "records are already, or were, in {} of the target: {}; offsets are only exact in a topic that begins empty",
                count(taken.len(), "topic"),
                few(&taken)
            ),
            format_args!(
                "if their records are not needed, delete them: {}; if another migration is filling them, resume that one",
                delete(facts)
            ),
        )
    })
}

fn reshaped(facts: &Facts) -> Option<Finding> {
    let differs = shared(facts).filter(|(_, source, target)| source.partitions != target.partitions);
    let differs: Vec<_> = differs
        .map(|(name, source, target)| {
            format!("{name} ({} on the source, {} on the target)", source.partitions, target.partitions)
        })
        .collect();
    (!differs.is_empty()).then(|| {
        blocker(
            "B15",
            format_args!(
                "{} of the target with another number of partitions than on the source: {}",
                count(differs.len(), "topic"),
                few(&differs)
            ),
            format_args!("delete them on the target, and they are created like those of the source: {}", delete(facts)),
        )
    })
}

/// On both sides: neither can be read or written there. Of the target's topics only those that are copied to matter.
fn leaderless(facts: &Facts) -> Option<Finding> {
    let copied = facts.source.reached.as_ref().ok();
    let of = |side: &'static str, cluster: &crate::facts::Cluster| -> Vec<String> {
        let partitions = cluster.reached.iter().flat_map(|reached| &reached.leaderless);
        let copied =
            partitions.filter(|partition| copied.is_some_and(|source| source.topics.contains_key(&partition.topic)));
        copied.map(|partition| format!("{partition} on the {side}")).collect()
    };
    let mut partitions = of("source", &facts.source);
    partitions.extend(of("target", &facts.target));
    (!partitions.is_empty()).then(|| {
        blocker(
            "B16",
            format_args!("no broker leads {}: {}", count(partitions.len(), "partition"), few(&partitions)),
            "bring the brokers that hold them back (`aws kafka list-nodes` and the cluster's state show which are down), then \
             start again",
        )
    })
}

fn delete(facts: &Facts) -> String {
    let servers = facts.config.target.bootstrap_servers.as_deref().unwrap_or("<target bootstrap servers>");
    format!("`kafka-topics.sh --bootstrap-server {servers} --delete --topic <name>`")
}

fn compacted(facts: &Facts) -> Option<Finding> {
    let topics = described(facts, |name, config| config.cleans_by("compact").then(|| name.clone()));
    (!topics.is_empty()).then(|| {
        warning(
            "W07",
            format_args!(
                "cleanup.policy=compact on {} of the source: {}; records that the source compacts away before they are copied \
                 are not on the target, the newest record of every key is",
                count(topics.len(), "topic"),
                few(&topics)
            ),
            "nothing, unless superseded records matter: then raise min.compaction.lag.ms of those topics on the source for the \
             time of the migration",
        )
    })
}

fn expiring(facts: &Facts) -> Option<Finding> {
    let limited = |name: &Arc<str>, config: &TopicConfig| {
        let limits = [("retention.ms", config.retention_ms), ("retention.bytes", config.retention_bytes)];
        let set: Vec<_> =
            limits.iter().filter_map(|(limit, value)| value.as_ref().map(|value| format!("{limit}={value}"))).collect();
        (config.cleans_by("delete") && !set.is_empty()).then(|| format!("{name} ({})", set.join(" ")))
    };
    let topics = described(facts, limited);
    (!topics.is_empty()).then(|| {
        warning(
            "W10",
            format_args!(
                "old records are deleted from {} of the source: {}; the target keeps everything while it is copied and takes over these \
                 limits just before the client switch, from then on old records expire there as on the source; what expires on \
                 the source before it is copied is not copied",
                count(topics.len(), "topic"),
                few(&topics)
            ),
            "nothing, if the copy is faster than the retention; to keep old records longer, raise the retention on the source \
             before the migration starts",
        )
    })
}

fn replicas(facts: &Facts) -> Option<Finding> {
    let brokers = facts.target.brokers()?;
    let topics: Vec<_> = facts
        .source_topics()
        .filter(|(_, topic)| topic.replication_factor > brokers)
        .map(|(name, topic)| format!("{name} ({})", topic.replication_factor))
        .collect();
    (!topics.is_empty()).then(|| {
        warning(
            "W12",
            format_args!(
                "more replicas than the target has brokers ({brokers}) in {} of the source: {}; created on the target with {}",
                count(topics.len(), "topic"),
                few(&topics),
                count(brokers, "replica")
            ),
            "add brokers to the target first if the replication factor has to stay",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts};

    fn one(facts: &Facts, code: &str) -> Finding {
        let findings = judge(facts);
        assert_eq!(codes(&findings), [code], "{findings:?}");
        findings.into_iter().next().unwrap()
    }

    fn on_target(facts: &mut Facts, partitions: usize, end: i64) {
        sample::target(facts).topics.insert("orders".into(), sample::topic(partitions));
        sample::arriving(facts).ends.known.insert("orders".into(), end);
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b14_a_topic_that_holds_records() {
        let mut facts = facts();
        on_target(&mut facts, 2, 1);
        assert!(one(&facts, "B14").message.contains("orders"));
    }

    #[test]
    fn b14_not_of_an_empty_topic_nor_of_this_runs_own() {
        let mut facts = facts();
        on_target(&mut facts, 2, 0);
        assert!(judge(&facts).is_empty());
        on_target(&mut facts, 2, 500);
        facts.copying = true;
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn b14_not_of_a_topic_that_the_source_does_not_have() {
        let mut facts = facts();
        sample::target(&mut facts).topics.insert("other".into(), sample::topic(9));
        sample::arriving(&mut facts).ends.known.insert("other".into(), 7);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn b14_b15_not_when_both_sides_are_one_cluster() {
        let mut facts = facts();
        on_target(&mut facts, 3, 5);
        sample::target(&mut facts).id = Some("source-id".to_owned());
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn b15_another_number_of_partitions() {
        let mut facts = facts();
        on_target(&mut facts, 3, 0);
        assert!(one(&facts, "B15").message.contains("orders (2 on the source, 3 on the target)"));
    }

    #[test]
    fn b16_partitions_without_a_leader() {
        let mut facts = facts();
        sample::source(&mut facts).leaderless = [migration::TopicPartition::new("orders", 1)].into();
        // A topic of the target alone is nobody's concern here.
        sample::target(&mut facts).leaderless = [migration::TopicPartition::new("other", 0)].into();
        assert_eq!(one(&facts, "B16").message, "no broker leads 1 partition: orders/1 on the source");
        on_target(&mut facts, 2, 0);
        sample::target(&mut facts).leaderless = [migration::TopicPartition::new("orders", 0)].into();
        assert!(one(&facts, "B16").message.ends_with("orders/1 on the source, orders/0 on the target"));
    }

    #[test]
    fn w07_compacted_topics() {
        let mut facts = facts();
        let compact = TopicConfig { cleanup_policy: "compact".to_owned(), ..sample::topic_config() };
        sample::with_configs(&mut facts, &[("accounts", compact), ("orders", sample::topic_config())]);
        assert!(one(&facts, "W07").message.starts_with("cleanup.policy=compact on 1 topic of the source: accounts;"));
    }

    #[test]
    fn w10_topics_that_delete() {
        let mut facts = facts();
        let with = |policy: &str, ms, bytes| TopicConfig {
            cleanup_policy: policy.to_owned(),
            retention_ms: ms,
            retention_bytes: bytes,
            ..sample::topic_config()
        };
        sample::with_configs(
            &mut facts,
            &[("a", with("delete", Some(60), None)), ("b", with("delete", None, Some(9)))],
        );
        let message = one(&facts, "W10").message;
        assert!(message.contains("a (retention.ms=60), b (retention.bytes=9);"), "{message}");
        // A retention that the policy never applies does not delete.
        sample::with_configs(&mut facts, &[("a", with("compact", Some(60), None))]);
        assert_eq!(codes(&judge(&facts)), ["W07"]);
    }

    #[test]
    fn w12_more_replicas_than_brokers() {
        let mut facts = facts();
        sample::target(&mut facts).brokers = vec![1, 2];
        let message = one(&facts, "W12").message;
        assert!(
            message.contains("orders (3)") && message.contains("created on the target with 2 replicas"),
            "{message}"
        );
        // The API's count stands in for brokers that cannot be reached.
        facts.target.reached = Err(migration::Error::transient("down"));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn two_thousand_topics_make_one_short_message() {
        let mut facts = facts();
        let compact = TopicConfig { cleanup_policy: "compact".to_owned(), ..sample::topic_config() };
        let names: Vec<_> = (0..2000).map(|index| format!("topic-{index:04}")).collect();
        let configs: Vec<_> = names.iter().map(|name| (name.as_str(), compact.clone())).collect();
        sample::with_configs(&mut facts, &configs);
        let message = one(&facts, "W07").message;
        assert!(message.contains("topic-0004 and 1995 more") && message.len() < 400, "{message}");
    }
}
