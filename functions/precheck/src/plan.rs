//! What a migration would do.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::MetadataMode;
use migration::config::ClusterConfig;
use migration::report::{Plan, PlannedCluster, PlannedTopic};
use migration::{Config, Error, Result, TopicPartition};
use runtime::Host;

use crate::facts::{Described, Reached};
use crate::{estimate, gather};

/// One side of a plan.
struct Side<'a> {
    config: &'a ClusterConfig,
    described: Result<Described>,
    reached: Reached,
}

impl Side<'_> {
    /// What its speed follows from.
    fn speed(&self) -> estimate::Side<'_> {
        estimate::Side { described: self.described.as_ref().ok(), brokers: self.reached.brokers.len() }
    }
}

/// Reads both clusters and plans the migration between them.
///
/// # Errors
/// Names the side that cannot be reached, or whose topics' sizes cannot be read. The MSK API may be silent.
pub(crate) async fn plan(host: &Host, config: &Config) -> Result<Plan> {
    let (source, target, source_described, target_described) = tokio::join!(
        gather::reach(host, &config.source),
        gather::reach(host, &config.target),
        gather::describe(&host.aws, &config.source),
        gather::describe(&host.aws, &config.target),
    );
    let (cluster, source) = source.map_err(|error| because("the source cannot be read", error))?;
    let (_, target) = target.map_err(|error| because("the target cannot be read", error))?;
    let sizes = cluster.log_sizes().await;
    let sizes = sizes.map_err(|error| because("the sizes of the source's topics cannot be read", error.into()))?;
    let source =
        Side { config: &config.source, described: source_described, reached: source.selected(&config.topology) };
    let target = Side { config: &config.target, described: target_described, reached: target };
    Ok(build(config, &source, &target, &by_topic(sizes)))
}

fn because(what: &str, mut error: Error) -> Error {
    error.message = format!("no plan: {what}: {}", error.message);
    error
}

fn by_topic(sizes: BTreeMap<TopicPartition, i64>) -> BTreeMap<Arc<str>, i64> {
    let mut topics = BTreeMap::new();
    for (partition, bytes) in sizes {
        *topics.entry(partition.topic).or_default() += bytes;
    }
    topics
}

/// A plan from what was read; `sizes` are bytes by topic.
fn build(config: &Config, source: &Side<'_>, target: &Side<'_>, sizes: &BTreeMap<Arc<str>, i64>) -> Plan {
    let topic = |(name, topic): (&Arc<str>, &crate::facts::Topic)| PlannedTopic {
        name: name.to_string(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        bytes: sizes.get(name).copied().unwrap_or(0),
    };
    let topics: Vec<_> = source.reached.topics.iter().map(topic).collect();
    let bytes: i64 = topics.iter().map(|topic| topic.bytes).sum();
    let estimated_seed = estimate::seed(
        config,
        &source.speed(),
        &target.speed(),
        bytes,
        replicas(&topics, bytes),
        topics.iter().map(|topic| topic.partitions).sum(),
    );
    let missing = topics.iter().filter(|topic| !target.reached.topics.contains_key(topic.name.as_str()));
    Plan {
        partitions_to_create: missing.map(|topic| topic.partitions).sum(),
        estimated_seed_bytes: bytes,
        estimated_seed,
        skipped_internal: source.reached.internal.iter().map(ToString::to_string).collect(),
        source: cluster(source),
        target: cluster(target),
        topics,
    }
}

/// How often a byte is written on the target, on average.
fn replicas(topics: &[PlannedTopic], bytes: i64) -> f64 {
    let written: f64 = topics.iter().map(|topic| topic.bytes as f64 * topic.replication_factor as f64).sum();
    if bytes > 0 { written / bytes as f64 } else { 1.0 }
}

fn cluster(side: &Side<'_>) -> PlannedCluster {
    let version = side.described.as_ref().ok().and_then(|described| described.version.clone());
    let metadata = match side.reached.mode {
        MetadataMode::ZooKeeper => "ZOOKEEPER",
        MetadataMode::KRaft => "KRAFT",
    };
    PlannedCluster {
        name: side.config.name().to_owned(),
        arn: side.config.cluster_arn.clone(),
        metadata: metadata.to_owned(),
        kafka: version.unwrap_or_else(|| "unknown".to_owned()),
        brokers: side.reached.brokers.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use crate::sample;

    fn planned(facts: &Facts, sizes: &[(&str, i64)]) -> Plan {
        let side = |config, cluster: &crate::facts::Cluster| Side {
            config,
            described: cluster.described.clone(),
            reached: cluster.reached.clone().unwrap(),
        };
        let sizes = sizes.iter().map(|(name, bytes)| (Arc::from(*name), *bytes)).collect();
        build(
            &facts.config,
            &side(&facts.config.source, &facts.source),
            &side(&facts.config.target, &facts.target),
            &sizes,
        )
    }

    #[test]
    fn topics_are_counted_with_their_bytes_and_without_internal_ones() {
        let mut facts = sample::facts();
        sample::source(&mut facts).topics.insert("audit".into(), sample::topic(5));
        let plan = planned(&facts, &[("orders", 700), ("audit", 11), ("__consumer_offsets", 99)]);
        let names: Vec<_> = plan.topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["audit", "orders"]);
        assert_eq!((plan.partitions_to_create, plan.estimated_seed_bytes), (7, 711));
        assert_eq!(plan.skipped_internal, ["__consumer_offsets"]);
        assert_eq!((plan.topics[1].bytes, plan.topics[1].replication_factor), (700, 3));
    }

    #[test]
    fn a_topic_that_is_there_is_not_created() {
        let mut facts = sample::facts();
        sample::target(&mut facts).topics.insert("orders".into(), sample::topic(2));
        assert_eq!(planned(&facts, &[]).partitions_to_create, 0);
    }

    #[test]
    fn clusters_are_described_as_far_as_the_api_answers() {
        let mut facts = sample::facts();
        facts.source.described = Err(Error::blocked("denied"));
        let plan = planned(&facts, &[]);
        assert_eq!((plan.source.metadata.as_str(), plan.source.kafka.as_str()), ("ZOOKEEPER", "unknown"));
        assert_eq!((plan.target.metadata.as_str(), plan.target.kafka.as_str()), ("KRAFT", "3.9.x.kraft"));
        assert_eq!((plan.target.name.as_str(), plan.target.brokers), ("new", 3));
    }

    #[test]
    fn partitions_of_a_topic_add_up() {
        let sizes = [(0, 5), (1, 7)].map(|(index, bytes)| (TopicPartition::new("orders", index), bytes));
        assert_eq!(by_topic(sizes.into()), BTreeMap::from([("orders".into(), 12)]));
    }
}
