//! What a write fence needs from outside, as traits.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use journal::{StoredFence, WriteFence};
use kafka::{AclBinding, AclOperation};
use migration::{Result, TopicPartition};

/// The ACLs of the source. Calls repeat what fails for a passing reason, as [`kafka::Cluster`] does.
pub trait Acls: Sync {
    /// All rules; `None` without an authorizer.
    fn rules(&self) -> impl Future<Output = Result<Option<Vec<AclBinding>>>> + Send;

    /// Sets rules; one that is there already stays.
    fn add(&self, rules: &[AclBinding]) -> impl Future<Output = Result<()>> + Send;

    /// Removes exactly these rules; one that is not there is no error.
    fn remove(&self, rules: &[AclBinding]) -> impl Future<Output = Result<()>> + Send;

    /// Those of `topics`, whether they exist or not, on which some broker permits `operation` to the migration itself.
    fn permitted(
        &self,
        topics: &[Arc<str>],
        operation: AclOperation,
    ) -> impl Future<Output = Result<BTreeSet<Arc<str>>>> + Send;

    /// Those of `partitions` whose leaders do not refuse that the migration writes there, with what they say instead.
    fn unrefused(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<BTreeMap<TopicPartition, String>>> + Send;

    /// Those of `topics` of which some leader refuses that the migration writes there. A topic that is gone, and a leader that
    /// does not answer, refuse nothing.
    fn refusing(&self, topics: &BTreeSet<Arc<str>>) -> impl Future<Output = Result<BTreeSet<Arc<str>>>> + Send;
}

/// The journal's record of the fence. Errors are those of [`journal::Journal`].
pub trait Record: Sync {
    /// The newest fence.
    fn load(&self) -> impl Future<Output = Result<Option<StoredFence>>> + Send;

    /// Records `fence` unless it was changed since `edition`, see [`journal::Journal::put_write_fence`].
    fn store(&self, edition: Option<u64>, fence: &WriteFence) -> impl Future<Output = Result<bool>> + Send;

    /// The time of day.
    fn now(&self) -> DateTime<Utc>;
}
