//! The storing stage: a round is in S3 before anything of it is produced.

use documents::PutOnce;
use futures::stream::{self, FuturesOrdered, StreamExt, TryStreamExt};
use migration::{BatchId, Result};
use tokio::sync::mpsc;

use super::Work;
use super::rounds::Round;
use crate::objects::Objects;
use crate::ports::Bucket;
use crate::slice::Slice;

/// Rounds of a seed that are stored at the same time: a single upload to S3 is slower than a broker reads.
const ROUNDS_AT_ONCE: usize = 4;

/// Segments of a round that are stored at the same time.
const SEGMENTS_AT_ONCE: usize = 16;

/// A round that is stored.
pub(super) struct Stored {
    pub(super) round: Round,
    /// Number of the tail object that comes next.
    pub(super) tail_next: u64,
}

/// The storing stage.
pub(super) struct Storing<'a, B> {
    pub(super) objects: Objects<'a, B>,
    pub(super) work: Work,
    pub(super) batch: BatchId,
    /// Tells this invocation's side objects from another's.
    pub(super) epoch: u64,
    pub(super) tail_next: u64,
}

impl<B: Bucket> Storing<'_, B> {
    /// Stores each round and passes it on, in their order; true when another invocation was first.
    ///
    /// A round of a seed may be stored while the one before it turns out to be taken. That does no harm: a segment's name
    /// is where it begins on both sides, so whoever comes to exactly that place may take it, and nobody else finds it.
    /// Tail objects are numbered, so one has to be there before the next.
    pub(super) async fn run(self, mut rounds: mpsc::Receiver<Round>, stored: mpsc::Sender<Stored>) -> Result<bool> {
        let at_once = if self.work.is_tail() { 1 } else { ROUNDS_AT_ONCE };
        let mut storing = FuturesOrdered::new();
        let mut tail_next = self.tail_next;
        let mut open = true;
        loop {
            tokio::select! {
                biased;
                Some(done) = storing.next() => {
                    let (put, done) = done?;
                    if put == PutOnce::Taken {
                        return Ok(true);
                    }
                    if stored.send(done).await.is_err() {
                        return Ok(false);
                    }
                }
                round = rounds.recv(), if open && storing.len() < at_once => match round {
                    Some(round) => {
                        let number = tail_next;
                        tail_next += u64::from(self.work.is_tail());
                        storing.push_back(self.store(round, number, tail_next));
                    }
                    None => open = false,
                },
                else => return Ok(false),
            }
        }
    }

    async fn store(&self, round: Round, number: u64, tail_next: u64) -> Result<(PutOnce, Stored)> {
        let put = match self.work {
            Work::Seed { .. } => self.put_segments(round.slices.values()).await?,
            Work::Tail { .. } => self.objects.put_tail(self.batch, number, round.slices.values()).await?,
        };
        Ok((put, Stored { round, tail_next }))
    }

    /// Stores a segment for each slice, also for one that only passes offsets with nothing to copy, as the tail does: a step
    /// that left no name would let two invocations store what is behind it under different names, each with batches of its
    /// own.
    async fn put_segments(&self, slices: impl Iterator<Item = &Slice>) -> Result<PutOnce> {
        let moving = slices.filter(|slice| slice.to != slice.from);
        let puts = stream::iter(moving.map(|slice| self.objects.put_segment(slice, self.epoch)));
        let puts: Vec<_> = puts.buffer_unordered(SEGMENTS_AT_ONCE).try_collect().await?;
        Ok(if puts.contains(&PutOnce::Taken) { PutOnce::Taken } else { PutOnce::Stored })
    }
}
