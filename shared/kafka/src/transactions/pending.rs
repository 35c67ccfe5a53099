//! The offsets of groups that an open transaction is about to commit, read where its coordinator keeps them.

use std::time::Duration;

use bytes::Buf;
use migration::TopicPartition;

use super::OpenTransaction;
use crate::batch::{DecodeLimit, split};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::fetch::{FetchOptions, FetchPosition, Isolation};

/// Most bytes of one answer.
const ANSWER_BYTES: i32 = 4 << 20;

impl Cluster {
    /// The groups and partitions for which `transaction` has committed offsets that count when it is committed. Nothing for one
    /// that has only announced that it will.
    ///
    /// # Errors
    /// [`TopicAuthorizationFailed`](crate::Code::TopicAuthorizationFailed) when this client may not read `__consumer_offsets`.
    pub async fn pending_offsets(&self, transaction: &OpenTransaction) -> Result<Vec<(String, TopicPartition)>> {
        let mut pending = Vec::new();
        let Some(mut offset) = transaction.start_offset else { return Ok(pending) };
        let isolation = Isolation::ReadUncommitted;
        let options = FetchOptions { max_wait: Duration::ZERO, min_bytes: 0, max_bytes: ANSWER_BYTES, isolation };
        loop {
            let partition = transaction.partition.clone();
            let position = FetchPosition { partition: partition.clone(), offset, max_bytes: ANSWER_BYTES };
            let fetched = self.fetch_retrying(&[position], &options).await.pop();
            let (_, fetched) = fetched.ok_or(Error::NoLeader { partition })?;
            let fetched = fetched?;
            let before = offset;
            for batch in split(fetched.records) {
                let batch = batch.map_err(|error| unreadable(&transaction.partition, &error))?;
                offset = offset.max(batch.header().next_offset());
                if batch.header().producer_id != transaction.producer_id || batch.header().is_control() {
                    continue;
                }
                let records = batch.decode(DecodeLimit::default());
                let records = records.map_err(|error| unreadable(&transaction.partition, &error))?;
                pending.extend(records.iter().filter_map(|record| offset_key(record.key.as_deref()?)));
            }
            if offset >= fetched.high_watermark || offset == before {
                pending.sort_unstable();
                pending.dedup();
                return Ok(pending);
            }
        }
    }
}

fn unreadable(partition: &TopicPartition, error: &crate::batch::BatchError) -> Error {
    Error::Protocol { broker: "a broker".into(), message: format!("a batch of {partition} cannot be read: {error}") }
}

/// Group and partition in the key of a record of `__consumer_offsets`, if it is about an offset (`OffsetCommitKey`, v0 and v1).
fn offset_key(mut key: &[u8]) -> Option<(String, TopicPartition)> {
    if !matches!(key.try_get_i16().ok()?, 0 | 1) {
        return None;
    }
    let group = text(&mut key)?;
    let topic = text(&mut key)?;
    Some((group, TopicPartition::new(topic, key.try_get_i32().ok()?)))
}

fn text(key: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(key.try_get_i16().ok()?).ok()?;
    let text = String::from_utf8(key.get(..length)?.to_vec()).ok()?;
    key.advance(length);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_and_partition_are_read_from_the_key_of_an_offset_alone() {
        let key = |version: u8| {
            let mut key = vec![0, version, 0, 7];
            key.extend_from_slice(b"billing");
            key.extend_from_slice(&[0, 1, b't', 0, 0, 0, 9]);
            key
        };
        assert_eq!(offset_key(&key(1)), Some(("billing".to_owned(), TopicPartition::new("t", 9))));
        assert_eq!(offset_key(&key(2)), None, "the group itself");
        for end in 0..key(1).len() {
            assert_eq!(offset_key(&key(1)[..end]), None, "{end}");
        }
    }
}
