//! What the items are computed from.

use migration::Phase;
use migration::report::Plan;

use super::{MEMORY_MB, WORKING_SECONDS};
use crate::planning::Planning;

/// Seconds in an hour.
pub(super) const HOUR: f64 = 3_600.0;
/// Bytes of a round of the seed, and of the largest segment (`copy::engine::rounds`).
const ROUND_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// Checkpoints that a function of the seed writes in a second at most (`copy::engine::books`).
const SEED_CHECKPOINTS_PER_SECOND: f64 = 1.0;
/// Partitions in a write unit of the journal: a checkpoint writes a kilobyte for three of them (`journal::batch`).
const PARTITIONS_PER_WRITE: f64 = 3.0;

/// The migration in numbers.
pub(super) struct Work {
    pub(super) bytes: f64,
    pub(super) partitions: f64,
    pub(super) batches: f64,
    /// Functions that copy at the same time.
    pub(super) functions: f64,
    pub(super) validate_seconds: f64,
    /// Seconds of the phases that neither copy nor validate.
    pub(super) other_seconds: f64,
    seed_seconds: f64,
    segment_bytes: f64,
}

impl Work {
    pub(super) fn of(planning: &Planning, plan: &Plan) -> Self {
        let seconds = |wanted: &[Phase]| {
            plan.phases
                .iter()
                .filter(|phase| wanted.contains(&phase.phase))
                .map(|phase| phase.seconds as f64)
                .sum::<f64>()
        };
        Self {
            bytes: plan.estimated_seed_bytes as f64,
            partitions: plan.partitions as f64,
            batches: plan.batches as f64,
            functions: f64::from(plan.estimated_seed.functions),
            validate_seconds: seconds(&[Phase::Validating]),
            other_seconds: seconds(&[Phase::Precheck, Phase::TopologyCopy, Phase::Cutover]),
            seed_seconds: seconds(&[Phase::Seed]),
            segment_bytes: f64::from(planning.config.seed.segment_max_bytes).min(ROUND_BYTES),
        }
    }

    /// Seconds of all functions of the seed together.
    pub(super) fn function_seconds(&self) -> f64 {
        self.functions * self.seed_seconds
    }

    /// GB-seconds of `seconds` of a function.
    pub(super) fn memory(&self, seconds: f64) -> f64 {
        seconds * MEMORY_MB / 1_024.0
    }

    /// Invocations of the copy functions during the seed.
    pub(super) fn seed_invocations(&self) -> f64 {
        self.batches + (self.function_seconds() / WORKING_SECONDS).ceil()
    }

    /// Invocations of the copy functions and of the drain during `seconds` of the tail.
    pub(super) fn tail_invocations(&self, seconds: f64) -> f64 {
        (self.batches + 1.0) * (seconds / WORKING_SECONDS).ceil()
    }

    /// Objects that the seed stores.
    pub(super) fn segments(&self) -> f64 {
        (self.bytes / self.segment_bytes).ceil().max(self.partitions)
    }

    /// Checkpoints of the seed: one a round, but not more than a function writes in its time; and a last one for each batch.
    pub(super) fn seed_checkpoints(&self) -> f64 {
        let rounds = (self.bytes / ROUND_BYTES).ceil();
        rounds.min((self.function_seconds() * SEED_CHECKPOINTS_PER_SECOND).ceil()) + self.batches
    }

    /// Write units of one checkpoint of a batch.
    pub(super) fn writes_per_checkpoint(&self) -> f64 {
        (self.partitions / self.batches.max(1.0) / PARTITIONS_PER_WRITE).ceil().max(1.0)
    }
}
