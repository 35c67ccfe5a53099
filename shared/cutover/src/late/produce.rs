//! Carries an append out: what the target does not have of it is produced, one batch of a partition at a time.

use std::time::Duration;

use copy::{Slice, objects};
use documents::late_append::{self, LateAppended};
use documents::{LateAppend, Objects};
use futures::future::try_join_all;
use journal::LateLease;
use kafka::Code;
use migration::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::ports::{Ledger, Ports, Scanned, Target};
use super::sending::Sending;

/// How long what is known of the target counts. A function that stood still scans again: what an overtaken one had under way has arrived
/// since, and a leader that has forgotten the producer would not know it as a repeat.
const FRESH: Duration = Duration::from_secs(5);

/// Pause behind an attempt in which something went wrong.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a partition may stand still before it is given up. The others go on meanwhile, and an invocation lasts longer.
const PATIENCE: Duration = Duration::from_secs(40);

/// Attempts before which no partition is given up: the sandbox may have stood still.
const LEAST_ATTEMPTS: u32 = 3;

/// How often it is looked at whether the topic of a partition that is not found is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Partitions that are scanned or written to at once.
const AT_ONCE: usize = 32;

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
    let work = Work { ports, lease, producer: plan.producer_id, permits: Semaphore::new(AT_ONCE) };
    let lanes: Vec<_> = open.iter_mut().map(|sending| work.carry(sending)).collect();
    try_join_all(lanes).await?;
    if open.iter().any(Sending::is_open) {
        return Ok(None);
    }
    let faults: Vec<_> = open.iter().filter_map(|sending| sending.fault.as_ref()).collect();
    if !faults.is_empty() {
        return Err(incomplete(number, &faults));
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

/// Why the append `number` cannot be completed now.
fn incomplete(number: u32, faults: &[&Error]) -> Error {
    let is = |kind| faults.iter().any(|fault| fault.kind == kind);
    let kind = [ErrorKind::Unsafe, ErrorKind::Transient].into_iter().find(|kind| is(*kind));
    let whys: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let message = format!(
        "append {number} of late records is not complete: {}; repeat it once that is repaired, it appends what is missing",
        whys.join("; ")
    );
    Error::new(kind.unwrap_or(ErrorKind::Blocked), message)
}

/// The partitions of an append, each of which goes its own way: one that is not to be had holds up no other.
struct Work<'a, P> {
    ports: &'a P,
    lease: &'a LateLease,
    producer: i64,
    permits: Semaphore,
}

impl<P: Ports> Work<'_, P> {
    /// Carries one partition on until it is done, given up, or the time is up.
    ///
    /// # Errors
    /// Those that are no partition's.
    async fn carry(&self, sending: &mut Sending<'_>) -> Result<()> {
        while sending.is_open() && !self.ports.is_out_of_time() {
            let permit = self.permits.acquire().await.map_err(Error::internal)?;
            let stalled = sending.stalled;
            self.attempt(sending).await?;
            drop(permit);
            if sending.stalled > stalled {
                self.lose_patience(sending).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Scans where it is not known how far the target is, then sends one batch.
    async fn attempt(&self, sending: &mut Sending<'_>) -> Result<()> {
        if !sending.is_certain {
            self.scan(sending).await;
        }
        if !sending.is_certain || !sending.is_open() {
            return Ok(());
        }
        // Between what was found and what is sent: whoever took over since is not disturbed.
        self.ports.ledger().check(self.lease).await?;
        sending.is_certain = sending.known_at.elapsed() <= FRESH;
        if sending.is_certain {
            self.send(sending).await;
        }
        Ok(())
    }

    async fn scan(&self, sending: &mut Sending<'_>) {
        let partition = &sending.slice().partition;
        sending.known_at = Instant::now();
        match self.ports.target().scan(partition, sending.scan_from, self.producer).await {
            Ok(scanned) => take(sending, &scanned),
            Err(error) => sending.fail(error),
        }
    }

    async fn send(&self, sending: &mut Sending<'_>) {
        let Some(batch) = sending.next_batch() else { return };
        let partition = &sending.slice().partition;
        let known_at = Instant::now();
        match self.ports.target().produce(partition, batch).await {
            Ok(produced) => {
                sending.appended(produced);
                sending.known_at = known_at;
            }
            // The leader has more than every replica has by now, or less than an acknowledgement was given for a moment ago.
            Err(error) if error.is_retryable() || is_sequence_fault(&error) => sending.fail(error),
            Err(error) => sending.fault = Some(Error::from(error).at(partition)),
        }
    }

    /// Gives a partition up of which nothing has moved for long. What nobody can repair is part of the outcome.
    async fn lose_patience(&self, sending: &mut Sending<'_>) {
        let Some((trouble, since)) = sending.trouble.clone() else { return };
        let partition = &sending.slice().partition;
        if is_missing(&trouble) && since.elapsed() >= LOOK_AGAIN * (sending.looks + 1) {
            sending.looks += 1;
            let topic = self.ports.target().configs(std::slice::from_ref(&partition.topic)).await.pop();
            if topic.is_some_and(|(_, found)| found.is_err_and(|error| is_missing(&error))) {
                let why = "the topic was deleted on the target before all of its late records were appended";
                sending.problem = Some(why.to_owned());
                return;
            }
        }
        if sending.stalled < LEAST_ATTEMPTS || since.elapsed() < PATIENCE {
            return;
        }
        if trouble.code() == Some(Code::OffsetOutOfRange) {
            let why = "the target's log ends before the offset where it ended when the append began: the topic was created anew, or a \
                       replica without all records became leader; what was appended is not known";
            sending.problem = Some(why.to_owned());
            return;
        }
        sending.fault = Some(Error::transient(trouble).at(partition));
    }
}

/// Takes what a scan found, unless it cannot tell: then the partition is given up, since records that are gone could be appended twice.
fn take(sending: &mut Sending<'_>, scanned: &Scanned) {
    sending.found(scanned);
    if let Some(behind) = sending.out_of_sight() {
        sending.problem = Some(format!(
            "the target has removed records below offset {behind} before they were looked at, by retention or compaction, and shows none \
             of the append behind them: whether its records were among them is not known, and what is left of them is not appended"
        ));
    }
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
