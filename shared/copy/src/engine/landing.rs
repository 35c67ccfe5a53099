//! The last stage: stored rounds are produced to the target and entered in the journal.

use std::collections::BTreeMap;

use journal::Position;
use migration::{Error, Result, TopicPartition};
use telemetry::metrics;
use tokio::sync::mpsc;

use super::Job;
use super::books::Books;
use super::rounds::MEMORY_BYTES;
use super::stopped::Stopped;
use super::storing::Stored;
use crate::ports::Ports;
use crate::slice::Slice;
use crate::writer::Writer;

/// Bytes after which no further round lands together with others; the reader goes on with the rest of the memory.
const TOGETHER_BYTES: usize = MEMORY_BYTES / 2;

/// Where stored rounds land.
pub(super) struct Landing<'a, P: Ports> {
    job: &'a Job,
    writer: Writer<'a, P::Target>,
    pub(super) books: Books<'a, P>,
    stopped: Stopped,
}

impl<'a, P: Ports> Landing<'a, P> {
    /// The stage of a batch that stands as `books` say.
    pub(super) const fn new(
        job: &'a Job,
        writer: Writer<'a, P::Target>,
        books: Books<'a, P>,
        stopped: Stopped,
    ) -> Self {
        Self { job, writer, books, stopped }
    }

    /// Lands the rounds that come, all that are stored already together: the target answers the end of one while the next
    /// is on its way. The journal follows at [`Books::due`], and at the end.
    pub(super) async fn land_all(&mut self, mut rounds: mpsc::Receiver<Stored>) -> Result<()> {
        loop {
            let first = tokio::select! {
                biased;
                first = rounds.recv() => first,
                () = self.books.due() => {
                    self.books.save().await?;
                    continue;
                }
            };
            let Some(Stored { mut round, mut tail_next }) = first else { break };
            while round.memory() < TOGETHER_BYTES
                && let Ok(next) = rounds.try_recv()
            {
                round.join(next.round)?;
                tail_next = next.tail_next;
            }
            round.slices.retain(|partition, _| !self.stopped.contains(partition));
            let slices: Vec<_> = round.slices.into_values().collect();
            self.land(&slices, tail_next).await?;
        }
        self.books.save().await
    }

    /// Produces `slices`, at most one of a partition, and enters them; saves meanwhile what was entered before.
    pub(super) async fn land(&mut self, slices: &[Slice], tail_next: u64) -> Result<()> {
        self.books.confirm().await?;
        let (failed, ()) = tokio::try_join!(self.writer.write(slices), self.books.save_if_due())?;
        let failed: BTreeMap<_, _> = failed.into_iter().collect();
        for slice in slices {
            let refused = failed.get(&slice.partition);
            if refused.is_none() {
                self.books.advance(slice);
            }
            if let Some(error) = refused.or(slice.fault.as_ref()) {
                tracing::error!(partition = %slice.partition, kind = error.kind.name(), "{error}");
                self.stopped.stop(&slice.partition);
                self.books.stop(&slice.partition, error.to_string());
            }
        }
        self.books.pass_tail(tail_next, !failed.is_empty());
        report(self.job, slices, &failed);
        Ok(())
    }

    /// Stops every partition that does not end on the target where the journal says: whatever is there beyond what was
    /// stored was written by somebody else.
    pub(super) async fn stop_foreign(&mut self) -> Result<()> {
        let open = self.books.partitions().filter(|progress| !self.stopped.contains(&progress.partition));
        let positions: Vec<_> = open.map(|progress| (progress.partition.clone(), Position::from(progress))).collect();
        for (partition, Position { source_next, target_next: copied }) in positions {
            let end = self.writer.end(&partition);
            if end == copied {
                continue;
            }
            let message = format!(
                "the target ends at {end}, but {copied} records were copied to it: somebody else writes to it or deleted \
                 from it; stop that writer, delete the topic on the target and start a new migration"
            );
            let error = Error::data_unsafe(message).at(&partition).at_offset(source_next);
            tracing::error!(%partition, end, copied, "{error}");
            self.stopped.stop(&partition);
            self.books.stop(&partition, error.to_string());
        }
        self.books.save().await
    }
}

fn report(job: &Job, slices: &[Slice], failed: &BTreeMap<TopicPartition, Error>) {
    let copied = || slices.iter().filter(|slice| !failed.contains_key(&slice.partition));
    let records: i64 = copied().map(|slice| slice.to.target_next - slice.from.target_next).sum();
    let bytes: usize = copied().map(Slice::bytes).sum();
    let lag = copied().map(|slice| slice.source_end - slice.to.source_next).max().unwrap_or(0);
    let stopped = failed.len() + copied().filter(|slice| slice.fault.is_some()).count();
    if records > 0 || stopped > 0 {
        let values = [
            (metrics::RECORDS_COPIED, records as f64),
            (metrics::BYTES_COPIED, bytes as f64),
            (metrics::BATCHES_REENCODED, copied().map(|slice| slice.reencoded.total()).sum::<i64>() as f64),
            (metrics::MAX_PARTITION_LAG, lag.max(0) as f64),
            (metrics::PARTITIONS_STOPPED, stopped as f64),
        ];
        metrics::emit(job.work.phase().name(), job.migration.as_str(), &values);
    }
}
