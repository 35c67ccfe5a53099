//! Reads slices from the source, many partitions at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use journal::{Position, ProducerId};
use kafka::{Code, ConfigEntry, FetchOptions, FetchPosition, Fetched, Isolation, OffsetSpec, TopicPartition};
use migration::{Error, Result};
use tokio::time::Instant;

pub use self::gap::GapRule;
use crate::ports::Source;
use crate::slice::{MAX_BATCH_BYTES, Slice};

mod gap;

/// Least bytes of one partition that a fetch asks for; a batch is a megabyte by default. The broker sends a whole batch
/// even when it is larger.
const PARTITION_MIN_BYTES: usize = 1024 * 1024;

/// Most bytes of one partition that a fetch asks for.
const PARTITION_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Least bytes that one broker is asked for. Never 0: it sends a first whole batch of any size, but only if it may send
/// something.
const BROKER_MIN_BYTES: usize = 1024 * 1024;

/// How long the source gathers new records before it answers.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// Bytes that are worth an answer before that while following. Every round costs an object and a write for each of its
/// partitions, so a trickle is gathered and a stream is not held up.
const FOLLOW_MIN_BYTES: i32 = 256 * 1024;

/// Bytes of an answer to someone who is behind: what is left then is worth an answer whatever its size, so that the end of
/// a burst is not waited for.
const BEHIND_BYTES: usize = 4 * 1024 * 1024;

/// Pause after a fetch that failed everywhere: such failures may come at once, and would be repeated without end.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the source holds a fetch of what it may have to get from tiered storage.
const TIERED_WAIT: Duration = Duration::from_secs(5);

/// Partitions of one fetch that are asked for alone when they came back empty although records are there.
const PROBES: usize = 8;

/// What an operator can do about a topic that is gone.
pub const TOPIC_DELETED: &str = "the topic was deleted on the source after the migration had begun; resume with topology.on_topic_deleted: leave_out to \
     go on without it (the target keeps what was copied), or roll back and start a new migration";

/// How long a partition is looked for before the source is asked whether its topic is still there: metadata is late when
/// brokers start or leaders change.
const LOST_FOR: Duration = Duration::from_secs(10);

/// The source side of a copy: where each partition stands, ahead of what is stored.
#[derive(Debug)]
pub struct Reader<'a, S> {
    source: &'a S,
    producer: ProducerId,
    positions: BTreeMap<TopicPartition, Position>,
    /// Moves the front of the fetch on, so that no partition is always served last.
    turn: usize,
    /// Bytes that are worth an answer.
    min_bytes: i32,
    /// Bytes of the last answer.
    answered: usize,
    /// Topics of which it is known whether they have records in tiered storage.
    tiered: BTreeMap<Arc<str>, bool>,
    /// Partitions that the source does not find, and since when.
    lost: BTreeMap<TopicPartition, Instant>,
    /// Topics that were deleted.
    deleted: BTreeSet<Arc<str>>,
    /// The most bytes of a batch that a topic of the target takes.
    limits: BTreeMap<Arc<str>, usize>,
    /// Which topics go on behind what was deleted.
    gaps: GapRule,
    /// The first passing fault of the last read.
    trouble: Option<Error>,
}

impl<'a, S: Source> Reader<'a, S> {
    /// A reader that goes on at `positions` and takes whatever is there.
    pub fn new(source: &'a S, producer: ProducerId, positions: BTreeMap<TopicPartition, Position>) -> Self {
        Self {
            source,
            producer,
            positions,
            turn: 0,
            min_bytes: 1,
            answered: 0,
            tiered: BTreeMap::new(),
            lost: BTreeMap::new(),
            deleted: BTreeSet::new(),
            limits: BTreeMap::new(),
            gaps: GapRule::stop(),
            trouble: None,
        }
    }

    /// A reader that goes on behind deleted records as `rule` says.
    #[must_use]
    pub fn recording_gaps(mut self, rule: GapRule) -> Self {
        self.gaps = rule;
        self
    }

    /// A reader that makes no batches larger than the target's topics take, in bytes.
    #[must_use]
    pub fn within(mut self, limits: BTreeMap<Arc<str>, usize>) -> Self {
        self.limits = limits;
        self
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

    /// Whether the last answer was so large that there is more to read now.
    pub const fn is_behind(&self) -> bool {
        self.answered >= BEHIND_BYTES
    }

    /// Ends `partition` because of `fault`; nothing when it has ended.
    pub fn stop(&mut self, partition: &TopicPartition, fault: Error) -> Option<Slice> {
        let position = self.positions.remove(partition)?;
        let mut slice = Slice::at(partition.clone(), position, position.source_next);
        slice.fault = Some(fault);
        Some(slice)
    }

    /// Fetches once for `partitions`, about `max_bytes` in all, and moves their positions on. Waits up to a quarter of a
    /// second for new records. A slice may be of no length, and may carry the fault that ends its partition.
    ///
    /// # Errors
    /// Blocked when a broker refuses this client, which is no partition's fault.
    pub async fn read(&mut self, partitions: &[TopicPartition], max_bytes: usize) -> Result<Vec<Slice>> {
        let share = max_bytes / partitions.len().max(1);
        let mut wanted: Vec<_> = partitions.iter().filter_map(|partition| self.wanted(partition, share)).collect();
        if !wanted.is_empty() {
            let front = self.turn % wanted.len();
            wanted.rotate_left(front);
            self.turn += 1;
        }
        // All brokers answer at once.
        let broker_max = (max_bytes / self.source.size().await.max(1)).max(BROKER_MIN_BYTES);
        let min_bytes = if self.answered < BEHIND_BYTES { self.min_bytes } else { 1 };
        let fetched = self.source.fetch(&wanted, &options(MAX_WAIT, min_bytes, broker_max)).await;
        self.answered =
            fetched.iter().filter_map(|(_, result)| result.as_ref().ok()).map(|one| one.records.len()).sum();
        if fetched.iter().all(|(_, result)| result.is_err()) {
            tokio::time::sleep(PAUSE).await;
        }
        let mut slices = Vec::with_capacity(fetched.len());
        let mut probes = PROBES;
        self.trouble = None;
        for (partition, mut result) in fetched {
            let Some(position) = self.position(&partition) else { continue };
            self.note_trouble(&partition, result.as_ref().err());
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
            let slice = match self.is_deleted(&partition, result.as_ref().err()).await {
                true => Some(faulted(&partition, position, Error::blocked(TOPIC_DELETED))),
                false => self.slice(&partition, position, result, proof).await?,
            };
            if let Some(slice) = slice {
                match slice.fault {
                    None => self.positions.insert(partition, slice.to),
                    Some(_) => self.positions.remove(&partition),
                };
                slices.push(slice);
            }
        }
        Ok(slices)
    }

    /// The first passing fault of the last read, if it met one: what it is about will be read again.
    pub const fn take_trouble(&mut self) -> Option<Error> {
        self.trouble.take()
    }

    /// Where to read `partition`, at most `share` bytes if that is sensible.
    fn wanted(&self, partition: &TopicPartition, share: usize) -> Option<FetchPosition> {
        let offset = self.position(partition)?.source_next;
        let max_bytes = wire_size(share.clamp(PARTITION_MIN_BYTES, PARTITION_MAX_BYTES));
        Some(FetchPosition { partition: partition.clone(), offset, max_bytes })
    }

    fn note_trouble(&mut self, partition: &TopicPartition, error: Option<&kafka::Error>) {
        if let (None, Some(error)) = (&self.trouble, error.filter(|error| error.is_retryable())) {
            self.trouble = Some(Error::from(error.clone()).at(partition));
        }
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

    /// Whether the partition's topic is gone for good: the source has not found the partition for a while, and when it is
    /// asked for the topic itself, with repeats, does not know it.
    async fn is_deleted(&mut self, partition: &TopicPartition, error: Option<&kafka::Error>) -> bool {
        if !error.is_some_and(is_not_found) {
            self.lost.remove(partition);
            return false;
        }
        let since = *self.lost.entry(partition.clone()).or_insert_with(Instant::now);
        if since.elapsed() < LOST_FOR {
            return false;
        }
        if !self.deleted.contains(&partition.topic) {
            let mut topic = self.source.topic_configs(std::slice::from_ref(&partition.topic)).await;
            match topic.pop() {
                Some((topic, Err(error))) if error.code() == Some(Code::UnknownTopicOrPartition) => {
                    self.deleted.insert(topic);
                }
                _ => drop(self.lost.insert(partition.clone(), Instant::now())),
            }
        }
        self.deleted.contains(&partition.topic)
    }

    /// Fetches `partition` alone, so that an empty answer means that there is nothing up to the last stable offset, unless
    /// its topic is tiered.
    async fn probe(&self, partition: &TopicPartition, max_wait: Duration) -> kafka::Result<Fetched> {
        let wanted: Vec<_> = self.wanted(partition, PARTITION_MIN_BYTES).into_iter().collect();
        let answer = self.source.fetch(&wanted, &options(max_wait, 1, PARTITION_MIN_BYTES)).await;
        let none = || kafka::Error::NoLeader { partition: partition.clone() };
        answer.into_iter().next().map_or_else(|| Err(none()), |(_, result)| result)
    }

    /// Makes a slice of a fetch result. `None` when the fault passes: the next read tries again. `proof` says that an empty
    /// result proves that there is nothing up to the last stable offset.
    ///
    /// # Errors
    /// As [`Reader::read`].
    async fn slice(
        &self,
        partition: &TopicPartition,
        from: Position,
        result: kafka::Result<Fetched>,
        proof: bool,
    ) -> Result<Option<Slice>> {
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                return self.out_of_range(partition, from).await;
            }
            Err(error) if error.is_retryable() => {
                tracing::debug!(%partition, %error, "fetch will be repeated");
                self.source.invalidate();
                return Ok(None);
            }
            Err(error) => return refused(partition, from, error).map(Some),
        };
        let nothing_left = proof && fetched.records.is_empty();
        let limit = self.limits.get(&partition.topic).copied().unwrap_or(MAX_BATCH_BYTES);
        let mut slice = Slice::at(partition.clone(), from, fetched.last_stable_offset).with_limit(limit);
        slice.fault = slice.append(fetched, self.producer).err();
        if nothing_left {
            // Compaction can remove the end of a log; the offsets up to the last stable one hold nothing.
            slice.to.source_next = slice.to.source_next.max(slice.source_end);
        }
        Ok(Some(slice))
    }

    /// The log does not hold the offset at which the copy stands.
    async fn out_of_range(&self, partition: &TopicPartition, from: Position) -> Result<Option<Slice>> {
        let mut starts = self.source.list_offsets(std::slice::from_ref(partition), OffsetSpec::Earliest).await;
        match starts.pop() {
            Some((_, Ok(start))) => Ok(Some(self.gaps.go_on(partition, from, start))),
            Some((_, Err(error))) if !error.is_retryable() => refused(partition, from, error).map(Some),
            _ => Ok(None),
        }
    }
}

/// Whether the source does not find a partition, or nobody who leads it.
fn is_not_found(error: &kafka::Error) -> bool {
    matches!(error, kafka::Error::NoLeader { .. }) || error.code() == Some(Code::UnknownTopicOrPartition)
}

/// The slice that ends `partition` because of `error`.
///
/// # Errors
/// `error` when it is about the broker: partitions that it leads are as good as before once somebody has seen to it.
fn refused(partition: &TopicPartition, from: Position, error: kafka::Error) -> Result<Slice> {
    if error.is_refusal() { Err(error.into()) } else { Ok(faulted(partition, from, error.into())) }
}

fn faulted(partition: &TopicPartition, from: Position, fault: Error) -> Slice {
    let mut slice = Slice::at(partition.clone(), from, from.source_next);
    slice.fault = Some(fault.at(partition).at_offset(from.source_next));
    slice
}

fn is_remote_storage(config: &ConfigEntry) -> bool {
    config.name == "remote.storage.enable" && config.value.as_deref() == Some("true")
}

/// Options of a fetch of which each broker may send `max_bytes`.
fn options(max_wait: Duration, min_bytes: i32, max_bytes: usize) -> FetchOptions {
    FetchOptions { max_wait, min_bytes, max_bytes: wire_size(max_bytes), isolation: Isolation::ReadCommitted }
}

fn wire_size(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusing::Refusing;

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_refuses_this_client_stops_no_partition() {
        let partition = TopicPartition::new("orders", 0);
        let at = Position { source_next: 40, target_next: 7 };
        let refusing = Refusing::default();
        let mut reader = Reader::new(&refusing, ProducerId { id: 1, epoch: 0 }, [(partition.clone(), at)].into());
        let error = reader.read(std::slice::from_ref(&partition), 1).await.unwrap_err();
        assert_eq!((error.kind, &error.context.partition), (migration::ErrorKind::Blocked, &None), "{error}");
        assert_eq!(reader.position(&partition), Some(at));
    }
}
