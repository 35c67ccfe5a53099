//! Reads a stretch of one partition, batch by batch.

use std::time::Duration;

use kafka::batch::{AbortedFilter, BatchError, Entry, entries};
use kafka::{Cluster, FetchOptions, FetchPosition, Isolation};
use migration::{Error, Result, TopicPartition};

/// Bytes of one answer. One whole batch comes even if it is larger.
const ANSWER_BYTES: i32 = 1 << 20;

/// Answers in a row without anything new, after which the reading is given up.
const IDLE_ANSWERS: u32 = 10;

/// Gives `take` every batch of `partition` from `from` on up to where the log ended when it was read first, without those of aborted
/// transactions where it is read committed. It ends early when `take` says so. Returns the offset that was reached.
///
/// # Errors
/// Those of the fetches; Transient when the cluster answers with nothing; Unsafe for a batch that cannot be read.
pub(super) async fn walk(
    cluster: &Cluster,
    partition: &TopicPartition,
    from: i64,
    isolation: Isolation,
    mut take: impl FnMut(&Entry) -> Result<bool, BatchError>,
) -> Result<i64> {
    let options = FetchOptions { max_wait: Duration::ZERO, min_bytes: 0, max_bytes: ANSWER_BYTES, isolation };
    let damaged = |error: BatchError, at| Error::data_unsafe(error.to_string()).at(partition).at_offset(at);
    let (mut offset, mut until, mut idle) = (from, None, 0);
    loop {
        let position = FetchPosition { partition: partition.clone(), offset, max_bytes: ANSWER_BYTES };
        let Some((_, fetched)) = cluster.fetch_retrying(&[position], &options).await.pop() else { return Ok(offset) };
        let fetched = fetched?;
        let until = *until.get_or_insert(match isolation {
            Isolation::ReadCommitted => fetched.last_stable_offset,
            Isolation::ReadUncommitted => fetched.high_watermark,
        });
        let before = offset;
        let mut aborted = AbortedFilter::new(fetched.aborted);
        for entry in entries(fetched.records) {
            let entry = entry.map_err(|error| damaged(error, offset))?;
            let is_left_out = match &entry {
                Entry::Batch(batch) if isolation == Isolation::ReadCommitted => {
                    aborted.is_aborted(batch).map_err(|error| damaged(error, offset))?
                }
                _ => false,
            };
            // The first batch may begin before what was asked for.
            let is_new = entry.next_offset() > before;
            if is_new && !is_left_out && !take(&entry).map_err(|error| damaged(error, offset))? {
                return Ok(entry.next_offset());
            }
            offset = offset.max(entry.next_offset());
        }
        if offset >= until {
            return Ok(offset);
        }
        idle = if offset == before { idle + 1 } else { 0 };
        if idle == IDLE_ANSWERS {
            return Err(Error::transient("the broker answers without records").at(partition).at_offset(offset));
        }
    }
}
