//! A stretch of one partition: the batches to copy from one source position to another.

use bytes::{Bytes, BytesMut};
use journal::{Position, ProducerId};
use kafka::batch::{self, AbortedFilter, DecodeLimit, RawBatch, Stamp};
use kafka::{Fetched, TopicPartition};
use migration::{Error, Result};

use crate::runs::OffsetRuns;

/// Largest size to which one batch may unpack, in bytes. A batch beyond it is an error, not an outage.
const UNPACKED_MAX: DecodeLimit = DecodeLimit::bytes(256 * 1024 * 1024);

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
    pub batches: Vec<RawBatch>,
    /// Offsets of the records in `batches`.
    pub runs: OffsetRuns,
    /// Last stable offset of the source when the end of the stretch was read.
    pub source_end: i64,
    /// Batches that were encoded again.
    pub reencoded: i64,
    /// Why the partition cannot go on behind this stretch, when it cannot.
    pub fault: Option<Error>,
}

impl Slice {
    /// A stretch of no length at `from`.
    pub fn at(partition: TopicPartition, from: Position, source_end: i64) -> Self {
        let runs = OffsetRuns::starting_at(from.target_next);
        Self { partition, from, to: from, batches: Vec::new(), runs, source_end, reencoded: 0, fault: None }
    }

    /// Appends what `fetched`, a read-committed fetch at the end of this slice, holds: batches of aborted transactions,
    /// control batches, emptied batches and records before the end of this slice are left out.
    ///
    /// # Errors
    /// Unsafe, naming the offset, when a batch is damaged or of a format that cannot be copied; the slice then ends
    /// before that batch.
    pub fn append(&mut self, fetched: Fetched, producer: ProducerId) -> Result<()> {
        self.source_end = fetched.last_stable_offset;
        let mut aborted = AbortedFilter::new(fetched.aborted);
        for batch in batch::split(fetched.records) {
            let batch = batch.map_err(|error| self.bad_batch(&error))?;
            self.take(batch, &mut aborted, producer)?;
        }
        Ok(())
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
        self.source_end = later.source_end;
        self.reencoded += later.reencoded;
        self.fault = later.fault;
        Ok(())
    }

    /// Bytes of the batches.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes().len()).sum()
    }

    /// The batches one after the other, as a log segment holds them.
    pub fn to_log(&self) -> Bytes {
        let mut log = BytesMut::with_capacity(self.bytes());
        self.batches.iter().for_each(|batch| log.extend_from_slice(batch.bytes()));
        log.freeze()
    }

    /// Reads batches that [`Self::to_log`] wrote.
    ///
    /// # Errors
    /// Unsafe when the bytes are not whole, undamaged batches.
    pub fn set_log(&mut self, log: Bytes) -> Result<()> {
        let size = log.len();
        let batches: Result<Vec<_>, _> = batch::split(log).collect();
        self.batches = batches.map_err(|error| self.bad_batch(&error))?;
        self.batches.iter().try_for_each(RawBatch::verify_crc).map_err(|error| self.bad_batch(&error))?;
        if self.bytes() != size || self.runs.target_end() != self.to.target_next {
            return Err(Error::data_unsafe("a stored segment is not whole").at(&self.partition));
        }
        Ok(())
    }

    fn take(&mut self, batch: RawBatch, aborted: &mut AbortedFilter, producer: ProducerId) -> Result<()> {
        let header = *batch.header();
        // The filter has to see every batch, since markers change what it says of later ones.
        let is_aborted = aborted.is_aborted(&batch).map_err(|error| self.bad_batch(&error))?;
        if header.next_offset() <= self.to.source_next {
            return Ok(());
        }
        if !is_aborted && !header.is_control() && header.records_count > 0 {
            self.keep(batch, producer)?;
        }
        self.to.source_next = header.next_offset();
        Ok(())
    }

    fn keep(&mut self, batch: RawBatch, producer: ProducerId) -> Result<()> {
        // A new checksum must not make a damaged batch look whole.
        batch.verify_crc().map_err(|error| self.bad_batch(&error))?;
        let first = self.to.source_next;
        let stamp = Stamp::nth(producer.id, producer.epoch, self.to.target_next);
        let (copied, runs) = match batch::needs_reencoding(batch.header(), first) {
            None => {
                let runs = batch::record_offsets(&batch, UNPACKED_MAX).map_err(|error| self.bad_batch(&error))?;
                (batch.stamped(stamp), runs)
            }
            Some(_) => {
                let rebuilt = batch::reencode(&batch, first.., stamp, UNPACKED_MAX);
                let Some(rebuilt) = rebuilt.map_err(|error| self.bad_batch(&error))? else { return Ok(()) };
                self.reencoded += 1;
                (rebuilt.batch, rebuilt.runs)
            }
        };
        for run in runs {
            self.runs.push(run.first, run.count).map_err(|error| error.at(&self.partition))?;
        }
        self.to.target_next += i64::from(copied.header().records_count);
        self.batches.push(copied);
        Ok(())
    }

    fn bad_batch(&self, error: &kafka::batch::BatchError) -> Error {
        Error::data_unsafe(format_args!("the source's records cannot be copied exactly: {error}"))
            .at(&self.partition)
            .at_offset(self.to.source_next)
    }
}
