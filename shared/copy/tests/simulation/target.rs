//! The target's logs and the leader's checks of what is produced: `ProduceRequest` validation, `LogValidator`,
//! `UnifiedLog.append`, `ProducerAppendInfo`, `ProducerStateManager`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kafka::{Code, Fetched};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::wire::Batch;

/// Batches of a producer that a leader remembers (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
const REMEMBERED: usize = 5;

/// Time without a batch after which a leader forgets a producer (`producer.id.expiration.ms`). What counts is the newest
/// timestamp in its last batch (`ProducerStateManager.isProducerExpired`), so copies of old records are forgotten at the
/// next check.
const EXPIRATION_MS: i64 = 24 * 60 * 60 * 1000;

/// A batch in a log.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Offset of its first record; the batch itself carries 0.
    pub(crate) base: i64,
    pub(crate) batch: Batch,
    bytes: Bytes,
    /// When all replicas have it.
    replicated: Instant,
}

impl Stored {
    pub(crate) fn end(&self) -> i64 {
        self.base + self.batch.records.len() as i64
    }
}

/// What a leader knows of a producer.
#[derive(Debug, Default)]
struct ProducerState {
    newest_timestamp: i64,
    /// First and last sequence and first offset of its last batches.
    batches: VecDeque<(i32, i32, i64)>,
}

/// Where a batch came to lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) base: i64,
    /// End of the batch, and when all replicas have it.
    pub(crate) end: i64,
    pub(crate) replicated: Instant,
    /// The newest timestamp of the batch, when it had been there before.
    pub(crate) repeated: Option<i64>,
}

/// Something that a copy cannot undo: it may only stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoiled {
    /// Somebody else appended at this offset.
    Foreign(i64),
    /// A leader that had forgotten the producer appended one of its batches at this offset, where it does not belong.
    Unchecked(i64),
}

/// Who appended a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// The invocation.
    pub(crate) by: usize,
    /// Whether it arrived behind the end of its connection.
    pub(crate) late: bool,
    pub(crate) at: Instant,
}

/// One partition's log on its leader.
#[derive(Debug, Default)]
pub(crate) struct TargetLog {
    /// Offset at which the copy begins; what lies before is of no interest.
    first: i64,
    log: Vec<Stored>,
    producers: BTreeMap<i64, ProducerState>,
    pub(crate) leader: usize,
    /// Counts leaders.
    pub(crate) leader_epoch: u32,
    pub(crate) max_batch: usize,
    pub(crate) spoiled: Option<Spoiled>,
    /// Whether a batch was refused because of its size.
    pub(crate) refused_size: bool,
    /// End of what was read again to count it.
    pub(crate) counted: i64,
    /// Offset of a batch that the log cleaner took before it was counted.
    pub(crate) hole: Option<i64>,
    /// Since when it takes nothing, because too few replicas are in sync, and until when.
    pub(crate) refusing: Option<(Instant, Instant)>,
    /// What was appended last.
    written: Option<Written>,
    /// When the leader forgot the producer last, or part of what it knew of it.
    forgot: Option<Instant>,
}

impl TargetLog {
    /// An empty log, apart from `first` records of `producer` that were copied long ago.
    pub(crate) fn starting_at(first: i64, producer: i64, max_batch: usize) -> Self {
        let mut log = Self { first, max_batch, ..Self::default() };
        if first > 0 {
            let last = ((first - 1) & i64::from(i32::MAX)) as i32;
            let batches = VecDeque::from([(last, last, first - 1)]);
            log.producers.insert(producer, ProducerState { newest_timestamp: i64::MAX, batches });
        }
        log
    }

    /// How long it has taken nothing at `now`.
    pub(crate) fn refuses_for(&self, now: Instant) -> Option<Duration> {
        self.refusing.filter(|(_, until)| now < *until).map(|(since, _)| now - since)
    }

    pub(crate) fn log(&self) -> &[Stored] {
        &self.log
    }

    /// What was appended last.
    pub(crate) const fn written(&self) -> Option<Written> {
        self.written
    }

    /// Notes that invocation `by` wrote, and whether that came behind the end of its connection.
    pub(crate) fn written_by(&mut self, by: usize, late: bool) {
        self.written = Some(Written { by, late, at: Instant::now() });
    }

    /// When the leader forgot the producer last, or part of what it knew of it.
    pub(crate) const fn forgot(&self) -> Option<Instant> {
        self.forgot
    }

    /// End of the leader's log.
    pub(crate) fn end(&self) -> i64 {
        self.log.last().map_or(self.first, Stored::end)
    }

    /// End of what all replicas have.
    pub(crate) fn high_watermark(&self, now: Instant) -> i64 {
        let missing = self.log.iter().find(|stored| stored.replicated > now);
        missing.map_or_else(|| self.end(), |stored| stored.base)
    }

    /// The answer to a fetch of one batch at `offset`.
    pub(crate) fn fetch(&self, offset: i64, now: Instant) -> Result<Fetched, Code> {
        let end = self.high_watermark(now);
        if offset > end {
            return Err(Code::OffsetOutOfRange);
        }
        let found = self.log.iter().find(|stored| stored.end() > offset && stored.end() <= end);
        let records = found.map(|stored| {
            let mut bytes = stored.bytes.to_vec();
            bytes[..8].copy_from_slice(&stored.base.to_be_bytes());
            bytes.into()
        });
        Ok(Fetched {
            high_watermark: end,
            last_stable_offset: end,
            log_start: 0,
            aborted: Vec::new(),
            records: records.unwrap_or_default(),
        })
    }

    /// The log cleaner takes a batch that was not counted yet; the last one always stays (`LogCleaner`). Whether there was one.
    pub(crate) fn clean(&mut self, now: Instant, dice: &mut Dice) -> bool {
        let end = self.high_watermark(now);
        let uncounted = |stored: &Stored| stored.base >= self.counted && stored.end() < end;
        let found: Vec<usize> = (0..self.log.len()).filter(|at| uncounted(&self.log[*at])).collect();
        if found.is_empty() || self.hole.is_some() || self.spoiled.is_some() {
            return false;
        }
        self.hole = Some(self.log.remove(dice.pick(&found)).base);
        true
    }

    /// Whether all replicas have everything below `end`, and `leader_epoch` still leads.
    pub(crate) fn has_replicated(&self, end: i64, leader_epoch: u32, now: Instant) -> bool {
        self.leader_epoch == leader_epoch && self.high_watermark(now) >= end
    }

    /// A producer's request to append `bytes`, which replicas have `lag` later.
    pub(crate) fn append(&mut self, bytes: &Bytes, now: Instant, lag: Duration) -> Result<Appended, Code> {
        let batch = Batch::decode(bytes).map_err(|_| Code::CorruptMessage)?;
        let count = batch.records.len() as i64;
        let dense = (0..).zip(&batch.records).all(|(at, record)| record.offset == at);
        if batch.base != 0 || count == 0 || i64::from(batch.last_delta) + 1 != count || !dense || batch.control {
            return Err(Code::InvalidRecord);
        }
        if batch.transactional {
            return Err(Code::InvalidTxnState);
        }
        if bytes.len() > self.max_batch {
            self.refused_size = true;
            return Err(Code::MessageTooLarge);
        }
        if batch.producer >= 0
            && let Some(repeated) = self.check_sequence(&batch)?
        {
            return Ok(repeated);
        }
        Ok(self.push(batch, bytes.clone(), now, lag))
    }

    /// Where the batch lies if it is a repeat.
    fn check_sequence(&mut self, batch: &Batch) -> Result<Option<Appended>, Code> {
        let next = ((self.end()) & i64::from(i32::MAX)) as i32;
        let Some(state) = self.producers.get(&batch.producer) else {
            if batch.sequence != next && self.spoiled.is_none() {
                self.spoiled = Some(Spoiled::Unchecked(self.end()));
            }
            return Ok(None);
        };
        let last = increment(batch.sequence, batch.records.len() as i64 - 1);
        let same = |known: &&(i32, i32, i64)| (known.0, known.1) == (batch.sequence, last);
        if let Some((_, _, base)) = state.batches.iter().find(same).copied() {
            let end = base + batch.records.len() as i64;
            let replicated = self.log.iter().find(|stored| stored.base == base).map(|stored| stored.replicated);
            let replicated = replicated.unwrap_or_else(Instant::now);
            return Ok(Some(Appended { base, end, replicated, repeated: Some(batch.max_timestamp) }));
        }
        match state.batches.back() {
            Some((_, known, _)) if increment(*known, 1) != batch.sequence => Err(Code::OutOfOrderSequenceNumber),
            _ => Ok(None),
        }
    }

    fn push(&mut self, batch: Batch, bytes: Bytes, now: Instant, lag: Duration) -> Appended {
        let base = self.end();
        let before = self.log.last().map_or(now, |stored| stored.replicated);
        let stored = Stored { base, batch, bytes, replicated: before.max(now + lag) };
        self.remember(&stored);
        let appended = Appended { base, end: stored.end(), replicated: stored.replicated, repeated: None };
        self.log.push(stored);
        appended
    }

    fn remember(&mut self, stored: &Stored) {
        let batch = &stored.batch;
        if batch.producer < 0 {
            return;
        }
        let state = self.producers.entry(batch.producer).or_default();
        state.newest_timestamp = batch.max_timestamp;
        if state.batches.len() == REMEMBERED {
            state.batches.pop_front();
        }
        let last = increment(batch.sequence, batch.records.len() as i64 - 1);
        state.batches.push_back((batch.sequence, last, stored.base));
    }

    /// Appends a batch of somebody else.
    pub(crate) fn intrude(&mut self, batch: Batch, now: Instant) {
        self.spoiled.get_or_insert(Spoiled::Foreign(self.end()));
        let bytes = batch.encode();
        self.push(batch, bytes, now, Duration::ZERO);
    }

    /// Another broker leads. It may lack what not all replicas had, and after a restart it knows of each producer only the
    /// last batch, or some of the last (`ProducerStateManager.loadFromSnapshot`).
    pub(crate) fn change_leader(&mut self, leader: usize, lossy: bool, now: Instant, dice: &mut Dice) {
        self.leader = leader;
        self.leader_epoch += 1;
        if lossy {
            self.forgot = Some(now);
            self.log.retain(|stored| stored.replicated <= now);
            self.forgive();
            let forgotten: Vec<i64> = self.producers.keys().copied().collect();
            let known: Vec<Stored> = self.log.iter().rev().take(dice.index(1..6)).rev().cloned().collect();
            if !known.is_empty() {
                forgotten.iter().for_each(|producer| drop(self.producers.remove(producer)));
                known.iter().for_each(|stored| self.remember(stored));
            } else if self.first == 0 {
                self.producers.clear();
            }
        } else {
            self.log.iter_mut().for_each(|stored| stored.replicated = stored.replicated.min(now));
        }
    }

    /// What spoiled the log may have been lost with its end.
    fn forgive(&mut self) {
        let end = self.end();
        self.spoiled = self.spoiled.filter(|spoiled| match spoiled {
            Spoiled::Foreign(at) | Spoiled::Unchecked(at) => *at < end,
        });
    }

    /// The check for producers that have not written for long, by the broker's clock.
    pub(crate) fn expire(&mut self, clock_ms: i64) {
        self.forgot = Some(Instant::now());
        self.producers.retain(|_, state| clock_ms.saturating_sub(state.newest_timestamp) < EXPIRATION_MS);
    }
}

/// Sequence numbers go on at 0 behind the largest (`DefaultRecordBatch.incrementSequence`).
fn increment(sequence: i32, by: i64) -> i32 {
    ((i64::from(sequence) + by) & i64::from(i32::MAX)) as i32
}
