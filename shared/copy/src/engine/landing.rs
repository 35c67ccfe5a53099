//! The last stage: stored rounds are produced to the target and entered in the journal.

use journal::Position;
use migration::{Error, Phase, Result, TopicPartition};
use runtime::Budget;
use telemetry::metrics;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Job;
use super::aside::Aside;
use super::books::Books;
use super::rounds::MEMORY_BYTES;
use super::stopped::Stopped;
use super::storing::Stored;
use crate::ports::Ports;
use crate::pulse::Pulse;
use crate::slice::Slice;
use crate::writer::{PATIENCE, Unwritten, Writer};

/// Bytes after which no further round lands together with others; the reader goes on with the rest of the memory.
const TOGETHER_BYTES: usize = MEMORY_BYTES / 2;

/// Where stored rounds land.
pub(super) struct Landing<'a, P: Ports> {
    job: &'a Job,
    budget: Budget,
    writer: Writer<'a, P::Target>,
    pub(super) books: Books<'a, P>,
    stopped: Stopped,
    pulse: Pulse,
    /// What the target does not take for the moment.
    pub(super) aside: Aside,
    /// When the first of that was refused, and when the target last took anything.
    refused_since: Option<Instant>,
    taken_at: Instant,
}

impl<'a, P: Ports> Landing<'a, P> {
    /// The stage of a batch that stands as `books` say.
    pub(super) fn new(
        (job, budget): (&'a Job, Budget),
        writer: Writer<'a, P::Target>,
        books: Books<'a, P>,
        stopped: Stopped,
        pulse: Pulse,
    ) -> Self {
        let writer = writer.telling(pulse.clone());
        let (aside, taken_at) = (Aside::new(), Instant::now());
        Self { job, budget, writer, books, stopped, pulse, aside, refused_since: None, taken_at }
    }

    /// Up to where `partition` is on the target, or waits to be written.
    pub(super) fn reached(&self, partition: &TopicPartition) -> Option<Position> {
        self.aside.end(partition).or_else(|| self.books.position(partition))
    }

    /// Lands the rounds that come, all that are stored already together: the target answers the end of one while the next
    /// is on its way. The journal follows at [`Books::due`], and at the end.
    pub(super) async fn land_all(&mut self, mut rounds: mpsc::Receiver<Stored>) -> Result<()> {
        loop {
            let first = tokio::select! {
                biased;
                () = self.aside.due() => {
                    self.retry().await?;
                    continue;
                }
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
            self.land(round.slices.into_values().collect(), tail_next).await?;
        }
        self.wait_for_the_last().await?;
        self.books.save().await
    }

    /// A seed has nothing else to do when everything was read; a tail that ends does so for others, who see how far it is.
    async fn wait_for_the_last(&mut self) -> Result<()> {
        while !self.job.work.is_tail() && !self.aside.is_empty() && !self.budget.is_spent() {
            self.aside.due().await;
            self.retry().await?;
            self.books.save_if_due().await?;
        }
        Ok(())
    }

    /// Produces `slices`, at most one of a partition, and enters them; saves meanwhile what was entered before. Those of
    /// partitions of which something waits wait behind it.
    pub(super) async fn land(&mut self, slices: Vec<Slice>, tail_next: u64) -> Result<()> {
        let (behind, slices): (Vec<_>, Vec<_>) =
            slices.into_iter().partition(|slice| self.aside.contains(&slice.partition));
        behind.into_iter().try_for_each(|slice| self.aside.join(slice))?;
        self.books.confirm().await?;
        let (unwritten, ()) = tokio::try_join!(self.writer.write(&slices), self.books.save_if_due())?;
        report(self.job, &slices, &unwritten);
        self.books.pass_tail(tail_next, unwritten.partitions());
        slices.into_iter().for_each(|slice| self.enter(slice, &unwritten));
        self.pulse.refused(self.aside.cause());
        Ok(())
    }

    /// Tries again what waits. What the target takes now is read on.
    ///
    /// # Errors
    /// As [`Self::land`]; what the target says when it has taken nothing of any partition for a while.
    async fn retry(&mut self) -> Result<()> {
        self.books.confirm().await?;
        let slices = self.aside.take();
        let began = Instant::now();
        let unwritten = self.writer.retry(&slices).await?;
        report(self.job, &slices, &unwritten);
        for slice in slices {
            let partition = slice.partition.clone();
            self.enter(slice, &unwritten);
            if unwritten.of(&partition).is_none() {
                self.books.release(&partition);
                self.stopped.go_on(&partition);
                tracing::info!(%partition, "the target takes it again");
            }
        }
        self.aside.tried(began.elapsed());
        self.pulse.refused(self.aside.cause());
        self.refuse_silence()
    }

    /// Where nothing at all is taken, waiting is left to whoever starts invocations.
    fn refuse_silence(&mut self) -> Result<()> {
        let Some((_, cause)) = self.aside.cause() else {
            self.refused_since = None;
            return Ok(());
        };
        let silent = |since: Instant| since.max(self.taken_at).elapsed() >= PATIENCE;
        if self.refused_since.is_some_and(silent) { Err(cause) } else { Ok(()) }
    }

    /// Enters what became of `slice`.
    fn enter(&mut self, slice: Slice, unwritten: &Unwritten) {
        if let Some(error) = unwritten.failed.get(&slice.partition) {
            return self.stop(&slice.partition, error);
        }
        if let Some(cause) = unwritten.refused.get(&slice.partition) {
            tracing::warn!(partition = %slice.partition, "the target does not take it; the others go on: {cause}");
            self.refused_since.get_or_insert_with(Instant::now);
            self.stopped.pause(&slice.partition);
            return self.aside.put(slice, cause.clone());
        }
        if !slice.batches.is_empty() {
            self.taken_at = Instant::now();
        }
        self.books.advance(&slice);
        if let Some(fault) = &slice.fault {
            self.stop(&slice.partition, fault);
        }
    }

    fn stop(&mut self, partition: &TopicPartition, error: &Error) {
        tracing::error!(%partition, kind = error.kind.name(), "{error}");
        self.stopped.stop(partition);
        self.books.stop(partition, error.to_string());
    }

    /// Stops every partition that does not end on the target where the journal says: whatever is there beyond what was
    /// stored was written by somebody else.
    pub(super) async fn stop_foreign(&mut self) -> Result<()> {
        // Of what waits, part may be there.
        let is_open = |partition| !self.stopped.contains(partition) && !self.aside.contains(partition);
        let open = self.books.partitions().filter(|progress| is_open(&progress.partition));
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
            self.stop(&partition, &Error::data_unsafe(message).at(&partition).at_offset(source_next));
        }
        self.books.save().await
    }
}

fn report(job: &Job, slices: &[Slice], unwritten: &Unwritten) {
    let copied = || slices.iter().filter(|slice| unwritten.of(&slice.partition).is_none());
    let records: i64 = copied().map(|slice| slice.to.target_next - slice.from.target_next).sum();
    let bytes: usize = copied().map(Slice::bytes).sum();
    let lag = copied().map(Slice::lag).max().unwrap_or(0);
    let stopped = unwritten.failed.len() + copied().filter(|slice| slice.fault.is_some()).count();
    if records > 0 || stopped > 0 {
        let mut values = vec![
            (metrics::RECORDS_COPIED, records as f64),
            (metrics::BYTES_COPIED, bytes as f64),
            (metrics::BATCHES_REENCODED, copied().map(|slice| slice.reencoded.total()).sum::<i64>() as f64),
            (metrics::MAX_PARTITION_LAG, lag as f64),
            (metrics::PARTITIONS_STOPPED, stopped as f64),
        ];
        // A seed is behind by all that it has not copied yet.
        if job.work.phase() == Phase::Tail
            && let Some(share) = copied().filter_map(Slice::lag_share).max_by(f64::total_cmp)
        {
            values.push((metrics::LAG_SHARE, share));
        }
        metrics::emit(job.work.phase().name(), job.migration.as_str(), &values);
    }
}
