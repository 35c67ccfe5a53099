//! One record by its offset, through the client that keeps every byte of it.

use std::time::Duration;

use bytes::Bytes;
use kafka::batch::{self, DecodeLimit, Entry, Record};
use kafka::{Cluster, Code, FetchOptions, FetchPosition, Isolation};
use migration::{Error, Result, TopicPartition};

/// A broker returns at least the whole first batch (KIP-74), which is all that is wanted.
const ONE_BATCH: i32 = 1;
/// A broker over its quota answers with nothing (KIP-219): how often to ask again, and after what pause.
const EMPTY_ANSWERS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Outcome of [`record_at`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The record.
    Record(Record),
    /// The log reaches over the offset, and there is no record at it (any more).
    Gone,
    /// What is there is damaged, or of a format this cannot read.
    Unreadable(String),
}

/// The record at `offset` of `partition`. Reads uncommitted: whoever asks knows the record to be committed.
///
/// # Errors
/// Transient when the partition's leader does not answer.
pub(crate) async fn record_at(cluster: &Cluster, partition: &TopicPartition, offset: i64) -> Result<Found> {
    let position = FetchPosition { partition: partition.clone(), offset, max_bytes: ONE_BATCH };
    for _ in 0..EMPTY_ANSWERS {
        let fetched = match fetch(cluster, &position, Isolation::ReadUncommitted).await {
            Ok(fetched) => fetched,
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => return Ok(Found::Gone),
            Err(error) if error.code() == Some(Code::CorruptMessage) => {
                return Ok(Found::Unreadable(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        if !fetched.records.is_empty() {
            return Ok(pick(fetched.records, offset));
        }
        if offset >= fetched.high_watermark {
            return Ok(Found::Gone);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::transient("the broker answers without records").at(partition).at_offset(offset))
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

/// The record at `offset` out of a record set.
fn pick(records: Bytes, offset: i64) -> Found {
    for entry in batch::entries(records) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Found::Unreadable(error.to_string()),
        };
        if entry.next_offset() <= offset {
            continue;
        }
        let decoded = entry.verify_crc().and_then(|()| match &entry {
            Entry::Batch(batch) if batch.header().is_control() => Ok(Vec::new()),
            Entry::Batch(batch) => batch.decode(DecodeLimit::default()),
            Entry::Old(message) => message.decode(DecodeLimit::default()),
        });
        return match decoded {
            Ok(records) => {
                records.into_iter().find(|record| record.offset == offset).map_or(Found::Gone, Found::Record)
            }
            Err(error) => Found::Unreadable(error.to_string()),
        };
    }
    Found::Gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Stamp, encode, reencode};

    fn batch(base: i64, values: &[&'static str]) -> kafka::batch::RawBatch {
        let record = |value: &&'static str| Record { value: Some(Bytes::from(*value)), ..Record::default() };
        encode(&values.iter().map(record).collect::<Vec<_>>(), Codec::Zstd, Stamp::NONE, base).unwrap()
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
        for gone in [4, 7, 8, 10] {
            assert_eq!(pick(log.clone(), gone), Found::Gone, "{gone}");
        }
    }

    #[test]
    fn a_damaged_batch_is_unreadable_and_not_gone() {
        let mut bytes = batch(0, &["a"]).into_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(pick(bytes.into(), 0), Found::Unreadable(_)));
    }

    #[test]
    fn a_compacted_batch_has_holes() {
        let kept = reencode(&batch(0, &["a", "b", "c"]), 2.., Stamp::NONE, DecodeLimit::default()).unwrap().unwrap();
        let log = kept.batch.into_bytes();
        assert_eq!(pick(log.clone(), 1), Found::Gone);
        assert_eq!(value(&pick(log, 2)), Some(&b"c"[..]));
    }
}
