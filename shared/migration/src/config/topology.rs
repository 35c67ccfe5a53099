//! Which topics are migrated, and how they are brought over.

use serde::{Deserialize, Serialize};

use super::TopicPattern;

/// How topics are brought over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Topics to migrate; every topic when there is no pattern.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<TopicPattern>,
    /// Topics to leave out of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<TopicPattern>,
    /// What happens to a config that already differs on the target.
    pub on_config_drift: ConfigDrift,
    /// What happens when a topic is deleted on the source after the migration began.
    pub on_topic_deleted: TopicDeleted,
}

impl Topology {
    /// Whether `topic` is one to migrate, as far as `include` and `exclude` say.
    pub fn selects(&self, topic: &str) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(topic));
        included && !self.exclude.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether patterns select a part of the topics: the migration is one of several waves.
    pub fn is_partial(&self) -> bool {
        !(self.include.is_empty() && self.exclude.is_empty())
    }

    /// The selection as one text, empty when every topic is migrated.
    pub fn selection(&self) -> String {
        if !self.is_partial() {
            return String::new();
        }
        let named =
            |patterns: &[TopicPattern]| patterns.iter().map(|p| format!("{:?} ", p.as_str())).collect::<String>();
        format!("include {}exclude {}", named(&self.include), named(&self.exclude)).trim_end().to_owned()
    }
}

/// What happens when a topic is deleted on the source after the migration began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicDeleted {
    /// The migration stops and names the topic.
    #[default]
    Fail,
    /// The migration goes on without it; the target keeps what was copied.
    LeaveOut,
}

/// What happens to a topic config that already differs on the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigDrift {
    /// The source's value wins.
    #[default]
    OverwriteWithSource,
    /// The target's value stays.
    KeepTarget,
    /// The migration stops and names the difference.
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_selected_by_patterns() {
        let topology = |include: &[&str], exclude: &[&str]| {
            let parse = |patterns: &[&str]| patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            Topology { include: parse(include), exclude: parse(exclude), ..Topology::default() }
        };
        let all = topology(&[], &[]);
        assert!(all.selects("orders") && !all.is_partial());
        let wave = topology(&["orders-.*", "bills"], &[".*-test"]);
        assert!(wave.selects("orders-eu") && wave.selects("bills") && wave.is_partial());
        assert!(!wave.selects("orders-test") && !wave.selects("users"));
        assert!(!topology(&[], &["tmp.*"]).selects("tmp-1") && topology(&[], &["tmp.*"]).selects("orders"));
    }
}
