//! Topic parity: both sides have the same topics, partitions and configs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka::{Cluster, ConfigOp, OffsetSpec, all_ok};
use migration::Result;
use migration::config::{ConfigDrift, Topology};
use migration::progress::PartitionProgress;
use topology::{KnownConfigs, Topic};

use crate::check::{Check, Problem};

/// Compares the topics of both clusters with what was copied.
///
/// # Errors
/// Transient when a cluster could not be asked.
pub(crate) async fn compare(
    source: &Cluster,
    target: &Cluster,
    copied: &[PartitionProgress],
    config: &Topology,
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
        check.add(judge(topic, *copied, source, target, config.on_config_drift));
    }
    let uncopied: Vec<_> = source_topics.values().filter(|topic| !partitions.contains_key(&topic.info.name)).collect();
    let filled = filled(source, &uncopied).await?;
    for topic in uncopied {
        let name = &topic.info.name;
        check.add([uncopied_problem(name, filled.contains(name))]);
    }
    Ok(check)
}

/// What differs of a topic that was copied with `copied` partitions.
fn judge(
    name: &str,
    copied: usize,
    source: Option<&Topic>,
    target: Option<&Topic>,
    drift: ConfigDrift,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut count = |side: &str, topic: Option<&Topic>| match topic.map(|topic| topic.info.partitions.len()) {
        None => problems.push(Problem::failed(name, format_args!("the topic is missing on the {side}"))),
        Some(count) if count != copied => problems.push(Problem::failed(
            name,
            format_args!("the topic has {count} partitions on the {side}, {copied} were copied"),
        )),
        Some(_) => {}
    };
    count("source", source);
    count("target", target);
    let (Some(source), Some(target)) = (source, target) else { return problems };
    for op in topology::restore(&source.configs, &target.configs) {
        problems.push(match op {
            ConfigOp::Set { name: config, value } => {
                let found = target.configs.get(&config).map_or("not set", String::as_str);
                let message = format!("config {config} is {value} on the source and {found} on the target");
                match drift {
                    ConfigDrift::KeepTarget => {
                        Problem::warning(name, format_args!("{message}, as topology.on_config_drift allows"))
                    }
                    ConfigDrift::OverwriteWithSource | ConfigDrift::Fail => Problem::failed(name, message),
                }
            }
            ConfigOp::Delete { name: config } => {
                let found = target.configs.get(&config).map_or("", String::as_str);
                let left = topology::copying(source.max_message_bytes).get(&config).is_some_and(|value| value == found);
                match left && drift != ConfigDrift::KeepTarget {
                    true => Problem::failed(
                        name,
                        format_args!(
                            "config {config} still has its copy-time value {found} on the target; remove it there"
                        ),
                    ),
                    false => Problem::warning(name, format_args!("config {config} is set on the target only")),
                }
            }
        });
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

    fn outcomes(source: Option<&Topic>, target: Option<&Topic>, drift: ConfigDrift) -> Vec<Outcome> {
        judge("orders", 3, source, target, drift).iter().map(|problem| problem.outcome).collect()
    }

    #[test]
    fn the_same_on_both_sides_passes() {
        let topic = topic(3, &[("retention.ms", "5")]);
        assert!(outcomes(Some(&topic), Some(&topic), ConfigDrift::default()).is_empty());
    }

    #[test]
    fn a_topic_that_grew_or_vanished_fails() {
        let (as_copied, grown) = (topic(3, &[]), topic(4, &[]));
        for (source, target) in [
            (Some(&grown), Some(&as_copied)),
            (Some(&as_copied), Some(&grown)),
            (None, Some(&as_copied)),
            (Some(&as_copied), None),
        ] {
            assert_eq!(outcomes(source, target, ConfigDrift::default()), [Outcome::Failed]);
        }
    }

    #[test]
    fn a_config_that_differs_fails_unless_the_targets_was_to_stay() {
        let source = topic(3, &[("retention.ms", "5")]);
        let target = topic(3, &[("retention.ms", "6"), ("segment.ms", "9")]);
        let default = outcomes(Some(&source), Some(&target), ConfigDrift::default());
        assert_eq!(default, [Outcome::Failed, Outcome::Warning]);
        let keep = outcomes(Some(&source), Some(&target), ConfigDrift::KeepTarget);
        assert_eq!(keep, [Outcome::Warning, Outcome::Warning]);
        assert_eq!(outcomes(Some(&source), Some(&topic(3, &[])), ConfigDrift::Fail), [Outcome::Failed]);
    }

    #[test]
    fn a_copy_time_config_that_was_left_behind_fails() {
        let source = topic(3, &[]);
        let left = topic(3, &[("retention.ms", "-1")]);
        assert_eq!(outcomes(Some(&source), Some(&left), ConfigDrift::default()), [Outcome::Failed]);
        assert_eq!(outcomes(Some(&source), Some(&left), ConfigDrift::KeepTarget), [Outcome::Warning]);
        let overwritten = topic(3, &[("retention.ms", "5")]);
        assert_eq!(outcomes(Some(&overwritten), Some(&left), ConfigDrift::default()), [Outcome::Failed]);
    }

    #[test]
    fn a_topic_that_came_too_late_matters_when_it_has_records() {
        assert_eq!(uncopied_problem("new", true).outcome, Outcome::Failed);
        assert_eq!(uncopied_problem("new", false).outcome, Outcome::Warning);
    }
}
