//! What was written to partitions behind an offset, by the headers of batches alone.

use std::time::Duration;

use migration::TopicPartition;

use crate::batch::{Entry, entries};
use crate::cluster::Cluster;
use crate::error::{Each, Error, Result};
use crate::fetch::{FetchOptions, FetchPosition, Fetched, Isolation};
use crate::produce::ProducerIdentity;
use crate::spread::{Outcomes, complete};

/// Bytes of a partition that the first request asks for: what usually lies behind an end is a marker or nothing.
const FIRST_BYTES: i32 = 4 << 10;
/// Bytes of a partition that later requests ask for.
const NEXT_BYTES: i32 = 1 << 20;
/// Bytes of one answer.
const ANSWER_BYTES: i32 = 16 << 20;

/// A batch that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset behind its last record.
    pub next_offset: i64,
    /// Records in it; 1 for a transaction marker.
    pub records: i64,
    /// Whether it is a transaction marker, which no consumer sees.
    pub is_control: bool,
    /// Who wrote it, when an idempotent producer did.
    pub producer: Option<ProducerIdentity>,
    /// Its largest timestamp, in milliseconds since 1970; -1 for a message without one.
    pub timestamp: i64,
}

impl Cluster {
    /// The batches of each partition from an offset on up to its end (read uncommitted), oldest first, and at most about `most` of
    /// a partition.
    ///
    /// # Errors
    /// Those of [`Cluster::fetch`]; [`OffsetOutOfRange`](crate::Code::OffsetOutOfRange) when the log does not have the offset.
    pub async fn written_since(
        &self,
        from: &[(TopicPartition, i64)],
        most: usize,
    ) -> Each<TopicPartition, Vec<WrittenBatch>> {
        let keys: Vec<_> = from.iter().map(|(partition, _)| partition.clone()).collect();
        let begin = |(partition, offset): &(TopicPartition, i64)| Reading {
            position: FetchPosition { partition: partition.clone(), offset: *offset, max_bytes: FIRST_BYTES },
            written: Vec::new(),
        };
        let mut open: Vec<_> = from.iter().map(begin).collect();
        let mut outcomes = Outcomes::new();
        let options = FetchOptions {
            max_wait: Duration::ZERO,
            min_bytes: 0,
            max_bytes: ANSWER_BYTES,
            isolation: Isolation::ReadUncommitted,
        };
        while !open.is_empty() {
            let positions: Vec<_> = open.iter().map(|reading| reading.position.clone()).collect();
            let fetched = self.fetch_retrying(&positions, &options).await;
            let mut further = Vec::new();
            for (mut reading, (partition, fetched)) in open.into_iter().zip(fetched) {
                match fetched.and_then(|fetched| reading.take(fetched)) {
                    Ok(is_whole) if is_whole || reading.written.len() >= most => {
                        outcomes.insert(partition, Ok(reading.written));
                    }
                    Ok(_) => further.push(reading),
                    Err(error) => _ = outcomes.insert(partition, Err(error)),
                }
            }
            open = further;
        }
        complete(keys, Ok(outcomes))
    }
}

/// What was read of one partition.
struct Reading {
    position: FetchPosition,
    written: Vec<WrittenBatch>,
}

impl Reading {
    /// Takes an answer. Whether it reached the end of the log.
    fn take(&mut self, fetched: Fetched) -> Result<bool> {
        let end = fetched.high_watermark;
        let from = self.position.offset;
        for entry in entries(fetched.records) {
            let batch = written(&entry.map_err(|error| self.unreadable(&error))?);
            self.position.offset = self.position.offset.max(batch.next_offset);
            // A batch may begin before the offset that was asked for.
            if batch.next_offset > from {
                self.written.push(batch);
            }
        }
        if self.position.offset == from {
            // Not even one batch fitted.
            self.position.max_bytes = self.position.max_bytes.saturating_mul(4).max(NEXT_BYTES);
        } else {
            self.position.max_bytes = self.position.max_bytes.max(NEXT_BYTES);
        }
        Ok(self.position.offset >= end)
    }

    fn unreadable(&self, error: &crate::batch::BatchError) -> Error {
        let message = format!("a batch of {} cannot be read: {error}", self.position.partition);
        Error::Protocol { broker: "a broker".into(), message }
    }
}

fn written(entry: &Entry) -> WrittenBatch {
    match entry {
        Entry::Batch(batch) => {
            let header = batch.header();
            let producer = ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
            WrittenBatch {
                base_offset: header.base_offset,
                next_offset: header.next_offset(),
                records: i64::from(header.records_count),
                is_control: header.is_control(),
                producer: Some(producer).filter(|producer| producer.id >= 0),
                timestamp: header.max_timestamp,
            }
        }
        Entry::Old(message) => WrittenBatch {
            base_offset: message.offset(),
            next_offset: message.offset() + 1,
            records: 1,
            is_control: false,
            producer: None,
            timestamp: -1,
        },
    }
}
