//! A look into logs for records larger than the target will take.
//!
//! Brokers do not tell how large records are, and reading everything is what the copy is for. So the likeliest places are
//! looked at: of the logs that are large enough to hold such a record, those with the most bytes per offset, where they
//! begin; for what is above a topic's limit today was stored before the limit was lowered.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::batch::{Entry, Header, entries};
use kafka::{Cluster, Code, FetchOptions, FetchPosition, Isolation, TopicPartition};

use super::partly;
use crate::facts::{Partly, Sample, SingleRecord};

/// Partitions that are looked into.
const PARTITIONS: usize = 64;
/// Partitions of one fetch, which bounds the memory that it takes.
const AT_ONCE: usize = 16;
/// Bytes of one partition that are read; a first batch that is larger is read whole.
const BYTES: i32 = 1024 * 1024;

/// A log and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    /// The partition.
    pub(super) partition: TopicPartition,
    /// Where the log begins.
    pub(super) start: i64,
    /// Where it ends.
    pub(super) end: i64,
    /// Bytes on its leader.
    pub(super) bytes: i64,
    /// The largest batch that the target will take for the topic, in bytes.
    pub(super) limit: i64,
}

/// Looks into some of `logs`.
pub(super) async fn look(source: &Cluster, logs: Vec<Log>) -> Partly<Sample> {
    let (chosen, large) = choose(logs);
    let mut each = Vec::with_capacity(chosen.len());
    for some in chosen.chunks(AT_ONCE) {
        each.extend(fetch(source, some).await);
    }
    let Partly { known, missing } = partly(each);
    let mut single_records = BTreeMap::new();
    for found in known.into_values().flatten() {
        let largest = single_records.entry(found.partition.topic.clone()).or_insert_with(|| found.clone());
        if found.bytes > largest.bytes {
            *largest = found;
        }
    }
    Partly { known: Sample { partitions: (chosen.len(), large), single_records }, missing }
}

/// The logs to look into, and how many could hold a batch above their limit at all.
fn choose(mut logs: Vec<Log>) -> (Vec<Log>, usize) {
    logs.retain(|log| log.bytes > log.limit && log.end > log.start);
    let large = logs.len();
    logs.sort_by_key(|log| std::cmp::Reverse(log.bytes / (log.end - log.start)));
    logs.truncate(PARTITIONS);
    (logs, large)
}

type Found = kafka::Each<TopicPartition, Option<SingleRecord>>;

/// The largest batch of a single record at the beginning of each log. A partition that came back empty, because its first
/// batch is above [`BYTES`] or because others filled the answer, is asked for alone: then it gets a whole batch (KIP-74).
async fn fetch(source: &Cluster, logs: &[Log]) -> Found {
    let mut found = Vec::with_capacity(logs.len());
    let mut alone = Vec::new();
    for ((partition, outcome), log) in ask(source, logs).await.into_iter().zip(logs) {
        match outcome {
            Ok(fetched) if fetched.records.is_empty() => alone.push(log.clone()),
            outcome => found.push(judge(partition, outcome)),
        }
    }
    for log in alone {
        let asked = ask(source, std::slice::from_ref(&log)).await;
        found.extend(asked.into_iter().map(|(partition, outcome)| judge(partition, outcome)));
    }
    found
}

/// What an answer shows. Retention may have moved the log's beginning since it was asked for: then nothing was seen.
fn judge(
    partition: TopicPartition,
    outcome: kafka::Result<kafka::Fetched>,
) -> (TopicPartition, kafka::Result<Option<SingleRecord>>) {
    let found = match outcome {
        Err(error) if error.code() == Some(Code::OffsetOutOfRange) => Ok(None),
        outcome => outcome.map(|fetched| largest(&partition, &fetched)),
    };
    (partition, found)
}

async fn ask(source: &Cluster, logs: &[Log]) -> kafka::Each<TopicPartition, kafka::Fetched> {
    let position = |log: &Log| FetchPosition { partition: log.partition.clone(), offset: log.start, max_bytes: BYTES };
    let positions: Vec<_> = logs.iter().map(position).collect();
    let options = FetchOptions {
        max_wait: Duration::ZERO,
        min_bytes: 0,
        max_bytes: BYTES.saturating_mul(AT_ONCE as i32),
        isolation: Isolation::ReadUncommitted,
    };
    source.fetch_retrying(&positions, &options).await
}

/// The largest batch of a single record in what was fetched, of which the last batch may be cut off.
fn largest(partition: &TopicPartition, fetched: &kafka::Fetched) -> Option<SingleRecord> {
    let mut entries = entries(fetched.records.clone());
    let mut headers: Vec<Header> = entries
        .by_ref()
        .map_while(Result::ok)
        .filter_map(|entry| match entry {
            Entry::Batch(batch) => Some(*batch.header()),
            // A message of the old formats becomes a batch of today's, whose size is not known before.
            Entry::Old(_) => None,
        })
        .collect();
    headers.extend(Header::parse(entries.rest()));
    let single = headers.into_iter().filter(|header| header.records_count == 1 && !header.is_control());
    let largest = single.max_by_key(Header::size)?;
    Some(SingleRecord { partition: partition.clone(), offset: largest.base_offset, bytes: largest.size() as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Record, Stamp, encode};

    fn log(partition: i32, offsets: i64, bytes: i64) -> Log {
        let partition = TopicPartition::new("orders", partition);
        Log { partition, start: 0, end: offsets, bytes, limit: 1_000 }
    }

    #[test]
    fn logs_below_the_limit_cannot_hold_a_larger_batch() {
        let (chosen, large) = choose(vec![log(0, 10, 1_000), log(1, 0, 5_000), log(2, 10, 1_001)]);
        assert_eq!((chosen, large), (vec![log(2, 10, 1_001)], 1));
    }

    #[test]
    fn the_most_bytes_per_offset_come_first() {
        let logs = (0..100).map(|number| log(number, 10, 2_000 + i64::from(number) * 10)).collect();
        let (chosen, large) = choose(logs);
        assert_eq!((chosen.len(), large), (PARTITIONS, 100));
        assert_eq!(chosen[0].partition.partition, 99);
    }

    fn batch(offset: i64, sizes: &[usize]) -> bytes::Bytes {
        let record = |(at, size): (usize, &usize)| Record {
            offset: offset + at as i64,
            timestamp: 1,
            key: None,
            value: Some(vec![b'v'; *size].into()),
            headers: Vec::new(),
        };
        let records: Vec<_> = sizes.iter().enumerate().map(record).collect();
        encode(&records, Codec::None, Stamp::NONE, offset).unwrap().into_bytes()
    }

    #[test]
    fn the_largest_single_record_is_found_even_if_it_is_cut_off() {
        let partition = TopicPartition::new("orders", 0);
        let mut records = [batch(0, &[100]), batch(1, &[900, 900, 900]), batch(4, &[500])].concat();
        let fetched = |records: Vec<u8>| kafka::Fetched {
            high_watermark: 9,
            last_stable_offset: 9,
            log_start: 0,
            aborted: Vec::new(),
            records: records.into(),
        };
        let found = largest(&partition, &fetched(records.clone())).unwrap();
        assert_eq!(found.offset, 4);
        records.extend_from_slice(&batch(5, &[7_000])[..100]);
        let found = largest(&partition, &fetched(records)).unwrap();
        assert!(found.offset == 5 && found.bytes > 7_000, "{found:?}");
        assert_eq!(largest(&partition, &fetched(Vec::new())), None);
    }
}
