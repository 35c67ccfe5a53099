//! Counts the records of the target by reading them again, behind the copy.
//!
//! The copy is dense: every offset of the target below where the copy stands holds a record. A hole that somebody made there
//! since (the log cleaner while a config was another one, DeleteRecords, a leader without all records) is not seen in log starts
//! and ends. It shows in the headers of batches: which offsets they span, and how many records they have. Records themselves are
//! not decompressed; checksums are verified.

use std::collections::BTreeMap;
use std::time::Duration;

use documents::Objects;
use documents::recount::{Recount, Recounted, key};
use kafka::batch::{self, Header};
use kafka::{Code, FetchOptions, FetchPosition, Fetched, Isolation, OffsetSpec, TopicPartition};
use migration::{BatchId, Error, Result};
use tokio::time::Instant;

use crate::ports::Target;

/// Bytes that one step reads. The answer is free again when the step ends.
const STEP_BYTES: usize = 8 * 1024 * 1024;

/// Partitions that one step asks for.
const STEP_PARTITIONS: usize = 8;

/// How often what was counted is stored.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// How far the partitions of a batch were counted.
#[derive(Debug)]
pub struct Recounter<'a, T, O> {
    target: &'a T,
    objects: &'a O,
    batch: BatchId,
    counted: BTreeMap<TopicPartition, Recounted>,
    /// Moves on, so that all partitions are counted.
    turn: usize,
    saved: Instant,
    is_dirty: bool,
}

impl<'a, T: Target, O: Objects> Recounter<'a, T, O> {
    /// Goes on where the partitions of `batch` were counted up to.
    ///
    /// # Errors
    /// Those of the bucket.
    pub async fn load(target: &'a T, objects: &'a O, batch: BatchId) -> Result<Self> {
        let stored: Option<Recount> = documents::read_if_there(objects, &key(batch)).await?;
        let counted = stored.unwrap_or_default().by_partition();
        Ok(Self { target, objects, batch, counted, turn: 0, saved: Instant::now(), is_dirty: false })
    }

    /// What was counted of `partition`.
    pub fn counted(&self, partition: &TopicPartition) -> Recounted {
        self.counted.get(partition).cloned().unwrap_or_else(|| Recounted::new(partition.clone()))
    }

    /// Reads on, about `max_bytes` at most, in some of `partitions`, each with the target offset where the copy stands. Returns those
    /// of which records are missing or damaged, with what is to be said of them. What cannot be read now is read later.
    pub async fn step(
        &mut self,
        partitions: Vec<(TopicPartition, i64)>,
        max_bytes: usize,
    ) -> Vec<(TopicPartition, Error)> {
        // What an earlier invocation found counts for this one.
        let mut faults: Vec<_> = partitions.iter().filter_map(|(partition, _)| self.known_loss(partition)).collect();
        let is_whole = |name: &TopicPartition| faults.iter().all(|(lost, _)| lost != name);
        let mut left: Vec<_> =
            partitions.into_iter().filter(|(name, end)| is_whole(name) && self.next(name) < *end).collect();
        if left.is_empty() {
            return faults;
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % left.len();
        left.rotate_left(first);
        left.truncate(STEP_PARTITIONS);
        let bytes = max_bytes.min(STEP_BYTES);
        let positions: Vec<_> =
            left.iter().map(|(partition, _)| self.position(partition, bytes / left.len())).collect();
        for (partition, result) in self.target.fetch(&positions, &options(bytes)).await {
            let Some(end) = left.iter().find(|(name, _)| *name == partition).map(|(_, end)| *end) else { continue };
            let before = self.counted(&partition);
            match self.take(before.clone(), end, result).await {
                Ok(after) if after.missing + after.removed > before.missing + before.removed => {
                    faults.push((partition.clone(), lost(&before, &after).at(&partition)));
                    self.keep(after);
                }
                Ok(after) => self.keep(after),
                Err(error) => faults.push((partition.clone(), error.at(&partition))),
            }
        }
        faults
    }

    /// Counts `partition` on from where it stands up to `end`, or up to the end of one answer; the whole of a batch that reaches
    /// over `end` is counted. `None` when nothing came.
    ///
    /// # Errors
    /// What the target gives, and Unsafe when what it gives is damaged.
    pub async fn read_on(&mut self, partition: &TopicPartition, end: i64) -> Result<Option<Recounted>> {
        let before = self.counted(partition);
        let answer = self.target.fetch(&[self.position(partition, STEP_BYTES)], &options(STEP_BYTES)).await.pop();
        let Some((_, result)) = answer else { return Ok(None) };
        if let Err(error) = &result
            && error.code() != Some(Code::OffsetOutOfRange)
        {
            return Err(Error::from(error.clone()).at(partition));
        }
        let after = self.take(before.clone(), end, result).await.map_err(|error| error.at(partition))?;
        let moved = after != before;
        self.keep(after.clone());
        Ok(moved.then_some(after))
    }

    /// Stores what was counted, if it is time.
    ///
    /// # Errors
    /// Those of the bucket.
    pub async fn save_if_due(&mut self) -> Result<()> {
        if self.saved.elapsed() >= SAVE_EVERY { self.save().await } else { Ok(()) }
    }

    /// Stores what was counted.
    ///
    /// # Errors
    /// Those of the bucket.
    pub async fn save(&mut self) -> Result<()> {
        if self.is_dirty {
            let partitions = self.counted.values().cloned().collect();
            documents::write(self.objects, &key(self.batch), &Recount { partitions }).await?;
            self.is_dirty = false;
        }
        self.saved = Instant::now();
        Ok(())
    }

    fn known_loss(&self, partition: &TopicPartition) -> Option<(TopicPartition, Error)> {
        let counted = self.counted.get(partition).filter(|counted| counted.missing + counted.removed > 0)?;
        Some((partition.clone(), lost(&Recounted::new(partition.clone()), counted).at(partition)))
    }

    fn next(&self, partition: &TopicPartition) -> i64 {
        self.counted.get(partition).map_or(0, |counted| counted.next)
    }

    fn position(&self, partition: &TopicPartition, bytes: usize) -> FetchPosition {
        let max_bytes = i32::try_from(bytes.max(1)).unwrap_or(i32::MAX);
        FetchPosition { partition: partition.clone(), offset: self.next(partition), max_bytes }
    }

    fn keep(&mut self, counted: Recounted) {
        let before = self.counted.insert(counted.partition.clone(), counted.clone());
        self.is_dirty |= before.as_ref() != Some(&counted);
    }

    /// What is known once `result` was read behind `counted`.
    async fn take(&self, mut counted: Recounted, end: i64, result: kafka::Result<Fetched>) -> Result<Recounted> {
        match result {
            Ok(fetched) => count(&mut counted, &fetched, end)?,
            Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                let start = self.start(&counted.partition).await.unwrap_or(counted.next).min(end);
                counted.removed += (start - counted.next).max(0);
                counted.next = counted.next.max(start);
            }
            Err(error) => {
                tracing::debug!(partition = %counted.partition, %error, "the count goes on later");
                self.target.invalidate();
            }
        }
        Ok(counted)
    }

    async fn start(&self, partition: &TopicPartition) -> Option<i64> {
        let answer = self.target.list_offsets(std::slice::from_ref(partition), OffsetSpec::Earliest).await.pop();
        answer.and_then(|(_, start)| start.ok())
    }
}

/// What is said of records that were there when they were copied. `before` and `after` are what was counted.
fn lost(before: &Recounted, after: &Recounted) -> Error {
    let what = match after.removed > before.removed {
        true => format!(
            "{} records that were copied to the target were removed there: its log starts at offset {} now",
            after.removed - before.removed,
            after.next
        ),
        false => {
            let (first, last) = after.missing_between.unwrap_or((before.next, after.next));
            format!(
                "{} records that were copied to the target are missing there, between offsets {first} and {last}",
                after.missing - before.missing
            )
        }
    };
    Error::data_unsafe(format_args!(
        "{what}; see who deletes or compacts there (cleanup.policy, retention, DeleteRecords), then roll back, delete the topic on \
         the target and start a new migration"
    ))
    .at_offset(before.next)
}

/// Counts the batches of `fetched` that begin below `end`.
///
/// # Errors
/// Unsafe, with the offset, when a batch is damaged.
fn count(counted: &mut Recounted, fetched: &Fetched, end: i64) -> Result<()> {
    for found in batch::split(fetched.records.clone()) {
        let whole = found.and_then(|batch| batch.verify_crc().map(|()| *batch.header()));
        let Header { base_offset, last_offset_delta, records_count, .. } = whole.map_err(|error| {
            Error::data_unsafe(format_args!("what was copied to the target is damaged there: {error}"))
                .at_offset(counted.next)
        })?;
        let last = base_offset + i64::from(last_offset_delta);
        if last < counted.next {
            continue;
        }
        if base_offset >= end {
            // A client's, behind a hole that reaches up to the end of the copy.
            close(counted, end);
            break;
        }
        close(counted, base_offset);
        let spans = i64::from(last_offset_delta) + 1;
        let lacks = spans - i64::from(records_count);
        if lacks > 0 {
            counted.miss(lacks, base_offset, last);
        }
        counted.next = last + 1;
        if counted.next >= end {
            break;
        }
    }
    Ok(())
}

/// Everything up to `offset` is missing.
fn close(counted: &mut Recounted, offset: i64) {
    if offset > counted.next {
        counted.miss(offset - counted.next, counted.next, offset - 1);
        counted.next = offset;
    }
}

fn options(bytes: usize) -> FetchOptions {
    let max_bytes = i32::try_from(bytes.max(1)).unwrap_or(i32::MAX);
    FetchOptions { max_wait: Duration::ZERO, min_bytes: 1, max_bytes, isolation: Isolation::ReadUncommitted }
}
