//! The target's logs: what the cutover would refuse behind frozen producers, a log that another client wrote to or that lost
//! records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::Result;
use migration::progress::PartitionProgress;
use runtime::Run;
use tokio::time::sleep;
use topology::held;

use super::copy::CopyState;
use super::findings::{Findings, code};

/// Longest time from a batch on the target to its place in the journal: a round of the tail and a checkpoint.
const CHECKPOINT: Duration = Duration::from_secs(2);

/// Partitions named at most.
const NAMED: usize = 100;

/// Compares the target's logs with what was copied to them, and the configs of its topics with those that they were given.
pub(super) async fn look(run: &Run<'_>, target: &Cluster, state: &CopyState, findings: &mut Findings) -> Result<()> {
    configs(target, state, findings).await?;
    let bounds = bounds(target, &state.names).await;
    let mut problems: Vec<_> = state.progress.iter().filter_map(|progress| shorter(progress, &bounds)).collect();
    let longer: Vec<_> = state.progress.iter().filter(|progress| is_longer(progress, &bounds)).collect();
    if !longer.is_empty() {
        sleep(CHECKPOINT).await;
        let now: BTreeMap<_, _> = run
            .all_partitions()
            .await?
            .into_iter()
            .map(|progress| (progress.partition.clone(), progress.target_next))
            .collect();
        // The tail has just written to those that moved, and looks at where they end itself.
        let stood = longer.into_iter().filter(|progress| now.get(&progress.partition) == Some(&progress.target_next));
        problems.extend(stood.map(|progress| foreign(progress, &bounds)));
    }
    for (partition, problem) in problems.into_iter().take(NAMED) {
        findings.block(
            code::TARGET_CHANGED,
            partition.to_string(),
            problem,
            "stop who writes to the target or deletes there, delete the topic on the target, and migrate it again in a wave of its own",
        );
    }
    Ok(())
}

/// Topics that have not the configs under which they are copied.
async fn configs(target: &Cluster, state: &CopyState, findings: &mut Findings) -> Result<()> {
    let topics: BTreeSet<_> = state.names.iter().map(|partition| partition.topic.clone()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    for altered in held::altered(target, &topics).await?.into_iter().take(NAMED) {
        findings.block(code::TARGET_CHANGED, format!("topic {}", altered.topic), altered.problem(), held::WAY_OUT);
    }
    Ok(())
}

/// First offset and end of each log.
type Bounds = BTreeMap<TopicPartition, (i64, i64)>;

/// Those of the logs that answer: why others do not is found where replicas are looked at.
async fn bounds(target: &Cluster, partitions: &[TopicPartition]) -> Bounds {
    let (starts, ends) = tokio::join!(
        target.list_offsets(partitions, OffsetSpec::Earliest),
        target.list_offsets(partitions, OffsetSpec::Latest)
    );
    let mut ends: BTreeMap<_, _> =
        ends.into_iter().filter_map(|(partition, end)| Some((partition, end.ok()?))).collect();
    let both = starts.into_iter().filter_map(|(partition, start)| {
        let (start, end) = (start.ok()?, ends.remove(&partition)?);
        Some((partition, (start, end)))
    });
    both.collect()
}

/// What is wrong with a log that has less than was copied to it.
fn shorter(progress: &PartitionProgress, bounds: &Bounds) -> Option<(TopicPartition, String)> {
    let (start, end) = *bounds.get(&progress.partition)?;
    let problem = match (start, end) {
        (1.., _) => format!("the target's log begins at {start}: records were deleted there that were copied"),
        (_, end) if end < progress.target_next => {
            format!(
                "the target's log ends at {end}, and was copied up to {}: records were lost there",
                progress.target_next
            )
        }
        _ => return None,
    };
    Some((progress.partition.clone(), problem))
}

fn is_longer(progress: &PartitionProgress, bounds: &Bounds) -> bool {
    bounds.get(&progress.partition).is_some_and(|(_, end)| *end > progress.target_next)
}

fn foreign(progress: &PartitionProgress, bounds: &Bounds) -> (TopicPartition, String) {
    let end = bounds.get(&progress.partition).map_or(0, |(_, end)| *end);
    let problem = format!(
        "the target's log ends at {end}, and was copied up to {}: another client writes there",
        progress.target_next
    );
    (progress.partition.clone(), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_not_the_copys_is_named() {
        let partition = TopicPartition::new("orders", 3);
        let mut progress = PartitionProgress::new(partition.clone(), 0, 10);
        progress.target_next = 10;
        let of = |start, end| BTreeMap::from([(partition.clone(), (start, end))]);
        assert!(shorter(&progress, &of(0, 10)).is_none() && !is_longer(&progress, &of(0, 10)));
        assert!(shorter(&progress, &of(4, 10)).unwrap().1.contains("begins at 4"));
        assert!(shorter(&progress, &of(0, 8)).unwrap().1.contains("ends at 8, and was copied up to 10"));
        assert!(shorter(&progress, &of(0, 11)).is_none() && is_longer(&progress, &of(0, 11)));
        assert!(foreign(&progress, &of(0, 11)).1.contains("another client"));
    }
}
