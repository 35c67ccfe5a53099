//! What an earlier invocation stored and did not live to checkpoint is produced first, to the byte.

use journal::Position;
use migration::{Error, Result, TopicPartition};

use super::{Engine, Work, write_round};
use crate::slice::Slice;

impl Engine<'_> {
    /// Produces and checkpoints every stored slice that the journal does not know yet. Afterwards the target has to end
    /// where the journal says; anything beyond was written by somebody else.
    pub(super) async fn recover(&mut self) -> Result<()> {
        match self.work {
            Work::Seed { .. } => self.recover_segments().await?,
            Work::Tail => self.recover_tail().await?,
        }
        self.stop_foreign().await
    }

    async fn recover_segments(&mut self) -> Result<()> {
        let unfinished = self.progress.values().filter(|progress| !progress.is_seeded());
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

    /// Takes stored slices as if they had just been read. A slice has to begin at the journal's position on the target;
    /// on the source it may begin later, past offsets that hold nothing to copy.
    async fn replay(&mut self, mut slices: Vec<Slice>, tail_next: Option<u64>) -> Result<()> {
        slices.retain(|slice| self.progress.get(&slice.partition).is_some_and(|p| slice.to.target_next > p.target_next));
        for slice in &slices {
            let at = Position::from(&self.progress[&slice.partition]);
            if slice.from.target_next != at.target_next || slice.from.source_next < at.source_next {
                let message = "a stored segment does not join the journal's position";
                return Err(Error::internal(message).at(&slice.partition).at_offset(slice.from.source_next));
            }
        }
        tracing::info!(slices = slices.len(), "producing what an earlier invocation stored");
        let Self { run, lease, objects, progress, writer, stopped, .. } = self;
        write_round(run, lease, objects, progress, writer, stopped, &slices, tail_next).await
    }

    async fn stop_foreign(&mut self) -> Result<()> {
        let ends = |partition: &TopicPartition| self.writer.end(partition);
        let off: Vec<_> = self.progress.values().filter(|p| p.stopped.is_none() && ends(&p.partition) != p.target_next).collect();
        let mut checkpoints = Vec::new();
        for progress in off {
            let end = ends(&progress.partition);
            let mut next = progress.clone();
            next.stopped = Some(format!(
                "the target ends at {end}, but {} records were copied to it: somebody else writes to it or deleted from it; \
                 stop that writer, delete the topic on the target and start a new migration",
                progress.target_next
            ));
            super::stop(&self.stopped, &progress.partition);
            tracing::error!(partition = %progress.partition, end, copied = progress.target_next, "foreign writer on the target");
            checkpoints.push(journal::Checkpoint { previous: Position::from(progress), next });
        }
        self.run.journal.checkpoint_many(&self.lease, &checkpoints, None).await?;
        for checkpoint in checkpoints {
            self.progress.insert(checkpoint.next.partition.clone(), checkpoint.next);
        }
        Ok(())
    }
}
