//! The clusters, the journal and the bucket of a migration as the ports of its cutover.

mod ledger;
pub(crate) mod records;
pub(crate) mod source;
pub(crate) mod target;

use chrono::{DateTime, Utc};
use documents::rehearsal::{self, NEWEST, Rehearsal};
use journal::{GateName, Journal};
use kafka::{Cluster, CommitLimits};
use migration::{Error, Result};
use runtime::{Run, Store};

use crate::ports::{Attempt, BehindTheMark, Ledger, Ports};
use crate::{Job, Outcome};
pub use ledger::ATTEMPT;
use ledger::LiveLedger;
use source::LiveSource;
use target::LiveTarget;
use write_fence::live::LiveAcls;

/// Everything a cutover needs from outside.
pub(crate) struct Live<'a> {
    run: &'a Run<'a>,
    source: LiveSource<'a>,
    target: LiveTarget<'a>,
    ledger: LiveLedger<'a>,
    acls: LiveAcls,
}

impl<'a> Live<'a> {
    /// Connects to both clusters. What is known from `rehearsal` is not asked for again.
    ///
    /// # Errors
    /// Those of connecting.
    async fn connect(run: &'a Run<'a>, rehearsal: Rehearsal) -> Result<Self> {
        let (source, target) = tokio::try_join!(run.source(), run.target())?;
        let limits = rehearsal.coordinators.commits();
        Ok(Self {
            run,
            acls: LiveAcls::new(source.clone()),
            source: LiveSource::new(run, source, Some(rehearsal)),
            target: LiveTarget::new(run, target, limits),
            ledger: LiveLedger::new(run),
        })
    }

    /// The same for a rehearsal, before there is one.
    pub(crate) fn before_rehearsal(run: &'a Run<'a>, source: Cluster, target: Cluster) -> Self {
        Self {
            run,
            acls: LiveAcls::new(source.clone()),
            source: LiveSource::new(run, source, None),
            target: LiveTarget::new(run, target, CommitLimits::default()),
            ledger: LiveLedger::new(run),
        }
    }
}

impl<'a> BehindTheMark for Live<'a> {
    type Target = LiveTarget<'a>;
    type Ledger = LiveLedger<'a>;
    type Objects = Store;

    fn target(&self) -> &LiveTarget<'a> {
        &self.target
    }

    fn ledger(&self) -> &LiveLedger<'a> {
        &self.ledger
    }

    fn objects(&self) -> &Store {
        &self.run.store
    }

    fn now(&self) -> DateTime<Utc> {
        self.run.journal.now()
    }
}

impl<'a> Ports for Live<'a> {
    type Source = LiveSource<'a>;
    type Acls = LiveAcls;
    type Fence = Journal;

    fn source(&self) -> &LiveSource<'a> {
        &self.source
    }

    fn acls(&self) -> &LiveAcls {
        &self.acls
    }

    fn fence(&self) -> &Journal {
        &self.run.journal
    }
}

/// What completes a cutover.
struct LiveCompletion<'a> {
    run: &'a Run<'a>,
    target: LiveTarget<'a>,
    ledger: LiveLedger<'a>,
}

impl<'a> BehindTheMark for LiveCompletion<'a> {
    type Target = LiveTarget<'a>;
    type Ledger = LiveLedger<'a>;
    type Objects = Store;

    fn target(&self) -> &LiveTarget<'a> {
        &self.target
    }

    fn ledger(&self) -> &LiveLedger<'a> {
        &self.ledger
    }

    fn objects(&self) -> &Store {
        &self.run.store
    }

    fn now(&self) -> DateTime<Utc> {
        self.run.journal.now()
    }
}

/// Cuts `run` over, see [`cut_over`](crate::cut_over); behind the point of no return with the target alone, see
/// [`complete`](crate::complete).
///
/// # Errors
/// Those of the two, and Blocked when no rehearsal was approved.
pub async fn cut_over(run: &Run<'_>) -> Result<Outcome> {
    let id = approved(run).await?;
    let rehearsal: Rehearsal = documents::read(&run.store, &rehearsal::key(&id)).await?;
    if run.meta.committed {
        let target = LiveTarget::new(run, run.target().await?, rehearsal.coordinators.commits());
        return crate::complete(&LiveCompletion { run, target, ledger: LiveLedger::new(run) }).await;
    }
    let job = Job {
        limits: run.config.cutover.clone(),
        selection: run.config.topology.clone(),
        batches: run.batches()?,
        rehearsal: id,
    };
    match Live::connect(run, rehearsal).await {
        Ok(live) => crate::cut_over(&live, &job).await,
        Err(error) => Err(unconnected(run, error).await),
    }
}

/// Puts on record that a cluster could not be reached, for whoever ends the freeze.
async fn unconnected(run: &Run<'_>, error: Error) -> Error {
    let attempt = Attempt { step: "connect", error: format!("{}: {error}", error.kind) };
    if let Err(unsaid) = LiveLedger::new(run).note_attempt(&attempt).await {
        tracing::warn!(%unsaid, "the failed attempt could not be put on record");
    }
    error
}

/// Id of the rehearsal that was approved at the gate `cutover`; the newest where the gate names none.
///
/// # Errors
/// Blocked when there is none.
pub(crate) async fn approved(run: &Run<'_>) -> Result<String> {
    let gate = run.journal.gate(GateName::Cutover).await?;
    let named = gate.and_then(|gate| gate.decision).and_then(|decision| decision.rehearsal);
    let newest = || run.meta.facts.get(NEWEST).and_then(|fact| fact.as_str()).map(str::to_owned);
    named.or_else(newest).ok_or_else(|| Error::blocked("no rehearsal was made: run msk-kraft cutover --rehearse"))
}
