//! Reads slices from the source, many partitions at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use journal::{Position, ProducerId};
use kafka::{
    Cluster, Code, ConfigEntry, Each, FetchOptions, FetchPosition, Fetched, Isolation, OffsetSpec, TopicPartition,
};
use migration::Error;

use crate::slice::Slice;

/// Most bytes of one partition in one fetch. The broker sends a whole batch even when it is larger.
const PARTITION_MAX_BYTES: i32 = 4 * 1024 * 1024;

/// Most bytes of one fetch response.
const FETCH_MAX_BYTES: i32 = 24 * 1024 * 1024;

/// Most bytes of one fetch from all brokers together, since all of them answer at once and several fetches are in memory.
const FETCH_TOTAL_BYTES: i32 = 72 * 1024 * 1024;

/// How long the source gathers new records before it answers.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// Bytes that are worth an answer before that while following. Every round costs an object and a write for each of its
/// partitions, so a trickle is gathered and a stream is not held up.
const FOLLOW_MIN_BYTES: i32 = 256 * 1024;

/// Pause after a fetch that failed everywhere: such failures may come at once, and would be repeated without end.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the source holds a fetch of what it may have to get from tiered storage.
const TIERED_WAIT: Duration = Duration::from_secs(5);

/// Partitions of one fetch that are asked for alone when they came back empty although records are there.
const PROBES: usize = 8;

/// The source side of a copy: where each partition stands, ahead of what is stored.
#[derive(Debug)]
pub struct Reader {
    source: Cluster,
    producer: ProducerId,
    positions: BTreeMap<TopicPartition, Position>,
    /// Moves the front of the fetch on, so that no partition is always served last.
    turn: usize,
    /// Bytes that are worth an answer.
    min_bytes: i32,
    /// Topics of which it is known whether they have records in tiered storage.
    tiered: BTreeMap<Arc<str>, bool>,
}

impl Reader {
    /// A reader that goes on at `positions` and takes whatever is there.
    pub fn new(source: Cluster, producer: ProducerId, positions: BTreeMap<TopicPartition, Position>) -> Self {
        Self { source, producer, positions, turn: 0, min_bytes: 1, tiered: BTreeMap::new() }
    }

    /// A reader that follows new records and has them gathered for a moment.
    #[must_use]
    pub const fn following(mut self) -> Self {
        self.min_bytes = FOLLOW_MIN_BYTES;
        self
    }

    /// Where `partition` stands; nowhere once it met a fault.
    pub fn position(&self, partition: &TopicPartition) -> Option<Position> {
        self.positions.get(partition).copied()
    }

    /// Fetches once for `partitions` and moves their positions on. Waits up to a quarter of a
    /// second for new records. A slice may be of no length, and may carry the fault that ends its
    /// partition.
    pub async fn read(&mut self, partitions: &[TopicPartition]) -> Vec<Slice> {
        let mut wanted: Vec<_> = partitions.iter().filter_map(|partition| self.wanted(partition)).collect();
        if !wanted.is_empty() {
            let front = self.turn % wanted.len();
            wanted.rotate_left(front);
            self.turn += 1;
        }
        let brokers = self.source.brokers().await.map_or(1, |brokers| brokers.len());
        let fetched = self.source.fetch(&wanted, &options(MAX_WAIT, self.min_bytes, brokers)).await;
        if fetched.iter().all(|(_, result)| result.is_err()) {
            tokio::time::sleep(PAUSE).await;
        }
        let mut slices = Vec::with_capacity(fetched.len());
        let mut probes = PROBES;
        for (partition, mut result) in fetched {
            let Some(position) = self.position(&partition) else { continue };
            let starved =
                |fetched: &Fetched| fetched.records.is_empty() && fetched.last_stable_offset > position.source_next;
            let mut proof = false;
            if result.as_ref().is_ok_and(starved) && probes > 0 {
                probes -= 1;
                (result, proof) = match self.is_tiered(&partition.topic).await {
                    Ok(false) => (self.probe(&partition, Duration::ZERO).await, true),
                    Ok(true) => (self.probe(&partition, TIERED_WAIT).await, false),
                    Err(error) => (Err(error), false),
                };
            }
            if let Some(slice) = self.slice(&partition, position, result, proof).await {
                match slice.fault {
                    None => self.positions.insert(partition, slice.to),
                    Some(_) => self.positions.remove(&partition),
                };
                slices.push(slice);
            }
        }
        slices
    }

    fn wanted(&self, partition: &TopicPartition) -> Option<FetchPosition> {
        let offset = self.position(partition)?.source_next;
        Some(FetchPosition { partition: partition.clone(), offset, max_bytes: PARTITION_MAX_BYTES })
    }

    /// Whether `topic` has records in tiered storage (KIP-405). A broker that did not get them in time answers with none,
    /// and without an error (`DelayedRemoteFetch.onComplete`); so an empty answer says nothing there.
    async fn is_tiered(&mut self, topic: &Arc<str>) -> kafka::Result<bool> {
        if let Some(known) = self.tiered.get(topic) {
            return Ok(*known);
        }
        let configs = kafka::all_ok(self.source.topic_configs(std::slice::from_ref(topic)).await)?;
        let tiered = configs.values().flatten().any(is_remote_storage);
        self.tiered.insert(topic.clone(), tiered);
        Ok(tiered)
    }

    /// Fetches `partition` alone, so that an empty answer means that there is nothing up to the last stable offset, unless
    /// its topic is tiered.
    async fn probe(&self, partition: &TopicPartition, max_wait: Duration) -> kafka::Result<Fetched> {
        let wanted: Vec<_> = self.wanted(partition).into_iter().collect();
        let answer: Each<_, _> = self.source.fetch(&wanted, &options(max_wait, 1, 1)).await;
        let none = || kafka::Error::NoLeader { partition: partition.clone() };
        answer.into_iter().next().map_or_else(|| Err(none()), |(_, result)| result)
    }

    /// Makes a slice of a fetch result. `None` when the fault passes: the next read tries again. `proof` says that an empty
    /// result proves that there is nothing up to the last stable offset.
    async fn slice(
        &self,
        partition: &TopicPartition,
        from: Position,
        result: kafka::Result<Fetched>,
        proof: bool,
    ) -> Option<Slice> {
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                return self.out_of_range(partition, from).await;
            }
            Err(error) if error.is_retryable() => {
                tracing::debug!(%partition, %error, "fetch will be repeated");
                self.source.invalidate();
                return None;
            }
            Err(error) => return Some(faulted(partition, from, Error::from(error))),
        };
        let nothing_left = proof && fetched.records.is_empty();
        let mut slice = Slice::at(partition.clone(), from, fetched.last_stable_offset);
        slice.fault = slice.append(fetched, self.producer).err();
        if nothing_left {
            // Compaction can remove the end of a log; the offsets up to the last stable one hold nothing.
            slice.to.source_next = slice.to.source_next.max(slice.source_end);
        }
        Some(slice)
    }

    /// The log no longer begins where the copy stands. Before the first record that is how retention works; later it is
    /// a loss.
    async fn out_of_range(&self, partition: &TopicPartition, from: Position) -> Option<Slice> {
        let mut starts = self.source.list_offsets(std::slice::from_ref(partition), OffsetSpec::Earliest).await;
        let start = match starts.pop()?.1 {
            Ok(start) => start,
            Err(error) if error.is_retryable() => return None,
            Err(error) => return Some(faulted(partition, from, Error::from(error))),
        };
        if from.target_next > 0 || start < from.source_next {
            let message = format!(
                "the source's log now starts at {start}, so records before it are gone and were not copied; \
                 raise the topic's retention on the source, then start a new migration of it"
            );
            return Some(faulted(partition, from, Error::data_unsafe(message)));
        }
        tracing::info!(%partition, from = from.source_next, to = start, "the log start moved before the copy began");
        let mut slice = Slice::at(partition.clone(), from, start);
        slice.to.source_next = start;
        Some(slice)
    }
}

fn faulted(partition: &TopicPartition, from: Position, fault: Error) -> Slice {
    let mut slice = Slice::at(partition.clone(), from, from.source_next);
    slice.fault = Some(fault.at(partition).at_offset(from.source_next));
    slice
}

fn is_remote_storage(config: &ConfigEntry) -> bool {
    config.name == "remote.storage.enable" && config.value.as_deref() == Some("true")
}

/// Options of a fetch that up to `brokers` brokers answer.
fn options(max_wait: Duration, min_bytes: i32, brokers: usize) -> FetchOptions {
    let share = FETCH_TOTAL_BYTES / i32::try_from(brokers.max(1)).unwrap_or(i32::MAX);
    // Never 0: a broker sends a first whole batch of any size, but only if it may send something.
    let max_bytes = share.clamp(1024 * 1024, FETCH_MAX_BYTES);
    FetchOptions { max_wait, min_bytes, max_bytes, isolation: Isolation::ReadCommitted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_brokers_send_at_once_is_bounded() {
        let max_bytes = |brokers| options(MAX_WAIT, 1, brokers).max_bytes;
        assert_eq!((max_bytes(1), max_bytes(3)), (FETCH_MAX_BYTES, FETCH_MAX_BYTES));
        assert!((1..=FETCH_TOTAL_BYTES / 30).contains(&max_bytes(30)));
        assert!(max_bytes(500) > 0);
    }
}
