//! Topics and partitions that appeared on the source after a migration had begun. The drain picks them up; what comes even
//! later would stay behind.

use std::collections::BTreeSet;

use kafka::{Cluster, OffsetSpec, TopicInfo};
use migration::config::Topology;
use migration::progress::PartitionProgress;
use migration::{Error, Result, TopicPartition};

use crate::inventory::is_selected;

/// Partitions that an error names.
const NAMED: usize = 5;

/// Refuses to go on while `source` has records in selected partitions that are not among `copied`. Returns those that are
/// empty.
///
/// # Errors
/// Blocked, naming the first of them; otherwise what the cluster gives.
pub async fn refuse_uncopied(
    source: &Cluster,
    selection: &Topology,
    copied: &[PartitionProgress],
) -> Result<Vec<TopicPartition>> {
    let uncopied = uncopied(&source.topics().await?, selection, copied);
    if uncopied.is_empty() {
        return Ok(uncopied);
    }
    let starts = kafka::all_ok(source.list_offsets(&uncopied, OffsetSpec::Earliest).await)?;
    let ends = kafka::all_ok(source.list_offsets(&uncopied, OffsetSpec::Latest).await)?;
    let filled: Vec<_> = uncopied.iter().filter(|partition| starts[*partition] < ends[*partition]).collect();
    let Some(first) = filled.first() else { return Ok(uncopied) };
    let names: Vec<_> = filled.iter().take(NAMED).map(ToString::to_string).collect();
    let more = filled.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::blocked(format_args!(
        "the source has records in partitions that appeared after the migration had begun and are not copied: {}{more}. \
         Resume: the tail picks them up before it is drained",
        names.join(", ")
    ))
    .at(first))
}

/// Partitions of `there` that are to be migrated and not among `copied`.
pub(crate) fn uncopied(there: &[TopicInfo], selection: &Topology, copied: &[PartitionProgress]) -> Vec<TopicPartition> {
    let copied: BTreeSet<_> = copied.iter().map(|progress| &progress.partition).collect();
    let selected = there.iter().filter(|topic| is_selected(topic, selection));
    selected.flat_map(TopicInfo::topic_partitions).filter(|partition| !copied.contains(partition)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::PartitionInfo;

    fn topic(name: &str, partitions: i32) -> TopicInfo {
        let info = |partition| PartitionInfo { partition, leader: Some(1), replicas: vec![1], isr: vec![1] };
        TopicInfo { name: name.into(), id: None, internal: false, partitions: (0..partitions).map(info).collect() }
    }

    #[test]
    fn new_topics_and_added_partitions_are_found() {
        let copied: Vec<_> =
            (0..2).map(|number| PartitionProgress::new(TopicPartition::new("orders", number), 0, 0)).collect();
        let all = Topology::default();
        assert!(uncopied(&[topic("__consumer_offsets", 50), topic("orders", 2)], &all, &copied).is_empty());
        let found = uncopied(&[topic("new", 1), topic("orders", 3)], &all, &copied);
        assert_eq!(found, [TopicPartition::new("new", 0), TopicPartition::new("orders", 2)]);
        let wave = Topology { exclude: vec!["n.*".parse().unwrap()], ..Topology::default() };
        assert_eq!(uncopied(&[topic("new", 1), topic("orders", 3)], &wave, &copied), found[1..], "of another wave");
    }
}
