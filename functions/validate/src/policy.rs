//! What a topic's own configuration may rightly remove.

use documents::settings::TopicConfigs;
use kafka::ConfigEntry;

/// The removal of records that a topic allows, from the configs in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Compaction removes records that a later one with the same key replaces.
    pub(crate) compacts: bool,
    /// Retention removes the oldest records.
    pub(crate) expires: bool,
    /// The configs that say so, for people.
    pub(crate) because: String,
}

impl Policy {
    /// Reads the policy from `entries`, all configs of a topic wherever they are set.
    pub(crate) fn of(entries: &[ConfigEntry]) -> Self {
        let value =
            |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_deref());
        let cleanup = value("cleanup.policy").unwrap_or("delete");
        let mut because = format!("cleanup.policy={cleanup}");
        let mut bounded = false;
        for name in ["retention.ms", "retention.bytes"] {
            // -1 is no bound.
            if let Some(bound) = value(name).filter(|bound| bound.parse::<i64>().is_ok_and(|bound| bound >= 0)) {
                bounded = true;
                because.push_str(&format!(", {name}={bound}"));
            }
        }
        Self { compacts: has(cleanup, "compact"), expires: has(cleanup, "delete") && bounded, because }
    }

    /// The same, where the topic was given `before`, and somebody may have changed that since.
    #[must_use]
    pub(crate) fn after(mut self, before: Option<&TopicConfigs>) -> Self {
        let cleanup = before.and_then(|configs| configs.get("cleanup.policy"));
        if let Some(cleanup) = cleanup.filter(|cleanup| has(cleanup, "compact") && !self.compacts) {
            self.compacts = true;
            self.because.push_str(&format!(", at the cutover cleanup.policy={cleanup}"));
        }
        self
    }
}

fn has(cleanup: &str, wanted: &str) -> bool {
    cleanup.split(',').any(|policy| policy.trim() == wanted)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kafka::ConfigSource;

    pub(crate) fn policy(configs: &[(&str, &str)]) -> Policy {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            source: ConfigSource::StaticBroker,
            read_only: false,
            sensitive: false,
        };
        Policy::of(&configs.iter().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn only_a_bounded_retention_expires_records() {
        let forever = policy(&[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")]);
        assert!(!forever.expires && !forever.compacts);
        let week = policy(&[("cleanup.policy", "delete"), ("retention.ms", "604800000"), ("retention.bytes", "-1")]);
        assert!(week.expires && !week.compacts && week.because.contains("retention.ms=604800000"));
        let compact = policy(&[("cleanup.policy", "compact"), ("retention.ms", "604800000")]);
        assert!(compact.compacts && !compact.expires);
        let both = policy(&[("cleanup.policy", "compact, delete"), ("retention.bytes", "1")]);
        assert!(both.compacts && both.expires);
    }

    #[test]
    fn what_a_topic_was_given_counts_although_it_was_changed_since() {
        let now = policy(&[("cleanup.policy", "delete")]);
        let given = TopicConfigs::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
        let either = now.clone().after(Some(&given));
        assert!(either.compacts && either.because.ends_with("at the cutover cleanup.policy=compact"));
        assert_eq!(now.clone().after(None), now);
    }
}
