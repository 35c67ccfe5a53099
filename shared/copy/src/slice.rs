//! A stretch of one partition: the batches to copy from one source position to another.

use bytes::Bytes;
use journal::{Position, ProducerId};
use kafka::batch::{self, AbortedFilter, BatchError, Entry, Header, RawBatch, Reencoded, Stamp, StampedBatch};
use kafka::{Fetched, TopicPartition};
use migration::progress::{Gap, ReencodedCounts};
use migration::{Error, Result};
use runtime::Content;

use self::packer::Packer;
use offsets::OffsetRuns;

mod packer;
#[cfg(test)]
mod tests;

/// The most bytes of a batch unless [`Slice::with_limit`] says otherwise: what a topic of the target takes at least while
/// it is copied (`topology::configs::copying`).
pub(crate) const MAX_BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Batches of one partition as they are stored and produced: stamped with the migration's producer id and sequence,
/// base offsets still the source's.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The partition.
    pub partition: TopicPartition,
    /// Where the stretch begins.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// The batches, ascending; none when nothing in the stretch is to be copied.
    pub batches: Vec<StampedBatch>,
    /// Offsets of the records in `batches`.
    pub runs: OffsetRuns,
    /// Last stable offset of the source when the end of the stretch was read.
    pub source_end: i64,
    /// Where the source's log began then; 0 also when that is not known.
    pub source_start: i64,
    /// Batches of the source that were encoded again.
    pub reencoded: ReencodedCounts,
    /// Parts of the stretch that the source deleted before they were read, ascending.
    pub gaps: Vec<Gap>,
    /// Why the partition cannot go on behind this stretch, when it cannot.
    pub fault: Option<Error>,
    /// The most bytes of a batch.
    max_batch_bytes: usize,
    /// Bytes of the answers that it was read from.
    fetched: usize,
}

impl Slice {
    /// A stretch of no length at `from`.
    pub fn at(partition: TopicPartition, from: Position, source_end: i64) -> Self {
        Self {
            partition,
            from,
            to: from,
            batches: Vec::new(),
            runs: OffsetRuns::starting_at(from.target_next),
            source_end,
            source_start: 0,
            reencoded: ReencodedCounts::default(),
            gaps: Vec::new(),
            fault: None,
            max_batch_bytes: MAX_BATCH_BYTES,
            fetched: 0,
        }
    }

    /// For a topic of the target that takes batches of at most `max_batch_bytes` (`max.message.bytes`).
    #[must_use]
    pub const fn with_limit(mut self, max_batch_bytes: usize) -> Self {
        self.max_batch_bytes = max_batch_bytes;
        self
    }

    /// Appends what `fetched`, a read-committed fetch at the end of this slice, holds: batches of aborted transactions,
    /// control batches, emptied batches and records before the end of this slice are left out.
    ///
    /// # Errors
    /// Unsafe, naming the offset, when a batch is damaged or of an unknown format, or a record is larger than a batch may
    /// be; the slice then ends before that batch or record.
    pub fn append(&mut self, fetched: Fetched, producer: ProducerId) -> Result<()> {
        self.source_end = fetched.last_stable_offset;
        self.source_start = fetched.log_start;
        self.fetched += fetched.records.len();
        let mut packer = Packer::new(self.to.source_next, self.max_batch_bytes);
        let read = self.read(fetched, &mut packer);
        // What was read before a fault is written all the same; a fault in writing it comes first in the log.
        let flushed = packer.flush().map_err(|error| self.bad_batch(&error, packer.reached()));
        self.put(&mut packer, producer)?;
        flushed.and(read)
    }

    /// Appends `later`, which has to begin where this ends.
    ///
    /// # Errors
    /// Internal when it does not.
    pub fn join(&mut self, later: Self) -> Result<()> {
        if later.from != self.to {
            return Err(Error::internal("slices do not join").at(&self.partition).at_offset(later.from.source_next));
        }
        self.runs.extend(&later.runs)?;
        self.to = later.to;
        self.batches.extend(later.batches);
        self.fetched += later.fetched;
        self.source_end = later.source_end;
        self.source_start = later.source_start;
        self.reencoded.add_all(&later.reencoded);
        self.gaps.extend(later.gaps);
        self.fault = later.fault;
        Ok(())
    }

    /// Records behind the end of this slice on the source.
    pub(crate) fn lag(&self) -> i64 {
        (self.source_end - self.to.source_next).max(0)
    }

    /// The lag in percent of what the source's log still holds. None while its log begins at offset 0: nothing was ever deleted
    /// from it, so that nothing says when it will be.
    pub(crate) fn lag_share(&self) -> Option<f64> {
        let held = self.source_end - self.source_start;
        (self.source_start > 0 && held > 0).then(|| 100.0 * self.lag().min(held) as f64 / held as f64)
    }

    /// Bytes of the batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(StampedBatch::size).sum()
    }

    /// Bytes that it keeps in memory at most: a batch that goes on raw is a piece of the answer it came in, and keeps all
    /// of it.
    pub fn memory(&self) -> usize {
        self.bytes().max(self.fetched)
    }

    /// Whether every batch is stamped as `producer` writes it in its place, and they have as many records as the stretch.
    pub(crate) fn is_of(&self, producer: ProducerId) -> bool {
        let mut next = self.from.target_next;
        let ours = self.batches.iter().all(|batch| {
            let Header { producer_id, producer_epoch, base_sequence, records_count, .. } = *batch.header();
            let place = next;
            next += i64::from(records_count);
            Stamp { producer_id, producer_epoch, base_sequence } == Stamp::nth(producer.id, producer.epoch, place)
        });
        ours && next == self.to.target_next
    }

    /// Adds the batches to `content`, one after the other, as a log segment holds them.
    pub fn add_log(&self, content: &mut Content) {
        self.batches.iter().for_each(|batch| content.add(batch.log_pieces(), batch.log_crc()));
    }

    /// Reads batches that [`Self::add_log`] wrote.
    ///
    /// # Errors
    /// Unsafe when the bytes are not whole, undamaged batches.
    pub fn set_log(&mut self, log: Bytes) -> Result<()> {
        let size = log.len();
        let whole = |batch: Result<RawBatch, _>| batch.and_then(|batch| batch.verify_crc().map(|()| batch.into()));
        let batches: Result<Vec<_>, _> = batch::split(log).map(whole).collect();
        self.batches = batches.map_err(|error| self.bad_batch(&error, self.to.source_next))?;
        if self.bytes() != size || self.runs.target_end() != self.to.target_next {
            return Err(Error::data_unsafe("a stored segment is not whole").at(&self.partition));
        }
        Ok(())
    }

    /// Reads on with `packer` until the end, a fault, or as much as is taken at a time.
    fn read(&self, fetched: Fetched, packer: &mut Packer) -> Result<()> {
        let mut aborted = AbortedFilter::new(fetched.aborted);
        for entry in batch::entries(fetched.records) {
            let taken = entry.and_then(|entry| take(entry, &mut aborted, packer));
            taken.map_err(|error| self.bad_batch(&error, packer.reached()))?;
            if packer.has_enough() {
                break;
            }
        }
        Ok(())
    }

    /// Appends what `packer` made, and moves the end of this slice to where the packer is.
    fn put(&mut self, packer: &mut Packer, producer: ProducerId) -> Result<()> {
        for Reencoded { batch, runs } in packer.take_ready() {
            for run in runs {
                self.runs.push(run.first, run.count).map_err(|error| error.at(&self.partition))?;
            }
            let stamp = Stamp::nth(producer.id, producer.epoch, self.to.target_next);
            self.to.target_next += i64::from(batch.header().records_count);
            self.batches.push(batch.stamped(stamp));
        }
        self.to.source_next = packer.reached();
        self.reencoded.add_all(packer.reencoded());
        Ok(())
    }

    fn bad_batch(&self, error: &BatchError, offset: i64) -> Error {
        Error::data_unsafe(format_args!("the source's records cannot be copied exactly: {error}"))
            .at(&self.partition)
            .at_offset(offset)
    }
}

/// Gives `packer` what of `entry` is to be copied.
fn take(entry: Entry, aborted: &mut AbortedFilter, packer: &mut Packer) -> Result<(), BatchError> {
    // Before anything in it is believed: a damaged bit may say that it is to be left out, and a new checksum would make a
    // damaged batch look whole.
    entry.verify_crc()?;
    let next = entry.next_offset();
    // The filter has to see every batch, since markers change what it says of later ones.
    let is_left_out = match &entry {
        Entry::Batch(batch) => {
            aborted.is_aborted(batch)? || batch.header().is_control() || batch.header().records_count == 0
        }
        Entry::Old(_) => false,
    };
    if is_left_out || next <= packer.reached() {
        packer.skip_to(next);
        return Ok(());
    }
    packer.take(entry)
}
