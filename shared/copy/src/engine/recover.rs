//! What an earlier invocation stored and did not live to checkpoint is produced first, to the byte.

use journal::Position;
use migration::{Error, Result};

use super::{Engine, Work};
use crate::slice::Slice;

impl Engine<'_> {
    /// Produces and checkpoints every stored slice that the journal does not know yet. Afterwards the target has to end
    /// where the journal says; anything beyond was written by somebody else.
    pub(super) async fn recover(&mut self) -> Result<()> {
        match self.work {
            Work::Seed { .. } => self.recover_segments().await?,
            Work::Tail => self.recover_tail().await?,
        }
        self.landing.stop_foreign().await
    }

    async fn recover_segments(&mut self) -> Result<()> {
        let unfinished = self.landing.progress().filter(|progress| !progress.is_seeded());
        let positions: Vec<_> = unfinished.map(|p| (p.partition.clone(), p.source_next)).collect();
        let lists = positions.iter().map(|(partition, from)| self.objects.segments_from(partition, *from));
        let stored = futures::future::try_join_all(lists).await?;
        for name in stored.into_iter().flatten() {
            let slice = self.objects.get_segment(&name).await?;
            self.replay(vec![slice], None).await?;
        }
        Ok(())
    }

    async fn recover_tail(&mut self) -> Result<()> {
        while let Some(slices) = self.objects.get_tail(self.lease.batch, self.tail_next).await? {
            self.tail_next += 1;
            self.replay(slices, Some(self.tail_next)).await?;
        }
        Ok(())
    }

    /// Takes stored slices as if they had just been read, apart from those of partitions that stopped on the way.
    async fn replay(&mut self, mut slices: Vec<Slice>, tail_next: Option<u64>) -> Result<()> {
        slices.retain(|slice| {
            let at = self.landing.position(&slice.partition);
            !self.stopped.contains(&slice.partition) && at.is_some_and(|at| is_ahead(slice, at))
        });
        for slice in &slices {
            if !self.landing.position(&slice.partition).is_some_and(|at| joins(slice, at)) {
                let message = "a stored segment does not join the journal's position";
                return Err(Error::internal(message).at(&slice.partition).at_offset(slice.from.source_next));
            }
        }
        tracing::info!(slices = slices.len(), "producing what an earlier invocation stored");
        self.landing.land(&slices, tail_next).await
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
