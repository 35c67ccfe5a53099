//! What a migration would do.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{MetadataMode, OffsetSpec};
use migration::config::ClusterConfig;
use migration::report::{LimitToRaise, Plan, PlannedCluster, PlannedTopic};
use migration::{Config, Error, Result, TopicPartition};
use runtime::Host;

use crate::estimate::{self, Side, Work};
use crate::facts::{Cluster, Facts, Partly, Reached, Topic};
use crate::gather;
use crate::offsets::Logs;
use crate::rules::{self, count, few};

/// Bytes of partitions on their leaders.
type Sizes = BTreeMap<TopicPartition, i64>;

/// What only a plan needs of the source.
struct Source {
    /// As far as leaders told.
    sizes: Sizes,
    /// Log starts.
    starts: Partly<BTreeMap<TopicPartition, i64>>,
}

/// Reads both clusters and plans the migration between them.
///
/// # Errors
/// Names the side that cannot be reached, or whose topics' sizes cannot be read. The MSK API may be silent.
pub(crate) async fn plan(host: &Host, config: &Config) -> Result<Plan> {
    let facts = gather::gather(host, config.clone(), false).await;
    let reached = reached(&facts.source, "source")?;
    reached_target(&facts)?;
    let cluster = host.clusters.connect(&host.aws, &config.source).await?;
    let led = reached.led(reached.topics.keys());
    let (sizes, starts) = tokio::join!(cluster.log_sizes(), cluster.list_offsets(&led, OffsetSpec::Earliest));
    let sizes = sizes.map_err(|error| because("the sizes of the source's topics cannot be read", error.into()))?;
    build(&facts, Source { sizes, starts: gather::partly(starts) })
}

fn because(what: &str, mut error: Error) -> Error {
    error.message = format!("no plan: {what}: {}", error.message);
    error
}

fn reached<'a>(cluster: &'a Cluster, side: &str) -> Result<&'a Reached> {
    cluster.reached.as_ref().map_err(|error| because(&format!("the {side} cannot be read"), error.clone()))
}

fn reached_target(facts: &Facts) -> Result<&Reached> {
    reached(&facts.target, "target")
}

/// A plan from what was read.
fn build(facts: &Facts, read: Source) -> Result<Plan> {
    let (source, target) = (reached(&facts.source, "source")?, reached_target(facts)?);
    let config = &facts.config;
    let unread = unread(facts, &read);
    let logs = logs(facts, source, read.starts.known);
    let topic = |(name, topic): (&Arc<str>, &Topic)| planned(name, topic, &read.sizes, &logs, target);
    let topics: Vec<_> = source.topics.iter().map(topic).collect();
    let work = Work::new(config, &source.partitions(&read.sizes));
    let sides = (Side::of(&facts.source, source), Side::of(&facts.target, target));
    let estimated_seed = estimate::seed(config, &sides.0, &sides.1, &work);
    let created = topics.iter().filter(|topic| !topic.on_target).map(|topic| topic.partitions).sum();
    Ok(Plan {
        partitions: topics.iter().map(|topic| topic.partitions).sum(),
        partitions_to_create: created,
        batches: work.batches(),
        estimated_seed_bytes: topics.iter().map(|topic| topic.bytes).sum(),
        critical_path: estimate::critical_path(config, &work),
        phases: estimate::phases(config, &work, &estimated_seed, created),
        estimated_seed,
        topics_left_out: source.left_out,
        skipped_internal: source.internal.iter().map(ToString::to_string).collect(),
        sink_groups: rules::sink_groups(facts).cloned().collect(),
        source: cluster(&config.source, &facts.source, source),
        target: cluster(&config.target, &facts.target, target),
        limits_to_raise: limits_to_raise(facts),
        topics,
        unread,
    })
}

fn planned(name: &Arc<str>, topic: &Topic, sizes: &Sizes, logs: &Logs, target: &Reached) -> PlannedTopic {
    let sizes = || topic.named_partitions(name).filter_map(|partition| sizes.get(&partition).copied());
    PlannedTopic {
        name: name.to_string(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        bytes: sizes().sum(),
        largest_partition_bytes: sizes().max().unwrap_or(0),
        on_target: target.topics.contains_key(name),
        offsets: logs.outlook(name, topic),
    }
}

fn logs(facts: &Facts, source: &Reached, starts: BTreeMap<TopicPartition, i64>) -> Logs {
    let configs = facts.leaving.as_ref().map(|leaving| leaving.configs.known.clone()).unwrap_or_default();
    Logs { starts, configs, transactions: source.internal.contains(gather::TRANSACTIONS) }
}

/// Limits of the target's brokers that a batch of the source may exceed.
fn limits_to_raise(facts: &Facts) -> Vec<LimitToRaise> {
    let raise = |(name, smallest, needed): (&str, i64, i64)| LimitToRaise { name: name.to_owned(), smallest, needed };
    rules::too_small(facts).into_iter().map(raise).collect()
}

/// A line for each part that could not be read.
fn unread(facts: &Facts, read: &Source) -> Vec<String> {
    let mut lines = Vec::new();
    for (side, cluster) in [("source", &facts.source), ("target", &facts.target)] {
        if let Err(error) = &cluster.described {
            lines.push(format!("the MSK API's description of the {side}: {}", error.message));
        }
    }
    lines.extend(hidden(&facts.source));
    lines.extend(without_size(facts, &read.sizes));
    lines.extend(tiered(facts));
    if let Some((partitions, error)) = &read.starts.missing {
        lines.push(format!("log starts of {}: {}", count(*partitions, "partition"), error.message));
    }
    if let Some((topics, error)) = facts.leaving.as_ref().and_then(|leaving| leaving.configs.missing.as_ref()) {
        lines.push(format!("configs of {}: {}", count(*topics, "topic"), error.message));
    }
    if let Some(Err(error)) = facts.arriving.as_ref().map(|arriving| &arriving.brokers) {
        lines.push(format!("limits of the target's brokers: {}", error.message));
    }
    lines
}

/// The topics that the plan lacks because the brokers do not list them to this principal.
fn hidden(source: &Cluster) -> Option<String> {
    match &source.reached.as_ref().ok()?.hidden {
        Ok(hidden) if hidden.is_empty() => None,
        Ok(hidden) => Some(format!(
            "{} that the functions' principal may not describe, so that the plan lacks them (precheck: B18): {}",
            count(hidden.len(), "topic"),
            few(hidden)
        )),
        Err(error) => Some(format!("whether topics are hidden from the functions' principal: {}", error.message)),
    }
}

/// The partitions that no leader has told the size of.
fn without_size(facts: &Facts, sizes: &BTreeMap<TopicPartition, i64>) -> Option<String> {
    let all = facts.source_topics().flat_map(|(name, topic)| topic.named_partitions(name));
    let missing: Vec<_> = all.filter(|partition| !sizes.contains_key(partition)).collect();
    let first = missing.first()?;
    Some(format!(
        "sizes of {}, {first} among them: no leader told; they count as empty",
        count(missing.len(), "partition")
    ))
}

/// The topics of which only a part is on the brokers' disks, and so in the sizes that they tell.
fn tiered(facts: &Facts) -> Option<String> {
    let configs = &facts.leaving.as_ref()?.configs.known;
    let tiered: Vec<_> = configs.iter().filter(|(_, config)| config.tiered).map(|(name, _)| name.as_ref()).collect();
    (!tiered.is_empty()).then(|| {
        format!(
            "sizes in tiered storage of {}: {}; only the bytes on the brokers' disks are counted, so the seed takes longer than \
             estimated",
            count(tiered.len(), "topic"),
            few(tiered)
        )
    })
}

fn cluster(config: &ClusterConfig, cluster: &Cluster, reached: &Reached) -> PlannedCluster {
    let described = cluster.described.as_ref().ok();
    let version = described.and_then(|described| described.version.clone());
    let metadata = match reached.mode {
        MetadataMode::ZooKeeper => "ZOOKEEPER",
        MetadataMode::KRaft => "KRAFT",
    };
    PlannedCluster {
        name: config.name().to_owned(),
        arn: config.cluster_arn.clone(),
        metadata: metadata.to_owned(),
        kafka: version.unwrap_or_else(|| "unknown".to_owned()),
        brokers: cluster.brokers_with(reached),
        instance_type: described.and_then(|described| described.instance_type.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use migration::report::Outlook;

    fn planned(facts: &Facts, sizes: &[(&str, i32, i64)]) -> Plan {
        let partition =
            |(topic, partition, bytes): &(&str, i32, i64)| (TopicPartition::new(*topic, *partition), *bytes);
        let sizes: BTreeMap<_, _> = sizes.iter().map(partition).collect();
        let starts = Partly { known: sizes.keys().map(|partition| (partition.clone(), 0)).collect(), missing: None };
        build(facts, Source { sizes, starts }).unwrap()
    }

    #[test]
    fn topics_are_counted_with_their_bytes_and_without_internal_ones() {
        let mut facts = sample::facts();
        sample::source(&mut facts).topics.insert("audit".into(), sample::topic(5));
        let sizes = [("orders", 0, 300), ("orders", 1, 400), ("audit", 0, 11), ("__consumer_offsets", 0, 99)];
        let plan = planned(&facts, &sizes);
        let names: Vec<_> = plan.topics.iter().map(|topic| topic.name.as_str()).collect();
        assert_eq!(names, ["audit", "orders"]);
        assert_eq!((plan.partitions, plan.partitions_to_create, plan.estimated_seed_bytes), (7, 7, 711));
        assert_eq!(plan.skipped_internal, ["__consumer_offsets"]);
        let orders = &plan.topics[1];
        assert_eq!((orders.bytes, orders.largest_partition_bytes, orders.replication_factor), (700, 400, 3));
        assert_eq!((plan.batches, plan.critical_path.unwrap().partition.as_str()), (1, "orders/1"));
    }

    #[test]
    fn topics_of_other_waves_are_counted() {
        let mut facts = sample::facts();
        facts.config.topology.include.push("orders".parse().unwrap());
        let source = sample::source(&mut facts);
        source.topics.insert("audit".into(), sample::topic(5));
        let selected = source.clone().selected(&facts.config.topology);
        facts.source.reached = Ok(selected);
        let plan = planned(&facts, &[]);
        assert_eq!((plan.topics.len(), plan.topics_left_out), (1, 1));
    }

    #[test]
    fn partitions_without_a_size_are_named() {
        let plan = planned(&sample::facts(), &[("orders", 0, 300)]);
        let expected = "sizes of 1 partition, orders/1 among them: no leader told; they count as empty";
        assert_eq!((plan.unread, plan.topics[0].bytes), (vec![expected.to_owned()], 300));
    }

    #[test]
    fn topics_that_are_not_listed_to_us_are_named() {
        let mut facts = sample::facts();
        sample::source(&mut facts).hidden = Ok(["audit".into()].into());
        let plan = planned(&facts, &[("orders", 0, 1), ("orders", 1, 1)]);
        assert!(
            plan.unread[0].starts_with("1 topic that the functions' principal") && plan.unread[0].ends_with(": audit")
        );
    }

    #[test]
    fn a_broker_that_is_down_counts() {
        let mut facts = sample::facts();
        sample::target(&mut facts).brokers = vec![1];
        assert_eq!(planned(&facts, &[("orders", 0, 1), ("orders", 1, 1)]).target.brokers, 3);
    }

    #[test]
    fn topics_in_tiered_storage_are_named() {
        let mut facts = sample::facts();
        sample::leaving(&mut facts).configs.known.get_mut("orders").unwrap().tiered = true;
        let unread = planned(&facts, &[("orders", 0, 1), ("orders", 1, 1)]).unread;
        assert_eq!(unread.len(), 1);
        assert!(unread[0].starts_with("sizes in tiered storage of 1 topic: orders;"), "{unread:?}");
    }

    #[test]
    fn a_topic_that_is_there_is_not_created() {
        let mut facts = sample::facts();
        sample::target(&mut facts).topics.insert("orders".into(), sample::topic(2));
        let plan = planned(&facts, &[]);
        assert_eq!((plan.partitions, plan.partitions_to_create, plan.topics[0].on_target), (2, 0, true));
    }

    #[test]
    fn clusters_are_described_as_far_as_the_api_answers() {
        let mut facts = sample::facts();
        facts.source.described = Err(Error::blocked("denied"));
        let plan = planned(&facts, &[("orders", 0, 1), ("orders", 1, 1)]);
        assert_eq!((plan.source.metadata.as_str(), plan.source.kafka.as_str()), ("ZOOKEEPER", "unknown"));
        assert_eq!((plan.target.metadata.as_str(), plan.target.kafka.as_str()), ("KRAFT", "3.9.x.kraft"));
        assert_eq!((plan.target.name.as_str(), plan.target.brokers), ("new", 3));
        assert_eq!(plan.target.instance_type.as_deref(), Some("kafka.m5.large"));
        assert_eq!(plan.unread, ["the MSK API's description of the source: denied"]);
    }

    #[test]
    fn a_cluster_that_cannot_be_reached_makes_no_plan() {
        let mut facts = sample::facts();
        facts.target.reached = Err(Error::transient("no route"));
        let read = Source { sizes: BTreeMap::new(), starts: Partly::default() };
        let error = build(&facts, read).unwrap_err();
        assert_eq!(error, Error::transient("no plan: the target cannot be read: no route"));
    }

    #[test]
    fn offsets_are_judged_topic_by_topic() {
        let mut facts = sample::facts();
        assert_eq!(planned(&facts, &[("orders", 0, 1), ("orders", 1, 1)]).topics[0].offsets.outlook, Outlook::Identity);
        sample::source(&mut facts).internal.insert("__transaction_state".into());
        assert_eq!(planned(&facts, &[("orders", 0, 1), ("orders", 1, 1)]).topics[0].offsets.outlook, Outlook::Unknown);
    }

    #[test]
    fn limits_that_are_too_small_are_to_be_raised() {
        let mut facts = sample::facts();
        assert_eq!(planned(&facts, &[]).limits_to_raise, []);
        let large = sample::leaving(&mut facts).configs.known.get_mut("orders").unwrap();
        large.max_message_bytes = Some(5_000_000);
        // As B12 has it: the source's own brokers live with less.
        assert_eq!(planned(&facts, &[]).limits_to_raise.len(), 1);
        for broker in sample::leaving(&mut facts).brokers.as_mut().unwrap() {
            broker.replica_fetch_max_bytes = Some(6_000_000);
        }
        let limit = |name: &str, smallest| LimitToRaise { name: name.to_owned(), smallest, needed: 5_000_000 };
        let expected = [limit("message.max.bytes", 1_048_588), limit("replica.fetch.max.bytes", 1_048_576)];
        assert_eq!(planned(&facts, &[]).limits_to_raise, expected);
    }

    #[test]
    fn the_plan_of_a_large_cluster_fits_into_an_answer_of_lambda() {
        // Most bytes of an answer: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
        const MOST_BYTES: usize = 6 * 1024 * 1024;
        let mut facts = sample::facts();
        let names: Vec<_> =
            (0..2_000).map(|n| format!("a-team.a-domain.a-rather-long-name-of-a-topic-{n:04}")).collect();
        let source = sample::source(&mut facts);
        source.topics = names.iter().map(|name| (name.as_str().into(), sample::topic(5))).collect();
        let sizes: Vec<_> = names.iter().flat_map(|name| (0..5).map(|n| (name.as_str(), n, 1 << 30))).collect();
        let plan = planned(&facts, &sizes);
        assert_eq!((plan.topics.len(), plan.partitions, plan.batches), (2_000, 10_000, 157));
        let bytes = serde_json::to_vec(&plan).unwrap().len();
        assert!(bytes < MOST_BYTES / 2, "{bytes}");
    }
}
