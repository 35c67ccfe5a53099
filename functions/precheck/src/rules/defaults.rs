//! What topics take from their brokers, and would take otherwise from the target's.

use std::collections::BTreeMap;

use migration::config::DefaultDrift as Policy;
use migration::report::Finding;
use topology::defaults::DefaultDrift;

use super::finding::{count, few, finding};
use crate::facts::{Facts, Leaving};

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    inherited(facts).into_iter().collect()
}

fn inherited(facts: &Facts) -> Option<Finding> {
    let leaving = facts.leaving.as_ref().filter(|_| !facts.is_one_cluster())?;
    let brokers = facts.arriving.as_ref()?.brokers.as_ref().ok()?;
    let policy = facts.config.topology.on_default_drift;
    let mut deciding = BTreeMap::new();
    for (config, source) in &leaving.inherited {
        // Each broker can have its own.
        for target in brokers.iter().filter_map(|broker| broker.topics.get(config)) {
            let drift = DefaultDrift::between(config, source, Some(target), policy).filter(|drift| drift.decides);
            let topics = inheriting(leaving, config);
            deciding.extend(drift.filter(|_| topics > 0).map(|drift| (drift, topics)));
        }
    }
    let named: Vec<_> = deciding.iter().map(|(drift, topics)| told(drift, *topics)).collect();
    (!named.is_empty()).then(|| {
        finding("W31", "target")
            .found(format_args!("topics would inherit something else on the target: {}", few(&named)))
            .of(&named)
            .because(because(policy))
            .fix(
                "nothing, if that is meant; else set the config on the source's topics, or change the target's MSK configuration, or \
                 set topology.on_default_drift",
            )
    })
}

/// How many topics do not set `config`.
fn inheriting(leaving: &Leaving, config: &str) -> usize {
    leaving.configs.known.values().filter(|topic| !topic.own.contains_key(config)).count()
}

fn told(drift: &DefaultDrift, topics: usize) -> String {
    let DefaultDrift { config, source, target, .. } = drift;
    let target = target.as_deref().unwrap_or_default();
    format!("{config} ({source} on the source, {target} on the target, in {})", count(topics, "topic"))
}

fn because(policy: Policy) -> &'static str {
    match policy {
        Policy::CarryOver => {
            "records are deleted, compacted, refused or dated by it, so the cutover sets the source's values on those topics as \
             their own (topology.on_default_drift: carry_over)"
        }
        Policy::KeepTarget => {
            "records are deleted, compacted, refused or dated by it, as the target's brokers say from the cutover on \
             (topology.on_default_drift: keep_target)"
        }
        Policy::Fail => "the topology copy stops before it copies (topology.on_default_drift: fail)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::TopicConfig;
    use crate::sample::{self, facts, one};

    fn with(source: &[(&str, &str)], target: &[(&str, &str)]) -> Facts {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut facts = facts();
        let sets = TopicConfig { own: map(&[("retention.ms", "5")]), ..sample::topic_config() };
        sample::with_configs(&mut facts, &[("inherits", sample::topic_config()), ("sets", sets)]);
        sample::leaving(&mut facts).inherited = map(source);
        let brokers = sample::arriving(&mut facts).brokers.as_mut().unwrap();
        // One of several is enough.
        brokers.last_mut().unwrap().topics = map(target);
        facts
    }

    #[test]
    fn w31_what_topics_would_inherit_otherwise() {
        let mut facts = with(&[("retention.ms", "-1")], &[("retention.ms", "604800000")]);
        let finding = one(judge(&facts), "W31");
        let named = "retention.ms (-1 on the source, 604800000 on the target, in 1 topic)";
        assert!(finding.message.ends_with(named), "{finding:?}");
        assert!(finding.cause.contains("sets the source's values"), "{finding:?}");
        facts.config.topology.on_default_drift = Policy::KeepTarget;
        assert!(one(judge(&facts), "W31").cause.contains("keep_target"));
    }

    #[test]
    fn w28_not_where_nothing_depends_on_it() {
        assert!(judge(&with(&[("retention.ms", "-1")], &[("retention.ms", "-1")])).is_empty());
        assert!(judge(&with(&[("segment.ms", "1")], &[("segment.ms", "2")])).is_empty());
        assert!(judge(&with(&[("retention.ms", "-1")], &[])).is_empty());
    }
}
