//! What decides a migration, in one DynamoDB table: its phase and every transition, the operator's gates, the producer
//! freeze, and how far each partition has been copied.
//!
//! Step Functions knows the order of steps and S3 holds what is large, but whoever has to know what is *true* asks here.
//! Each write therefore carries the condition under which it is right (a phase, a version, an epoch, a count), reads
//! are strongly consistent, and every operation may be repeated: a replay is recognised and succeeds.
//!
//! | pk | sk | holds |
//! |---|---|---|
//! | `run#<id>` | `meta` | phase, version, configuration, producer id, claims of the cutover and of late records, point of no return and its plan |
//! | `run#<id>` | `event#<number>` | one transition, append only |
//! | `run#<id>` | `gate#<name>` | task token and decision of a gate |
//! | `run#<id>` | `freeze` | when producers were asked to stop, confirmed to be frozen, and let go |
//! | `run#<id>` | `write_fence` | ACLs on the source that deny Write: since when, proven when, lifted when |
//! | `run#<id>` | `webhooks` | the last calls of webhooks, and what became of each |
//! | `run#<id>` | `acceptances` | differences that were accepted for the evidence, by whom and why |
//! | `run#<id>` | `tail` | whether the tail should go on, and for which manifest |
//! | `run#<id>` | `restarted` | that a run of this id was removed to begin again, and what the next one goes by |
//! | `target#<cluster id>` | `run#<id>` | which topics of a target are the run's |
//! | `runs` | `run#<id>` | that there is a run of this id, and what was announced of it |
//! | `run#<id>#batch#<n>` | `batch` | epoch and owner of a batch of partitions, how far each of them is, the tail's next object |
//! | `run#<id>#batch#<n>` | `heartbeat` | when a function that copies the batch was last heard of, and what keeps it from going on |
//!
//! A batch has its own partition key, so that the copy's checkpoints do not share one key's write capacity.
//!
//! A migration may begin again under its id ([`restart`]). A journal that was [bound](Journal::bound_to) to a run says
//! Fenced when it finds another one there.
//!
//! # Errors
//! Every operation reports, besides what it documents, [`Transient`](migration::ErrorKind::Transient) when DynamoDB
//! throttles, fails or cannot be reached, and [`Blocked`](migration::ErrorKind::Blocked) when the table is missing or
//! access to it is denied. All errors name the run.

mod acceptance;
mod batch;
mod cutover;
mod event;
mod fault;
mod freeze;
mod gate;
pub mod heartbeat;
mod late;
mod owner;
mod registry;
pub mod restart;
mod run;
pub mod schema;
mod table;
mod tail;
mod token;
mod transition;
mod webhooks;
mod write;
mod write_fence;

pub use acceptance::Acceptance;
pub use batch::{BatchProgress, Claimed, Lease, Position};
pub use clock::{Clock, timestamp};
pub use cutover::CutoverLease;
pub use event::Event;
pub use freeze::{AskedFreeze, Freeze, FreezeHow, FreezePeriod, FreezeState, Side};
pub use gate::{Decided, Decision, Gate, GateName, GateState, Verdict};
pub use heartbeat::{Beat, CopyWork, Health, Heartbeat, LastError, Refused, TailTrouble, Tails, Trouble};
pub use late::LateLease;
pub use registry::{Announced, Registered};
pub use restart::{Remains, Removed, RestartLease, Restarted};
pub use run::{Created, Meta, NewRun, ProducerId};
pub use tail::{CopyControl, TailWanted};
pub use token::Token;
pub use transition::Transition;
pub use webhooks::{WebhookCall, WebhookCalls};
pub use write_fence::{LIFETIME, Setter, StoredFence, WriteFence};

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use migration::MigrationId;

/// How often an operation that lost a race reads again and retries before it reports
/// [`Transient`](migration::ErrorKind::Transient).
const RACE_ATTEMPTS: u32 = 10;

/// The journal of one migration. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    client: Client,
    table: Arc<str>,
    run: MigrationId,
    clock: Clock,
    /// When the run was created that this journal is about; none when it is about whichever is there.
    created_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client is left out: its form is long, and its configuration is nobody's business in a log.
        f.debug_struct("Journal").field("table", &self.table).field("run", &self.run).finish_non_exhaustive()
    }
}

impl Journal {
    /// The journal of migration `run` in DynamoDB table `table`. Reads and writes nothing yet.
    pub fn new(client: Client, table: impl Into<String>, run: MigrationId) -> Self {
        Self { client, table: table.into().into(), run, clock: Clock::system(), created_at: None }
    }

    /// Takes the time from `clock` instead of the system.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The same journal for the run `meta` alone: when the migration has begun again meanwhile, whatever is read of the run
    /// and whatever changes its phase, its cutover or its facts is
    /// [`Fenced`](migration::ErrorKind::Fenced). A function that outlives its run cannot take part in the next one.
    #[must_use]
    pub fn bound_to(mut self, meta: &Meta) -> Self {
        self.created_at = Some(meta.created_at);
        self
    }

    /// The migration.
    pub fn run(&self) -> &MigrationId {
        &self.run
    }

    /// Name of the DynamoDB table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The time by this journal's clock, in whole microseconds as the journal stores it.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
