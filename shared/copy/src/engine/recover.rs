//! What an earlier invocation stored and did not live to checkpoint is produced first, to the byte.

use documents::PutOnce;
use futures::future::try_join_all;
use journal::Position;
use migration::{Error, Result, TopicPartition};

use super::{Engine, Work};
use crate::objects::Objects;
use crate::ports::Ports;
use crate::slice::Slice;

/// Partitions whose segments are read at the same time; a segment has up to 16 MB.
const AT_ONCE: usize = 4;

impl<P: Ports> Engine<'_, P> {
    /// Produces and enters every stored slice that the journal does not know yet. Afterwards the target has to end where
    /// the journal says; anything beyond was written by somebody else. `Taken` when another invocation goes on already.
    pub(super) async fn recover(&mut self) -> Result<PutOnce> {
        let mut put = PutOnce::Stored;
        match self.job.work {
            // Nobody had the batch before.
            Work::Seed { .. } if self.landing.books.lease().epoch == 1 => {}
            Work::Seed { .. } => self.recover_segments().await?,
            Work::Tail { .. } => put = self.recover_tail().await?,
        }
        self.landing.stop_foreign().await?;
        Ok(put)
    }

    /// Follows each partition's segments: the one that begins where the journal stands, then the one where that ends.
    async fn recover_segments(&mut self) -> Result<()> {
        let unfinished = self.landing.books.partitions().filter(|progress| !progress.is_seeded());
        let mut waiting: Vec<_> = unfinished.map(|progress| progress.partition.clone()).collect();
        while !waiting.is_empty() {
            let mut some = waiting.split_off(waiting.len().saturating_sub(AT_ONCE));
            loop {
                let slices = self.next_segments(&some).await?;
                if slices.is_empty() {
                    break;
                }
                some = slices.iter().map(|slice| slice.partition.clone()).collect();
                self.replay(slices, self.landing.books.tail_next()).await?;
                some.retain(|partition| !self.stopped.contains(partition));
            }
        }
        Ok(())
    }

    /// The stored segments that begin where `partitions` stand.
    async fn next_segments(&self, partitions: &[TopicPartition]) -> Result<Vec<Slice>> {
        let objects = &Objects::new(self.ports.bucket());
        let gets = partitions.iter().filter_map(|partition| {
            let at = self.landing.reached(partition)?;
            Some(async move { objects.get_segment(partition, at).await })
        });
        Ok(try_join_all(gets).await?.into_iter().flatten().collect())
    }

    /// What waits for the target afterwards is stored once more, behind everything else: while it waits, the journal passes none of
    /// the objects that have it, and the next invocation would read all of them again.
    async fn recover_tail(&mut self) -> Result<PutOnce> {
        let objects = Objects::new(self.ports.bucket());
        let mut number = self.landing.books.tail_next();
        while let Some(slices) = objects.get_tail(self.job.batch, number).await? {
            number += 1;
            self.replay(slices, number).await?;
        }
        let aside = &self.landing.aside;
        // One that stopped holds older objects, among which those of the others would be met in their midst.
        if aside.is_empty() || !self.landing.books.holds_only(|partition| aside.contains(partition)) {
            return Ok(PutOnce::Stored);
        }
        let put = objects.put_tail(self.job.batch, number, self.landing.aside.slices()).await?;
        if put == PutOnce::Stored {
            let waiting = self.landing.aside.slices().map(|slice| &slice.partition);
            self.landing.books.carry(number, waiting);
        }
        Ok(put)
    }

    /// Takes stored slices as if they had just been read, apart from those of partitions that stopped on the way.
    async fn replay(&mut self, mut slices: Vec<Slice>, tail_next: u64) -> Result<()> {
        slices.retain(|slice| {
            let at = self.landing.reached(&slice.partition);
            !self.stopped.contains(&slice.partition) && at.is_some_and(|at| is_ahead(slice, at))
        });
        for slice in &slices {
            if !self.landing.reached(&slice.partition).is_some_and(|at| joins(slice, at)) {
                let message = "a stored segment does not join the journal's position";
                return Err(Error::internal(message).at(&slice.partition).at_offset(slice.from.source_next));
            }
            if !slice.is_of(self.job.producer) {
                let message = "a stored segment was written by another run: the journal of this migration was made anew while \
                               its objects stayed; start a new migration with another id or prefix";
                return Err(Error::data_unsafe(message).at(&slice.partition).at_offset(slice.from.source_next));
            }
        }
        tracing::info!(slices = slices.len(), "producing what an earlier invocation stored");
        self.landing.land(slices, tail_next).await
    }
}

/// Whether `slice` brings its partition further than `at`.
const fn is_ahead(slice: &Slice, at: Position) -> bool {
    slice.to.target_next > at.target_next || slice.to.source_next > at.source_next
}

/// Whether `slice` goes on at `at`: on the target it begins there; on the source it may begin elsewhere, as long as its
/// records do not. Between two copied records there may be offsets with nothing to copy, and invocations stop at different
/// ones of them.
fn joins(slice: &Slice, at: Position) -> bool {
    let first = slice.runs.as_slice().first();
    slice.from.target_next == at.target_next && first.is_none_or(|first| first.source >= at.source_next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::TopicPartition;

    const fn at(source_next: i64, target_next: i64) -> Position {
        Position { source_next, target_next }
    }

    /// From source offset 100 and target offset 7: nothing until 104, then `records` records, then nothing until 120.
    fn slice(records: i64) -> Slice {
        let mut slice = Slice::at(TopicPartition::new("orders", 0), at(100, 7), 120);
        if records > 0 {
            slice.runs.push(104, records).unwrap();
        }
        slice.to = at(120, 7 + records);
        slice
    }

    #[test]
    fn a_slice_joins_wherever_the_copy_stopped_before_its_first_record() {
        for source_next in [98, 100, 102, 104] {
            assert!(joins(&slice(3), at(source_next, 7)), "{source_next}");
        }
        assert!(!joins(&slice(3), at(105, 7)), "a record of it would be copied a second time");
        assert!(!joins(&slice(3), at(100, 6)) && !joins(&slice(3), at(100, 8)));
    }

    #[test]
    fn a_slice_without_records_still_brings_the_copy_further() {
        assert!(is_ahead(&slice(0), at(100, 7)) && joins(&slice(0), at(110, 7)));
        assert!(!is_ahead(&slice(0), at(120, 7)) && !is_ahead(&slice(3), at(120, 10)));
    }
}
