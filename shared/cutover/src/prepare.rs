//! Everything up to the point of no return. All of it can be given up at any moment: nothing on the target changes, and on
//! the source nothing that an application sees.

use std::time::Duration;

use clock::Deadline;
use documents::cutover_plan::{self, CutoverPlan, PartitionEnd};
use documents::rehearsal::{self, Rehearsal};
use documents::{Objects, PutOnce, document};
use journal::CutoverLease;
use migration::config::WriteFence;
use migration::{Error, Result, TopicPartition};
use runtime::run::refuse_stopped;
use tokio::time::sleep;

use crate::Job;
use crate::drain::{self, Drained};
use crate::groups::{self, Snapshot};
use crate::limit::FreezeLimit;
use crate::ports::{Attempt, Ledger, Offsets, Ports, Source};
use crate::proofs::{self, Ends};
use crate::steps::Steps;
use crate::{acl_fence, fence, translate};

/// Pause before an attempt that failed for a passing reason is repeated.
const PAUSE: Duration = Duration::from_millis(500);

/// Shortest time between the first and the last look at the source's ends.
const SHORTEST_FENCE: Duration = Duration::from_millis(300);

/// Pause between two looks at pending commits.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the journal may take when an attempt has failed.
const MOMENT: Duration = Duration::from_secs(1);

/// Attempts to set the mark once everything is decided: its answer may be lost.
const MARKS: u32 = 5;

/// Prepares the cutover and passes the point of no return. Returns the key of the plan that is carried out.
///
/// What fails for a passing reason is tried again from the start, until the freeze's limit passes.
///
/// # Errors
/// Deadline when the limit passes, saying during what and the last failure before; Unsafe when a producer goes on writing or
/// the target lost records; Blocked when producers are not frozen or something cannot be brought over; Fenced when another
/// invocation took over.
pub(crate) async fn decide(ports: &impl Ports, job: &Job, lease: &CutoverLease, steps: &Steps) -> Result<String> {
    let limit = FreezeLimit::start(ports, job.limits.max_producer_freeze).await?;
    // On the heap, each for itself: an attempt holds the futures of all its steps.
    match Box::pin(attempts(ports, job, lease, steps, &limit)).await {
        Ok(plan) => Ok(plan),
        Err(error) => Err(Box::pin(ended(ports, job, lease, steps, error)).await),
    }
}

/// Attempts until one has passed the point of no return, or the limit has.
async fn attempts(
    ports: &impl Ports,
    job: &Job,
    lease: &CutoverLease,
    steps: &Steps,
    limit: &FreezeLimit,
) -> Result<String> {
    let key = rehearsal::key(&job.rehearsal);
    let reading = documents::read(ports.objects(), &key);
    let reading = limit.deadline().limit(steps.time("read the rehearsal", reading)).await;
    let rehearsal: Rehearsal = reading.map_err(|_| limit.passed(ports, steps, None))??;
    let mut last = None;
    for attempt in 1.. {
        let work = Attempting { ports, job, lease, steps, rehearsal: &rehearsal, attempt };
        let error = match limit.deadline().limit(Box::pin(work.plan())).await {
            Ok(Ok(plan)) if !limit.deadline().has_passed() => {
                return mark(ports, lease, &plan, limit.deadline()).await.map(|()| plan);
            }
            Ok(Err(error)) if error.kind.is_retryable() => error,
            Ok(Err(error)) => return Err(error),
            Ok(Ok(_)) | Err(_) => return Err(limit.passed(ports, steps, last.as_ref())),
        };
        last = Some(noted(ports, steps, error).await);
        sleep(PAUSE).await;
    }
    Err(Error::internal("a cutover ran out of attempts"))
}

/// What an invocation ends with before the mark: `error`, which is put on record, unless it was overtaken. Then its error says
/// nothing about the cutover any more, of which another invocation may have passed the mark.
async fn ended(ports: &impl Ports, job: &Job, lease: &CutoverLease, steps: &Steps, error: Error) -> Error {
    if is_fenced(job) {
        acl_fence::settle(ports, lease).await;
    }
    match Deadline::after(MOMENT).limit(ports.ledger().check(lease)).await {
        Ok(Err(overtaken)) if !overtaken.kind.is_retryable() => overtaken,
        _ => noted(ports, steps, error).await,
    }
}

/// Puts on record what an attempt failed with, as far as that can be done in a moment.
async fn noted(ports: &impl Ports, steps: &Steps, error: Error) -> Error {
    let attempt = Attempt { step: steps.current(), error: format!("{}: {error}", error.kind) };
    let note = Deadline::after(MOMENT).limit(ports.ledger().note_attempt(&attempt));
    if !matches!(note.await, Ok(Ok(()))) {
        tracing::warn!(%error, "the failed attempt could not be put on record");
    }
    error
}

/// Sets the mark. An answer that was lost is asked for again, since from the mark on there is no way back.
async fn mark(ports: &impl Ports, lease: &CutoverLease, plan: &str, deadline: Deadline) -> Result<()> {
    let mut outcome = ports.ledger().mark(lease, plan).await;
    for _ in 1..MARKS {
        if !outcome.as_ref().is_err_and(|error| error.kind.is_retryable()) {
            break;
        }
        sleep(PAUSE).await;
        if deadline.has_passed() {
            break;
        }
        outcome = ports.ledger().mark(lease, plan).await;
    }
    outcome
}

/// Whether ACLs keep producers from writing.
fn is_fenced(job: &Job) -> bool {
    job.limits.write_fence == WriteFence::Acl
}

/// One attempt.
struct Attempting<'a, P> {
    ports: &'a P,
    job: &'a Job,
    lease: &'a CutoverLease,
    steps: &'a Steps,
    rehearsal: &'a Rehearsal,
    attempt: u32,
}

impl<P: Ports> Attempting<'_, P> {
    /// Decides everything and stores it as a plan of its own. Returns its key.
    async fn plan(&self) -> Result<String> {
        let Self { ports, job, steps, .. } = *self;
        let copied = steps.time("read the progress", self.copied()).await?;
        let partitions: Vec<_> = copied.keys().cloned().collect();
        if is_fenced(self.job) {
            acl_fence::raise(ports, self.lease, self.attempt, &partitions, steps).await?;
        }
        let settle = async { tokio::try_join!(fence::settle(ports, &partitions, steps), self.changes()) };
        let (ends, mut warnings) = steps.time("prove the fence", settle).await?;
        fence::refuse_lost(&copied, &ends)?;
        let window = Deadline::after(self.fence_window());
        let place = proofs::place(ports, job, self.lease, &ends, steps);
        let (ends, more) = steps.time("place sentinels", place).await?;
        warnings.extend(more);
        let drained = steps.time("drain", drain::to_ends(ports, job, &ends, steps)).await?;
        if let Err(error) = steps.time("check the target", drain::check_target(ports, &drained)).await {
            // The tail copies what a producer writes behind the ends, too: that is to be called what it is.
            fence::hold(ports, &proofs::offsets(&ends)).await?;
            return Err(error);
        }
        let mut snapshot = steps.time("read groups", self.groups()).await?;
        steps.time("describe groups on the target", groups::mark_active(ports, &mut snapshot)).await?;
        let groups = steps.time("translate offsets", translate::translate(ports.objects(), snapshot, &drained)).await?;
        steps.time("read groups on the target", groups::refuse_ahead(ports, &groups)).await?;
        let now = steps.time("prove the fence again", self.hold(&ends, window)).await?;
        let plan = CutoverPlan {
            made_at: ports.now(),
            rehearsal: job.rehearsal.clone(),
            ends: partition_ends(&ends, &now, &drained),
            groups,
            settings: self.rehearsal.settings.clone(),
            warnings,
        };
        steps.time("store the plan", self.store(&plan)).await
    }

    /// How long the ends have to stand still at least.
    fn fence_window(&self) -> Duration {
        Duration::from(self.job.limits.fence_window).max(SHORTEST_FENCE)
    }

    /// The partitions to fence, none of which may have stopped, and up to which source offset each is copied.
    async fn copied(&self) -> Result<Offsets> {
        let progress = self.ports.ledger().progress(&self.job.batches).await?;
        let progress: Vec<_> = progress.into_iter().flat_map(|(_, partitions)| partitions).collect();
        refuse_stopped(&progress)?;
        Ok(progress.into_iter().map(|progress| (progress.partition, progress.source_next)).collect())
    }

    /// What appeared on the source since the rehearsal, as warnings.
    async fn changes(&self) -> Result<Vec<String>> {
        Ok(self.ports.source().changes_since(self.rehearsal).await?.appeared)
    }

    /// The source's groups, once no pending commit concerns this wave.
    async fn groups(&self) -> Result<Snapshot> {
        loop {
            let snapshot = groups::read(self.ports, &self.job.limits, &self.job.selection).await?;
            let Some(pending) = snapshot.pending_text() else { return Ok(snapshot) };
            self.steps.waits_for(format!("{pending}, which cutover.skip_groups can leave out"));
            sleep(LOOK_EVERY).await;
        }
    }

    /// The ends, once they have stood still for long enough.
    async fn hold(&self, ends: &Ends, window: Deadline) -> Result<Offsets> {
        if !window.left().is_zero() {
            self.steps.waits_for("cutover.fence_window to pass".to_owned());
            sleep(window.left()).await;
            self.steps.waits_no_more();
        }
        if is_fenced(self.job) {
            // A leader that was elected meanwhile may not have known the rules.
            acl_fence::hold(self.ports, &ends.keys().cloned().collect::<Vec<_>>()).await?;
        }
        fence::hold(self.ports, &proofs::offsets(ends)).await
    }

    async fn store(&self, plan: &CutoverPlan) -> Result<String> {
        let Self { ports, lease, .. } = self;
        // Whoever took over meanwhile goes by what it finds itself.
        ports.ledger().check(lease).await?;
        let key = cutover_plan::key(lease.version, lease.epoch, self.attempt);
        let text = document::encode(plan)?;
        match ports.objects().put_new(&key, text.clone()).await? {
            PutOnce::Stored => Ok(key),
            // The name is this attempt's alone: an answer was lost. As text, since times and numbers are stored less finely than
            // they are kept.
            PutOnce::Taken => match ports.objects().get(&key).await?.is_some_and(|stored| stored.body == text) {
                true => Ok(key),
                false => Err(Error::internal(format_args!("{key} holds another plan"))),
            },
        }
    }
}

/// Where every partition ends: `now` on the source, where markers may have followed the proof.
fn partition_ends(ends: &Ends, now: &Offsets, drained: &Drained) -> Vec<PartitionEnd> {
    let end = |(partition, end): (&TopicPartition, &proofs::End)| PartitionEnd {
        partition: partition.clone(),
        source_end: now.get(partition).copied().unwrap_or(end.source_end),
        target_end: drained.get(partition).map_or(0, |progress| progress.target_next),
        proof: end.proof,
    };
    ends.iter().map(end).collect()
}
