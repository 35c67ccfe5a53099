//! Produces slices to the target: many partitions in a request, several requests in flight, identical bytes on every
//! attempt.
//!
//! The broker accepts only the next sequence number of our producer id and answers a repeat of one of the last five
//! batches with its first offset (`ProducerStateManager`, KIP-98), so at most five batches of a partition are in flight
//! and every answer is compared with the offset the batch must have.

mod sending;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use kafka::batch::{self, Header, ProduceBytes};
use kafka::{Code, Each, OffsetSpec, Produced, TopicPartition};
use migration::{Error, Result};
use tokio::time::Instant;

use crate::ports::Target;
use crate::pulse::Pulse;
use crate::slice::Slice;
use sending::{Fault, Sending, next_request, note_answers};

/// Requests in flight; the broker remembers as many batches of a producer.
const WINDOW: usize = 5;

/// Partitions whose last batches are looked at at the same time; each may be as large as a broker takes.
const AT_ONCE: usize = 4;

/// Where partitions end on the target.
type Ends = BTreeMap<TopicPartition, kafka::Result<i64>>;

/// How long the broker may take to replicate a request.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long what the target has is asked for, and how long nothing at all may be taken by it, before an invocation gives up
/// and is retried as a whole.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How long a partition of which nothing is acknowledged is tried before the others of its batch go on without it. More than
/// the election of a leader takes, which is no trouble.
const ASIDE_AFTER: Duration = Duration::from_secs(10);

/// How long an invocation that lost its batch may still send what it had begun to write, when the topic is deleted under it:
/// `PATIENCE` for what it reads back first, as long again without an acknowledgement, its last request, and as long again for
/// whatever lies between two hosts.
pub const OUTLIVES: Duration = Duration::from_secs(2 * (PATIENCE.as_secs() + PRODUCE_TIMEOUT.as_secs()));

/// How long a leader is taken to know our producer after it took a batch: as within a slice, but not over a pause.
const CHECKED_FOR: Duration = Duration::from_secs(1);

/// Pause before a partition is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of slices that were not produced.
#[derive(Debug, Default)]
pub struct Unwritten {
    /// Partitions that cannot go on.
    pub failed: BTreeMap<TopicPartition, Error>,
    /// Partitions of which the target takes nothing for the moment: these are to be tried again.
    pub refused: BTreeMap<TopicPartition, Error>,
}

impl Unwritten {
    /// Enters why a partition was not written.
    ///
    /// # Errors
    /// `error`, when it is about none.
    fn enter(&mut self, partition: &TopicPartition, error: Error) -> Result<()> {
        if error.context.partition.is_none() {
            return Err(error);
        }
        let of_kind = if error.kind.is_retryable() { &mut self.refused } else { &mut self.failed };
        of_kind.insert(partition.clone(), error);
        Ok(())
    }

    /// All of them.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.failed.keys().chain(self.refused.keys())
    }

    /// Why `partition` was not written, when it was not.
    pub fn of(&self, partition: &TopicPartition) -> Option<&Error> {
        self.failed.get(partition).or_else(|| self.refused.get(partition))
    }
}

/// The target side of a copy.
#[derive(Debug)]
pub struct Writer<'a, T> {
    target: &'a T,
    /// End offset of each partition on the target, as far as this writer knows it.
    ends: BTreeMap<TopicPartition, i64>,
    /// When the leader last took a batch from this writer and nothing went wrong after it, see [`sending`].
    checked: BTreeMap<TopicPartition, Instant>,
    /// How the work goes.
    pulse: Pulse,
}

impl<'a, T: Target> Writer<'a, T> {
    /// A writer for `partitions`; reads where each of them ends on the target.
    ///
    /// # Errors
    /// When the target cannot be asked; Unsafe when a partition does not start at offset 0, as only a copy of ours does.
    pub async fn open(target: &'a T, partitions: &[TopicPartition]) -> Result<Self> {
        let starts = kafka::all_ok(target.list_offsets(partitions, OffsetSpec::Earliest).await)?;
        if let Some((partition, start)) = starts.into_iter().find(|(_, start)| *start != 0) {
            let message = format!("the target's log starts at {start}: records were deleted that this migration needs");
            return Err(Error::data_unsafe(message).at(&partition));
        }
        let ends = kafka::all_ok(target.list_offsets(partitions, OffsetSpec::Latest).await)?;
        Ok(Self { target, ends, checked: BTreeMap::new(), pulse: Pulse::default() })
    }

    /// A writer that tells `pulse` how it gets on.
    #[must_use]
    pub fn telling(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// Where `partition` ends on the target.
    pub fn end(&self, partition: &TopicPartition) -> i64 {
        self.ends.get(partition).copied().unwrap_or(0)
    }

    /// Produces `slices`, at most one for each partition, and returns the partitions that were not written to their ends. Batches
    /// that are on the target already are not sent again. A partition of which the target takes nothing is tried for a while.
    ///
    /// # Errors
    /// Transient when a fault that should have passed has not and is no partition's; Blocked when a broker refuses this client,
    /// which is no partition's fault either.
    pub async fn write(&mut self, slices: &[Slice]) -> Result<Unwritten> {
        let mut unwritten = Unwritten::default();
        let open = self.open_all(slices, &mut unwritten).await?;
        self.send_all(open, ASIDE_AFTER, &mut unwritten).await?;
        Ok(unwritten)
    }

    /// As [`Self::write`], for slices of partitions of which the target took nothing before: each is tried once.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn retry(&mut self, slices: &[Slice]) -> Result<Unwritten> {
        let mut unwritten = Unwritten::default();
        let open = self.open_all(slices, &mut unwritten).await?;
        // A request that was given up may have been carried out since.
        let ends = self.ends_of(open.iter()).await;
        let looked = self.at_once(open, async |sending| self.look(sending, &ends).await, &mut unwritten).await?;
        self.send_all(looked, Duration::ZERO, &mut unwritten).await?;
        Ok(unwritten)
    }

    /// `slices` on their way, from where the target ends.
    async fn open_all<'s>(&mut self, slices: &'s [Slice], unwritten: &mut Unwritten) -> Result<Vec<Sending<'s>>> {
        let mut open = Vec::with_capacity(slices.len());
        for slice in slices {
            let checked = self.take_checked(&slice.partition);
            match Sending::new(slice, self.end(&slice.partition), checked) {
                Ok(sending) => open.push(sending),
                Err(error) => unwritten.enter(&slice.partition, error)?,
            }
        }
        self.at_once(open, async |sending| self.check_last(sending).await, unwritten).await
    }

    /// Sends what is `open` until each is done or did not get any further for `patience`.
    async fn send_all(
        &mut self,
        mut open: Vec<Sending<'_>>,
        patience: Duration,
        unwritten: &mut Unwritten,
    ) -> Result<()> {
        loop {
            self.pass(&mut open).await;
            for sending in &open {
                self.ends.insert(sending.slice.partition.clone(), sending.target_end());
                if let Some(at) = sending.checked.filter(|_| sending.is_done()) {
                    self.checked.insert(sending.slice.partition.clone(), at);
                }
            }
            open.retain(|sending| !sending.is_done());
            self.pulse.wrote(open.iter().find_map(Sending::passing_fault));
            if open.is_empty() {
                return Ok(());
            }
            open = self.settle(open, patience, unwritten).await?;
        }
    }

    /// When the leader took the last batch of `partition`, if it has just done so.
    fn take_checked(&mut self, partition: &TopicPartition) -> Option<Instant> {
        self.checked.remove(partition).filter(|at| at.elapsed() < CHECKED_FOR)
    }

    /// Sends what is left, up to [`WINDOW`] requests at a time, until everything is answered or each partition has met a
    /// fault.
    async fn pass(&self, open: &mut [Sending<'_>]) {
        let mut in_flight = FuturesOrdered::new();
        let mut front = 0;
        loop {
            while in_flight.len() < WINDOW {
                let request = next_request(open, &mut front);
                if request.is_empty() {
                    break;
                }
                in_flight.push_back(self.send(request));
            }
            let Some((sent, answers)) = in_flight.next().await else { return };
            note_answers(open, &sent, answers);
        }
    }

    async fn send(
        &self,
        request: Vec<(usize, TopicPartition, ProduceBytes)>,
    ) -> (Vec<usize>, Each<TopicPartition, Produced>) {
        let sent = request.iter().map(|(index, ..)| *index).collect();
        let batches: Vec<_> = request.into_iter().map(|(_, partition, bytes)| (partition, bytes)).collect();
        (sent, self.target.produce(&batches, PRODUCE_TIMEOUT).await)
    }

    /// Decides about partitions that met a fault: passing faults and sequence faults are tried again from where the target
    /// really ends, and anything else, or such a fault after `patience`, takes the partition out. Returns those to be tried again.
    async fn settle<'s>(
        &self,
        open: Vec<Sending<'s>>,
        patience: Duration,
        unwritten: &mut Unwritten,
    ) -> Result<Vec<Sending<'s>>> {
        if open.iter().any(|sending| sending.passing_fault().is_some()) {
            self.target.invalidate();
            tokio::time::sleep(PAUSE).await;
        }
        let ends = self.ends_of(open.iter().filter(|sending| sending.is_looked_at(patience))).await;
        self.at_once(open, async |sending| self.settle_one(sending, patience, &ends).await, unwritten).await
    }

    /// Where the partitions of `sendings` end on the target. One question for all: the others are answered at once, and asked about those
    /// without a leader until patience ends.
    async fn ends_of<'o, 's: 'o>(&self, sendings: impl Iterator<Item = &'o Sending<'s>>) -> Ends {
        let partitions: Vec<_> = sendings.map(|sending| sending.slice.partition.clone()).collect();
        match partitions.is_empty() {
            true => Ends::new(),
            false => self.target.list_offsets(&partitions, OffsetSpec::Latest).await.into_iter().collect(),
        }
    }

    /// Decides about several of `open` at the same time, since one whose leader is away takes long. Returns those to be sent from where
    /// `decide` found the target; the others are `unwritten`.
    async fn at_once<'s>(
        &self,
        open: Vec<Sending<'s>>,
        decide: impl AsyncFn(&mut Sending<'s>) -> Result<()>,
        unwritten: &mut Unwritten,
    ) -> Result<Vec<Sending<'s>>> {
        let mut kept = Vec::with_capacity(open.len());
        let decide = &decide;
        let decided = open.into_iter().map(async |mut sending| (decide(&mut sending).await, sending));
        let mut decided = futures::stream::iter(decided).buffered(AT_ONCE);
        while let Some((outcome, mut sending)) = decided.next().await {
            match outcome {
                Ok(()) => {
                    sending.sent = sending.acknowledged;
                    kept.push(sending);
                }
                Err(error) => unwritten.enter(&sending.slice.partition, error)?,
            }
        }
        Ok(kept)
    }

    /// As [`Self::settle`], for one partition.
    async fn settle_one(&self, sending: &mut Sending<'_>, patience: Duration, ends: &Ends) -> Result<()> {
        let partition = sending.slice.partition.clone();
        match sending.fault.take() {
            None => Ok(()),
            Some(Fault::Misplaced { at, problem }) => Err(self.foreign(sending, at, problem).await),
            Some(Fault::Retimed) => Err(sending.retimed()),
            Some(Fault::Kafka(error)) if is_sequence_fault(&error) => self.realign(sending, ends).await,
            Some(Fault::Kafka(error)) if error.is_retryable() && sending.stood_still_for(patience) => {
                Err(Error::from(error).at(&partition))
            }
            Some(Fault::Kafka(error)) if error.is_retryable() => {
                tracing::debug!(%partition, %error, "batch will be sent again");
                self.look(sending, ends).await
            }
            Some(Fault::Kafka(error)) if error.is_refusal() => Err(error.into()),
            Some(Fault::Kafka(error)) => Err(Error::from(error).at(&partition).at_offset(sending.source_offset())),
        }
    }

    /// Goes on from where the target ends, provided that it is the end of one of our batches. After a lost answer the batch
    /// may be there: a leader that has forgotten the producer would append it a second time.
    async fn look(&self, sending: &mut Sending<'_>, ends: &Ends) -> Result<()> {
        let partition = &sending.slice.partition;
        let end = match ends.get(partition) {
            Some(Ok(end)) => *end,
            Some(Err(error)) => return Err(blame(partition, error.clone())),
            None => return Err(Error::transient("the target said nothing about where its log ends").at(partition)),
        };
        let before = sending.acknowledged;
        sending.align(end)?;
        if sending.acknowledged > before { self.check_last(sending).await } else { Ok(()) }
    }

    /// Checks that the last batch that `sending` takes for acknowledged is what lies on the target in its place: records of
    /// somebody else, as many as in our batch, would end there too.
    async fn check_last(&self, sending: &Sending<'_>) -> Result<()> {
        let Some(index) = sending.acknowledged.checked_sub(1) else { return Ok(()) };
        let (partition, offset) = (&sending.slice.partition, sending.offsets[index]);
        let ours = sending.slice.batches[index].header();
        match self.header_at(partition, offset).await? {
            // The checksum covers everything but the offset and the leader's epoch.
            Some(found) if found.base_offset == offset && found.crc == ours.crc => Ok(()),
            found => {
                Err(foreign(&found, format_args!("the target has another batch at {offset} than was copied to it"))
                    .at(partition)
                    .at_offset(ours.base_offset))
            }
        }
    }

    /// Header of the target's batch that holds `offset`, which the target has as it said. `None` when it is no batch of
    /// the format of today.
    async fn header_at(&self, partition: &TopicPartition, offset: i64) -> Result<Option<Header>> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match self.target.batch_at(partition, offset).await {
                // A leader that was just elected does not show everything that it has.
                Ok(found) if found.records.is_empty() && Instant::now() < give_up => {}
                Ok(found) => {
                    return Ok(batch::split(found.records).next().and_then(Result::ok).map(|found| *found.header()));
                }
                Err(error) if error.is_retryable() && Instant::now() < give_up => {}
                Err(error) => return Err(blame(partition, error)),
            }
            self.target.invalidate();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The error for a batch of `sending` that was appended elsewhere, because at `at` there is somebody else's.
    async fn foreign(&self, sending: &Sending<'_>, at: i64, problem: String) -> Error {
        let partition = &sending.slice.partition;
        // It helps to know who it was, but nothing depends on it.
        let found = self.header_at(partition, at).await.ok().flatten();
        foreign(&found, problem).at(partition).at_offset(sending.source_offset())
    }

    /// The broker expects another sequence: an earlier attempt, ours or an overtaken invocation's, got further than its
    /// answers did. Goes on from the target's end, provided that it is the end of one of our batches.
    async fn realign(&self, sending: &mut Sending<'_>, ends: &Ends) -> Result<()> {
        let before = sending.acknowledged;
        self.look(sending, ends).await?;
        if sending.acknowledged == before && !sending.is_done() {
            let message = "the target refuses the next sequence number although its end is where it should be; \
                           its producer state was lost or somebody else uses this producer id";
            sending.realigned += 1;
            if sending.realigned > 3 {
                return Err(Error::data_unsafe(message)
                    .at(&sending.slice.partition)
                    .at_offset(sending.source_offset()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// The error for a batch, `found` on the target, of which we know nothing.
fn foreign(found: &Option<Header>, problem: impl std::fmt::Display) -> Error {
    let who = found.as_ref().map_or_else(String::new, |found| {
        let producer = if found.producer_id < 0 {
            "no producer id".to_owned()
        } else {
            format!("producer id {}", found.producer_id)
        };
        format!(" (the batch there has {producer}, its newest record is of {} ms since 1970)", found.max_timestamp)
    });
    Error::data_unsafe(format_args!(
        "{problem}: somebody else writes to it{who}; stop that writer, delete the topic on the target and start a new migration"
    ))
}

/// `error` with its partition, unless it is about the broker: then it names none.
fn blame(partition: &TopicPartition, error: kafka::Error) -> Error {
    if error.is_refusal() { error.into() } else { Error::from(error).at(partition) }
}

fn is_sequence_fault(error: &kafka::Error) -> bool {
    matches!(
        error.code(),
        Some(Code::OutOfOrderSequenceNumber | Code::DuplicateSequenceNumber | Code::UnknownProducerId)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusing::Refusing;

    static REFUSING: Refusing = Refusing { leaderless: None };

    fn writer(target: &Refusing, ends: BTreeMap<TopicPartition, i64>) -> Writer<'_, Refusing> {
        Writer { target, ends, checked: BTreeMap::new(), pulse: Pulse::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_refuses_this_client_stops_no_partition() {
        let slice = sending::tests::slice();
        let ends = [(slice.partition.clone(), 10)].into();
        let mut writer = writer(&REFUSING, ends);
        let error = writer.write(&[slice]).await.unwrap_err();
        assert_eq!((error.kind, &error.context.partition), (migration::ErrorKind::Blocked, &None), "{error}");
        // The same when the last batch is looked at before anything is sent.
        let slice = sending::tests::slice();
        writer.ends.insert(slice.partition.clone(), 12);
        assert_eq!(writer.write(&[slice]).await.unwrap_err().context.partition, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_not_taken_to_know_the_producer_over_a_pause() {
        let partition = sending::tests::slice().partition;
        let mut writer = writer(&REFUSING, BTreeMap::new());
        writer.checked.insert(partition.clone(), Instant::now());
        tokio::time::advance(CHECKED_FOR / 2).await;
        let at = writer.take_checked(&partition).unwrap();
        writer.checked.insert(partition.clone(), at);
        tokio::time::advance(CHECKED_FOR / 2).await;
        assert_eq!(writer.take_checked(&partition), None, "slices without batches do not lengthen it");
    }

    #[tokio::test(start_paused = true)]
    async fn partitions_without_a_leader_are_asked_about_at_the_same_time() {
        let slow = Refusing { leaderless: Some(Duration::from_secs(30)) };
        let slices: Vec<_> = (0..10)
            .map(|number| {
                let mut slice = sending::tests::slice();
                slice.partition = TopicPartition::new("t", number);
                slice
            })
            .collect();
        let ends = slices.iter().map(|slice| (slice.partition.clone(), 10)).collect();
        let began = Instant::now();
        let unwritten = writer(&slow, ends).retry(&slices).await.unwrap();
        assert_eq!(unwritten.refused.len(), slices.len());
        assert_eq!(began.elapsed(), Duration::from_secs(30));
    }
}
