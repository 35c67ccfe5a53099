//! Whether a topic's offsets will be the same on the target, as far as that shows without reading its records.
//!
//! The copy leaves nothing out but what a consumer would not see (`docs/SEMANTICS.md`, S3), and appends to an empty topic. So an
//! offset stays what it is if everything from offset 0 on is there: no expired beginning, no holes of compaction, no
//! transaction markers.

use std::collections::BTreeMap;
use std::sync::Arc;

use migration::TopicPartition;
use migration::report::{Outlook, PlannedOffsets};

use crate::facts::{Topic, TopicConfig};

/// What is known about the beginnings and the holes of a source's logs.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// Log starts, as far as they could be read.
    pub(crate) starts: BTreeMap<TopicPartition, i64>,
    /// Configs of topics, as far as they could be read.
    pub(crate) configs: BTreeMap<Arc<str>, TopicConfig>,
    /// Whether a transaction was ever begun on the cluster.
    pub(crate) transactions: bool,
}

impl Logs {
    /// What to expect of the offsets of `topic`, called `name`.
    pub(crate) fn outlook(&self, name: &Arc<str>, topic: &Topic) -> PlannedOffsets {
        let partitions = (0..topic.partitions as i32).map(|partition| TopicPartition::new(name.clone(), partition));
        let starts: Vec<_> = partitions.map(|partition| self.starts.get(&partition).copied()).collect();
        let later = starts.iter().flatten().filter(|start| **start > 0).count();
        let unread = starts.iter().filter(|start| start.is_none()).count();
        let compacted = self.configs.get(name).map(|config| config.cleans_by("compact"));
        let (outlook, why) = match (later, unread, compacted) {
            (1.., ..) => (Outlook::Translated, format!("{later} of {} partitions begin above offset 0", starts.len())),
            (_, 1.., _) => (Outlook::Unknown, format!("the log start of {unread} partitions could not be read")),
            (.., None) => (Outlook::Unknown, "its configuration could not be read".to_owned()),
            (.., Some(true)) => (Outlook::Unknown, "it is compacted: only reading it shows holes".to_owned()),
            _ if self.transactions => {
                let why = "the cluster has seen transactions: only reading it shows their markers";
                (Outlook::Unknown, why.to_owned())
            }
            _ => {
                let why = "every partition begins at 0, it is not compacted, and the cluster has seen no transaction; holds \
                           until records expire or are deleted, and unless it was compacted before";
                (Outlook::Identity, why.to_owned())
            }
        };
        PlannedOffsets { outlook, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn logs() -> Logs {
        Logs {
            starts: [0, 1].map(|partition| (TopicPartition::new("orders", partition), 0)).into(),
            configs: BTreeMap::from([("orders".into(), sample::topic_config())]),
            transactions: false,
        }
    }

    fn outlook(logs: &Logs) -> Outlook {
        logs.outlook(&"orders".into(), &sample::topic(2)).outlook
    }

    #[test]
    fn what_is_whole_from_offset_0_keeps_its_offsets() {
        assert_eq!(outlook(&logs()), Outlook::Identity);
    }

    #[test]
    fn an_expired_beginning_moves_offsets_whatever_else_is_known() {
        let mut logs = logs();
        logs.starts.insert(TopicPartition::new("orders", 1), 5);
        logs.configs.clear();
        assert_eq!(outlook(&logs), Outlook::Translated);
    }

    #[test]
    fn what_only_reading_shows_is_not_promised() {
        let mut compacted = logs();
        compacted.configs.values_mut().for_each(|config| config.cleanup_policy = "compact,delete".to_owned());
        let transactional = Logs { transactions: true, ..logs() };
        let silent = Logs { configs: BTreeMap::new(), ..logs() };
        let mut leaderless = logs();
        leaderless.starts.remove(&TopicPartition::new("orders", 0));
        for logs in [compacted, transactional, silent, leaderless] {
            assert_eq!(outlook(&logs), Outlook::Unknown, "{logs:?}");
        }
    }
}
