//! Topic parity: both sides have the same topics, partitions and configs.

use std::collections::BTreeMap;
use std::sync::Arc;

use documents::settings::TopicConfigs;
use kafka::{Cluster, OffsetSpec, all_ok};
use migration::config::Topology;
use migration::progress::PartitionProgress;
use migration::report::CheckName;
use migration::report::validation::{Check, Problem};
use migration::{Result, TopicPartition};
use topology::{KnownConfigs, Topic, Topics, is_copying};

use crate::check::{Acceptances, Collector};
use crate::partition::Sides;
use crate::presence::Presence;
use crate::switch::Switch;

/// What the topics are compared with.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    /// Which topics of the source are this migration's.
    pub(crate) selection: &'a Topology,
    /// What was copied.
    pub(crate) copied: &'a [PartitionProgress],
    /// What has become of the copied topics.
    pub(crate) sides: &'a BTreeMap<Arc<str>, Sides>,
    /// The configs that the cutover put in place.
    pub(crate) put: &'a BTreeMap<Arc<str>, TopicConfigs>,
    /// Key of the plan that has them, for people.
    pub(crate) plan: &'a str,
    /// Since when clients may be on the target.
    pub(crate) switch: Switch,
}

/// One copied topic, and what it is now.
struct Copied<'a> {
    name: &'a Arc<str>,
    partitions: usize,
    source: Option<&'a Topic>,
    target: Option<&'a Topic>,
    sides: Sides,
}

/// Compares the topics of both clusters with what was copied, and their configs with what the cutover has put in place.
///
/// # Errors
/// Transient when a cluster could not be asked.
pub(crate) async fn compare(
    source: &Cluster,
    target: &Cluster,
    expected: &Expected<'_>,
    acceptances: &Arc<Acceptances>,
) -> Result<Check> {
    let mut partitions: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for progress in expected.copied {
        *partitions.entry(progress.partition.topic.clone()).or_default() += 1;
    }
    let mut source_topics = topology::inventory(source, expected.selection).await?.topics;
    let target_topics = topology::existing(target, |topic| partitions.contains_key(topic)).await?;
    if let Some(topic) = target_topics.keys().next() {
        let known = KnownConfigs::ask(target, topic).await?;
        source_topics.values_mut().for_each(|topic| topic.configs = known.only(&topic.configs));
    }
    let uncopied = uncopied(&partitions, &source_topics, expected.sides);
    let mut written = written(source, uncopied).await?;
    let mut check = Collector::new(CheckName::TopicParity, acceptances);
    for (name, copied) in &partitions {
        let absent = Sides { source: Presence::Deleted, target: Presence::Deleted };
        let copied = Copied {
            name,
            partitions: *copied,
            source: source_topics.get(name),
            target: target_topics.get(name),
            sides: expected.sides.get(name).copied().unwrap_or(absent),
        };
        let mut problems = judge(&copied, expected);
        problems
            .extend(written.remove(name).into_iter().flatten().map(|(partition, bounds)| added(&partition, bounds)));
        check.add(problems);
    }
    for (name, partitions) in written {
        check.add([appeared(&name, &partitions)]);
    }
    Ok(check.finish())
}

/// Partitions of the source that were not copied: of topics that appeared, and added to topics that were copied.
fn uncopied(
    copied: &BTreeMap<Arc<str>, usize>,
    source: &Topics,
    sides: &BTreeMap<Arc<str>, Sides>,
) -> Vec<TopicPartition> {
    // Another topic of the same name is its owner's.
    let recreated = |topic: &Arc<str>| sides.get(topic).is_some_and(|sides| sides.source == Presence::Recreated);
    let topics = source.values().filter(|topic| !recreated(&topic.info.name));
    let partitions = topics.flat_map(|topic| {
        let count = copied.get(&topic.info.name).copied().unwrap_or(0);
        topic.partitions().filter(move |partition| partition.partition as usize >= count)
    });
    partitions.collect()
}

/// Log start and end of a partition.
type Bounds = (i64, i64);

/// What was ever written to `partitions`, by topic.
async fn written(
    source: &Cluster,
    partitions: Vec<TopicPartition>,
) -> Result<BTreeMap<Arc<str>, Vec<(TopicPartition, Bounds)>>> {
    let starts = all_ok(source.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let ends = all_ok(source.list_offsets(&partitions, OffsetSpec::Latest).await)?;
    let mut written: BTreeMap<Arc<str>, Vec<_>> = BTreeMap::new();
    for (partition, end) in ends {
        let start = starts.get(&partition).copied().unwrap_or(0);
        written.entry(partition.topic.clone()).or_default().push((partition, (start, end)));
    }
    Ok(written)
}

/// What differs of a topic that was copied. From the switch on the target belongs to the clients: what they change there is theirs,
/// and what their owner does with the source is his.
fn judge(copied: &Copied<'_>, expected: &Expected<'_>) -> Vec<Problem> {
    let name = copied.name;
    let mut problems = Vec::new();
    for (side, presence) in [("source", copied.sides.source), ("target", copied.sides.target)] {
        problems.extend(match presence {
            Presence::There => None,
            Presence::Hidden => Some(Problem::failed(
                name,
                format_args!(
                    "this migration's principal may not describe the topic on the {side}: allow it and finalize again"
                ),
            )),
            Presence::Deleted => {
                Some(expected.switch.explains(name, format_args!("the topic was deleted on the {side}")))
            }
            Presence::Recreated => Some(
                expected.switch.explains(name, format_args!("the topic was deleted and created anew on the {side}")),
            ),
        });
    }
    let there = |presence: Presence, topic: Option<&Topic>| match (presence, topic) {
        (Presence::There, Some(_)) => true,
        // It was deleted while it was looked at.
        (Presence::There, None) | (Presence::Deleted | Presence::Recreated | Presence::Hidden, _) => false,
    };
    if !(there(copied.sides.source, copied.source) && there(copied.sides.target, copied.target)) {
        return problems;
    }
    let (Some(source), Some(target)) = (copied.source, copied.target) else { return problems };
    let (count, partitions) = (target.info.partitions.len(), copied.partitions);
    if count > partitions {
        let message = format_args!(
            "{} partition(s) were added on the target to the {partitions} that were copied",
            count - partitions
        );
        problems.push(expected.switch.explains(name, message));
    }
    problems.extend(judge_configs(name, source, target, expected));
    problems
}

/// What differs of the configs.
fn judge_configs(name: &Arc<str>, source: &Topic, target: &Topic, expected: &Expected<'_>) -> Vec<Problem> {
    let Some(put) = expected.put.get(name) else {
        let message = format_args!("the cutover's plan has no configs for the topic, see {}", expected.plan);
        return vec![Problem::failed(name, message)];
    };
    let value = |configs: &TopicConfigs, config: &str| configs.get(config).map_or("not set", String::as_str).to_owned();
    if is_copying(&target.configs) && !is_copying(put) {
        let message = format_args!(
            "the topic still has its copy-time configs on the target, which keep every record for ever: set its own there, see \
             settings.configs in {}",
            expected.plan
        );
        return vec![Problem::failed(name, message)];
    }
    let mut problems = Vec::new();
    for op in topology::restore(put, &target.configs) {
        let config = op.name();
        let (found, left) = (value(&target.configs, config), value(put, config));
        let message = format_args!(
            "config {config} is {found} on the target; the cutover wanted {left}, so it was changed there since, or could not be set"
        );
        problems.push(Problem::warning(name, message));
    }
    for op in topology::restore(&source.configs, put) {
        let config = op.name();
        // The cutover sets what the target's brokers would not give.
        let inherited = || put.get(config).zip(source.in_force(config));
        if inherited().is_some_and(|(left, is)| topology::configs::same_value(config, left, is)) {
            continue;
        }
        let (is, left) = (value(&source.configs, config), value(put, config));
        let message = format_args!(
            "config {config} is {is} on the source and was left {left} on the target: as topology.on_config_drift says, or it \
             was altered on the source since"
        );
        problems.push(Problem::warning(name, message));
    }
    problems
}

/// A partition that was added on the source after the cutover.
fn added(partition: &TopicPartition, (start, end): Bounds) -> Problem {
    let message = "the partition was added on the source after the cutover and was not copied";
    match end {
        0 => Problem::warning(partition, format_args!("{message}; nothing was written to it")),
        _ => Problem::failed(
            partition,
            format_args!("{message}; it holds source offsets {start} to {}, bring them over by hand", end - 1),
        ),
    }
}

/// A topic that appeared on the source after the cutover.
fn appeared(name: &Arc<str>, partitions: &[(TopicPartition, Bounds)]) -> Problem {
    let message = "the topic appeared on the source after the migration had begun and was not copied";
    let offsets: i64 = partitions.iter().map(|(_, (start, end))| end - start).sum();
    let filled = partitions.iter().filter(|(_, (_, end))| *end > 0).count();
    match filled {
        0 => Problem::warning(name, format_args!("{message}; nothing was written to it")),
        _ => Problem::failed(
            name,
            format_args!(
                "{message}; {filled} of its partitions hold {offsets} source offsets, bring them over by hand"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::tests::SWITCHED;
    use kafka::{PartitionInfo, TopicInfo};
    use migration::report::Outcome::{self, Failed, Warning};

    const THERE: Sides = Sides { source: Presence::There, target: Presence::There };

    fn topic(partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let info = |partition| PartitionInfo { partition, leader: Some(1), replicas: vec![1], isr: vec![1] };
        let partitions = (0..partitions).map(info).collect();
        Topic {
            info: TopicInfo { name: "orders".into(), id: None, internal: false, partitions },
            configs: configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            inherited: Default::default(),
            max_message_bytes: 1,
        }
    }

    fn judged(
        source: Option<&Topic>,
        target: Option<&Topic>,
        sides: Sides,
        put: &[(&str, &str)],
        switch: Switch,
    ) -> Vec<Problem> {
        let name: Arc<str> = "orders".into();
        let put = BTreeMap::from([(name.clone(), topic(0, put).configs)]);
        let expected = Expected {
            selection: &Topology::default(),
            copied: &[],
            sides: &BTreeMap::new(),
            put: &put,
            plan: "cutover/plans/1.json",
            switch,
        };
        judge(&Copied { name: &name, partitions: 3, source, target, sides }, &expected)
    }

    fn outcomes(source: &Topic, target: &Topic, put: &[(&str, &str)]) -> Vec<Outcome> {
        let problems = judged(Some(source), Some(target), THERE, put, SWITCHED);
        problems.iter().map(|problem| problem.outcome).collect()
    }

    #[test]
    fn the_same_on_both_sides_passes() {
        let topic = topic(3, &[("retention.ms", "5")]);
        assert!(outcomes(&topic, &topic, &[("retention.ms", "5")]).is_empty());
    }

    #[test]
    fn a_topic_that_its_owner_deleted_after_the_switch_is_a_warning_on_either_side() {
        // Report 12: (c) deleted on the target, (d) deleted on the source.
        let topic = topic(3, &[]);
        for presence in [Presence::Deleted, Presence::Recreated] {
            for sides in [Sides { source: presence, ..THERE }, Sides { target: presence, ..THERE }] {
                let outcome = |switch| {
                    let found = judged(Some(&topic), Some(&topic), sides, &[], switch);
                    found.iter().map(|problem| problem.outcome).collect::<Vec<_>>()
                };
                assert_eq!(outcome(SWITCHED), [Warning]);
                assert_eq!(outcome(Switch::of(&[])), [Failed]);
            }
        }
        let hidden = judged(Some(&topic), None, Sides { target: Presence::Hidden, ..THERE }, &[], SWITCHED);
        assert_eq!((hidden.len(), hidden[0].outcome), (1, Failed));
    }

    #[test]
    fn what_clients_change_on_their_new_cluster_is_a_warning() {
        let source = topic(3, &[("retention.ms", "5")]);
        let grown = topic(4, &[("retention.ms", "5")]);
        assert_eq!(outcomes(&source, &grown, &[("retention.ms", "5")]), [Warning]);
        let changed = topic(3, &[("retention.ms", "6"), ("segment.ms", "9")]);
        assert_eq!(outcomes(&source, &changed, &[("retention.ms", "5")]), [Warning, Warning]);
    }

    #[test]
    fn what_was_to_stay_or_changed_on_the_source_since_is_a_warning() {
        let (source, kept) = (topic(3, &[("retention.ms", "5")]), [("retention.ms", "6")]);
        assert_eq!(outcomes(&source, &topic(3, &kept), &kept), [Warning]);
    }

    #[test]
    fn what_the_topic_inherits_on_the_source_and_was_given_on_the_target_passes() {
        let source = Topic { inherited: Arc::new(topic(0, &[("retention.ms", "-1")]).configs), ..topic(3, &[]) };
        let carried = [("retention.ms", "-1")];
        assert!(outcomes(&source, &topic(3, &carried), &carried).is_empty());
        let other = [("retention.ms", "6")];
        assert_eq!(outcomes(&source, &topic(3, &other), &other), [Warning]);
    }

    #[test]
    fn a_copy_time_config_that_was_left_behind_fails() {
        let source = topic(3, &[("retention.ms", "5")]);
        let left = Topic { configs: topology::copying(2), ..topic(3, &[]) };
        assert_eq!(outcomes(&source, &left, &[("retention.ms", "5")]), [Failed]);
        // One of them alone is a choice of the clients.
        let unlimited = topic(3, &[("retention.ms", "-1")]);
        assert_eq!(outcomes(&source, &unlimited, &[("retention.ms", "5")]), [Warning]);
    }

    #[test]
    fn what_came_too_late_matters_when_something_was_written_to_it() {
        let partition = TopicPartition::new("orders", 3);
        assert_eq!(added(&partition, (0, 0)).outcome, Warning);
        let filled = added(&partition, (2, 7));
        assert_eq!((filled.outcome, filled.place.as_str()), (Failed, "orders/3"));
        assert!(filled.message.contains("offsets 2 to 6"), "{}", filled.message);
        let (name, other): (Arc<str>, _) = ("new".into(), TopicPartition::new("new", 1));
        assert_eq!(appeared(&name, &[(partition.clone(), (0, 0))]).outcome, Warning);
        let problem = appeared(&name, &[(partition, (0, 0)), (other, (2, 7))]);
        assert!(problem.outcome == Failed && problem.message.contains("1 of its partitions hold 5"), "{problem:?}");
    }

    #[test]
    fn only_partitions_that_were_not_copied_are_looked_at() {
        let topics = Topics::from([("orders".into(), topic(4, &[]))]);
        let found = |copied: &[(&str, usize)], presence| {
            let copied = copied.iter().map(|(name, count)| ((*name).into(), *count)).collect();
            let sides = BTreeMap::from([("orders".into(), Sides { source: presence, ..THERE })]);
            uncopied(&copied, &topics, &sides).iter().map(|partition| partition.partition).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("orders", 3)], Presence::There), [3]);
        assert_eq!(found(&[("others", 3)], Presence::There), [0, 1, 2, 3]);
        assert!(found(&[("orders", 3)], Presence::Recreated).is_empty());
    }
}
