//! What a run was removed with, so that its migration could begin again.
//!
//! Written by `topology-copy` before it removes anything, under [`key`]; never changed, and all that stays of the run's working
//! data. Read by the same function when a removal is taken up again, and when the next run looks what the
//! target had.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use migration::restart::Removal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;
use crate::settings::TopicConfigs;

/// Where these documents are.
pub const FOLDER: &str = "restarts/";

/// The key of the removal that begins at `at`: of two, the later one comes behind.
pub fn key(at: DateTime<Utc>) -> String {
    format!("{FOLDER}{}.json", clock::timestamp(at))
}

/// What is removed, and what was known of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// What is removed.
    pub removal: Removal,
    /// Producer id and epoch of everything that the run wrote to the target, if that is known.
    pub producer: Option<(i64, i16)>,
    /// Topics that were on the target before the run, with the configs that were set on them then.
    pub had: BTreeMap<Arc<str>, TopicConfigs>,
    /// The run's configuration.
    pub config: Value,
    /// Its transitions, as far as they can be read.
    pub journal: Vec<Value>,
}

impl Document for Restart {
    const NAME: &'static str = "the record of what was removed to begin again";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_documents_come_behind() {
        let at = |text: &str| key(text.parse().unwrap());
        let first = at("2026-04-25T06:15:07.5Z");
        assert_eq!(first, "restarts/2026-04-25T06:15:07.500000Z.json");
        assert!(first < at("2026-04-25T06:15:07.500001Z") && first < at("2026-04-25T10:00:00Z"));
    }
}
