//! Topics that were on the target before with other configs than on the source.

use migration::config::ConfigDrift;
use migration::{Error, Result};
use topology::{KnownConfigs, TargetState, Topics, is_copying, restore};

/// Differences that an error names.
const NAMED: usize = 5;

/// Refuses topics that were there with other configs than the source's, where `topology.on_config_drift` is `fail`. Under
/// the other policies the cutover decides which configs a topic gets in the end.
///
/// # Errors
/// Blocked, naming topics, configs and both values.
pub(crate) fn refuse(drift: ConfigDrift, source: &Topics, before: &TargetState, known: &KnownConfigs) -> Result<()> {
    if drift != ConfigDrift::Fail {
        return Ok(());
    }
    let differences = differences(source, before, known);
    let Some((first, _)) = differences.first() else { return Ok(()) };
    let named: Vec<_> = differences.iter().take(NAMED).map(|(_, difference)| difference.as_str()).collect();
    let more = differences.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Error::blocked(format_args!(
        "configs of topics on the target differ from the source's and topology.on_config_drift is fail: {}{more}. Make them \
         equal, or set it to overwrite_with_source or keep_target",
        named.join("; ")
    ))
    .at_topic(first))
}

/// Topics and what differs of them. Copy-time configs, which an attempt that was rolled back left, are nobody's.
fn differences<'a>(source: &'a Topics, before: &TargetState, known: &KnownConfigs) -> Vec<(&'a str, String)> {
    let value = |value: Option<&String>| value.map_or_else(|| "not set".to_owned(), Clone::clone);
    let mut differences = Vec::new();
    for (name, topic) in source {
        let found = before.topics.get(name).filter(|found| !is_copying(&found.configs));
        let Some(found) = found else { continue };
        for op in restore(&known.only(&topic.configs), &found.configs) {
            let config = op.name();
            let (is, was) = (value(topic.configs.get(config)), value(found.configs.get(config)));
            differences.push((&**name, format!("{name}: {config} is {is} on the source and {was} on the target")));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::{ConfigEntry, ConfigSource, TopicInfo};
    use std::collections::BTreeMap;
    use topology::Topic;
    use topology::target_state::TopicState;

    fn configs(retention: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("retention.ms".to_owned(), retention.to_owned())])
    }

    fn source(topics: &[(&str, &str)]) -> Topics {
        let topic = |(name, retention): &(&str, &str)| {
            let info = TopicInfo { name: (*name).into(), id: None, internal: false, partitions: Vec::new() };
            (
                (*name).into(),
                Topic { info, configs: configs(retention), inherited: Default::default(), max_message_bytes: 1 },
            )
        };
        topics.iter().map(topic).collect()
    }

    fn before(topics: &[(&str, &str)]) -> TargetState {
        let state = |retention| TopicState { partitions: 1, replication_factor: 1, configs: configs(retention) };
        let topics = topics.iter().map(|(name, retention)| ((*name).into(), state(retention)));
        TargetState { topics: topics.collect(), ..TargetState::default() }
    }

    #[test]
    fn only_what_was_there_before_can_differ_and_only_fail_refuses_it() {
        let entry = ConfigEntry {
            name: "retention.ms".to_owned(),
            value: None,
            source: ConfigSource::Default,
            read_only: false,
            sensitive: false,
        };
        let known = KnownConfigs::from(vec![entry]);
        let source = source(&[("equal", "5"), ("other", "5"), ("created", "5")]);
        let before = before(&[("equal", "5"), ("other", "6"), ("gone-from-the-source", "7")]);
        for drift in [ConfigDrift::OverwriteWithSource, ConfigDrift::KeepTarget] {
            refuse(drift, &source, &before, &known).unwrap();
        }
        let error = refuse(ConfigDrift::Fail, &source, &before, &known).unwrap_err();
        assert_eq!(error.context.topic.as_deref(), Some("other"));
        assert!(
            error.message.contains("fail: other: retention.ms is 5 on the source and 6 on the target. Make"),
            "{error}"
        );
    }
}
