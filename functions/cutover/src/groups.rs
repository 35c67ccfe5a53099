//! Consumer groups: where each stands on the source, and the same place on the target.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use kafka::{Cluster, CommittedOffset, GroupListing, TopicPartition};
use migration::config::Topology;
use migration::progress::PartitionProgress;
use migration::{Error, Result, scope};
use offsets::{OffsetRuns, store as runs_store};
use runtime::Run;
use serde::{Deserialize, Serialize};
use topology::lockout;

/// Where the translated groups are kept in the run's store.
pub(crate) const STORED: &str = "cutover/groups.json";

/// Why a group is skipped that reads topics of other migrations alone.
const OTHER_WAVE: &str = "it has committed offsets only for topics outside topology.include and topology.exclude";

/// Requests at the same time.
const AT_ONCE: usize = 16;

/// One group, translated or not; every group of the source has an entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The group's id.
    pub(crate) group: String,
    /// Why none of its offsets are brought over, when none are.
    pub(crate) skipped: Option<String>,
    /// Its offsets of topics that this migration is about.
    pub(crate) offsets: Vec<Offset>,
    /// How many it has of topics that `topology.include` and `topology.exclude` leave to another migration.
    #[serde(default)]
    pub(crate) outside: usize,
}

/// One committed offset and its place on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offset {
    /// The partition.
    #[serde(flatten)]
    pub(crate) partition: TopicPartition,
    /// Committed on the source.
    pub(crate) source_offset: i64,
    /// To commit on the target; none when the partition is not part of the migration.
    pub(crate) target_offset: Option<i64>,
    /// The metadata string, as it is.
    pub(crate) metadata: String,
    /// What is special about this offset.
    pub(crate) note: Option<String>,
}

impl Group {
    /// One line when the group needs a person's attention.
    pub(crate) fn warning(&self) -> Option<String> {
        if let Some(reason) = &self.skipped {
            // One that belongs to another wave is nobody's business here.
            return (reason != OTHER_WAVE).then(|| format!("group {}: {reason}", self.group));
        }
        let noted = self.noted();
        let outside = (self.outside > 0).then(|| {
            format!(
                "{} of its offsets are of topics that are not in this migration; its members have to go on reading those on \
                 the source",
                self.outside
            )
        });
        let warnings: Vec<_> = noted.into_iter().chain(outside).collect();
        (!warnings.is_empty()).then(|| format!("group {}: {}", self.group, warnings.join("; ")))
    }

    /// Offsets that have a note, with the first of them.
    fn noted(&self) -> Option<String> {
        let first = self.offsets.iter().find(|offset| offset.note.is_some())?;
        let noted = self.offsets.iter().filter(|offset| offset.note.is_some()).count();
        Some(format!(
            "{noted} offsets with a note, first {} at {}: {}",
            first.partition,
            first.source_offset,
            first.note.as_deref().unwrap_or_default()
        ))
    }
}

/// Snapshots every group of the source and translates its offsets.
///
/// # Errors
/// When a group cannot be read, or offset runs are missing. Blocked when offsets of a group may not be committed on the target.
pub(crate) async fn translate(
    run: &Run<'_>,
    source: &Cluster,
    target: &Cluster,
    drained: &BTreeMap<TopicPartition, PartitionProgress>,
) -> Result<Vec<Group>> {
    let listed = source.list_groups().await?;
    let (consumers, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|group| not_ours(group).is_none());
    let mut groups: Vec<_> =
        others.iter().map(|group| skipped(&group.id, not_ours(group).unwrap_or_default())).collect();
    let snapshots = stream::iter(consumers).map(|group| async {
        let offsets = source.committed_offsets(&group.id).await?;
        Ok::<_, Error>(Snapshot::of(group.id, offsets, &run.config.topology))
    });
    let snapshots: Vec<Snapshot> = snapshots.buffer_unordered(AT_ONCE).try_collect().await?;
    let active = active_on(run, target, &snapshots).await?;
    let needed: BTreeSet<_> =
        snapshots.iter().flat_map(|snapshot| &snapshot.offsets).map(|offset| &offset.partition).collect();
    let runs = load_runs(run, &needed, drained).await?;
    for snapshot in snapshots {
        groups.push(match snapshot.skip_reason(&active) {
            Some(reason) => skipped(&snapshot.group, reason),
            None => {
                let Snapshot { group, offsets, outside } = snapshot;
                let offsets = offsets.into_iter().map(|offset| place(offset, &runs, drained)).collect();
                Group { group, skipped: None, offsets, outside }
            }
        });
    }
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    Ok(groups)
}

/// The committed offsets of one group on the source.
struct Snapshot {
    group: String,
    /// Those of topics that this migration is about.
    offsets: Vec<CommittedOffset>,
    /// How many others there are.
    outside: usize,
}

impl Snapshot {
    fn of(group: String, offsets: Vec<CommittedOffset>, selection: &Topology) -> Self {
        let (offsets, others): (Vec<_>, Vec<_>) =
            offsets.into_iter().partition(|offset| selection.selects(&offset.partition.topic));
        Self { group, offsets, outside: others.len() }
    }

    /// Why nothing is to be committed for the group; `active` are those with members on the target.
    fn skip_reason(&self, active: &BTreeSet<String>) -> Option<String> {
        match (self.offsets.is_empty(), self.outside) {
            (true, 0) => Some("it has no committed offsets".to_owned()),
            (true, _) => Some(OTHER_WAVE.to_owned()),
            (false, _) => active
                .contains(&self.group)
                .then(|| "it has active members on the target; stop them, then commit its offsets by hand".to_owned()),
        }
    }
}

/// Why a group's offsets are not a consumer's, if they are not.
fn not_ours(group: &GroupListing) -> Option<String> {
    if scope::is_internal_group(&group.id) {
        return Some("it belongs to MSK".to_owned());
    }
    // Groups that only ever committed have no protocol type.
    let known = group.protocol_type.is_empty() || group.protocol_type == "consumer";
    (!known).then(|| format!("its protocol type is {}, which keeps its state elsewhere", group.protocol_type))
}

fn skipped(group: &str, reason: String) -> Group {
    Group { group: group.to_owned(), skipped: Some(reason), offsets: Vec::new(), outside: 0 }
}

/// The groups that have members on the target: the broker would refuse to commit for them.
///
/// # Errors
/// Blocked when offsets may not be committed for one of them.
async fn active_on(run: &Run<'_>, target: &Cluster, snapshots: &[Snapshot]) -> Result<BTreeSet<String>> {
    let ids: Vec<_> = snapshots.iter().map(|snapshot| snapshot.group.clone()).collect();
    let described = target.describe_groups(&ids).await;
    lockout::refuse_groups(run, &described)?;
    let described = kafka::all_ok(described)?;
    Ok(described.into_iter().filter(|(_, group)| group.state.is_active()).map(|(id, _)| id).collect())
}

async fn load_runs(
    run: &Run<'_>,
    needed: &BTreeSet<&TopicPartition>,
    drained: &BTreeMap<TopicPartition, PartitionProgress>,
) -> Result<BTreeMap<TopicPartition, OffsetRuns>> {
    let needed: Vec<_> = needed.iter().filter_map(|partition| drained.get(*partition)).collect();
    let loads = stream::iter(needed).map(|progress| async {
        let runs = runs_store::load(&run.store, progress).await.map_err(|error| error.at(&progress.partition))?;
        Ok::<_, Error>((progress.partition.clone(), runs))
    });
    loads.buffer_unordered(AT_ONCE).try_collect().await
}

fn place(
    offset: CommittedOffset,
    runs: &BTreeMap<TopicPartition, OffsetRuns>,
    drained: &BTreeMap<TopicPartition, PartitionProgress>,
) -> Offset {
    let known = runs.get(&offset.partition).zip(drained.get(&offset.partition));
    let target_offset = known.map(|(runs, _)| runs.translate(offset.offset));
    let note = match known {
        None => Some("the partition is not part of the migration".to_owned()),
        Some((_, progress)) if offset.offset < progress.source_start => Some(format!(
            "below the source's log start {}; placed at the first record that was copied",
            progress.source_start
        )),
        Some((_, progress)) if offset.offset > progress.source_next => {
            Some(format!("beyond the source's end {}; placed at the end", progress.source_next))
        }
        Some(_) => None,
    };
    let CommittedOffset { partition, offset: source_offset, metadata, .. } = offset;
    Offset { partition, source_offset, target_offset, metadata, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(offset: i64) -> Offset {
        let partition = TopicPartition::new("orders", 0);
        let mut runs = OffsetRuns::starting_at(0);
        runs.push(100, 10).unwrap();
        runs.push(115, 5).unwrap();
        let mut progress = PartitionProgress::new(partition.clone(), 100, 120);
        progress.source_next = 121;
        let committed =
            CommittedOffset { partition: partition.clone(), offset, leader_epoch: Some(7), metadata: "m".to_owned() };
        place(committed, &BTreeMap::from([(partition.clone(), runs)]), &BTreeMap::from([(partition, progress)]))
    }

    #[test]
    fn an_offset_goes_to_the_next_record_a_consumer_would_read() {
        assert_eq!((placed(100).target_offset, placed(100).note), (Some(0), None));
        assert_eq!(placed(109).target_offset, Some(9));
        assert_eq!(placed(110).target_offset, Some(10), "in a gap");
        assert_eq!(placed(117).target_offset, Some(12));
        assert_eq!((placed(121).target_offset, placed(121).note), (Some(15), None));
    }

    #[test]
    fn a_group_is_committed_for_the_topics_of_the_wave_alone() {
        let committed = |topic: &str| CommittedOffset {
            partition: TopicPartition::new(topic, 0),
            offset: 1,
            leader_epoch: None,
            metadata: String::new(),
        };
        let wave = Topology { include: vec!["orders".parse().unwrap()], ..Topology::default() };
        let snapshot = |topics: &[&str]| {
            Snapshot::of("g".to_owned(), topics.iter().map(|topic| committed(topic)).collect(), &wave)
        };
        let active = BTreeSet::from(["g".to_owned()]);
        let both = snapshot(&["orders", "users"]);
        assert_eq!((both.offsets.len(), both.outside), (1, 1));
        assert_eq!(both.skip_reason(&BTreeSet::new()), None);
        assert!(both.skip_reason(&active).unwrap().contains("active members"));
        assert_eq!(snapshot(&["users"]).skip_reason(&active).unwrap(), OTHER_WAVE);
        assert_eq!(skipped("g", OTHER_WAVE.to_owned()).warning(), None);
        assert_eq!(snapshot(&[]).skip_reason(&active).unwrap(), "it has no committed offsets");
        let group = Group { group: "g".to_owned(), skipped: None, offsets: Vec::new(), outside: 2 };
        assert!(group.warning().unwrap().contains("2 of its offsets are of topics that are not in this migration"));
    }

    #[test]
    fn an_offset_outside_the_log_says_so() {
        assert_eq!(placed(3).target_offset, Some(0));
        assert!(placed(3).note.unwrap().contains("log start 100"));
        assert_eq!(placed(500).target_offset, Some(15));
        assert!(placed(500).note.unwrap().contains("end 121"));
    }
}
