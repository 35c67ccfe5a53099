//! Reads the committed records of a stretch of a log.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use kafka::batch::{self, AbortedFilter, BatchError, DecodeLimit, Entry, RecordView};
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
    mut each: impl FnMut(&RecordView<'_>) -> bool + Send,
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
        let read = committed(fetched, &(next..to), &mut each);
        let (wants_more, end) = read.map_err(|error| damaged(&error, partition, next))?;
        if !wants_more {
            return Ok(false);
        }
        next = next.max(end.unwrap_or(next));
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

/// Gives `each` the committed records at `offsets` of what was fetched, until it says that it needs no more: whether it did not. And
/// the offset behind the last batch that was read.
fn committed(
    fetched: Fetched,
    offsets: &Range<i64>,
    each: &mut (impl FnMut(&RecordView<'_>) -> bool + Send),
) -> Result<(bool, Option<i64>), BatchError> {
    let (mut aborted, mut end) = (AbortedFilter::new(fetched.aborted), None);
    for entry in batch::entries(fetched.records) {
        let entry = entry?;
        entry.verify_crc()?;
        let is_skipped = match &entry {
            Entry::Batch(batch) => aborted.is_aborted(batch)? || batch.header().is_control(),
            Entry::Old(_) => false,
        };
        let mut wants_more = true;
        if !is_skipped {
            entry.visit(DecodeLimit::default(), |record| {
                wants_more = !offsets.contains(&record.offset) || each(record);
                if wants_more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        end = Some(entry.next_offset());
        if !wants_more {
            return Ok((false, end));
        }
    }
    Ok((true, end))
}
