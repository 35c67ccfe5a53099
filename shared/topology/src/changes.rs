//! What changed on the source while it was copied: found before anybody freezes producers, and again before the first
//! commit, and told by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, OffsetSpec, TopicPartition};
use migration::config::ConfigDrift;
use migration::progress::PartitionProgress;
use migration::{Error, Result};
use runtime::Run;
use runtime::run::CHANGES;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::configs::TopicConfigs;
use crate::inventory::{Topics, existing};
use crate::manifest::{DealtTopic, Manifest, PickedUp};
use crate::transactions::{self, OpenTransaction};

/// Where the document is in the run's store.
pub const STORED: &str = "topology/changes.json";

/// Lines in the fact, which shares the run's item in the journal.
const LINES: usize = 20;

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Topics and partitions that appeared and are copied.
    pub picked_up: Vec<PickedUp>,
    /// Topics that were deleted, and without which the migration goes on.
    pub left_out: Vec<LeftOut>,
    /// Records that the source does not have any more.
    pub removed: Vec<Removed>,
    /// Configs that are set otherwise.
    pub configs: Vec<AlteredConfig>,
    /// What the cutover does about them.
    #[serde(default)]
    pub on_config_drift: ConfigDrift,
    /// Transactions that hold the copy of a partition up now.
    pub transactions: Vec<OpenTransaction>,
    /// Servers of the source, for the commands in lines.
    pub source: String,
}

/// A topic that was deleted on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The topic.
    pub topic: String,
    /// Records of it that the target holds.
    pub records: i64,
}

/// Offsets that `DeleteRecords` or retention removed on the source after the migration had begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// First of them.
    pub from: i64,
    /// First offset that is still there.
    pub to: i64,
    /// How many offsets these are; markers and holes count.
    pub offsets: i64,
}

/// A topic config that was altered on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlteredConfig {
    /// The topic.
    pub topic: String,
    /// The config.
    pub config: String,
    /// Its value when the topic was dealt; none when it was not set.
    pub was: Option<String>,
    /// Its value now; none when it is not set.
    pub is: Option<String>,
}

/// Looks at everything that can have changed, except for newcomers and deleted topics, which are settled first. `dealt` is
/// the progress of every partition, left out or not.
///
/// # Errors
/// Unsafe when the log of a partition went backwards; otherwise what the source gives.
pub async fn survey(
    run: &Run<'_>,
    source: &Cluster,
    manifest: &Manifest,
    dealt: &[PartitionProgress],
) -> Result<Changes> {
    let left_out = run.left_out();
    let (gone, copied): (Vec<_>, Vec<_>) =
        dealt.iter().partition(|progress| left_out.contains(&*progress.partition.topic));
    let names: Vec<_> = copied.iter().map(|progress| progress.partition.clone()).collect();
    // In this order, so that the last stable offset of an idle partition is not older than its high watermark.
    let starts = kafka::all_ok(source.list_offsets(&names, OffsetSpec::Earliest).await)?;
    let ends = kafka::all_ok(source.list_offsets(&names, OffsetSpec::Latest).await)?;
    let mut stable = kafka::all_ok(source.list_offsets(&names, OffsetSpec::LastStable).await)?;
    for progress in &copied {
        refuse_rewound(progress, starts[&progress.partition], ends[&progress.partition])?;
    }
    stable.retain(|partition, stable| *stable < ends[partition]);
    let dealt_topics = manifest.topics();
    let now = existing(source, |topic| dealt_topics.contains_key(topic)).await?;
    Ok(Changes {
        picked_up: manifest.picked_up(),
        left_out: left_out
            .iter()
            .map(|topic| LeftOut { topic: topic.clone(), records: records(&gone, topic) })
            .collect(),
        removed: copied.iter().filter_map(|progress| removed(progress, starts[&progress.partition])).collect(),
        configs: altered(&dealt_topics, &now),
        on_config_drift: run.config.topology.on_config_drift,
        transactions: transactions::open(source, &stable, run.journal.now()).await?,
        source: runtime::clusters::bootstrap_servers(&run.host().aws, &run.config.source).await?,
    })
}

/// A log that begins lower or ends lower than it did is another one, or lost what it had: its topic was created anew, or a
/// replica without all records became leader.
fn refuse_rewound(progress: &PartitionProgress, start: i64, end: i64) -> Result<()> {
    if start >= progress.source_start && end >= progress.source_next {
        return Ok(());
    }
    Err(Error::data_unsafe(format_args!(
        "the source's log holds offsets {start} to {end} now, but it began at {} and was copied up to {}: the topic was \
         deleted and created anew, or an unclean leader election lost records; the target may hold records that the source \
         does not have. Roll back, delete the topic on the target and start a new migration",
        progress.source_start, progress.source_next
    ))
    .at(&progress.partition)
    .at_offset(progress.source_next))
}

fn removed(progress: &PartitionProgress, start: i64) -> Option<Removed> {
    let from = progress.source_start;
    let partition = progress.partition.clone();
    (start > from).then(|| Removed { partition, from, to: start, offsets: start - from })
}

fn records(gone: &[&PartitionProgress], topic: &str) -> i64 {
    let of_topic = gone.iter().filter(|progress| *progress.partition.topic == *topic);
    of_topic.map(|progress| progress.target_next).sum()
}

fn altered(dealt: &BTreeMap<&Arc<str>, &DealtTopic>, now: &Topics) -> Vec<AlteredConfig> {
    let mut altered = Vec::new();
    for (name, was) in dealt {
        let Some(is) = now.get(*name) else { continue };
        altered.extend(differences(name, &was.configs, &is.configs));
    }
    altered
}

pub(crate) fn differences(topic: &str, was: &TopicConfigs, is: &TopicConfigs) -> Vec<AlteredConfig> {
    let mut names: Vec<_> = was.keys().chain(is.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differing = names.into_iter().filter(|name| was.get(*name) != is.get(*name));
    let altered = |config: &String| AlteredConfig {
        topic: topic.to_owned(),
        config: config.clone(),
        was: was.get(config).cloned(),
        is: is.get(config).cloned(),
    };
    differing.map(altered).collect()
}

impl Changes {
    /// One line for each change, what needs somebody first.
    pub fn lines(&self) -> Vec<String> {
        let (hanging, open): (Vec<_>, Vec<_>) = self.transactions.iter().partition(|transaction| transaction.hanging);
        let mut lines: Vec<_> = hanging.into_iter().map(|transaction| transaction.line(&self.source)).collect();
        lines.extend(self.left_out.iter().map(LeftOut::line));
        lines.extend(self.picked_up.iter().map(PickedUp::line));
        lines.extend(self.configs.iter().map(|config| config.line(self.on_config_drift)));
        lines.extend(self.removed.iter().map(Removed::line));
        lines.extend(open.into_iter().map(|transaction| transaction.line(&self.source)));
        lines
    }

    /// The first lines, and how many more there are.
    pub fn first_lines(&self, most: usize) -> Vec<String> {
        let mut lines = self.lines();
        if lines.len() > most {
            let more = lines.len() - most;
            lines.truncate(most);
            lines.push(format!("and {more} more, see {STORED}"));
        }
        lines
    }

    /// Stores the document, and its first lines where `status` finds them.
    ///
    /// # Errors
    /// What S3 and the journal give.
    pub async fn record(&self, run: &Run<'_>) -> Result<()> {
        run.store.put_json(STORED, self).await?;
        run.journal.set_fact(CHANGES, &json!(self.first_lines(LINES))).await
    }
}

impl LeftOut {
    fn line(&self) -> String {
        let Self { topic, records } = self;
        format!(
            "topic {topic} was deleted on the source and is left out; the target keeps {records} records of it under copy-time \
             configs: delete it there when the migration has ended"
        )
    }
}

impl PickedUp {
    fn line(&self) -> String {
        let Self { topic, partitions, new_topic } = self;
        let count = partitions.len();
        match new_topic {
            true => format!("topic {topic} ({count} partitions) was created on the source on the way; picked up"),
            false => {
                let first = partitions.first().copied().unwrap_or_default();
                format!(
                    "{count} partitions, from number {first} on, were added to topic {topic} on the source; picked up"
                )
            }
        }
    }
}

impl Removed {
    fn line(&self) -> String {
        let Self { partition, from, to, offsets } = self;
        format!(
            "{partition}: the source removed {offsets} offsets, {from} to {to}, after the migration had begun; the target \
             keeps what was copied of them"
        )
    }
}

impl AlteredConfig {
    fn line(&self, drift: ConfigDrift) -> String {
        let outcome = match drift {
            ConfigDrift::OverwriteWithSource | ConfigDrift::Fail => {
                "the target gets what is set when the cutover is rehearsed"
            }
            ConfigDrift::KeepTarget => {
                "the target gets what is set when the cutover is rehearsed, unless it had the topic before"
            }
        };
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        format!(
            "topic {}: config {} was altered on the source from {} to {}; {outcome}",
            self.topic,
            self.config,
            value(&self.was),
            value(&self.is)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(source_start: i64, source_next: i64) -> PartitionProgress {
        let mut progress = PartitionProgress::new(TopicPartition::new("orders", 1), source_start, 10);
        progress.source_next = source_next;
        progress
    }

    #[test]
    fn a_log_that_went_backwards_is_another_log() {
        assert!(refuse_rewound(&progress(5, 20), 5, 20).is_ok() && refuse_rewound(&progress(5, 20), 9, 30).is_ok());
        for (start, end) in [(0, 30), (5, 19), (0, 3)] {
            let error = refuse_rewound(&progress(5, 20), start, end).unwrap_err();
            assert_eq!(error.context.offset, Some(20), "{error}");
        }
    }

    #[test]
    fn removed_offsets_are_counted_from_where_the_copy_began() {
        assert_eq!(removed(&progress(5, 20), 5), None);
        let found = removed(&progress(5, 20), 12).unwrap();
        assert_eq!((found.from, found.to, found.offsets), (5, 12, 7));
        assert!(found.line().starts_with("orders/1: the source removed 7 offsets, 5 to 12,"), "{}", found.line());
    }

    #[test]
    fn a_config_is_compared_as_it_is_set() {
        let configs = |pairs: &[(&str, &str)]| -> TopicConfigs {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let was = configs(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let found = differences("orders", &was, &configs(&[("a", "1"), ("b", "9"), ("d", "4")]));
        let lines: Vec<_> = found.iter().map(|config| config.line(ConfigDrift::Fail)).collect();
        let expected = [
            "topic orders: config b was altered on the source from 2 to 9; the target gets what is set when the cutover \
             is rehearsed",
            "topic orders: config c was altered on the source from 3 to not set; the target gets what is set when the cutover \
             is rehearsed",
            "topic orders: config d was altered on the source from not set to 4; the target gets what is set when the cutover \
             is rehearsed",
        ];
        assert_eq!(lines, expected);
        assert!(found[0].line(ConfigDrift::KeepTarget).ends_with("unless it had the topic before"));
    }

    #[test]
    fn what_needs_somebody_comes_first_and_the_rest_is_counted() {
        let topic = "old".to_owned();
        let picked_up = |topic: &str| PickedUp { topic: topic.to_owned(), partitions: vec![2, 3], new_topic: false };
        let changes = Changes {
            picked_up: vec![picked_up("a"), picked_up("b")],
            left_out: vec![LeftOut { topic, records: 7 }],
            ..Changes::default()
        };
        let lines = changes.first_lines(2);
        assert!(lines[0].starts_with("topic old was deleted on the source"), "{lines:?}");
        assert!(lines[1].starts_with("2 partitions, from number 2 on, were added to topic a"), "{lines:?}");
        assert_eq!(lines[2], "and 1 more, see topology/changes.json");
        assert_eq!(changes.first_lines(3).len(), 3);
    }
}
