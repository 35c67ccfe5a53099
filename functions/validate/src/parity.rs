//! Topic parity: both sides have the same topics, partitions and configs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{Cluster, OffsetSpec, all_ok};
use migration::config::Topology;
use migration::progress::PartitionProgress;
use migration::{Error, Result};
use topology::{KnownConfigs, Topic, TopicConfigs, is_copying};

use crate::check::{Check, Problem};

/// Compares the topics of both clusters with what was copied, and their configs with what the cutover has `put` in place.
///
/// # Errors
/// Transient when a cluster could not be asked.
pub(crate) async fn compare(
    source: &Cluster,
    target: &Cluster,
    copied: &[PartitionProgress],
    config: &Topology,
    put: &BTreeMap<Arc<str>, TopicConfigs>,
) -> Result<Check> {
    let mut partitions: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for progress in copied {
        *partitions.entry(progress.partition.topic.clone()).or_default() += 1;
    }
    let mut source_topics = topology::inventory(source, config).await?.topics;
    let target_topics = topology::existing(target, |topic| partitions.contains_key(topic)).await?;
    if let Some(topic) = target_topics.keys().next() {
        let known = KnownConfigs::ask(target, topic).await?;
        source_topics.values_mut().for_each(|topic| topic.configs = known.only(&topic.configs));
    }
    let mut check = Check::default();
    for (topic, copied) in &partitions {
        let (source, target) = (source_topics.get(topic), target_topics.get(topic));
        let put = put.get(topic).ok_or_else(|| Error::internal("the cutover left a topic out").at_topic(topic))?;
        check.add(judge(topic, *copied, source, target, put));
    }
    let uncopied: Vec<_> = source_topics.values().filter(|topic| !partitions.contains_key(&topic.info.name)).collect();
    let filled = filled(source, &uncopied).await?;
    for topic in uncopied {
        let name = &topic.info.name;
        check.add([uncopied_problem(name, filled.contains(name))]);
    }
    Ok(check)
}

/// What differs of a topic that was copied with `copied` partitions and got `put` as its configs at the cutover. From then on
/// the target belongs to the clients: what they change there is theirs.
fn judge(
    name: &str,
    copied: usize,
    source: Option<&Topic>,
    target: Option<&Topic>,
    put: &TopicConfigs,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut count = |side: &str, topic: Option<&Topic>| match topic.map(|topic| topic.info.partitions.len()) {
        None => problems.push(Problem::failed(name, format_args!("the topic is missing on the {side}"))),
        Some(count) if side == "target" && count > copied => problems.push(Problem::warning(
            name,
            format_args!(
                "the topic has {count} partitions on the target, {copied} were copied: somebody added the others"
            ),
        )),
        Some(count) if count != copied => problems.push(Problem::failed(
            name,
            format_args!("the topic has {count} partitions on the {side}, {copied} were copied"),
        )),
        Some(_) => {}
    };
    count("source", source);
    count("target", target);
    let (Some(source), Some(target)) = (source, target) else { return problems };
    let value = |configs: &TopicConfigs, config: &str| configs.get(config).map_or("not set", String::as_str).to_owned();
    if is_copying(&target.configs) && !is_copying(put) {
        let message =
            "the topic still has its copy-time configs on the target; set its own there, see cutover/settings.json";
        problems.push(Problem::failed(name, message));
        return problems;
    }
    for op in topology::restore(put, &target.configs) {
        let config = op.name();
        let (found, left) = (value(&target.configs, config), value(put, config));
        problems.push(Problem::warning(
            name,
            format_args!(
                "config {config} is {found} on the target; the cutover left it {left}, so somebody changed it since"
            ),
        ));
    }
    for op in topology::restore(&source.configs, put) {
        let config = op.name();
        let (is, left) = (value(&source.configs, config), value(put, config));
        let message = format_args!(
            "config {config} is {is} on the source and was left {left} on the target: as topology.on_config_drift says, or it \
             was altered on the source since"
        );
        problems.push(Problem::warning(name, message));
    }
    problems
}

fn uncopied_problem(name: &str, has_records: bool) -> Problem {
    let message = "the topic appeared on the source after the migration had begun and was not copied";
    match has_records {
        true => Problem::failed(name, format_args!("{message}; it has records, bring them over by hand")),
        false => Problem::warning(name, format_args!("{message}; it has no records")),
    }
}

/// Those of `topics` that have records.
async fn filled(source: &Cluster, topics: &[&Topic]) -> Result<BTreeSet<Arc<str>>> {
    let partitions: Vec<_> = topics.iter().flat_map(|topic| topic.partitions()).collect();
    let starts = all_ok(source.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let ends = all_ok(source.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let filled = ends.iter().filter(|(partition, end)| starts.get(*partition).is_none_or(|start| start < *end));
    Ok(filled.map(|(partition, _)| partition.topic.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use kafka::{PartitionInfo, TopicInfo};

    fn topic(partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let info = |partition| PartitionInfo { partition, leader: Some(1), replicas: vec![1], isr: vec![1] };
        let partitions = (0..partitions).map(info).collect();
        Topic {
            info: TopicInfo { name: "orders".into(), id: None, internal: false, partitions },
            configs: configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            max_message_bytes: 1,
        }
    }

    fn outcomes(source: Option<&Topic>, target: Option<&Topic>, put: &[(&str, &str)]) -> Vec<Outcome> {
        let put = topic(0, put).configs;
        judge("orders", 3, source, target, &put).iter().map(|problem| problem.outcome).collect()
    }

    #[test]
    fn the_same_on_both_sides_passes() {
        let topic = topic(3, &[("retention.ms", "5")]);
        assert!(outcomes(Some(&topic), Some(&topic), &[("retention.ms", "5")]).is_empty());
    }

    #[test]
    fn a_topic_that_grew_or_vanished_fails() {
        let (as_copied, grown, shrunk) = (topic(3, &[]), topic(4, &[]), topic(2, &[]));
        for (source, target) in [
            (Some(&grown), Some(&as_copied)),
            (Some(&as_copied), Some(&shrunk)),
            (None, Some(&as_copied)),
            (Some(&as_copied), None),
        ] {
            assert_eq!(outcomes(source, target, &[]), [Outcome::Failed]);
        }
    }

    #[test]
    fn what_clients_change_on_their_new_cluster_is_a_warning() {
        let source = topic(3, &[("retention.ms", "5")]);
        assert_eq!(
            outcomes(Some(&source), Some(&topic(4, &[("retention.ms", "5")])), &[("retention.ms", "5")]),
            [Outcome::Warning]
        );
        let changed = topic(3, &[("retention.ms", "6"), ("segment.ms", "9")]);
        let both = [Outcome::Warning, Outcome::Warning];
        assert_eq!(outcomes(Some(&source), Some(&changed), &[("retention.ms", "5")]), both);
    }

    #[test]
    fn what_was_to_stay_or_changed_on_the_source_since_is_a_warning() {
        let (source, kept) = (topic(3, &[("retention.ms", "5")]), [("retention.ms", "6")]);
        assert_eq!(outcomes(Some(&source), Some(&topic(3, &kept)), &kept), [Outcome::Warning]);
    }

    #[test]
    fn a_copy_time_config_that_was_left_behind_fails() {
        let source = topic(3, &[("retention.ms", "5")]);
        let left = Topic { configs: topology::copying(2), ..topic(3, &[]) };
        assert_eq!(outcomes(Some(&source), Some(&left), &[("retention.ms", "5")]), [Outcome::Failed]);
        // One of them alone is a choice of the clients.
        let unlimited = topic(3, &[("retention.ms", "-1")]);
        assert_eq!(outcomes(Some(&source), Some(&unlimited), &[("retention.ms", "5")]), [Outcome::Warning]);
    }

    #[test]
    fn a_topic_that_came_too_late_matters_when_it_has_records() {
        assert_eq!(uncopied_problem("new", true).outcome, Outcome::Failed);
        assert_eq!(uncopied_problem("new", false).outcome, Outcome::Warning);
    }
}
