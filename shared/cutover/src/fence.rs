//! Proof that producers have stopped: the ends of the source's logs do not move, and no transaction is open.
//!
//! An end that moved is looked into. Transaction markers move ends too, and no consumer sees them, so what counts are batches
//! of records.

use std::collections::BTreeMap;
use std::time::Duration;

use migration::{Error, Result, TopicPartition};
use tokio::time::sleep;

use crate::ports::{Offsets, Ports, Source, WrittenBatch};
use crate::steps::Steps;

/// Pause between two looks at a source that does not stand still yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Partitions that an error names.
const NAMED: usize = 5;

/// Waits until no transaction is open on `partitions`, and returns their ends.
///
/// # Errors
/// Those of the source. The wait itself has no end: the freeze's limit ends it.
pub(crate) async fn settle(ports: &impl Ports, partitions: &[TopicPartition], steps: &Steps) -> Result<Offsets> {
    loop {
        // In this order, so that the last stable offset of an idle partition is not older than its end.
        let ends = ports.source().ends(partitions).await?;
        let stable = ports.source().stable_ends(partitions).await?;
        let open: Vec<_> =
            ends.iter().filter(|(partition, end)| stable.get(*partition).is_none_or(|s| s < *end)).collect();
        let Some((first, _)) = open.first() else {
            // Something else may still be under way in this step.
            steps.waits_no_more();
            return Ok(ends);
        };
        let at = stable.get(*first).copied().unwrap_or_default();
        steps.waits_for(format!(
            "the end of the open transaction on {first} at offset {at}{}",
            and_more(open.len(), "partition", "partitions")
        ));
        sleep(LOOK_EVERY).await;
    }
}

/// Checks that no record was written behind `expected`, and returns the ends as they are: markers may have moved them.
///
/// # Errors
/// Unsafe, naming partitions, offsets and producers, when one was.
pub(crate) async fn hold(ports: &impl Ports, expected: &Offsets) -> Result<Offsets> {
    let partitions: Vec<_> = expected.keys().cloned().collect();
    let ends = ports.source().ends(&partitions).await?;
    let moved: Vec<_> =
        expected.iter().filter(|(partition, end)| ends.get(*partition) != Some(end)).map(clone_pair).collect();
    if moved.is_empty() {
        return Ok(ends);
    }
    refuse_lost(expected, &ends)?;
    refuse_records(&ports.source().batches(&moved).await?, expected)?;
    Ok(ends)
}

/// Refuses logs that end before the offsets `known`, up to which they were seen before.
///
/// # Errors
/// Unsafe, naming the first one.
pub(crate) fn refuse_lost(known: &Offsets, ends: &Offsets) -> Result<()> {
    let is_lost = |(partition, end): &(&TopicPartition, &i64)| ends.get(*partition).is_none_or(|now| now < *end);
    let Some((partition, end)) = known.iter().find(is_lost) else { return Ok(()) };
    let now = ends.get(partition).copied().unwrap_or_default();
    Err(Error::data_unsafe(format_args!(
        "the source's log was read up to {end} and ends at {now} now: records were lost there (an unclean leader election), or \
         the topic was deleted and created anew. Nothing was committed on the target"
    ))
    .at(partition)
    .at_offset(*end))
}

fn clone_pair((partition, end): (&TopicPartition, &i64)) -> (TopicPartition, i64) {
    (partition.clone(), *end)
}

/// Refuses batches of records behind the offsets `behind`.
///
/// # Errors
/// Unsafe, naming partitions, offsets and producers.
pub(crate) fn refuse_records(written: &BTreeMap<TopicPartition, Vec<WrittenBatch>>, behind: &Offsets) -> Result<()> {
    let late = |(partition, batches): (&TopicPartition, &Vec<WrittenBatch>)| {
        let from = behind.get(partition).copied().unwrap_or_default();
        let records: Vec<_> =
            batches.iter().filter(|batch| !batch.is_control && batch.next_offset > from).cloned().collect();
        (!records.is_empty()).then(|| (partition.clone(), records))
    };
    let late: Vec<_> = written.iter().filter_map(late).collect();
    match late.first() {
        None => Ok(()),
        Some((first, batches)) => Err(still_writing(&late).at(first).at_offset(batches[0].base_offset)),
    }
}

/// The error that names who writes.
fn still_writing(late: &[(TopicPartition, Vec<WrittenBatch>)]) -> Error {
    let lines: Vec<_> = late.iter().take(NAMED).map(|(partition, batches)| describe(partition, batches)).collect();
    let more = late.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more partitions") } else { String::new() };
    Error::data_unsafe(format_args!(
        "a producer ignores the freeze: {}{more}. Nothing was committed on the target; stop that producer, then resume",
        lines.join("; ")
    ))
}

/// One line about what was written to `partition`.
pub(crate) fn describe(partition: &TopicPartition, batches: &[WrittenBatch]) -> String {
    let records: i64 = batches.iter().map(|batch| batch.records).sum();
    let (from, to) = (batches[0].base_offset, batches[batches.len() - 1].next_offset);
    let noun = if records == 1 { "record" } else { "records" };
    let at = chrono::DateTime::from_timestamp_millis(batches[batches.len() - 1].timestamp);
    let at = at
        .map_or_else(String::new, |at| format!(", newest {}", at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)));
    let mut ids: Vec<_> = batches.iter().filter_map(|batch| batch.producer).map(|producer| producer.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let by = match ids.as_slice() {
        [] => " by a producer without an id".to_owned(),
        [id] => format!(" by producer id {id}"),
        [id, ..] => format!(" by {} producer ids, first {id}", ids.len()),
    };
    format!("{records} {noun} at offsets {from} to {to} of {partition}{by}{at}")
}

/// The rest of a sentence that named the first of `count`.
pub(crate) fn and_more(count: usize, one: &str, many: &str) -> String {
    match count.saturating_sub(1) {
        0 => String::new(),
        1 => format!(" and 1 more {one}"),
        more => format!(" and {more} more {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::ProducerIdentity;

    fn batch(base: i64, records: i64, is_control: bool) -> WrittenBatch {
        WrittenBatch {
            base_offset: base,
            next_offset: base + records,
            records,
            is_control,
            producer: Some(ProducerIdentity { id: 7, epoch: 0 }),
            timestamp: 1_700_000_000_123,
        }
    }

    #[test]
    fn a_log_that_ends_before_what_was_read_lost_records() {
        let partition = TopicPartition::new("orders", 3);
        let of = |end: i64| BTreeMap::from([(partition.clone(), end)]);
        assert!(refuse_lost(&of(10), &of(10)).is_ok() && refuse_lost(&of(10), &of(11)).is_ok());
        for ends in [of(9), BTreeMap::new()] {
            let error = refuse_lost(&of(10), &ends).unwrap_err();
            assert_eq!((error.kind, error.context.offset), (migration::ErrorKind::Unsafe, Some(10)));
        }
    }

    #[test]
    fn records_behind_the_end_are_refused_by_name_and_markers_are_not() {
        let partition = TopicPartition::new("orders", 3);
        let behind = BTreeMap::from([(partition.clone(), 10)]);
        let of = |batches: &[WrittenBatch]| BTreeMap::from([(partition.clone(), batches.to_vec())]);
        assert!(refuse_records(&of(&[batch(10, 1, true)]), &behind).is_ok());
        assert!(refuse_records(&of(&[batch(8, 2, false)]), &behind).is_ok(), "before it");
        let error = refuse_records(&of(&[batch(10, 1, true), batch(11, 2, false)]), &behind).unwrap_err();
        assert_eq!(error.context.offset, Some(11));
        assert!(
            error.message.starts_with(
                "a producer ignores the freeze: 2 records at offsets 11 to 13 of orders/3 by producer id 7, newest \
                 2023-11-14T22:13:20.123Z. Nothing was committed"
            ),
            "{error}"
        );
    }
}
