//! Reads the committed records of a stretch of a log.

use std::time::Duration;

use kafka::batch::{self, AbortedFilter, BatchError, DecodeLimit, Entry, Record};
use kafka::{Code, FetchOptions, FetchPosition, Fetched, Isolation, TopicPartition};
use migration::{Error, Result};

use crate::ports::{Source, Target};

/// Bytes of one answer. It is decoded at once, between two looks at what the tail has to do.
const ANSWER_BYTES: i32 = 1024 * 1024;

/// How long a broker may gather an answer.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Answers without records, one after the other, after which a reading gives up for now: brokers over a quota give such answers
/// (KIP-219), and those that get records out of tiered storage.
const EMPTY_ANSWERS: u32 = 20;

/// Failures that pass, one after the other, after which it does so too.
const FAILURES: u32 = 200;

/// Pause after one.
const PAUSE: Duration = Duration::from_millis(300);

/// A log that can be read.
pub(super) trait Log: Sync {
    /// Forgets which broker leads which partition.
    fn invalidate(&self);

    /// Reads once, without repeats.
    fn fetch(&self, position: FetchPosition) -> impl Future<Output = kafka::Result<Fetched>> + Send;
}

/// A log of the source.
pub(super) struct OnSource<'a, S>(pub(super) &'a S);

/// A log of the target.
pub(super) struct OnTarget<'a, T>(pub(super) &'a T);

impl<S: Source> Log for OnSource<'_, S> {
    fn invalidate(&self) {
        self.0.invalidate();
    }

    async fn fetch(&self, position: FetchPosition) -> kafka::Result<Fetched> {
        let partition = position.partition.clone();
        only(self.0.fetch(&[position], &options()).await.pop(), partition)
    }
}

impl<T: Target> Log for OnTarget<'_, T> {
    fn invalidate(&self) {
        self.0.invalidate();
    }

    async fn fetch(&self, position: FetchPosition) -> kafka::Result<Fetched> {
        let partition = position.partition.clone();
        only(self.0.fetch(&[position], &options()).await.pop(), partition)
    }
}

fn only(answer: Option<(TopicPartition, kafka::Result<Fetched>)>, partition: TopicPartition) -> kafka::Result<Fetched> {
    answer.map_or_else(|| Err(kafka::Error::NoLeader { partition }), |(_, fetched)| fetched)
}

fn options() -> FetchOptions {
    FetchOptions { max_wait: MAX_WAIT, min_bytes: 1, max_bytes: ANSWER_BYTES, isolation: Isolation::ReadCommitted }
}

/// Gives `each` the committed records of `partition` from offset `from` to before `to`, until it says that it needs no more;
/// whether it was given all of them.
///
/// # Errors
/// Transient when the log cannot be read now, Unsafe when what is read is damaged; otherwise what the broker gives.
pub(super) async fn each_record<L: Log>(
    log: &L,
    partition: &TopicPartition,
    from: i64,
    to: i64,
    mut each: impl FnMut(&Record) -> bool + Send,
) -> Result<bool> {
    let (mut next, mut empty, mut failures) = (from, 0, 0);
    while next < to {
        let position = FetchPosition { partition: partition.clone(), offset: next, max_bytes: ANSWER_BYTES };
        let fetched = match log.fetch(position).await {
            Ok(fetched) if fetched.log_start > next => {
                next = fetched.log_start;
                continue;
            }
            Ok(fetched) => fetched,
            // The log starts later by now. A log that ends earlier gives the same.
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                return Err(
                    Error::transient(format_args!("the log does not begin at offset {next} any more")).at(partition)
                );
            }
            Err(error) if error.is_retryable() && failures < FAILURES => {
                failures += 1;
                log.invalidate();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let (before, stable) = (next, fetched.last_stable_offset);
        for found in records(fetched) {
            let (records, end) = found.map_err(|error| damaged(&error, partition, next))?;
            for record in records.iter().filter(|record| (next..to).contains(&record.offset)) {
                if !each(record) {
                    return Ok(false);
                }
            }
            next = next.max(end);
        }
        match next > before {
            true => (empty, failures) = (0, 0),
            // Compaction can remove the end of a stretch.
            false if empty == EMPTY_ANSWERS && stable >= to => return Ok(true),
            false if empty == EMPTY_ANSWERS => {
                return Err(Error::transient("the broker answers without records").at(partition).at_offset(next));
            }
            false => {
                empty += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(true)
}

fn damaged(error: &BatchError, partition: &TopicPartition, offset: i64) -> Error {
    Error::data_unsafe(format_args!("records cannot be read: {error}")).at(partition).at_offset(offset)
}

/// The committed records of each batch, and the offset behind it.
fn records(fetched: Fetched) -> impl Iterator<Item = Result<(Vec<Record>, i64), BatchError>> + Send {
    let mut aborted = AbortedFilter::new(fetched.aborted);
    batch::entries(fetched.records).map(move |entry| {
        let entry = entry?;
        entry.verify_crc()?;
        let records = match &entry {
            Entry::Batch(batch) if aborted.is_aborted(batch)? || batch.header().is_control() => Vec::new(),
            Entry::Batch(batch) => batch.decode(DecodeLimit::default())?,
            Entry::Old(message) => message.decode(DecodeLimit::default())?,
        };
        Ok((records, entry.next_offset()))
    })
}
