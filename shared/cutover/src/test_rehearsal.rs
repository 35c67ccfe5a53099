//! A rehearsal that found nothing, for unit tests.

use chrono::DateTime;
use documents::rehearsal::{Lag, Rehearsal};

pub(crate) fn rehearsal() -> Rehearsal {
    Rehearsal {
        id: "r".to_owned(),
        migration_id: "m".parse().unwrap(),
        made_at: DateTime::UNIX_EPOCH,
        findings: Vec::new(),
        lag: Lag::default(),
        groups: Vec::new(),
        settings: documents::Settings::default(),
        source: documents::SettingsFound::default(),
        no_markers: std::collections::BTreeMap::new(),
        min_insync_replicas: std::collections::BTreeMap::new(),
        coordinators: kafka::CoordinatorLimits::default(),
        expected: Vec::new(),
    }
}
