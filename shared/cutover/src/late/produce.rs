//! Carries an append out: what the target does not have of it is produced, one batch of a partition at a time.

use std::time::Duration;

use copy::{Slice, objects};
use documents::late_append::{self, LateAppended};
use documents::{LateAppend, Objects};
use journal::LateLease;
use kafka::{Code, Each, Produced, TopicPartition};
use migration::{Error, Result};
use tokio::time::Instant;

use super::ports::{Ledger, Ports, Scanned, Target};
use super::sending::Sending;

/// How long what is known of the target counts. A function that stood still scans again: what an overtaken one had under way has arrived
/// since, and a leader that has forgotten the producer would not know it as a repeat.
const FRESH: Duration = Duration::from_secs(5);

/// Pause behind a round in which something went wrong.
const PAUSE: Duration = Duration::from_millis(200);

/// Rounds without progress of a partition after which it is given up: 40 seconds at least.
const PATIENCE: u32 = 200;

/// Rounds after which it is looked at whether the topic of a partition that is not found is still there.
const LOOK_AGAIN: u32 = 20;

/// Produces what the target lacks of the append `number`, and puts on record what became of it; nothing when the time was up.
///
/// # Errors
/// As [`append`](super::append()).
pub(super) async fn carry_out(
    ports: &impl Ports,
    lease: &LateLease,
    number: u32,
    plan: &LateAppend,
) -> Result<Option<LateAppended>> {
    let slices = stored(ports, plan).await?;
    let mut open = Vec::with_capacity(slices.len());
    for range in &plan.partitions {
        let missing = || Error::data_unsafe("the stored batches lack a partition of their plan").at(&range.partition);
        let slice = slices.iter().find(|slice| slice.partition == range.partition).ok_or_else(missing)?;
        open.push(Sending::new(range, slice)?);
    }
    let mut round = Round { ports, lease, producer: plan.producer_id, refused: Vec::new() };
    while open.iter().any(|sending| round.is_open(sending)) {
        if ports.is_out_of_time() {
            return Ok(None);
        }
        round.go(&mut open).await?;
    }
    if !round.refused.is_empty() {
        let refused: Vec<_> = round.refused.iter().map(|(_, error)| error.to_string()).collect();
        return Err(Error::blocked(format_args!(
            "append {number} of late records is not complete: {}; repeat it once that is repaired, it appends what is missing",
            refused.join("; ")
        )));
    }
    let done = LateAppended { done_at: ports.now(), partitions: open.iter().map(Sending::outcome).collect() };
    // Another invocation may have found it done before.
    documents::write_new(ports.objects(), &late_append::done_key(number), &done).await?;
    tracing::info!(number, partitions = open.len(), "late records appended");
    Ok(Some(done))
}

/// The batches of `plan` as they were stored.
async fn stored(ports: &impl Ports, plan: &LateAppend) -> Result<Vec<Slice>> {
    let object = ports.objects().get(&plan.batches).await?;
    let object = object.ok_or_else(|| {
        Error::blocked(format_args!(
            "{} is missing: the batches of an append that is under way were deleted",
            ports.objects().url(&plan.batches)
        ))
    })?;
    objects::unpack(object.body)
}

/// One round after the other.
struct Round<'a, P> {
    ports: &'a P,
    lease: &'a LateLease,
    producer: i64,
    /// What the target does not take.
    refused: Vec<(TopicPartition, Error)>,
}

impl<P: Ports> Round<'_, P> {
    fn is_open(&self, sending: &Sending<'_>) -> bool {
        !sending.is_done() && !self.refused.iter().any(|(partition, _)| *partition == sending.slice().partition)
    }

    /// Scans where it is not known how far the target is, then sends one batch of each partition of which it is.
    async fn go(&mut self, open: &mut [Sending<'_>]) -> Result<()> {
        self.scan(open).await?;
        // Between what was found and what is sent: whoever took over since is not disturbed.
        self.ports.ledger().check(self.lease).await?;
        for sending in open.iter_mut().filter(|sending| sending.known_at.elapsed() > FRESH) {
            sending.is_certain = false;
        }
        self.send(open).await?;
        let mut wait = false;
        for sending in open.iter_mut().filter(|sending| sending.trouble.is_some() && !sending.is_done()) {
            wait = true;
            sending.stalled += 1;
            self.lose_patience(sending).await?;
        }
        if wait {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Gives a partition up of which nothing has moved for long. What nobody can repair is part of the outcome.
    ///
    /// # Errors
    /// The fault, where it may pass.
    async fn lose_patience(&self, sending: &mut Sending<'_>) -> Result<()> {
        let Some(trouble) = sending.trouble.clone() else { return Ok(()) };
        let partition = &sending.slice().partition;
        if is_missing(&trouble) && sending.stalled.is_multiple_of(LOOK_AGAIN) {
            let topic = self.ports.target().configs(std::slice::from_ref(&partition.topic)).await.pop();
            if topic.is_some_and(|(_, found)| found.is_err_and(|error| is_missing(&error))) {
                let why = "the topic was deleted on the target before all of its late records were appended";
                sending.problem = Some(why.to_owned());
                return Ok(());
            }
        }
        if sending.stalled < PATIENCE {
            return Ok(());
        }
        if trouble.code() == Some(Code::OffsetOutOfRange) {
            let why = "the target's log ends before the offset where it ended when the append began: the topic was created anew, or a \
                       replica without all records became leader; what was appended is not known";
            sending.problem = Some(why.to_owned());
            return Ok(());
        }
        Err(Error::transient(trouble).at(partition))
    }

    async fn scan(&self, open: &mut [Sending<'_>]) -> Result<()> {
        let is_wanted = |sending: &&Sending<'_>| self.is_open(sending) && !sending.is_certain;
        let from: Vec<_> =
            open.iter().filter(is_wanted).map(|one| (one.slice().partition.clone(), one.scan_from)).collect();
        if from.is_empty() {
            return Ok(());
        }
        let known_at = Instant::now();
        for (partition, scanned) in self.ports.target().scan(&from, self.producer).await {
            let Some(sending) = open.iter_mut().find(|sending| sending.slice().partition == partition) else {
                continue;
            };
            sending.known_at = known_at;
            match scanned {
                Ok(scanned) => take(sending, &scanned)?,
                Err(error) => sending.trouble = Some(error),
            }
        }
        Ok(())
    }

    async fn send(&mut self, open: &mut [Sending<'_>]) -> Result<()> {
        let is_ready = |sending: &&Sending<'_>| self.is_open(sending) && sending.is_certain;
        let batches: Vec<_> = open
            .iter()
            .filter(is_ready)
            .filter_map(|sending| Some((sending.slice().partition.clone(), sending.next_batch()?)))
            .collect();
        if batches.is_empty() {
            return Ok(());
        }
        let known_at = Instant::now();
        let answers: Each<TopicPartition, Produced> = self.ports.target().produce(&batches).await;
        for (partition, answer) in answers {
            let Some(sending) = open.iter_mut().find(|sending| sending.slice().partition == partition) else {
                continue;
            };
            match answer {
                Ok(produced) => {
                    sending.appended(produced)?;
                    sending.known_at = known_at;
                }
                // The leader has more than every replica has by now, or less than an acknowledgement was given for a moment ago.
                Err(error) if error.is_retryable() || is_sequence_fault(&error) => {
                    sending.is_certain = false;
                    sending.trouble = Some(error);
                }
                Err(error) => self.refused.push((partition.clone(), Error::from(error).at(&partition))),
            }
        }
        Ok(())
    }
}

/// Takes what a scan found, unless it cannot tell: then the partition is given up, since records that are gone could be appended twice.
fn take(sending: &mut Sending<'_>, scanned: &Scanned) -> Result<()> {
    if sending.is_out_of_sight(scanned) {
        sending.problem = Some(format!(
            "the target has removed records below offset {} before they were looked at, and shows none of the append behind them: whether \
             its records were among them is not known, and what is left of them is not appended",
            scanned.start
        ));
        return Ok(());
    }
    sending.found(scanned)
}

/// Whether a partition was not found.
fn is_missing(error: &kafka::Error) -> bool {
    matches!(error, kafka::Error::NoLeader { .. }) || error.code() == Some(Code::UnknownTopicOrPartition)
}

fn is_sequence_fault(error: &kafka::Error) -> bool {
    matches!(
        error.code(),
        Some(Code::OutOfOrderSequenceNumber | Code::DuplicateSequenceNumber | Code::UnknownProducerId)
    )
}
