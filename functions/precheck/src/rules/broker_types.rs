//! What MSK's broker types carry: replicas of partitions, and connections.

use migration::config::AuthMode;
use migration::report::Finding;

use super::finding::finding;
use crate::facts::Facts;

/// Replicas of partitions, leaders and followers, that one broker of a type carries.
struct Carries {
    instance_type: &'static str,
    /// What AWS recommends.
    recommended: usize,
    /// Above this, MSK refuses updates of a Standard cluster, and new partitions of an Express one.
    most: usize,
}

const fn carries(instance_type: &'static str, recommended: usize, most: usize) -> Carries {
    Carries { instance_type, recommended, most }
}

/// As AWS published it in October 2026, for Standard brokers at
/// <https://docs.aws.amazon.com/msk/latest/developerguide/bestpractices.html#partitions-per-broker>, for Express brokers at
/// <https://docs.aws.amazon.com/msk/latest/developerguide/limits.html#msk-express-broker-partition-quota>. A type that is not
/// listed is not judged.
const CARRIES: [Carries; 23] = [
    carries("kafka.t3.small", 300, 300),
    carries("kafka.m5.large", 1_000, 1_500),
    carries("kafka.m5.xlarge", 1_000, 1_500),
    carries("kafka.m5.2xlarge", 2_000, 3_000),
    carries("kafka.m5.4xlarge", 4_000, 6_000),
    carries("kafka.m5.8xlarge", 4_000, 6_000),
    carries("kafka.m5.12xlarge", 4_000, 6_000),
    carries("kafka.m5.16xlarge", 4_000, 6_000),
    carries("kafka.m5.24xlarge", 4_000, 6_000),
    carries("kafka.m7g.large", 1_000, 1_500),
    carries("kafka.m7g.xlarge", 1_000, 1_500),
    carries("kafka.m7g.2xlarge", 2_000, 3_000),
    carries("kafka.m7g.4xlarge", 4_000, 6_000),
    carries("kafka.m7g.8xlarge", 4_000, 6_000),
    carries("kafka.m7g.12xlarge", 4_000, 6_000),
    carries("kafka.m7g.16xlarge", 4_000, 6_000),
    carries("express.m7g.large", 1_000, 1_500),
    carries("express.m7g.xlarge", 1_000, 2_000),
    carries("express.m7g.2xlarge", 2_500, 4_000),
    carries("express.m7g.4xlarge", 6_000, 8_000),
    carries("express.m7g.8xlarge", 12_000, 16_000),
    carries("express.m7g.12xlarge", 16_000, 24_000),
    carries("express.m7g.16xlarge", 20_000, 32_000),
];

/// TCP connections that a broker takes from clients with IAM, as AWS published it in October 2026
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/limits.html>).
const IAM_CONNECTIONS: i64 = 3_000;

/// Connections of one copy function to one broker: for fetches, for writes, for everything else.
const CONNECTIONS_PER_FUNCTION: usize = 3;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    [partitions(facts), connections(facts, "source"), connections(facts, "target")].into_iter().flatten().collect()
}

/// Counted as if every broker of the target got the same share, which Kafka aims at.
fn partitions(facts: &Facts) -> Option<Finding> {
    let instance_type = facts.target.described.as_ref().ok()?.instance_type.as_deref()?;
    let Carries { recommended, most, .. } = *CARRIES.iter().find(|carries| carries.instance_type == instance_type)?;
    let target = facts.target.reached.as_ref().ok()?;
    // One that is down for the moment has its share all the same.
    let brokers = facts.target.brokers()?.max(1);
    let missing = facts.source_topics().filter(|(name, _)| !target.topics.contains_key(*name));
    let added: usize = missing.map(|(_, topic)| topic.partitions * topic.replication_factor.min(brokers)).sum();
    let each = (target.replicas + added).div_ceil(brokers);
    let express = instance_type.starts_with("express.");
    let (code, limit, consequence) = match each {
        each if each > most && express => {
            ("B20", most, "MSK does not let an Express broker have more, so topics could not be created")
        }
        each if each > most => {
            ("W19", most, "above it MSK refuses updates of the configuration, of the version and to smaller brokers")
        }
        each if each > recommended => ("W19", recommended, "AWS recommends no more of them on brokers of this type"),
        _ => return None,
    };
    Some(
        finding(code, "target")
            .found(format_args!(
                "with the source's topics each of the target's {brokers} brokers has about {each} replicas of partitions; \
                 {instance_type} is made for {limit}"
            ))
            .because(consequence)
            .fix("use more or larger brokers, or delete topics that nobody uses before the migration"),
    )
}

/// In the tail every batch of partitions has a function of its own at the same time.
fn connections(facts: &Facts, side: &str) -> Option<Finding> {
    let (config, brokers) = match side {
        "source" => (&facts.config.source, &facts.leaving.as_ref()?.brokers),
        _ => (&facts.config.target, &facts.arriving.as_ref()?.brokers),
    };
    let partitions: usize = facts.source_topics().map(|(_, topic)| topic.partitions).sum();
    let functions = partitions.div_ceil(usize::try_from(facts.config.seed.partitions_per_batch).ok()?);
    let needed = functions * CONNECTIONS_PER_FUNCTION;
    let configured = brokers.as_ref().ok()?.iter().filter_map(|config| config.max_connections).min();
    let published = (config.auth.mode == AuthMode::Iam).then_some(IAM_CONNECTIONS);
    let limit = [configured, published].into_iter().flatten().min()?;
    let more = if published == Some(limit) {
        "; MSK does not let that limit be raised"
    } else {
        ", or max.connections and max.connections.per.ip of the brokers"
    };
    (i64::try_from(needed).ok()? > limit).then(|| {
        finding("W19", side)
            .found(format_args!(
                "the tail takes up to {needed} connections to each broker of the {side} ({functions} functions at the same \
                 time), the brokers take {limit}"
            ))
            .because("connections above the limit are refused or wait, those of the clients too")
            .fix(format_args!(
                "raise seed.partitions_per_batch (now {}) for fewer functions{more}",
                facts.config.seed.partitions_per_batch
            ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, facts, one};

    fn on(instance_type: &str, partitions: usize) -> Facts {
        let mut facts = facts();
        facts.target.described.as_mut().unwrap().instance_type = Some(instance_type.to_owned());
        sample::source(&mut facts).topics.insert("orders".into(), sample::topic(partitions));
        facts
    }

    #[test]
    fn nothing_is_wrong_with_the_sample() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn w19_more_partitions_than_recommended() {
        assert!(judge(&on("kafka.m5.large", 1_000)).is_empty());
        let finding = one(judge(&on("kafka.m5.large", 1_001)), "W19");
        assert!(finding.message.contains("about 1001 replicas of partitions; kafka.m5.large is made for 1000"));
        assert!(finding.cause.contains("recommends"));
        let finding = one(judge(&on("kafka.m5.large", 1_501)), "W19");
        assert!(finding.message.ends_with("made for 1500") && finding.cause.contains("refuses updates"));
        assert!(judge(&on("kafka.z9.large", 9_000)).is_empty());
    }

    #[test]
    fn w19_counts_what_is_there_and_what_is_added() {
        let mut facts = on("kafka.m5.large", 900);
        sample::target(&mut facts).replicas = 600;
        assert!(one(judge(&facts), "W19").message.contains("about 1100 replicas"));
        // A topic that is there is counted already.
        sample::target(&mut facts).topics.insert("orders".into(), sample::topic(900));
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w19_a_broker_that_is_down_carries_its_share() {
        let mut facts = on("kafka.m5.large", 1_000);
        sample::target(&mut facts).brokers = vec![1, 2];
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn b20_more_partitions_than_an_express_broker_may_have() {
        assert!(
            one(judge(&on("express.m7g.large", 1_501)), "B20").message.contains("express.m7g.large is made for 1500")
        );
        one(judge(&on("express.m7g.large", 1_500)), "W19");
    }

    #[test]
    fn w19_more_connections_than_brokers_take() {
        let mut facts = on("kafka.m7g.16xlarge", 640);
        for config in sample::leaving(&mut facts).brokers.as_mut().unwrap() {
            config.max_connections = Some(29);
        }
        let finding = one(judge(&facts), "W19");
        assert!(
            finding.message.contains("up to 30 connections to each broker of the source (10 functions"),
            "{finding:?}"
        );
        for config in sample::leaving(&mut facts).brokers.as_mut().unwrap() {
            config.max_connections = Some(30);
        }
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w19_connections_with_iam() {
        let mut facts = on("kafka.m7g.16xlarge", 1_001);
        facts.config.seed.partitions_per_batch = 1;
        assert!(judge(&facts).is_empty());
        facts.config.target.auth.mode = AuthMode::Iam;
        let finding = one(judge(&facts), "W19");
        assert!(finding.message.ends_with("the brokers take 3000"));
        assert!(finding.fix.ends_with("MSK does not let that limit be raised"), "{}", finding.fix);
    }
}
