//! The cluster that is migrated to.

use std::collections::BTreeMap;
use std::sync::Arc;

use documents::Settings;
use kafka::{
    Cluster, CommitLimits, CommittedOffset, Each, GroupDescription, NewOffset, OffsetSpec, Stability, TopicPartition,
};
use migration::{Error, Result};
use runtime::Run;
use topology::settings;

use crate::ports::{Applied, Target};

/// The target of a run.
pub(crate) struct LiveTarget<'a> {
    run: &'a Run<'a>,
    cluster: Cluster,
    limits: CommitLimits,
}

impl<'a> LiveTarget<'a> {
    pub(super) const fn new(run: &'a Run<'a>, cluster: Cluster, limits: CommitLimits) -> Self {
        Self { run, cluster, limits }
    }
}

impl Target for LiveTarget<'_> {
    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, (i64, i64)>> {
        let (starts, ends) = tokio::join!(
            self.cluster.list_offsets(partitions, OffsetSpec::Earliest),
            self.cluster.list_offsets(partitions, OffsetSpec::Latest)
        );
        let mut ends = kafka::all_ok(ends)?;
        let starts = kafka::all_ok(starts)?;
        let both = starts.into_iter().filter_map(|(partition, start)| {
            let end = ends.remove(&partition)?;
            Some((partition, (start, end)))
        });
        Ok(both.collect())
    }

    async fn hold_configs(&self, topics: &[Arc<str>]) -> Result<()> {
        topology::held::refuse_altered(&self.cluster, topics).await
    }

    async fn describe_groups(&self, groups: &[String]) -> Each<String, GroupDescription> {
        self.cluster.describe_groups(groups).await
    }

    async fn group_offsets(&self, groups: &[String]) -> Result<BTreeMap<String, Vec<CommittedOffset>>> {
        group_offsets(&self.cluster, groups, Stability::Now).await
    }

    async fn commit(&self, group: &str, offsets: &[NewOffset]) -> Each<TopicPartition, ()> {
        self.cluster.commit_offsets_within(group, offsets, &self.limits).await
    }

    async fn apply(&self, wanted: &Settings) -> Result<Applied> {
        let settings::Applied { configs, quotas, acls, warnings } =
            settings::apply(self.run, &self.cluster, wanted).await?;
        Ok(Applied { configs, quotas, acls, warnings })
    }

    fn trouble(&self) -> Option<String> {
        self.cluster.trouble().map(|error| error.to_string())
    }
}

/// The offsets that are committed for each of `groups`.
///
/// # Errors
/// What a coordinator answers, naming the group.
pub(crate) async fn group_offsets(
    cluster: &Cluster,
    groups: &[String],
    stability: Stability,
) -> Result<BTreeMap<String, Vec<CommittedOffset>>> {
    let mut all = BTreeMap::new();
    for (group, offsets) in cluster.committed_offsets_of(groups, stability).await {
        let named = |error: kafka::Error| in_group(&group, error);
        let offsets: Result<Vec<_>> =
            offsets.map_err(named)?.into_iter().map(|(_, offset)| offset.map_err(named)).collect();
        all.insert(group.clone(), offsets?);
    }
    Ok(all)
}

/// `error`, with the group that it is about.
pub(crate) fn in_group(group: &str, error: kafka::Error) -> Error {
    let error = Error::from(error);
    let message = match error.message.contains(group) {
        true => error.message,
        false => format!("group {group}: {}", error.message),
    };
    Error { message, ..error }
}
