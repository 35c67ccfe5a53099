//! The configs that the target's topics have in the end: those of the source, as far as the target can have them, or under
//! `topology.on_config_drift: keep_target` what they had before. What they inherit on the source and would not on the target is set
//! on them, unless `topology.on_default_drift` says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka::{Cluster, ConfigChange};
use migration::config::{ConfigDrift, Topology};
use migration::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::configs::{TopicConfigs, is_copying, restore};
use crate::defaults::{self, DefaultDrift, TargetDefaults};
use crate::inventory::{Topics, listed};
use crate::known::KnownConfigs;
use crate::manifest::DealtTopic;
use crate::target_state::TargetState;

/// A config of source topics that the target's do not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCopied {
    /// Name of the config.
    pub config: String,
    /// Why.
    pub reason: String,
    /// Topics of the source on which it is set, with its value there.
    pub topics: BTreeMap<Arc<str>, String>,
}

/// The configs by topic that the target's topics are to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinalConfigs {
    topics: BTreeMap<Arc<str>, TopicConfigs>,
    not_copied: Vec<NotCopied>,
    defaults: BTreeMap<DefaultDrift, usize>,
}

/// What a target says of its topics' configs.
#[derive(Debug, Clone, Copy)]
pub struct OfTarget<'a> {
    /// Those that it knows.
    pub known: &'a KnownConfigs,
    /// What topics have without their own.
    pub defaults: &'a TargetDefaults,
    /// What it had before the migration touched it.
    pub before: &'a TargetState,
}

impl FinalConfigs {
    /// The configs for the counterparts of `source` on the `target`. Copy-time configs are nothing to keep: an attempt that was
    /// rolled back left them.
    pub fn of(source: &Topics, target: OfTarget<'_>, policy: &Topology) -> Self {
        let OfTarget { known, defaults, before } = target;
        let mut topics = BTreeMap::new();
        let mut drifts: BTreeMap<DefaultDrift, usize> = BTreeMap::new();
        let mut not_copied: BTreeMap<&str, NotCopied> = BTreeMap::new();
        for (name, topic) in source {
            let kept = before.topics.get(name).filter(|_| policy.on_config_drift == ConfigDrift::KeepTarget);
            if let Some(kept) = kept.filter(|kept| !is_copying(&kept.configs)) {
                topics.insert(name.clone(), kept.configs.clone());
                continue;
            }
            let mut wanted = known.only(&topic.configs);
            let inherited = (defaults, known);
            for drift in DefaultDrift::of((name, topic), &wanted, inherited, policy.on_default_drift) {
                if drift.carried_over {
                    wanted.insert(drift.config.clone(), drift.source.clone());
                }
                *drifts.entry(drift).or_default() += 1;
            }
            topics.insert(name.clone(), wanted);
            for (config, value) in &topic.configs {
                let Some(reason) = known.refusal(config) else { continue };
                let new = || NotCopied { config: config.clone(), reason: reason.to_owned(), topics: BTreeMap::new() };
                not_copied.entry(config).or_insert_with(new).topics.insert(name.clone(), value.clone());
            }
        }
        Self { topics, not_copied: not_copied.into_values().collect(), defaults: drifts }
    }

    /// The configs of each topic.
    pub fn topics(&self) -> &BTreeMap<Arc<str>, TopicConfigs> {
        &self.topics
    }

    /// The same, and nothing else.
    pub fn into_topics(self) -> BTreeMap<Arc<str>, TopicConfigs> {
        self.topics
    }

    /// What is set on the source and is not going to be on the target, by name of the config.
    pub fn not_copied(&self) -> &[NotCopied] {
        &self.not_copied
    }

    /// What topics inherit and would inherit otherwise on the target, with the number of topics of each.
    pub fn defaults(&self) -> &BTreeMap<DefaultDrift, usize> {
        &self.defaults
    }

    /// What the target's topics get from their brokers although records are deleted, compacted, refused or dated by it, one line
    /// for each config.
    pub fn left_to_defaults(&self) -> Vec<String> {
        let left = self.defaults.iter().filter(|(drift, _)| drift.decides && !drift.carried_over);
        left.map(|(drift, topics)| drift.line(*topics)).collect()
    }

    /// Refuses defaults that differ, where `topology.on_default_drift` is `fail`.
    ///
    /// # Errors
    /// Blocked, naming the configs with both values.
    pub fn refuse_defaults(&self, policy: &Topology) -> Result<()> {
        defaults::refuse(policy.on_default_drift, &self.defaults)
    }

    /// What is not going to be on the target and was not set in the `beginning`, when it was told: configs of topics that were
    /// picked up, and configs that were altered.
    pub fn not_copied_since(&self, beginning: &BTreeMap<&Arc<str>, &DealtTopic>) -> Vec<NotCopied> {
        let was_told = |topic: &Arc<str>, config: &str, value: &String| {
            beginning.get(topic).is_some_and(|dealt| dealt.configs.get(config) == Some(value))
        };
        let mut since = self.not_copied.clone();
        for NotCopied { config, topics, .. } in &mut since {
            topics.retain(|topic, value| !was_told(topic, config, value));
        }
        since.retain(|config| !config.topics.is_empty());
        since
    }

    /// Asks `target` whether it would take them all, and changes nothing.
    ///
    /// # Errors
    /// Blocked, naming the topic and what the target objects to, or that it does not have the topic.
    pub async fn check(&self, target: &Cluster) -> Result<()> {
        let missing = "the target does not have the topic: somebody deleted it there, or an ACL hides it from the principal of \
                       target.auth";
        let there = listed(target, &self.topics, Error::blocked(missing)).await?;
        for (topic, outcome) in target.check_topic_configs(&changes(&self.topics, &there)).await {
            outcome.map_err(|error| {
                let error = Error::from(error);
                let kind = if error.kind.is_retryable() { error.kind } else { ErrorKind::Blocked };
                let message = format!(
                    "the target refuses the topic's configs: {}. Change them on the source, then resume",
                    error.message
                );
                Error::new(kind, message).at_topic(&topic)
            })?;
        }
        Ok(())
    }
}

/// What is to be changed so that the topics that are `there` have the `wanted` configs.
pub(crate) fn changes(wanted: &BTreeMap<Arc<str>, TopicConfigs>, there: &Topics) -> Vec<ConfigChange> {
    let change = |(name, wanted): (&Arc<str>, &TopicConfigs)| {
        let ops = restore(wanted, &there.get(name)?.configs);
        (!ops.is_empty()).then(|| ConfigChange { topic: name.clone(), ops })
    };
    wanted.iter().filter_map(change).collect()
}

impl NotCopied {
    /// One line for an operator.
    pub fn line(&self) -> String {
        let Self { config, reason, topics } = self;
        let (first, value) = topics.iter().next().map_or(("", ""), |(name, value)| (name, value));
        let more = match topics.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more topics", count - 1),
        };
        format!("config {config} is not copied: {reason}; the source has it on {first} ({value}){more}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Topic;
    use crate::target_state::TopicState;
    use kafka::TopicInfo;

    fn configs(pairs: &[(&str, &str)]) -> TopicConfigs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn source(topics: &[(&str, &[(&str, &str)])]) -> Topics {
        let topic = |(name, set): &(&str, &[(&str, &str)])| {
            let info = TopicInfo { name: (*name).into(), id: None, internal: false, partitions: Vec::new() };
            ((*name).into(), Topic { info, configs: configs(set), inherited: Default::default(), max_message_bytes: 1 })
        };
        topics.iter().map(topic).collect()
    }

    fn of(source: &Topics, known: &KnownConfigs, drift: ConfigDrift, before: &TargetState) -> FinalConfigs {
        let target = OfTarget { known, defaults: &TargetDefaults::default(), before };
        FinalConfigs::of(source, target, &Topology { on_config_drift: drift, ..Topology::default() })
    }

    #[test]
    fn what_is_inherited_is_set_where_the_target_would_not_give_it() {
        let mut source =
            source(&[("inherits", &[("segment.ms", "1")]), ("sets", &[("retention.ms", "5")]), ("kept", &[])]);
        let inherited = Arc::new(configs(&[("retention.ms", "-1"), ("segment.ms", "9")]));
        source.values_mut().for_each(|topic| topic.inherited = inherited.clone());
        let known = KnownConfigs::from(["retention.ms", "segment.ms"]);
        let defaults = TargetDefaults::of(configs(&[("retention.ms", "604800000"), ("segment.ms", "8")]));
        let before = before("kept", &[("segment.ms", "3")]);
        let target = OfTarget { known: &known, defaults: &defaults, before: &before };
        let policy = Topology { on_config_drift: ConfigDrift::KeepTarget, ..Topology::default() };
        let own = FinalConfigs::of(&source, target, &policy);
        let of = |topic: &str| own.topics[&Arc::from(topic)].clone();
        assert_eq!(of("inherits"), configs(&[("retention.ms", "-1"), ("segment.ms", "1")]));
        assert_eq!(of("sets"), configs(&[("retention.ms", "5")]));
        assert_eq!(of("kept"), configs(&[("segment.ms", "3")]), "the configuration says so");
        let drifts: Vec<_> = own.defaults().iter().map(|(drift, topics)| (&*drift.config, *topics)).collect();
        assert_eq!(drifts, [("retention.ms", 1), ("segment.ms", 1)]);
        assert!(own.left_to_defaults().is_empty());
    }

    fn before(topic: &str, set: &[(&str, &str)]) -> TargetState {
        let state = TopicState { partitions: 1, replication_factor: 1, configs: configs(set) };
        TargetState { topics: [(topic.into(), state)].into(), ..TargetState::default() }
    }

    #[test]
    fn what_the_target_cannot_have_is_named_with_its_topics() {
        let source = source(&[
            ("a", &[("retention.ms", "1"), ("message.downconversion.enable", "false")]),
            ("b", &[("message.downconversion.enable", "true"), ("message.format.version", "2.8")]),
        ]);
        let known = KnownConfigs::from(["retention.ms", "message.format.version"]);
        let own = of(&source, &known, ConfigDrift::default(), &TargetState::default());
        assert_eq!(own.topics[&Arc::from("a")], configs(&[("retention.ms", "1")]));
        assert_eq!(own.topics[&Arc::from("b")], configs(&[]));
        let names: Vec<_> =
            own.not_copied().iter().map(|config| (config.config.as_str(), config.topics.len())).collect();
        assert_eq!(names, [("message.downconversion.enable", 2), ("message.format.version", 1)]);
        assert_eq!(
            own.not_copied()[0].line(),
            "config message.downconversion.enable is not copied: the target does not know it, or does not let it be set; the \
             source has it on a (false) and 1 more topics"
        );
    }

    #[test]
    fn what_is_new_among_what_is_not_copied_is_told_from_the_rest() {
        let downconversion = |value| [("message.downconversion.enable", value)];
        let source = source(&[
            ("altered", &downconversion("false")),
            ("picked-up", &downconversion("true")),
            ("told", &downconversion("true")),
        ]);
        let own = of(&source, &KnownConfigs::from([]), ConfigDrift::default(), &TargetState::default());
        let dealt = DealtTopic { id: None, configs: configs(&downconversion("true")) };
        let (altered, told) = (Arc::from("altered"), Arc::from("told"));
        let since = own.not_copied_since(&BTreeMap::from([(&altered, &dealt), (&told, &dealt)]));
        let topics: Vec<_> = since[0].topics.keys().map(|topic| &**topic).collect();
        assert_eq!((since.len(), topics), (1, vec!["altered", "picked-up"]));
    }

    #[test]
    fn what_the_target_had_stays_only_where_it_is_to_be_kept() {
        let source = source(&[("a", &[("retention.ms", "1")]), ("new", &[("retention.ms", "2")])]);
        let known = KnownConfigs::from(["retention.ms", "segment.ms"]);
        let before = before("a", &[("segment.ms", "9")]);
        let of = |drift| of(&source, &known, drift, &before).topics;
        assert_eq!(of(ConfigDrift::KeepTarget)[&Arc::from("a")], configs(&[("segment.ms", "9")]));
        assert_eq!(of(ConfigDrift::KeepTarget)[&Arc::from("new")], configs(&[("retention.ms", "2")]));
        assert_eq!(of(ConfigDrift::OverwriteWithSource)[&Arc::from("a")], configs(&[("retention.ms", "1")]));

        let mut left_behind = before;
        left_behind.topics.get_mut("a").unwrap().configs = crate::configs::copying(5_000_000);
        let own = super::tests::of(&source, &known, ConfigDrift::KeepTarget, &left_behind).topics;
        assert_eq!(own[&Arc::from("a")], configs(&[("retention.ms", "1")]), "of an attempt that was rolled back");
    }
}
