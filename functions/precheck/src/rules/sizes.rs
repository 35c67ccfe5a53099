//! Whether the target takes batches as large as those of the source.

use std::sync::Arc;

use migration::report::Finding;

use super::{blocker, few, warning};
use crate::facts::{Arriving, BrokerLimits, Facts, Leaving};

/// Bytes by which Kafka's default of `message.max.bytes` (1048588) is above that of `replica.fetch.max.bytes` (1048576):
/// `Records.LOG_OVERHEAD`, which the latter does not count. Clusters that nobody has tuned must not be blocked.
const LOG_OVERHEAD: i64 = 12;

/// The largest batch that a topic of the source may hold.
struct Largest<'a> {
    topic: &'a Arc<str>,
    bytes: i64,
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let (Some(leaving), Some(arriving)) = (&facts.leaving, &facts.arriving) else { return Vec::new() };
    let mut findings = Vec::new();
    if let (Some(largest), Ok(limits)) = (largest(leaving), &arriving.limits) {
        findings.extend(message_max(facts, limits, &largest));
        findings.extend(replica_fetch(facts, limits, &largest));
    }
    findings.extend(unverified(leaving, arriving));
    findings
}

fn largest(leaving: &Leaving) -> Option<Largest<'_>> {
    let sizes = leaving.configs.known.iter().filter_map(|(topic, config)| Some((topic, config.max_message_bytes?)));
    sizes.max_by_key(|(_, bytes)| *bytes).map(|(topic, bytes)| Largest { topic, bytes })
}

/// The broker with the smallest of one limit.
fn smallest(limits: &[BrokerLimits], limit: impl Fn(&BrokerLimits) -> Option<i64>) -> Option<(i32, i64)> {
    let known = limits.iter().filter_map(|limits| Some((limits.broker, limit(limits)?)));
    known.min_by_key(|(_, bytes)| *bytes)
}

/// Limits of the target's brokers that are too small, with their smallest value and the one that is needed.
pub(crate) fn too_small(facts: &Facts) -> Vec<(&'static str, i64, i64)> {
    let (Some(leaving), Some(arriving)) = (&facts.leaving, &facts.arriving) else { return Vec::new() };
    let (Some(largest), Ok(limits)) = (largest(leaving), &arriving.limits) else { return Vec::new() };
    let message_max = smallest(limits, |limits| limits.message_max_bytes);
    let replica_fetch = smallest(limits, |limits| limits.replica_fetch_max_bytes);
    let known = [("message.max.bytes", message_max, 0), ("replica.fetch.max.bytes", replica_fetch, LOG_OVERHEAD)];
    let known = known.into_iter().filter_map(|(name, smallest, overhead)| Some((name, smallest?.1, overhead)));
    let small = known.filter(|(_, bytes, overhead)| bytes.saturating_add(*overhead) < largest.bytes);
    small.map(|(name, bytes, _)| (name, bytes, largest.bytes)).collect()
}

fn message_max(facts: &Facts, limits: &[BrokerLimits], largest: &Largest<'_>) -> Option<Finding> {
    let (broker, bytes) = smallest(limits, |limits| limits.message_max_bytes)?;
    (bytes < largest.bytes).then(|| {
        blocker(
            "B11",
            format_args!(
                "target broker {broker} has message.max.bytes={bytes}, but topic {} of the source takes batches of up to {} \
                 bytes (max.message.bytes): there, only topics that set max.message.bytes themselves take batches that large",
                largest.topic, largest.bytes
            ),
            raise(facts, "message.max.bytes", largest.bytes),
        )
    })
}

fn replica_fetch(facts: &Facts, limits: &[BrokerLimits], largest: &Largest<'_>) -> Option<Finding> {
    let (broker, bytes) = smallest(limits, |limits| limits.replica_fetch_max_bytes)?;
    (bytes.saturating_add(LOG_OVERHEAD) < largest.bytes).then(|| {
        blocker(
            "B12",
            format_args!(
                "target broker {broker} has replica.fetch.max.bytes={bytes}, but topic {} of the source takes batches of up \
                 to {} bytes (max.message.bytes): followers may fall behind on batches that large",
                largest.topic, largest.bytes
            ),
            raise(facts, "replica.fetch.max.bytes", largest.bytes),
        )
    })
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
        reasons.push(format!("configs of {} of the source: {}", super::count(*topics, "topic"), error.message));
    }
    match &arriving.limits {
        Err(error) => reasons.push(format!("configs of the target's brokers: {}", error.message)),
        Ok(limits) => {
            let silent =
                |limits: &&BrokerLimits| limits.message_max_bytes.is_none() || limits.replica_fetch_max_bytes.is_none();
            let silent: Vec<_> = limits.iter().filter(silent).map(|limits| limits.broker).collect();
            if !silent.is_empty() {
                reasons.push(format!("the target's brokers {} do not say", few(silent)));
            }
        }
    }
    (!reasons.is_empty()).then(|| {
        warning(
            "W04",
            format_args!("sizes of batches could not be compared completely ({})", reasons.join("; ")),
            "allow DescribeConfigs on both clusters, or make sure that message.max.bytes and replica.fetch.max.bytes of the \
             target's brokers are at least the largest max.message.bytes of the source's topics",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::TopicConfig;
    use crate::sample::{self, codes, facts};
    use migration::Error;

    fn sized(bytes: i64) -> TopicConfig {
        TopicConfig { max_message_bytes: Some(bytes), ..sample::topic_config() }
    }

    #[test]
    fn kafkas_own_defaults_fit_each_other() {
        assert!(judge(&facts()).is_empty());
    }

    #[test]
    fn b11_b12_name_the_smallest_broker_and_the_largest_topic() {
        let mut facts = facts();
        sample::with_configs(
            &mut facts,
            &[("orders", sized(1000)), ("videos", sized(10_000_000)), ("zebras", sized(5))],
        );
        sample::arriving(&mut facts).limits.as_mut().unwrap()[0].message_max_bytes = Some(20_000_000);
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["B11", "B12"]);
        let message = &findings[0].message;
        assert!(message.contains("broker 2") && message.contains("1048588"), "{message}");
        assert!(message.contains("videos") && message.contains("10000000"), "{message}");
        assert!(findings[1].message.contains("broker 1 has replica.fetch.max.bytes=1048576"));
        assert!(findings[1].fix.contains("--current-version K1"));
    }

    #[test]
    fn b11_b12_are_separate() {
        let mut facts = facts();
        sample::with_configs(&mut facts, &[("videos", sized(2_000_000))]);
        for limits in sample::arriving(&mut facts).limits.as_mut().unwrap() {
            limits.message_max_bytes = Some(2_000_000);
        }
        assert_eq!(codes(&judge(&facts)), ["B12"]);
        for limits in sample::arriving(&mut facts).limits.as_mut().unwrap() {
            limits.message_max_bytes = Some(1_999_999);
            limits.replica_fetch_max_bytes = Some(2_000_000);
        }
        assert_eq!(codes(&judge(&facts)), ["B11"]);
    }

    #[test]
    fn w04_the_brokers_cannot_be_asked() {
        let mut facts = facts();
        sample::arriving(&mut facts).limits = Err(Error::blocked("ClusterAuthorizationFailed"));
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["W04"]);
        assert!(findings[0].message.contains("ClusterAuthorizationFailed"));
    }

    #[test]
    fn w04_some_topics_or_brokers_do_not_say() {
        let mut facts = facts();
        sample::leaving(&mut facts).configs.missing = Some((3, Error::blocked("TopicAuthorizationFailed")));
        sample::arriving(&mut facts).limits.as_mut().unwrap()[1].replica_fetch_max_bytes = None;
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
