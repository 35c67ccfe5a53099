//! Proof that producers have stopped: the ends of the source's logs do not move.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::{Error, Result};

use crate::clock::FreezeClock;
use crate::sentinels::Sentinel;

/// Time between two samples of the ends.
const BETWEEN_SAMPLES: Duration = Duration::from_millis(300);

/// Movements that are let pass: transaction markers may be written after their producer has stopped.
const GRACE: u32 = 3;

/// Partitions an error names.
const NAMED: usize = 5;

type Ends = BTreeMap<TopicPartition, i64>;

/// Samples the ends until two samples agree and no transaction is open.
///
/// # Errors
/// Unsafe, naming partitions and producers, when a producer goes on writing; Deadline when a transaction stays open for
/// the rest of the freeze.
pub(crate) async fn prove(source: &Cluster, partitions: &[TopicPartition], clock: &FreezeClock<'_>) -> Result<()> {
    let mut before = high_watermarks(source, partitions).await?;
    let mut moves = 0;
    loop {
        tokio::time::sleep(BETWEEN_SAMPLES).await;
        let now = high_watermarks(source, partitions).await?;
        let moved = moved(&before, &now);
        before = now;
        if !moved.is_empty() {
            moves += 1;
            if moves > GRACE {
                return Err(still_writing(source, &moved).await);
            }
            continue;
        }
        let stable = kafka::all_ok(source.list_offsets(partitions, OffsetSpec::LastStable).await)?;
        let open = stable.iter().find(|(partition, stable)| **stable < before[*partition]);
        let Some((partition, stable)) = open else { return Ok(()) };
        clock.check(&format!("the open transaction on {partition} at offset {stable} ended"))?;
    }
}

/// Checks that nothing came after the sentinels.
///
/// # Errors
/// Unsafe, naming partitions and producers, when something did.
pub(crate) async fn holds(source: &Cluster, sentinels: &[Sentinel]) -> Result<()> {
    let names: Vec<_> = sentinels.iter().map(|sentinel| sentinel.partition.clone()).collect();
    let expected = sentinels.iter().map(|sentinel| (sentinel.partition.clone(), sentinel.source_offset + 1)).collect();
    let moved = moved(&expected, &high_watermarks(source, &names).await?);
    if moved.is_empty() { Ok(()) } else { Err(still_writing(source, &moved).await) }
}

async fn high_watermarks(source: &Cluster, partitions: &[TopicPartition]) -> Result<Ends> {
    Ok(kafka::all_ok(source.list_offsets(partitions, OffsetSpec::Latest).await)?)
}

/// Partitions whose end is not what it was, with both ends.
fn moved(before: &Ends, now: &Ends) -> Vec<(TopicPartition, i64, i64)> {
    let pairs = before.iter().filter_map(|(partition, before)| Some((partition, *before, *now.get(partition)?)));
    pairs
        .filter(|(_, before, now)| before != now)
        .map(|(partition, before, now)| (partition.clone(), before, now))
        .collect()
}

async fn still_writing(source: &Cluster, moved: &[(TopicPartition, i64, i64)]) -> Error {
    let named: Vec<_> = moved.iter().take(NAMED).map(|(partition, ..)| partition.clone()).collect();
    let mut lines = Vec::with_capacity(named.len());
    let mut producers = source.describe_producers(&named).await.into_iter();
    for (partition, before, now) in moved.iter().take(NAMED) {
        let states = producers.next().and_then(|(_, states)| states.ok()).unwrap_or_default();
        let newest = states.iter().max_by_key(|state| state.last_timestamp);
        let by =
            newest.map_or_else(String::new, |state| format!(" (newest idempotent producer id {})", state.producer_id));
        lines.push(format!("{partition} from {before} to {now}{by}"));
    }
    if moved.len() > NAMED {
        lines.push(format!("and {} more partitions", moved.len() - NAMED));
    }
    let first = &moved[0];
    Error::data_unsafe(format_args!(
        "a producer ignores the freeze: the source grew while it was frozen: {}. Nothing was committed on the target; \
         stop that producer, then resume",
        lines.join("; ")
    ))
    .at(&first.0)
    .at_offset(first.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_that_differ_have_moved() {
        let ends = |values: &[i64]| -> Ends {
            (0..).zip(values).map(|(n, end)| (TopicPartition::new("t", n), *end)).collect()
        };
        assert!(moved(&ends(&[1, 2]), &ends(&[1, 2])).is_empty());
        assert_eq!(moved(&ends(&[1, 2]), &ends(&[1, 5])), [(TopicPartition::new("t", 1), 2, 5)]);
    }
}
