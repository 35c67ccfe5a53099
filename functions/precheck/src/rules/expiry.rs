//! What expires, is deleted or is renewed while the copy is on its way, by its estimate.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use migration::report::{Estimate, Finding};

use super::estimated;
use super::finding::{count, few, finding};
use crate::facts::{Facts, TopicConfig};

/// The share of a topic's retention that the copy may take by its estimate, which can be wrong by as much.
const RETENTION_MARGIN: u64 = 2;

/// How long a migration may wait at `drain_ready` for its night. Assumed.
const WAITING: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<_> =
        [compacted(facts), expiring(facts), overtaken(facts), forgotten(facts)].into_iter().flatten().collect();
    findings.extend(certificates(facts));
    findings
}

/// Topics of the source that pass `test`, with what a message says of them.
fn described<T: Display>(facts: &Facts, test: impl Fn(&Arc<str>, &TopicConfig) -> Option<T>) -> Vec<T> {
    let configs = facts.leaving.iter().flat_map(|leaving| &leaving.configs.known);
    configs.filter_map(|(name, config)| test(name, config)).collect()
}

/// The time in ms that the copy may take by its estimate.
fn window(estimate: &Estimate) -> i64 {
    i64::try_from(estimate.seconds.saturating_mul(RETENTION_MARGIN * 1_000)).unwrap_or(i64::MAX)
}

fn compacted(facts: &Facts) -> Option<Finding> {
    let topics = described(facts, |name, config| config.cleans_by("compact").then(|| name.clone()));
    (!topics.is_empty()).then(|| {
        finding("W07", "source")
            .found(format_args!("cleanup.policy=compact on {} of the source: {}", count(topics.len(), "topic"), few(&topics)))
            .of(&topics)
            .because(
                "records that the source compacts away before they are copied are not on the target; the newest record of \
                 every key is, and deletions are as long as the copy is never further behind than delete.retention.ms",
            )
            .fix(
                "nothing, unless superseded records matter: then raise min.compaction.lag.ms of those topics on the source for \
                 the time of the migration",
            )
    })
}

fn expiring(facts: &Facts) -> Option<Finding> {
    let limited = |name: &Arc<str>, config: &TopicConfig| {
        let limits = [("retention.ms", config.retention_ms), ("retention.bytes", config.retention_bytes)];
        let set: Vec<_> =
            limits.iter().filter_map(|(limit, value)| value.as_ref().map(|value| format!("{limit}={value}"))).collect();
        (config.cleans_by("delete") && !set.is_empty()).then(|| format!("{name} ({})", set.join(" ")))
    };
    let topics = described(facts, limited);
    (!topics.is_empty()).then(|| {
        finding("W10", "source")
            .found(format_args!(
                "old records are deleted from {} of the source: {}",
                count(topics.len(), "topic"),
                few(&topics)
            ))
            .of(&topics)
            .because(
                "what expires on the source before it is copied is not copied; the target keeps everything while it is copied \
                 and takes over these limits just before the client switch, from then on old records expire there as on the \
                 source",
            )
            .fix(
                "nothing, if the copy is faster than the retention; to keep old records longer, raise the retention on the \
                 source before the migration starts",
            )
    })
}

/// Retention that passes while the copy is on its way ends the copy of a partition. How fast `retention.bytes` passes
/// depends on what producers write, which nobody knows beforehand.
fn overtaken(facts: &Facts) -> Option<Finding> {
    let estimate = estimated(facts)?;
    let window = window(&estimate);
    let passes = |name: &Arc<str>, config: &TopicConfig| {
        let retention = config.retention_ms.filter(|retention| *retention < window && config.cleans_by("delete"))?;
        Some(format!("{name} ({retention} ms)"))
    };
    let topics = described(facts, passes);
    (!topics.is_empty()).then(|| {
        finding("W15", "source")
            .found(format_args!(
                "the seed is estimated to take {} s (bound by {}), and retention.ms is less than twice that on {} of the \
                 source: {}",
                estimate.seconds,
                estimate.bound_by,
                count(topics.len(), "topic"),
                few(&topics)
            ))
            .of(&topics)
            .because(
                "records that expire while their partition is being copied stop it, since the copy would have a hole; under \
                 topology.on_records_deleted: record_gap it goes on behind them, and the gap is on record",
            )
            .fix(format_args!(
                "raise retention.ms of those topics on the source for the time of the migration, to {window} or more, or let \
                 the copy be faster"
            ))
    })
}

/// A value that was copied, and whose deletion the source forgot before the copy came to it, stays on the target: the log
/// cleaner removes a tombstone `delete.retention.ms` after it has passed over it (`LogCleaner`, KIP-534).
fn forgotten(facts: &Facts) -> Option<Finding> {
    let estimate = estimated(facts)?;
    let window = window(&estimate);
    let passes = |name: &Arc<str>, config: &TopicConfig| {
        let kept = config.delete_retention_ms.filter(|kept| *kept < window && config.cleans_by("compact"))?;
        Some(format!("{name} ({kept} ms)"))
    };
    let topics = described(facts, passes);
    (!topics.is_empty()).then(|| {
        finding("W32", "source")
            .found(format_args!(
                "the seed is estimated to take {} s (bound by {}), and delete.retention.ms is less than twice that on {} of the \
                 source: {}",
                estimate.seconds,
                estimate.bound_by,
                count(topics.len(), "compacted topic"),
                few(&topics)
            ))
            .of(&topics)
            .because(
                "a key that is deleted on the source behind what was copied stays alive on the target if its deletion is \
                 compacted away before the copy comes to it",
            )
            .fix(format_args!(
                "raise delete.retention.ms of those topics on the source for the time of the migration, to {window} or more, or \
                 migrate them in a wave of their own (topology.include)"
            ))
    })
}

fn certificates(facts: &Facts) -> impl Iterator<Item = Finding> {
    let copy =
        estimated(facts).map_or(Duration::ZERO, |estimate| Duration::from_secs(estimate.seconds * RETENTION_MARGIN));
    let sides = [("source", &facts.source), ("target", &facts.target)];
    sides.into_iter().filter_map(move |(side, cluster)| {
        let valid_for = cluster.reached.as_ref().ok()?.certificate_valid_for?;
        (valid_for < copy + WAITING).then(|| {
            let days = valid_for.as_secs() / (24 * 3600);
            finding("W35", side)
                .found(format_args!("the client certificate in {side}.auth.keystore expires in {}", count(days as usize, "day")))
                .because(
                    "brokers refuse it from then on, and the migration stops where it is until there is a new one: on the night \
                     of the cutover with producers that wait",
                )
                .fix("renew it before the migration begins, or be done before")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, codes, facts, one};

    #[test]
    fn w07_compacted_topics() {
        let mut facts = facts();
        let compact = TopicConfig { cleanup_policy: "compact".to_owned(), ..sample::topic_config() };
        sample::with_configs(&mut facts, &[("accounts", compact), ("orders", sample::topic_config())]);
        assert!(
            one(judge(&facts), "W07").message.ends_with("cleanup.policy=compact on 1 topic of the source: accounts")
        );
    }

    #[test]
    fn w10_topics_that_delete() {
        let mut facts = facts();
        let with = |policy: &str, ms, bytes| TopicConfig {
            cleanup_policy: policy.to_owned(),
            retention_ms: ms,
            retention_bytes: bytes,
            ..sample::topic_config()
        };
        sample::with_configs(
            &mut facts,
            &[("a", with("delete", Some(86_400_000), None)), ("b", with("delete", None, Some(9)))],
        );
        let message = one(judge(&facts), "W10").message;
        assert!(message.ends_with("a (retention.ms=86400000), b (retention.bytes=9)"), "{message}");
        // A retention that the policy never applies does not delete.
        sample::with_configs(&mut facts, &[("a", with("compact", Some(60), None))]);
        assert_eq!(codes(&judge(&facts)), ["W07"]);
    }

    #[test]
    fn w15_a_retention_that_passes_before_the_copy_ends() {
        let mut facts = facts();
        let with = |ms| TopicConfig { retention_ms: Some(ms), ..sample::topic_config() };
        sample::with_configs(&mut facts, &[("clicks", with(3_600_000)), ("orders", with(604_800_000))]);
        // One function moves 25 MB/s, see the estimate.
        let sizes = sample::sizes(&[("clicks", 10_000_000_000), ("orders", 90_000_000_000)]);
        sample::leaving(&mut facts).sizes = Ok(sizes);
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["W10", "W15"]);
        let finding = &findings[1];
        assert!(finding.message.contains("estimated to take 4000 s (bound by functions)"), "{}", finding.message);
        assert!(finding.message.ends_with("on 1 topic of the source: clicks (3600000 ms)"), "{}", finding.message);
        assert!(finding.fix.contains("to 8000000 or more"), "{}", finding.fix);
        // Nothing to be copied takes no time.
        sample::leaving(&mut facts).sizes = Ok(sample::sizes(&[("clicks", 0)]));
        assert_eq!(codes(&judge(&facts)), ["W10"]);
    }

    #[test]
    fn two_thousand_topics_make_one_short_message() {
        let mut facts = facts();
        let compact = TopicConfig { cleanup_policy: "compact".to_owned(), ..sample::topic_config() };
        let names: Vec<_> = (0..2000).map(|index| format!("topic-{index:04}")).collect();
        let configs: Vec<_> = names.iter().map(|name| (name.as_str(), compact.clone())).collect();
        sample::with_configs(&mut facts, &configs);
        let finding = one(judge(&facts), "W07");
        let message = &finding.message;
        assert!(message.contains("topic-0004 and 1995 more") && message.len() < 400, "{message}");
        assert_eq!(finding.resources, names);
    }

    #[test]
    fn w32_deletions_that_are_forgotten_before_they_are_copied() {
        let mut facts = facts();
        let with = |policy: &str, ms| TopicConfig {
            cleanup_policy: policy.to_owned(),
            delete_retention_ms: Some(ms),
            ..sample::topic_config()
        };
        let hour = 3_600_000;
        let topics = [("accounts", with("compact,delete", hour)), ("carts", with("compact", 24 * hour))];
        sample::with_configs(&mut facts, &[&topics[..], &[("clicks", with("delete", hour))]].concat());
        sample::leaving(&mut facts).sizes = Ok(sample::sizes(&[("carts", 100_000_000_000)]));
        let findings = judge(&facts);
        assert_eq!(codes(&findings), ["W07", "W32"]);
        assert!(
            findings[1].message.ends_with("on 1 compacted topic of the source: accounts (3600000 ms)"),
            "{findings:?}"
        );
        sample::leaving(&mut facts).sizes = Ok(sample::sizes(&[("carts", 1_000_000)]));
        assert_eq!(codes(&judge(&facts)), ["W07"]);
    }

    #[test]
    fn w35_a_certificate_that_expires_on_the_way() {
        let mut facts = facts();
        let day = Duration::from_secs(24 * 3600);
        sample::target(&mut facts).certificate_valid_for = Some(31 * day);
        assert!(judge(&facts).is_empty());
        sample::target(&mut facts).certificate_valid_for = Some(9 * day);
        let finding = one(judge(&facts), "W35");
        assert_eq!(
            (finding.subject.as_str(), finding.message.ends_with("expires in 9 days")),
            ("target", true),
            "{finding:?}"
        );
    }
}
