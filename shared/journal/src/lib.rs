//! What decides a migration, in one DynamoDB table: its phase and every transition, the operator's gates, the producer
//! freeze, and how far each partition has been copied.
//!
//! Step Functions knows the order of steps and S3 holds what is large, but whoever has to know what is *true* asks here.
//! Each write therefore carries the condition under which it is right (a phase, a version, an epoch, a count), reads
//! are strongly consistent, and every operation may be repeated: a replay is recognised and succeeds.
//!
//! | pk | sk | holds |
//! |---|---|---|
//! | `run#<id>` | `meta` | phase, version, configuration, producer id, claims of the cutover, point of no return and its plan |
//! | `run#<id>` | `event#<number>` | one transition, append only |
//! | `run#<id>` | `gate#<name>` | task token and decision of a gate |
//! | `run#<id>` | `freeze` | when producers were frozen and unfrozen |
//! | `run#<id>` | `tail` | whether the tail should go on, and for which manifest |
//! | `run#<id>#batch#<n>` | `batch` | epoch and owner of a batch of partitions, how far each of them is, the tail's next object |
//! | `run#<id>#batch#<n>` | `heartbeat` | when a function that copies the batch was last heard of, and what keeps it from going on |
//!
//! A batch has its own partition key, so that the copy's checkpoints do not share one key's write capacity.
//!
//! # Errors
//! Every operation reports, besides what it documents, [`Transient`](migration::ErrorKind::Transient) when DynamoDB
//! throttles, fails or cannot be reached, and [`Blocked`](migration::ErrorKind::Blocked) when the table is missing or
//! access to it is denied. All errors name the run.

mod batch;
mod cutover;
mod event;
mod fault;
mod freeze;
mod gate;
pub mod heartbeat;
mod run;
pub mod schema;
mod table;
mod tail;
mod token;
mod transition;
mod write;

pub use batch::{BatchProgress, Claimed, Lease, Position};
pub use clock::{Clock, timestamp};
pub use cutover::CutoverLease;
pub use event::Event;
pub use freeze::{Freeze, FreezeHow, FreezePeriod, FreezeState, Side};
pub use gate::{Decided, Decision, Gate, GateName, GateState, Verdict};
pub use heartbeat::{Beat, CopyWork, Health, Heartbeat, LastError, Refused, TailTrouble, Tails, Trouble};
pub use run::{Created, Meta, NewRun, ProducerId};
pub use tail::{CopyControl, TailWanted};
pub use token::Token;
pub use transition::Transition;

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
        Self { client, table: table.into().into(), run, clock: Clock::system() }
    }

    /// Takes the time from `clock` instead of the system.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
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
