//! What has to be removed so that a migration can begin again under its id, as the function that removes it says it.

use serde::{Deserialize, Serialize};

use crate::ids::MigrationId;
use crate::phase::Phase;

/// What is to be removed, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The migration.
    pub migration_id: MigrationId,
    /// The phase it is in, as far as the journal says.
    pub phase: Option<Phase>,
    /// ARN of the cluster that topics are deleted from.
    pub target: String,
    /// Topics that this migration created on the target, by name; they go with their records.
    pub topics: Vec<RemovedTopic>,
    /// Topics that it has to do with and that stay.
    pub kept: Vec<KeptTopic>,
    /// Where its working data is.
    pub working_data: String,
    /// Objects of it.
    pub objects: usize,
    /// Items of the journal.
    pub journal_items: usize,
    /// Whether an earlier removal was interrupted, of which this is the rest.
    pub interrupted: bool,
    /// What could not be read, and what is gone by instead.
    pub notes: Vec<String>,
}

impl Removal {
    /// Whether there is nothing to remove.
    pub const fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.objects == 0 && self.journal_items == 0
    }

    /// Records of all topics that go.
    pub fn records(&self) -> i64 {
        self.topics.iter().map(|topic| topic.records).sum()
    }
}

/// A topic of the target that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedTopic {
    /// Name.
    pub topic: String,
    /// Its id, which tells it from another topic of the name.
    pub id: Option<String>,
    /// Partitions.
    pub partitions: usize,
    /// Records in it when it was looked at last.
    pub records: i64,
}

/// A topic of the target that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTopic {
    /// Name.
    pub topic: String,
    /// Why.
    pub why: String,
}

/// What the function answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartAnswer {
    /// What is to be removed, or was.
    pub removal: Removal,
    /// Whether all of it is removed: the migration can begin again. When it was asked to remove and time was too short, it has
    /// to be asked again.
    pub done: bool,
}
