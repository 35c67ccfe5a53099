//! Which source batches go on as they are, and which become new ones.
//!
//! A batch goes on raw unless a broker would refuse or change it ([`needs_reencoding`]), it is too large, or it is one of
//! several small neighbours: each batch costs the target a sequence check, an index look-up and an answer, so a partition
//! of one-record batches is many times as fast in batches of half a megabyte. What has to be encoded again anyway joins
//! its neighbours whatever its size.

use std::mem;

use kafka::batch::{
    Assembly, BatchError, DecodeLimit, Entry, OffsetRun, RawBatch, Reason, Reencoded, needs_reencoding,
};
use migration::progress::ReencodedCounts;

/// Largest size to which one batch may unpack that is unpacked at once, in bytes. A larger one is taken piece by piece.
const UNPACKED_MAX: DecodeLimit = DecodeLimit::bytes(32 * 1024 * 1024);

/// Largest record of such a batch, and largest size to which a message of an older format may unpack, in bytes. What is beyond it is
/// an error, not an outage.
const RECORD_MAX: DecodeLimit = DecodeLimit::bytes(256 * 1024 * 1024);

/// Bytes, unpacked piece by piece, after which nothing more of an answer is taken: a function has other things to do meanwhile, and
/// what is unpacked may be much in memory.
const UNPACKED_ENOUGH: usize = 256 * 1024 * 1024;

/// A batch below this size, in bytes, is merged with neighbours that are small as well.
const SMALL: usize = 16 * 1024;

/// Bytes on the source of what is merged into one batch.
const MERGED_MAX: usize = 512 * 1024;

/// Bytes before compression after which nothing more is merged into a batch: what is small compressed may not be.
const MERGED_PLAIN_MAX: usize = 8 * 1024 * 1024;

/// Largest size to which a batch may unpack that is only merged with others; a larger one goes on raw.
const MERGED_PLAIN: DecodeLimit = DecodeLimit::bytes(MERGED_PLAIN_MAX);

/// Makes batches for the target of a stretch of one partition, entry by entry.
#[derive(Debug)]
pub(super) struct Packer {
    /// The most bytes of a batch.
    max_bytes: usize,
    /// Source offset up to which everything is ready, waits, or was rightly left out.
    reached: i64,
    waiting: Option<Waiting>,
    ready: Vec<Reencoded>,
    /// Bytes that were unpacked piece by piece.
    unpacked: usize,
    /// Source batches that are ready in new batches.
    reencoded: ReencodedCounts,
}

/// What a neighbour may yet join.
#[derive(Debug)]
enum Waiting {
    /// A small batch that goes on raw if no small one follows.
    Raw(RawBatch),
    Gathered(Gathered),
}

/// Records for new batches.
#[derive(Debug)]
struct Gathered {
    assembly: Assembly,
    /// Offset from which its entries were read.
    from: i64,
    /// Size of its entries on the source.
    bytes: usize,
    reasons: ReencodedCounts,
}

impl Packer {
    /// Begins at source offset `from`, for a target that takes batches of at most `max_bytes`.
    pub(super) fn new(from: i64, max_bytes: usize) -> Self {
        let reencoded = ReencodedCounts::default();
        Self { max_bytes, reached: from, waiting: None, ready: Vec::new(), unpacked: 0, reencoded }
    }

    /// Source offset up to which everything was taken.
    pub(super) const fn reached(&self) -> i64 {
        self.reached
    }

    /// Whether enough was taken for now.
    pub(super) const fn has_enough(&self) -> bool {
        self.unpacked >= UNPACKED_ENOUGH
    }

    /// Leaves out what is below `next`.
    pub(super) fn skip_to(&mut self, next: i64) {
        self.reached = self.reached.max(next);
    }

    /// Takes the records of `entry` that have not been reached.
    ///
    /// # Errors
    /// When its records cannot be read, or records that waited cannot be written; then nothing from [`Self::reached`] on
    /// was taken.
    pub(super) fn take(&mut self, entry: Entry) -> Result<(), BatchError> {
        let reason = self.reason(&entry);
        if reason.is_none() && entry.size() >= SMALL {
            self.flush()?;
            self.pass(entry);
            return Ok(());
        }
        if !self.waiting.as_ref().is_none_or(|waiting| waiting.has_room_for(&entry, self.max_bytes)) {
            self.flush()?;
        }
        let next = entry.next_offset();
        match (self.gathered(), reason, entry) {
            (None, None, Entry::Batch(batch)) => self.waiting = Some(Waiting::Raw(batch)),
            (gathered, reason, entry) => {
                let mut gathered = gathered.unwrap_or_else(|| Gathered::new(&entry, self.reached));
                let added = gathered.add(&entry, self.reached, reason.unwrap_or(Reason::Merged));
                self.waiting = Some(Waiting::Gathered(gathered));
                match (added, reason, entry) {
                    // Nothing but merging asks to read it, and a consumer's errors are not ours to judge.
                    (Err(_), None, entry) => {
                        self.flush()?;
                        self.pass(entry);
                    }
                    (Err(BatchError::TooLarge { .. }), Some(reason), Entry::Batch(batch)) => {
                        self.flush()?;
                        self.unpack(&batch, reason)?;
                    }
                    (added, ..) => added?,
                }
            }
        }
        self.reached = next;
        Ok(())
    }

    /// Makes what waits ready.
    ///
    /// # Errors
    /// When it cannot be written; then everything below [`Self::reached`] is ready, and nothing waits.
    pub(super) fn flush(&mut self) -> Result<(), BatchError> {
        match self.waiting.take() {
            None => {}
            Some(Waiting::Raw(batch)) => self.ready.extend(raw(batch)),
            Some(Waiting::Gathered(Gathered { assembly, from, reasons, .. })) => {
                self.finish(assembly, from)?;
                self.reencoded.add_all(&reasons);
            }
        }
        Ok(())
    }

    /// Makes new batches ready of one that unpacks to more than is held at once.
    fn unpack(&mut self, batch: &RawBatch, reason: Reason) -> Result<(), BatchError> {
        let (from, size) = (self.reached, (MERGED_PLAIN_MAX, RECORD_MAX));
        Assembly::in_parts(batch, from, size, |part| {
            let end = part.end();
            self.unpacked += part.plain_size();
            self.finish(part, self.reached)?;
            self.reached = end.unwrap_or(self.reached);
            Ok(())
        })?;
        self.reencoded.add(reason.name(), 1);
        Ok(())
    }

    /// Makes the records of `assembly` ready, which were read from offset `from` on.
    fn finish(&mut self, assembly: Assembly, from: i64) -> Result<(), BatchError> {
        let before = self.ready.len();
        let finished = assembly.finish_within(self.max_bytes, &mut self.ready);
        if finished.is_err() {
            let last = self.ready[before..].last().and_then(|made| made.runs.last());
            self.reached = last.map_or(from, |run: &OffsetRun| run.end());
        }
        finished
    }

    /// The batches that are ready, of no producer of ours yet, with the offsets of their records.
    pub(super) fn take_ready(&mut self) -> Vec<Reencoded> {
        mem::take(&mut self.ready)
    }

    /// Why source batches are in new batches.
    pub(super) const fn reencoded(&self) -> &ReencodedCounts {
        &self.reencoded
    }

    fn reason(&self, entry: &Entry) -> Option<Reason> {
        match entry {
            Entry::Old(_) => Some(Reason::OldFormat),
            Entry::Batch(batch) => needs_reencoding(batch.header(), self.reached)
                .or_else(|| (entry.size() > self.max_bytes).then_some(Reason::TooLarge)),
        }
    }

    /// What waits, as records for a new batch.
    fn gathered(&mut self) -> Option<Gathered> {
        match self.waiting.take()? {
            Waiting::Gathered(gathered) => Some(gathered),
            Waiting::Raw(batch) => {
                let from = batch.header().base_offset;
                let entry = Entry::Batch(batch);
                let mut gathered = Gathered::new(&entry, from);
                match (gathered.add(&entry, from, Reason::Merged), entry) {
                    (Err(_), Entry::Batch(batch)) => {
                        self.ready.extend(raw(batch));
                        None
                    }
                    _ => Some(gathered),
                }
            }
        }
    }

    /// Makes a batch ready as it is.
    fn pass(&mut self, entry: Entry) {
        self.reached = entry.next_offset();
        if let Entry::Batch(batch) = entry {
            self.ready.extend(raw(batch));
        }
    }
}

impl Waiting {
    fn has_room_for(&self, entry: &Entry, max_bytes: usize) -> bool {
        let (codec, bytes, plain) = match self {
            Self::Raw(batch) => (batch.header().codec(), batch.header().size(), 0),
            Self::Gathered(gathered) => (gathered.assembly.codec(), gathered.bytes, gathered.assembly.plain_size()),
        };
        codec == entry.codec() && bytes + entry.size() <= MERGED_MAX.min(max_bytes) && plain <= MERGED_PLAIN_MAX
    }
}

impl Gathered {
    fn new(first: &Entry, from: i64) -> Self {
        Self { assembly: Assembly::new(first.codec()), from, bytes: 0, reasons: ReencodedCounts::default() }
    }

    fn add(&mut self, entry: &Entry, from: i64, reason: Reason) -> Result<(), BatchError> {
        let limit = match (entry, reason) {
            (_, Reason::Merged) => MERGED_PLAIN,
            (Entry::Old(_), _) => RECORD_MAX,
            (Entry::Batch(_), _) => UNPACKED_MAX,
        };
        self.assembly.add(entry, from.., limit)?;
        self.bytes += entry.size();
        self.reasons.add(reason.name(), 1);
        Ok(())
    }
}

/// A dense batch and its offsets.
fn raw(batch: RawBatch) -> Option<Reencoded> {
    let run = batch.header().dense_run()?;
    Some(Reencoded { batch, runs: vec![run] })
}
