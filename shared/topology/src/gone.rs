//! Topics that were deleted on the source after the migration had begun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use copy::reader::TOPIC_DELETED;
use kafka::{Cluster, TopicInfo};
use migration::config::TopicDeleted;
use migration::{Error, Result};
use runtime::Run;
use runtime::run::LEFT_OUT;
use serde_json::json;

use crate::manifest::{DealtTopic, Manifest};

/// How often a topic has to be missing, and the pause between two looks: a broker that has just started does not know
/// every topic yet.
const LOOKS: u32 = 4;
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What became of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is not there any more.
    Deleted,
    /// Another topic has its name.
    Recreated,
}

/// Does what `topology.on_topic_deleted` says about topics that are gone, and tells whether any was left out now; what the
/// run knows of its partitions is then out of date.
///
/// # Errors
/// Blocked, naming the topics and the way out, when the migration must not go on without them.
pub async fn settle(run: &Run<'_>, source: &Cluster, manifest: &Manifest) -> Result<bool> {
    let deleted = deleted(run, source, manifest).await?;
    let Some(first) = deleted.first() else { return Ok(false) };
    if run.config.topology.on_topic_deleted == TopicDeleted::Fail {
        return Err(Error::blocked(format_args!("{}: {TOPIC_DELETED}", named(&deleted))).at_topic(first));
    }
    tracing::warn!(topics = named(&deleted), "deleted on the source, left out");
    let mut left_out = run.left_out();
    left_out.extend(deleted.iter().map(ToString::to_string));
    run.journal.set_fact(LEFT_OUT, &json!(left_out)).await?;
    Ok(true)
}

/// Refuses to go on when a topic is gone, whatever the configuration says.
///
/// # Errors
/// Blocked, naming the topics.
pub async fn refuse(run: &Run<'_>, source: &Cluster, manifest: &Manifest) -> Result<()> {
    let deleted = deleted(run, source, manifest).await?;
    let Some(first) = deleted.first() else { return Ok(()) };
    Err(Error::blocked(format_args!("{}: {TOPIC_DELETED}", named(&deleted))).at_topic(first))
}

/// Topics that are gone and not left out yet.
async fn deleted(run: &Run<'_>, source: &Cluster, manifest: &Manifest) -> Result<Vec<Arc<str>>> {
    let (dealt, left_out) = (manifest.topics(), run.left_out());
    let mut fates = fates(&dealt, &left_out, &source.topics().await?)?;
    for _ in 1..LOOKS {
        if fates.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let again = self::fates(&dealt, &left_out, &source.topics().await?)?;
        fates.retain(|topic, fate| again.get(topic) == Some(fate));
    }
    refuse_recreated(&fates)?;
    Ok(fates.into_keys().collect())
}

fn refuse_recreated(fates: &BTreeMap<Arc<str>, Fate>) -> Result<()> {
    let recreated: Vec<_> =
        fates.iter().filter(|(_, fate)| **fate == Fate::Recreated).map(|(topic, _)| topic.clone()).collect();
    let Some(first) = recreated.first() else { return Ok(()) };
    Err(Error::blocked(format_args!(
        "{}: the topic was deleted and created anew on the source after the migration had begun, so the target may hold \
         records of both; roll back, delete the topic on the target and start a new migration, or delete it on the source \
         and go on without it (topology.on_topic_deleted: leave_out)",
        named(&recreated)
    ))
    .at_topic(first))
}

/// What became of dealt topics that are not `there` as they were. A topic that was left out is gone for good.
fn fates(
    dealt: &BTreeMap<&Arc<str>, &DealtTopic>,
    left_out: &BTreeSet<String>,
    there: &[TopicInfo],
) -> Result<BTreeMap<Arc<str>, Fate>> {
    if there.is_empty() {
        // What a broker says that has not heard of its cluster's topics yet.
        return Err(Error::transient("the source lists no topics at all"));
    }
    let there: BTreeMap<_, _> = there.iter().map(|topic| (&topic.name, topic.id.as_ref())).collect();
    let fate = |(name, topic): (&&Arc<str>, &&DealtTopic)| {
        let left_out = left_out.contains(&***name);
        let fate = match there.get(*name) {
            None if left_out => return None,
            None => Fate::Deleted,
            Some(id) => {
                // Without ids (before Kafka 2.8) only the log can tell, see `changes::survey`.
                let other = topic.id.as_ref().zip(*id).is_some_and(|(dealt, now)| dealt != now);
                (other || left_out).then_some(Fate::Recreated)?
            }
        };
        Some(((*name).clone(), fate))
    };
    Ok(dealt.iter().filter_map(fate).collect())
}

/// The first few names.
fn named(topics: &[Arc<str>]) -> String {
    const NAMED: usize = 10;
    let names = topics.iter().take(NAMED).map(|topic| &**topic).collect::<Vec<_>>().join(", ");
    match topics.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{names} and {more} more"),
        _ => names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(topics: &[(&str, Option<&str>)]) -> Vec<TopicInfo> {
        let info = |(name, id): &(&str, Option<&str>)| TopicInfo {
            name: (*name).into(),
            id: id.map(str::to_owned),
            internal: false,
            partitions: Vec::new(),
        };
        topics.iter().map(info).collect()
    }

    fn fates_of(id: Option<&str>, left_out: bool, there: &[TopicInfo]) -> Vec<Fate> {
        let (name, topic) = ("orders".into(), DealtTopic { id: id.map(str::to_owned), ..DealtTopic::default() });
        let left_out = if left_out { BTreeSet::from(["orders".to_owned()]) } else { BTreeSet::new() };
        fates(&BTreeMap::from([(&name, &topic)]), &left_out, there).unwrap().into_values().collect()
    }

    #[test]
    fn a_topic_is_known_by_its_id() {
        assert!(fates_of(Some("A"), false, &there(&[("orders", Some("A"))])).is_empty());
        assert_eq!(fates_of(Some("A"), false, &there(&[("orders", Some("B"))])), [Fate::Recreated]);
        assert_eq!(fates_of(Some("A"), false, &there(&[("other", Some("A"))])), [Fate::Deleted]);
        for (dealt, now) in [(None, Some("A")), (Some("A"), None), (None, None)] {
            assert!(fates_of(dealt, false, &there(&[("orders", now)])).is_empty(), "ids say nothing here");
        }
    }

    #[test]
    fn a_topic_that_was_left_out_stays_away() {
        assert!(fates_of(Some("A"), true, &there(&[("other", None)])).is_empty());
        assert_eq!(fates_of(None, true, &there(&[("orders", None)])), [Fate::Recreated]);
    }

    #[test]
    fn a_cluster_without_topics_is_not_believed() {
        assert!(fates(&BTreeMap::new(), &BTreeSet::new(), &[]).unwrap_err().kind.is_retryable());
    }

    #[test]
    fn a_topic_that_was_created_anew_has_its_own_way_out() {
        let error = refuse_recreated(&BTreeMap::from([("a".into(), Fate::Deleted), ("b".into(), Fate::Recreated)]));
        let error = error.unwrap_err();
        assert!(error.message.starts_with("b: the topic was deleted and created anew"), "{error}");
    }
}
