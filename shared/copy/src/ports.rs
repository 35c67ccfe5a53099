//! What a copy needs from outside, as traits: two clusters, the journal and a bucket. In production they are
//! [`kafka::Cluster`], [`journal::Journal`] and [`runtime::Store`]; the fault simulation has others.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use documents::{Objects, PutOnce};
use journal::{Beat, Claimed, CopyControl, Journal, Lease};
use kafka::batch::ProduceBytes;
use kafka::{
    Cluster, ConfigEntry, Each, FetchOptions, FetchPosition, Fetched, Isolation, OffsetSpec, Produced, TopicPartition,
};
use migration::progress::PartitionProgress;
use migration::{BatchId, Phase, Result};
use runtime::{Content, Store};

/// All of it.
pub trait Ports: Sync {
    /// The cluster to copy from.
    type Source: Source;
    /// The cluster to copy to.
    type Target: Target;
    /// Where positions are kept.
    type Ledger: Ledger;
    /// Where slices are kept.
    type Bucket: Bucket;

    /// The cluster to copy from.
    fn source(&self) -> &Self::Source;
    /// The cluster to copy to.
    fn target(&self) -> &Self::Target;
    /// Where positions are kept.
    fn ledger(&self) -> &Self::Ledger;
    /// Where slices are kept.
    fn bucket(&self) -> &Self::Bucket;
}

/// What is asked of either cluster. Errors and their meaning are those of [`kafka::Cluster`].
pub trait Brokers: Sync {
    /// Offsets of partitions.
    fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
    ) -> impl Future<Output = Each<TopicPartition, i64>> + Send;

    /// Configs of topics.
    fn topic_configs(&self, topics: &[Arc<str>]) -> impl Future<Output = Each<Arc<str>, Vec<ConfigEntry>>> + Send;

    /// Number of brokers.
    fn size(&self) -> impl Future<Output = usize> + Send;

    /// The brokers that lead `partitions`, by id, as far as they are known.
    fn leaders(&self, partitions: &[TopicPartition]) -> impl Future<Output = BTreeMap<TopicPartition, i32>> + Send;

    /// Forgets which broker leads which partition.
    fn invalidate(&self);
}

/// The cluster to copy from.
pub trait Source: Brokers {
    /// Reads partitions, once, without repeats.
    fn fetch(
        &self,
        positions: &[FetchPosition],
        options: &FetchOptions,
    ) -> impl Future<Output = Each<TopicPartition, Fetched>> + Send;
}

/// The cluster to copy to.
pub trait Target: Brokers {
    /// Writes one batch to each partition, once, without repeats.
    fn produce(
        &self,
        batches: &[(TopicPartition, ProduceBytes)],
        timeout: Duration,
    ) -> impl Future<Output = Each<TopicPartition, Produced>> + Send;

    /// Reads partitions, once, without repeats.
    fn fetch(
        &self,
        positions: &[FetchPosition],
        options: &FetchOptions,
    ) -> impl Future<Output = Each<TopicPartition, Fetched>> + Send;

    /// Reads the batch that holds `offset`, and perhaps some behind it, once, without repeats.
    fn batch_at(&self, partition: &TopicPartition, offset: i64) -> impl Future<Output = kafka::Result<Fetched>> + Send;
}

/// Where positions are kept, and what a copy is told. Errors are those of [`Journal`].
pub trait Ledger: Sync {
    /// The migration's phase.
    fn phase(&self) -> impl Future<Output = Result<Phase>> + Send;

    /// What the copy is told.
    fn control(&self) -> impl Future<Output = Result<CopyControl>> + Send;

    /// Takes a batch over, see [`Journal::claim`].
    fn claim(&self, batch: BatchId, owner: &str) -> impl Future<Output = Result<Claimed>> + Send;

    /// Stores where a batch stands, see [`Journal::checkpoint`].
    fn checkpoint(
        &self,
        lease: &mut Lease,
        partitions: &[PartitionProgress],
        tail_next: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Checks that no newer claim was made.
    fn check_lease(&self, lease: &Lease) -> impl Future<Output = Result<()>> + Send;

    /// Gives a sign of life, see [`Journal::beat`].
    fn beat(&self, lease: &Lease, beat: &Beat) -> impl Future<Output = Result<bool>> + Send;
}

/// Where slices are kept. Errors are those of [`Store`].
pub trait Bucket: Objects {
    /// Stores an object with user metadata unless its name is taken.
    fn put_once(
        &self,
        name: &str,
        content: Content,
        metadata: HashMap<String, String>,
    ) -> impl Future<Output = Result<PutOnce>> + Send;
}

impl Brokers for Cluster {
    async fn list_offsets(&self, partitions: &[TopicPartition], spec: OffsetSpec) -> Each<TopicPartition, i64> {
        Self::list_offsets(self, partitions, spec).await
    }

    async fn topic_configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        Self::topic_configs(self, topics).await
    }

    async fn size(&self) -> usize {
        self.brokers().await.map_or(1, |brokers| brokers.len())
    }

    async fn leaders(&self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, i32> {
        Self::leaders(self, partitions).await.unwrap_or_default().into_iter().collect()
    }

    fn invalidate(&self) {
        Self::invalidate(self);
    }
}

impl Source for Cluster {
    async fn fetch(&self, positions: &[FetchPosition], options: &FetchOptions) -> Each<TopicPartition, Fetched> {
        Self::fetch(self, positions, options).await
    }
}

impl Target for Cluster {
    async fn produce(
        &self,
        batches: &[(TopicPartition, ProduceBytes)],
        timeout: Duration,
    ) -> Each<TopicPartition, Produced> {
        Self::produce(self, batches, timeout).await
    }

    async fn fetch(&self, positions: &[FetchPosition], options: &FetchOptions) -> Each<TopicPartition, Fetched> {
        Self::fetch(self, positions, options).await
    }

    async fn batch_at(&self, partition: &TopicPartition, offset: i64) -> kafka::Result<Fetched> {
        let position = FetchPosition { partition: partition.clone(), offset, max_bytes: 1 };
        let options = FetchOptions {
            max_wait: Duration::ZERO,
            min_bytes: 1,
            max_bytes: 1,
            isolation: Isolation::ReadUncommitted,
        };
        let answer = Self::fetch(self, &[position], &options).await.pop();
        answer.map_or_else(|| Err(kafka::Error::NoLeader { partition: partition.clone() }), |(_, fetched)| fetched)
    }
}

impl Ledger for Journal {
    async fn phase(&self) -> Result<Phase> {
        Ok(self.meta().await?.phase)
    }

    async fn control(&self) -> Result<CopyControl> {
        self.copy_control().await
    }

    async fn claim(&self, batch: BatchId, owner: &str) -> Result<Claimed> {
        Self::claim(self, batch, owner).await
    }

    async fn checkpoint(&self, lease: &mut Lease, partitions: &[PartitionProgress], tail_next: u64) -> Result<()> {
        Self::checkpoint(self, lease, partitions, tail_next).await
    }

    async fn check_lease(&self, lease: &Lease) -> Result<()> {
        Self::check_lease(self, lease).await
    }

    async fn beat(&self, lease: &Lease, beat: &Beat) -> Result<bool> {
        Self::beat(self, lease, beat).await
    }
}

impl Bucket for Store {
    async fn put_once(&self, name: &str, content: Content, metadata: HashMap<String, String>) -> Result<PutOnce> {
        Self::put_once(self, name, content, metadata).await
    }
}
