//! The cluster that is left.

use std::collections::{BTreeMap, BTreeSet};

use documents::Rehearsal;
use kafka::{Cluster, Code, Each, GroupListing, OffsetSpec, Stability, TopicPartition};
use migration::{Error, Result};
use runtime::Run;
use topology::{Manifest, gone, settings};

use super::records;
use super::target::in_group;
use crate::ports::{GroupOffsets, Markers, Offsets, PendingOffset, Source, SourceChanges, WrittenBatch};

/// Batches of a partition that are looked at behind its end.
const LOOKED_AT: usize = 100;

/// The source of a run.
pub(crate) struct LiveSource<'a> {
    run: &'a Run<'a>,
    cluster: Cluster,
    rehearsal: Option<Rehearsal>,
}

impl<'a> LiveSource<'a> {
    pub(super) const fn new(run: &'a Run<'a>, cluster: Cluster, rehearsal: Option<Rehearsal>) -> Self {
        Self { run, cluster, rehearsal }
    }

    /// Partitions on which no marker can be placed now, and why.
    async fn unmarkable(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, String>> {
        let Some(Rehearsal { no_markers, min_insync_replicas, .. }) = &self.rehearsal else {
            return Ok(BTreeMap::new());
        };
        let mut unmarkable: BTreeMap<_, _> = partitions
            .iter()
            .filter_map(|partition| Some((partition.clone(), no_markers.get(&partition.topic)?.clone())))
            .collect();
        if !min_insync_replicas.is_empty() {
            let in_sync = in_sync(&self.cluster).await?;
            for partition in partitions {
                let Some(wanted) = min_insync_replicas.get(&partition.topic) else { continue };
                let found = in_sync.get(partition).copied().unwrap_or_default();
                if found < *wanted {
                    let reason = format!("{found} of its replicas are in sync, min.insync.replicas is {wanted}");
                    unmarkable.insert(partition.clone(), reason);
                }
            }
        }
        Ok(unmarkable)
    }
}

/// Number of replicas in sync of every partition, asked anew.
pub(crate) async fn in_sync(cluster: &Cluster) -> Result<BTreeMap<TopicPartition, usize>> {
    let topics = cluster.topics().await?;
    let partitions = topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic
            .partitions
            .into_iter()
            .map(move |info| (TopicPartition::new(name.clone(), info.partition), info.isr.len()))
    });
    Ok(partitions.collect())
}

/// The transactional id under which markers are appended.
pub(crate) fn transactional_id(run: &Run<'_>) -> String {
    format!("msk-kraft-{}", run.id)
}

impl Source for LiveSource<'_> {
    async fn ends(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        Ok(kafka::all_ok(self.cluster.list_offsets(partitions, OffsetSpec::Latest).await)?)
    }

    async fn stable_ends(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        Ok(kafka::all_ok(self.cluster.list_offsets(partitions, OffsetSpec::LastStable).await)?)
    }

    async fn batches(&self, from: &[(TopicPartition, i64)]) -> Result<BTreeMap<TopicPartition, Vec<WrittenBatch>>> {
        Ok(kafka::all_ok(self.cluster.written_since(from, LOOKED_AT).await)?)
    }

    async fn append_markers(&self, partitions: &[TopicPartition]) -> Result<Markers> {
        let mut refused = self.unmarkable(partitions).await?;
        let wanted: Vec<_> = partitions.iter().filter(|partition| !refused.contains_key(*partition)).cloned().collect();
        let id = transactional_id(self.run);
        let markers = self.cluster.append_markers(&id, &wanted).await.map_err(|error| {
            let error = Error::from(error);
            let message = format!(
                "the markers could not be written to the source with the transactional id {id}: {}. cutover.sentinels none \
                 needs none",
                error.message
            );
            Error { message, ..error }
        })?;
        refused.extend(markers.refused.into_iter().map(|(partition, error)| (partition, error.to_string())));
        Ok(Markers { identity: markers.identity, refused })
    }

    async fn append_records(&self, partitions: &[TopicPartition]) -> Each<TopicPartition, i64> {
        records::append(self.run, &self.cluster, partitions).await
    }

    async fn changes_since(&self, rehearsal: &Rehearsal) -> Result<SourceChanges> {
        let manifest = Manifest::load(self.run).await?;
        let partitions = self.run.all_partitions().await?;
        let (_, _, mut found, fence) = tokio::try_join!(
            topology::refuse_uncopied(&self.cluster, &self.run.config.topology, &partitions),
            gone::refuse(self.run, &self.cluster, &manifest),
            settings::find(self.run, &self.cluster),
            write_fence::standing(&self.run.journal, &self.run.store)
        )?;
        // What the cutover itself has set there is no change.
        found.acls.iter_mut().for_each(|acls| acls.retain(|acl| !fence.contains(acl)));
        Ok(SourceChanges { appeared: settings::appeared(&rehearsal.source, &found) })
    }

    async fn groups(&self) -> Result<Vec<GroupListing>> {
        Ok(self.cluster.list_groups().await?)
    }

    async fn group_offsets(&self, groups: &[String]) -> Result<BTreeMap<String, GroupOffsets>> {
        group_offsets(&self.cluster, groups).await
    }

    async fn pending_offsets(&self) -> Result<Vec<PendingOffset>> {
        pending_offsets(&self.cluster).await
    }

    fn trouble(&self) -> Option<String> {
        self.cluster.trouble().map(|error| error.to_string())
    }
}

/// The committed offsets of each of `groups`, with those that are pending.
///
/// # Errors
/// What a coordinator answers, naming the group.
pub(crate) async fn group_offsets(cluster: &Cluster, groups: &[String]) -> Result<BTreeMap<String, GroupOffsets>> {
    let mut all = BTreeMap::new();
    for (group, offsets) in cluster.committed_offsets_of(groups, Stability::Stable).await {
        let mut found = GroupOffsets::default();
        for (partition, offset) in offsets.map_err(|error| in_group(&group, error))? {
            match offset {
                Ok(offset) => found.offsets.push(offset),
                Err(error) if error.code() == Some(Code::UnstableOffsetCommit) => found.pending.push(partition),
                Err(error) => return Err(in_group(&group, error)),
            }
        }
        all.insert(group, found);
    }
    Ok(all)
}

/// Offsets that open transactions are about to commit. A source that does not let this principal see them has none: precheck
/// and the rehearsal say so.
///
/// # Errors
/// When the source cannot be asked.
pub(crate) async fn pending_offsets(cluster: &Cluster) -> Result<Vec<PendingOffset>> {
    let open = match cluster.open_offset_transactions().await {
        Ok(open) => open,
        Err(error) if is_hidden(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut pending = BTreeSet::new();
    for transaction in &open {
        for (group, partition) in cluster.pending_offsets(transaction).await? {
            pending.insert(PendingOffset { group, partition: Some(partition), producer_id: transaction.producer_id });
        }
    }
    Ok(pending.into_iter().collect())
}

/// Whether the principal may not see what was asked for.
pub(crate) fn is_hidden(error: &kafka::Error) -> bool {
    matches!(error, kafka::Error::UnsupportedApi { .. }) || error.code() == Some(Code::TopicAuthorizationFailed)
}
