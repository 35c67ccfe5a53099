//! The topics to be copied, and those of the same names on the target.

use std::sync::Arc;

use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Cluster, Facts, Topic};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let findings = [
        nothing_to_migrate(facts),
        occupied(facts),
        reshaped(facts),
        leaderless(facts),
        refused(facts),
        replicas(facts),
    ];
    findings.into_iter().flatten().collect()
}

/// Topics of both sides, with the source's and the target's shape.
fn shared(facts: &Facts) -> impl Iterator<Item = (&Arc<str>, &Topic, &Topic)> {
    let target = facts.target.reached.as_ref().ok().filter(|_| !facts.is_one_cluster());
    let topics = move |(name, source)| Some((name, source, target?.topics.get(name)?));
    facts.source_topics().filter_map(topics)
}

fn nothing_to_migrate(facts: &Facts) -> Option<Finding> {
    let source = facts.source.reached.as_ref().ok().filter(|source| source.topics.is_empty())?;
    let found = match source.left_out {
        0 => "the source has no topics to migrate".to_owned(),
        others => {
            format!("topology.include and topology.exclude select none of the source's {}", count(others, "topic"))
        }
    };
    let finding = finding("B21", "source").found(found).because("there is nothing to copy, and nothing to cut over");
    Some(
        finding.fix(
            "compare source.cluster_arn with the cluster that clients use, and the patterns with its topics' names",
        ),
    )
}

fn occupied(facts: &Facts) -> Option<Finding> {
    if facts.copying {
        return None;
    }
    let ends = &facts.arriving.as_ref()?.ends.known;
    let taken: Vec<_> =
        shared(facts).map(|(name, ..)| name).filter(|name| ends.get(*name).is_some_and(|end| *end > 0)).collect();
    (!taken.is_empty()).then(|| {
        finding("B14", "target")
            .found(format_args!(
                "records are already, or were, in {} of the target: {}",
                count(taken.len(), "topic"),
                few(&taken)
            ))
            .of(&taken)
            .because("offsets are only exact in a topic that begins empty")
            .fix(format_args!(
                "if their records are not needed, delete them: {}; if another migration is filling them, resume that one",
                delete(facts)
            ))
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
        finding("B15", "target")
            .found(format_args!(
                "{} of the target with another number of partitions than on the source: {}",
                count(differs.len(), "topic"),
                few(&differs)
            ))
            .of(&differs)
            .because("a record stays in its partition")
            .fix(format_args!(
                "delete them on the target, and they are created like those of the source: {}",
                delete(facts)
            ))
    })
}

/// On both sides: neither can be read or written there. Of the target's topics only those that are copied to matter.
fn leaderless(facts: &Facts) -> Option<Finding> {
    let copied = facts.source.reached.as_ref().ok();
    let of = |side: &'static str, cluster: &Cluster| -> Vec<String> {
        let partitions = cluster.reached.iter().flat_map(|reached| &reached.leaderless);
        let copied =
            partitions.filter(|partition| copied.is_some_and(|source| source.topics.contains_key(&partition.topic)));
        copied.map(|partition| format!("{partition} on the {side}")).collect()
    };
    let mut partitions = of("source", &facts.source);
    partitions.extend(of("target", &facts.target));
    (!partitions.is_empty()).then(|| {
        finding("B16", "source and target")
            .found(format_args!("no broker leads {}: {}", count(partitions.len(), "partition"), few(&partitions)))
            .of(&partitions)
            .because("they can be neither read nor written")
            .fix(
                "bring the brokers that hold them back (`aws kafka list-nodes` and the cluster's state show which are down), \
                 then start again",
            )
    })
}

fn delete(facts: &Facts) -> String {
    let servers = facts.config.target.bootstrap_servers.as_deref().unwrap_or("<target bootstrap servers>");
    format!("`kafka-topics.sh --bootstrap-server {servers} --delete --topic <name>`")
}

/// Everything but a lack of permission, which is a finding of its own.
fn refused(facts: &Facts) -> Option<Finding> {
    let refused = &facts.arriving.as_ref()?.refused;
    let refused: Vec<_> = refused
        .iter()
        .filter(|(_, error)| !error.is_retryable() && !super::permissions::is_denial(error))
        .map(|(name, error)| format!("{name} ({error})"))
        .collect();
    (!refused.is_empty()).then(|| {
        finding("B19", "target")
            .found(format_args!("the target would not create {}: {}", count(refused.len(), "topic"), few(&refused)))
            .of(&refused)
            .because(
                "the target was asked to check their creation, as topology copy will ask for it and with the configs that the \
                 cutover sets, without creating them",
            )
            .fix(
                "change the policy or the limit of the target that the message names, or the topic or its config on the source",
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
        finding("W12", "target")
            .found(format_args!(
                "more replicas than the target has brokers ({brokers}) in {} of the source: {}",
                count(topics.len(), "topic"),
                few(&topics)
            ))
            .of(&topics)
            .because(format_args!("they are created on the target with {}", count(brokers, "replica")))
            .fix("add brokers to the target first if the replication factor has to stay")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts, one};

    fn on_target(facts: &mut Facts, partitions: usize, end: i64) {
        sample::target(facts).topics.insert("orders".into(), sample::topic(partitions));
        sample::arriving(facts).ends.known.insert("orders".into(), end);
    }

    #[test]
    fn b21_nothing_to_migrate() {
        let mut facts = facts();
        let source = sample::source(&mut facts);
        source.topics.clear();
        assert_eq!(one(judge(&facts), "B21").message, "the source has no topics to migrate");
        sample::source(&mut facts).left_out = 3;
        assert!(one(judge(&facts), "B21").message.ends_with("select none of the source's 3 topics"));
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b14_a_topic_that_holds_records() {
        let mut facts = facts();
        on_target(&mut facts, 2, 1);
        assert!(one(judge(&facts), "B14").message.contains("orders"));
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
        assert!(one(judge(&facts), "B15").message.contains("orders (2 on the source, 3 on the target)"));
    }

    #[test]
    fn b16_partitions_without_a_leader() {
        let mut facts = facts();
        sample::source(&mut facts).leaderless = [migration::TopicPartition::new("orders", 1)].into();
        // A topic of the target alone is nobody's concern here.
        sample::target(&mut facts).leaderless = [migration::TopicPartition::new("other", 0)].into();
        assert_eq!(one(judge(&facts), "B16").message, "no broker leads 1 partition: orders/1 on the source");
        on_target(&mut facts, 2, 0);
        sample::target(&mut facts).leaderless = [migration::TopicPartition::new("orders", 0)].into();
        assert!(one(judge(&facts), "B16").message.ends_with("orders/1 on the source, orders/0 on the target"));
    }

    #[test]
    fn w12_more_replicas_than_brokers() {
        let mut facts = facts();
        // A broker that MSK knows and that is down for the moment gets its replicas none the less.
        sample::target(&mut facts).brokers = vec![1, 2];
        assert!(judge(&facts).is_empty());
        facts.target.described.as_mut().unwrap().brokers = Some(2);
        let finding = one(judge(&facts), "W12");
        assert!(finding.message.ends_with("orders (3)"), "{}", finding.message);
        assert_eq!(finding.cause, "they are created on the target with 2 replicas");
        // The API's count stands in for brokers that cannot be reached.
        facts.target.reached = Err(migration::Error::transient("down"));
        one(judge(&facts), "W12");
    }

    #[test]
    fn b19_topics_that_the_target_would_not_create() {
        let mut facts = facts();
        let error = |code, message: &str| kafka::Error::Broker {
            api: kafka::Api::CreateTopics,
            code,
            place: kafka::Place::Topic("orders".into()),
            message: Some(message.to_owned()),
        };
        let refused = error(kafka::Code::PolicyViolation, "names begin with a team");
        sample::arriving(&mut facts).refused = [("orders".into(), refused)].into();
        let message = one(judge(&facts), "B19").message;
        assert!(message.contains("would not create 1 topic: orders (") && message.contains("names begin with a team"));
        // What passes, and what is a lack of permission, is told elsewhere.
        for code in [kafka::Code::NotController, kafka::Code::TopicAuthorizationFailed] {
            sample::arriving(&mut facts).refused = [("orders".into(), error(code, ""))].into();
            assert!(judge(&facts).is_empty(), "{code}");
        }
    }
}
