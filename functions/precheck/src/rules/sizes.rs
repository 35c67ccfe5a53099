//! Whether the target's brokers take batches as large as those of the source.
//!
//! While a topic is copied it has a `max.message.bytes` of its own (`topology::configs`), so brokers' limits do not stand in
//! the way of the copy. They count from the cutover on, when clients write to topics that set no limit themselves.

use std::sync::Arc;

use migration::report::Finding;

use super::finding::{count, few, finding};
use crate::facts::{Arriving, BrokerConfig, Facts, Leaving, TopicConfig};

/// Bytes by which Kafka's default of `message.max.bytes` (1048588) is above that of `replica.fetch.max.bytes` (1048576):
/// `Records.LOG_OVERHEAD`, which the latter does not count. Clusters that nobody has tuned must not be blocked.
const LOG_OVERHEAD: i64 = 12;

/// The largest batch that some topic of the source takes.
struct Largest<'a> {
    topic: &'a Arc<str>,
    bytes: i64,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let (Some(leaving), Some(arriving)) = (&facts.leaving, &facts.arriving) else { return Vec::new() };
    let mut findings = Vec::new();
    if let Ok(brokers) = &arriving.brokers {
        findings.extend(message_max(leaving, brokers).map(|limit| b11(facts, &limit)));
        findings.extend(replica_fetch(leaving, brokers).map(|limit| b12(facts, leaving, &limit)));
    }
    findings.extend(unverified(leaving, arriving));
    findings
}

/// The topic with the largest `max.message.bytes` among those that pass `test`.
fn largest(leaving: &Leaving, test: impl Fn(&TopicConfig) -> bool) -> Option<Largest<'_>> {
    let topics = leaving.configs.known.iter().filter(|(_, config)| test(config));
    let sizes = topics.filter_map(|(topic, config)| Some((topic, config.max_message_bytes?)));
    sizes.max_by_key(|(_, bytes)| *bytes).map(|(topic, bytes)| Largest { topic, bytes })
}

/// The broker with the smallest of one limit.
fn smallest(brokers: &[BrokerConfig], limit: impl Fn(&BrokerConfig) -> Option<i64>) -> Option<(i32, i64)> {
    let known = brokers.iter().filter_map(|config| Some((config.broker, limit(config)?)));
    known.min_by_key(|(_, bytes)| *bytes)
}

/// A limit of the target's brokers that is too small.
struct TooSmall<'a> {
    name: &'static str,
    /// The broker with the smallest value, and the value.
    broker: i32,
    bytes: i64,
    /// The value that is needed.
    needed: i64,
    /// The topic that needs most.
    largest: Largest<'a>,
}

/// Limits of the target's brokers that are too small, with their smallest value and the one that is needed.
pub(crate) fn too_small(facts: &Facts) -> Vec<(&'static str, i64, i64)> {
    let (Some(leaving), Some(arriving)) = (&facts.leaving, &facts.arriving) else { return Vec::new() };
    let Ok(brokers) = &arriving.brokers else { return Vec::new() };
    let small = [message_max(leaving, brokers), replica_fetch(leaving, brokers)];
    small.into_iter().flatten().map(|limit| (limit.name, limit.bytes, limit.needed)).collect()
}

/// Only topics that inherit their limit: a limit of a topic's own is copied with it.
fn message_max<'a>(leaving: &'a Leaving, brokers: &[BrokerConfig]) -> Option<TooSmall<'a>> {
    let largest = largest(leaving, |config| !config.own.contains_key("max.message.bytes"))?;
    let (broker, bytes) = smallest(brokers, |config| config.message_max_bytes)?;
    let needed = largest.bytes;
    (bytes < needed).then_some(TooSmall { name: "message.max.bytes", broker, bytes, needed, largest })
}

fn b11(facts: &Facts, limit: &TooSmall<'_>) -> Finding {
    let TooSmall { name, broker, bytes, needed, largest } = limit;
    finding("B11", "target")
        .found(format_args!(
            "target broker {broker} has {name}={bytes}, below the {} bytes that topic {} of the source takes without a \
             max.message.bytes of its own",
            largest.bytes, largest.topic
        ))
        .because("after the client switch producers of larger records get RecordTooLargeException, which they did not before")
        .fix(raise(facts, name, *needed))
}

/// Since KIP-74 a follower gets a batch of any size, but one above its limit comes alone, one for each request. Where the
/// source's own brokers live with that, the target's will; where they do not, replication falls behind as it did not.
fn replica_fetch<'a>(leaving: &'a Leaving, brokers: &[BrokerConfig]) -> Option<TooSmall<'a>> {
    let largest = largest(leaving, |_| true)?;
    let (broker, bytes) = smallest(brokers, |config| config.replica_fetch_max_bytes)?;
    let needed = largest.bytes.min(source_fetch(leaving)?.saturating_add(LOG_OVERHEAD));
    let small = TooSmall { name: "replica.fetch.max.bytes", broker, bytes, needed, largest };
    (bytes.saturating_add(LOG_OVERHEAD) < needed).then_some(small)
}

/// The smallest `replica.fetch.max.bytes` of the source's brokers.
fn source_fetch(leaving: &Leaving) -> Option<i64> {
    Some(smallest(leaving.brokers.as_ref().ok()?, |config| config.replica_fetch_max_bytes)?.1)
}

fn b12(facts: &Facts, leaving: &Leaving, limit: &TooSmall<'_>) -> Finding {
    let TooSmall { name, broker, bytes, needed, largest } = limit;
    finding("B12", "target")
        .found(format_args!(
            "target broker {broker} has {name}={bytes}, the source's brokers have {}, and topic {} of the source takes batches \
             of up to {} bytes",
            source_fetch(leaving).unwrap_or_default(),
            largest.topic,
            largest.bytes
        ))
        .because(
            "a follower gets batches above that limit one at a time, so replicas fall behind and writes with acks=all, the \
             copy's too, wait for them",
        )
        .fix(raise(facts, name, *needed))
}

fn raise(facts: &Facts, name: &str, bytes: i64) -> String {
    let target = &facts.config.target;
    format!(
        "put {name}={bytes} or more into a new revision of the target's MSK configuration, then `aws kafka \
         update-cluster-configuration --cluster-arn {} --region {} --current-version {} --configuration-info \
         '{{\"Arn\":\"<configuration ARN>\",\"Revision\":<n>}}'`",
        target.cluster_arn,
        target.region(),
        facts.target.current_version()
    )
}

fn unverified(leaving: &Leaving, arriving: &Arriving) -> Option<Finding> {
    let mut reasons = Vec::new();
    if let Some((topics, error)) = &leaving.configs.missing {
        reasons.push(format!("configs of {} of the source: {}", count(*topics, "topic"), error.message));
    }
    if let Err(error) = &leaving.brokers {
        reasons.push(format!("configs of the source's brokers: {}", error.message));
    }
    match &arriving.brokers {
        Err(error) => reasons.push(format!("configs of the target's brokers: {}", error.message)),
        Ok(brokers) => {
            let silent =
                |config: &&BrokerConfig| config.message_max_bytes.is_none() || config.replica_fetch_max_bytes.is_none();
            let silent: Vec<_> = brokers.iter().filter(silent).map(|config| config.broker).collect();
            if !silent.is_empty() {
                reasons.push(format!("the target's brokers {} do not say", few(silent)));
            }
        }
    }
    (!reasons.is_empty()).then(|| {
        finding("W04", "source and target")
            .found(format_args!("sizes of batches could not be compared completely ({})", reasons.join("; ")))
            .because(
                "B11 and B12 may be missing for that, and what else follows from brokers' configs: B17, W14, W19, W24 to W27, \
                 I02 and I05",
            )
            .fix(
                "allow DescribeConfigs on both clusters, or make sure that message.max.bytes and replica.fetch.max.bytes of \
                 the target's brokers are at least those of the source's",
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts, one};
    use migration::Error;

    /// A topic that inherits its limit.
    fn sized(bytes: i64) -> TopicConfig {
        TopicConfig { max_message_bytes: Some(bytes), ..sample::topic_config() }
    }

    /// A topic that sets its limit itself.
    fn of_its_own(bytes: i64) -> TopicConfig {
        TopicConfig { own: [("max.message.bytes".to_owned(), bytes.to_string())].into(), ..sized(bytes) }
    }

    fn set(brokers: &mut migration::Result<Vec<BrokerConfig>>, set: impl Fn(&mut BrokerConfig)) {
        brokers.as_mut().unwrap().iter_mut().for_each(set);
    }

    #[test]
    fn kafkas_own_defaults_fit_each_other() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b11_names_the_smallest_broker_and_the_largest_topic() {
        let mut facts = facts();
        let topics = [("orders", sized(1000)), ("videos", sized(10_000_000)), ("zebras", of_its_own(90_000_000))];
        sample::with_configs(&mut facts, &topics);
        sample::arriving(&mut facts).brokers.as_mut().unwrap()[0].message_max_bytes = Some(20_000_000);
        let finding = one(judge(&facts), "B11");
        let message = &finding.message;
        assert!(message.contains("broker 2") && message.contains("1048588"), "{message}");
        assert!(message.contains("videos") && message.contains("10000000"), "{message}");
        assert!(finding.fix.contains("message.max.bytes=10000000") && finding.fix.contains("--current-version K1"));
    }

    #[test]
    fn b11_not_of_topics_that_bring_their_own_limit() {
        let mut facts = facts();
        sample::with_configs(&mut facts, &[("videos", of_its_own(10_000_000))]);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn b12_only_where_the_source_replicates_in_larger_steps() {
        let mut facts = facts();
        sample::with_configs(&mut facts, &[("videos", of_its_own(10_000_000))]);
        set(&mut sample::leaving(&mut facts).brokers, |config| config.replica_fetch_max_bytes = Some(8_000_000));
        let finding = one(judge(&facts), "B12");
        assert!(
            finding.message.contains("broker 1 has replica.fetch.max.bytes=1048576, the source's brokers have 8000000")
        );
        assert!(finding.fix.contains("replica.fetch.max.bytes=8000012"), "{}", finding.fix);
        // Nothing is that large: what the source's brokers could do does not matter.
        sample::with_configs(&mut facts, &[("orders", sized(sample::DEFAULT_MESSAGE_BYTES))]);
        assert!(judge(&facts).is_empty());
    }

    #[test]
    fn w04_the_brokers_cannot_be_asked() {
        let mut facts = facts();
        sample::arriving(&mut facts).brokers = Err(Error::blocked("ClusterAuthorizationFailed"));
        assert!(one(judge(&facts), "W04").message.contains("target's brokers: ClusterAuthorizationFailed"));
        facts = sample::facts();
        sample::leaving(&mut facts).brokers = Err(Error::blocked("ClusterAuthorizationFailed"));
        assert!(one(judge(&facts), "W04").message.contains("source's brokers: ClusterAuthorizationFailed"));
    }

    #[test]
    fn w04_some_topics_or_brokers_do_not_say() {
        let mut facts = facts();
        sample::leaving(&mut facts).configs.missing = Some((3, Error::blocked("TopicAuthorizationFailed")));
        sample::arriving(&mut facts).brokers.as_mut().unwrap()[1].replica_fetch_max_bytes = None;
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["W04"]);
        assert!(findings[0].message.contains("3 topics") && findings[0].message.contains("brokers 2 do not say"));
    }

    #[test]
    fn nothing_is_compared_while_a_side_is_unreachable() {
        let mut facts = facts();
        facts.arriving = None;
        assert!(judge(&facts).is_empty());
    }
}
