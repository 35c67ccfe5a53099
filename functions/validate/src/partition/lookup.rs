//! One place of a log, through the client that keeps every byte of it.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use kafka::batch::{self, DecodeLimit, Entry, Record};
use kafka::{Cluster, Code, FetchOptions, FetchPosition, Isolation, OffsetSpec};
use migration::{Error, Result, TopicPartition};

/// A broker returns at least the whole first batch (KIP-74), which is all that is wanted.
const ONE_BATCH: i32 = 1;
/// A broker over its quota answers with nothing (KIP-219): how often to ask again, and after what pause.
const EMPTY_ANSWERS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// What is at an offset.
#[derive(Debug)]
pub(crate) enum At {
    /// A batch that holds the offset.
    Batch(Entry),
    /// The log reaches over the offset, and there is a hole in it: compaction alone makes one.
    Hole,
    /// The log starts behind the offset, at this one.
    Removed(i64),
    /// The log ends before the offset.
    Beyond,
    /// What is there is damaged, or of a format this cannot read.
    Unreadable(String),
}

/// The record at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The record.
    Record(Record),
    /// See [`At::Hole`].
    Hole,
    /// See [`At::Removed`].
    Removed(i64),
    /// See [`At::Beyond`].
    Beyond,
    /// See [`At::Unreadable`].
    Unreadable(String),
}

/// What is at `offset` of `partition`. Reads uncommitted: whoever asks knows that it is committed.
///
/// # Errors
/// Transient when the partition's leader does not answer.
pub(crate) async fn at(cluster: &Cluster, partition: &TopicPartition, offset: i64) -> Result<At> {
    let position = FetchPosition { partition: partition.clone(), offset, max_bytes: ONE_BATCH };
    for _ in 0..EMPTY_ANSWERS {
        let fetched = match fetch(cluster, &position, Isolation::ReadUncommitted).await {
            Ok(fetched) => fetched,
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                let start = log_start(cluster, partition).await?;
                return Ok(if offset < start { At::Removed(start) } else { At::Beyond });
            }
            Err(error) if error.code() == Some(Code::CorruptMessage) => {
                return Ok(At::Unreadable(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if !fetched.records.is_empty() {
            return Ok(first(fetched.records, offset));
        }
        if offset >= fetched.high_watermark {
            return Ok(At::Beyond);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::transient("the broker answers without records").at(partition).at_offset(offset))
}

/// The record at `offset` of `partition`.
///
/// # Errors
/// As [`at`].
pub(crate) async fn record_at(cluster: &Cluster, partition: &TopicPartition, offset: i64) -> Result<Found> {
    Ok(record(at(cluster, partition, offset).await?, offset))
}

/// Where the log of `partition` starts.
///
/// # Errors
/// Transient when the partition's leader does not answer.
pub(crate) async fn log_start(cluster: &Cluster, partition: &TopicPartition) -> Result<i64> {
    let starts = kafka::all_ok(cluster.list_offsets(std::slice::from_ref(partition), OffsetSpec::Earliest).await)?;
    let start = starts.get(partition).copied();
    start.ok_or_else(|| Error::transient("a broker left the partition's log start out").at(partition))
}

/// Fetches at one position, again while it fails for a passing reason.
///
/// # Errors
/// Those of [`Cluster::fetch`].
pub(crate) async fn fetch(
    cluster: &Cluster,
    position: &FetchPosition,
    isolation: Isolation,
) -> kafka::Result<kafka::Fetched> {
    let options =
        FetchOptions { max_wait: Duration::from_millis(500), min_bytes: 1, max_bytes: position.max_bytes, isolation };
    let positions = std::slice::from_ref(position);
    let missing = || kafka::Error::NoLeader { partition: position.partition.clone() };
    cluster
        .with_retries(|| async {
            let answer = cluster.fetch(positions, &options).await.pop();
            answer.map_or_else(|| Err(missing()), |(_, outcome)| outcome)
        })
        .await
}

/// The batch of a fetched record set that holds `offset`.
pub(crate) fn first(records: Bytes, offset: i64) -> At {
    for entry in batch::entries(records) {
        match entry {
            Err(error) => return At::Unreadable(error.to_string()),
            Ok(entry) if entry.next_offset() <= offset => {}
            Ok(Entry::Batch(batch)) if batch.header().base_offset > offset => return At::Hole,
            Ok(entry) => {
                return match entry.verify_crc() {
                    Ok(()) => At::Batch(entry),
                    Err(error) => At::Unreadable(error.to_string()),
                };
            }
        }
    }
    At::Hole
}

fn record(at: At, offset: i64) -> Found {
    let entry = match at {
        At::Batch(entry) => entry,
        At::Hole => return Found::Hole,
        At::Removed(start) => return Found::Removed(start),
        At::Beyond => return Found::Beyond,
        At::Unreadable(error) => return Found::Unreadable(error),
    };
    if matches!(&entry, Entry::Batch(batch) if batch.header().is_control()) {
        return Found::Hole;
    }
    let mut found = None;
    let read = entry.visit(DecodeLimit::default(), |record| match record.offset == offset {
        true => {
            found = Some(record.to_record());
            ControlFlow::Break(())
        }
        false => ControlFlow::Continue(()),
    });
    match read.and_then(|()| found.transpose()) {
        Ok(record) => record.map_or(Found::Hole, Found::Record),
        Err(error) => Found::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Stamp, encode, reencode};

    fn batch(base: i64, values: &[&'static str]) -> kafka::batch::RawBatch {
        let record = |value: &&'static str| Record { value: Some(Bytes::from(*value)), ..Record::default() };
        encode(&values.iter().map(record).collect::<Vec<_>>(), Codec::Zstd, Stamp::NONE, base).unwrap()
    }

    fn pick(log: Bytes, offset: i64) -> Found {
        record(first(log, offset), offset)
    }

    fn value(found: &Found) -> Option<&[u8]> {
        match found {
            Found::Record(record) => record.value.as_deref(),
            _ => None,
        }
    }

    #[test]
    fn exactly_the_asked_record_is_picked() {
        let mut log = batch(5, &["five", "six"]).into_bytes().to_vec();
        log.extend_from_slice(batch(9, &["nine"]).bytes());
        let log = Bytes::from(log);
        assert_eq!(value(&pick(log.clone(), 6)), Some(&b"six"[..]));
        assert_eq!(value(&pick(log.clone(), 9)), Some(&b"nine"[..]));
        for hole in [4, 7, 8, 10] {
            assert_eq!(pick(log.clone(), hole), Found::Hole, "{hole}");
        }
    }

    #[test]
    fn a_damaged_batch_is_unreadable_and_no_hole() {
        let mut bytes = batch(0, &["a"]).into_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(pick(bytes.into(), 0), Found::Unreadable(_)));
    }

    #[test]
    fn a_compacted_batch_has_holes() {
        let kept = reencode(&batch(0, &["a", "b", "c"]), 2.., Stamp::NONE, DecodeLimit::default()).unwrap().unwrap();
        let log = kept.batch.into_bytes();
        assert_eq!(pick(log.clone(), 1), Found::Hole);
        assert_eq!(value(&pick(log, 2)), Some(&b"c"[..]));
    }
}
