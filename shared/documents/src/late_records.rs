//! Records that were written to the source behind the end of the copy, and what became of them.
//!
//! Written by `cutover` when somebody asks for them (`late_records`), under [`KEY`], whatever was there. Read by `validate`,
//! `evidence` and the CLI.

use chrono::{DateTime, Utc};
use migration::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::document::Document;

/// The key.
pub const KEY: &str = "cutover/late-records.json";

/// The late records of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRecords {
    /// When the source was looked at.
    #[serde(with = "clock::micros")]
    pub looked_at: DateTime<Utc>,
    /// The partitions that have some.
    pub partitions: Vec<LatePartition>,
}

impl Document for LateRecords {
    const NAME: &'static str = "the list of late records";
    const VERSION: u32 = 1;
}

/// Those of one partition. Offsets in records, of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatePartition {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// The first late record.
    pub first_offset: i64,
    /// Behind the last one.
    pub next_offset: i64,
    /// How many there are: committed ones, without markers.
    pub records: u64,
    /// What was appended to the target, if anything was.
    #[serde(default)]
    pub appended: Option<Appended>,
}

/// Late records that the target has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Every late record below this source offset.
    pub next_offset: i64,
    /// How many they are.
    pub records: u64,
    /// Who wanted it.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{decode, encode};

    #[test]
    fn what_was_appended_is_known_by_partition() {
        let partition = TopicPartition::new("orders", 3);
        let appended = Appended { next_offset: 12, records: 2, by: "ada".to_owned() };
        let late = LatePartition { partition, first_offset: 10, next_offset: 12, records: 2, appended: Some(appended) };
        let late =
            LateRecords { looked_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(), partitions: vec![late] };
        let stored = encode(&late).unwrap();
        assert_eq!(decode::<LateRecords>(&stored).unwrap(), late);
        assert!(String::from_utf8_lossy(&stored).contains(r#""topic":"orders""#));
    }
}
