//! How long the phases would take, and what binds them. `docs/PERFORMANCE.md` says where the seed's figures come from.

use std::collections::HashMap;

use copy::batches;
use migration::report::{Binding, CriticalPath, Estimate, Meaning, PhaseEstimate};
use migration::{Config, Phase, TopicPartition};
use runtime::run::copy_functions;

use crate::facts::Described;

/// Baseline throughput of the EBS connection of broker types, in MB/s
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ebs-optimized.html>). Express brokers have quotas instead, and are
/// not estimated.
const BROKER_MB_PER_SECOND: [(&str, f64); 9] = [
    ("kafka.t3.small", 21.75),
    ("kafka.m5.large", 81.25),
    ("kafka.m5.xlarge", 143.75),
    ("kafka.m5.2xlarge", 287.5),
    ("kafka.m5.4xlarge", 593.75),
    ("kafka.m7g.large", 78.75),
    ("kafka.m7g.xlarge", 156.25),
    ("kafka.m7g.2xlarge", 312.5),
    ("kafka.m7g.4xlarge", 625.0),
];

/// Throughput of a broker's volume in MiB/s where none is provisioned
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/msk-provision-throughput.html>).
const VOLUME_MIB_PER_SECOND: i32 = 250;

/// Share of a broker's disk throughput that a copy takes beside production.
const SHARE: f64 = 0.6;

/// What one function moves in MB/s: a third of a Lambda's network, since a byte comes in once and goes out twice.
const FUNCTION_MB_PER_SECOND: f64 = 25.0;

const MB: f64 = 1e6;

/// Seconds until both clusters have answered precheck; its requests follow the brokers, not the topics. Assumed.
const PRECHECK_SECONDS: u64 = 15;

/// Partitions that a controller creates in a second. Assumed; a local KRaft controller took more than this.
const CREATED_PER_SECOND: u64 = 50;

/// Partitions that one function validates in a second, bound by the round trips of its samples. Assumed.
const VALIDATED_PER_SECOND: u64 = 10;

/// Seconds that a phase of functions takes beside its work: start, map, reconcile. Assumed.
const STARTING_SECONDS: u64 = 60;

/// One side of the estimate.
pub(crate) struct Side<'a> {
    /// What the MSK API says of the cluster, when it answers.
    pub(crate) described: Option<&'a Described>,
    /// Number of brokers, those that are down for the moment too where MSK tells.
    pub(crate) brokers: usize,
}

impl Side<'_> {
    /// What its brokers can give or take in bytes per second, when their type is known.
    fn bytes_per_second(&self) -> Option<f64> {
        let described = self.described?;
        let instance = described.instance_type.as_deref()?;
        let connection = BROKER_MB_PER_SECOND.iter().find(|(name, _)| *name == instance)?.1;
        let volume = described.provisioned_mib_per_second.unwrap_or(VOLUME_MIB_PER_SECOND);
        let limit = connection.min(f64::from(volume) * 1.048_576);
        Some(limit * MB * SHARE * self.brokers as f64)
    }
}

/// What there is to copy.
#[derive(Debug)]
pub(crate) struct Work {
    /// Bytes of the source's leaders.
    bytes: i64,
    /// Partitions.
    partitions: usize,
    /// How often a byte is written on the target, on average.
    replicas: f64,
    /// The batches that the topology copy will deal, with their bytes.
    batches: Vec<(Vec<TopicPartition>, i64)>,
    /// The largest partition and its bytes.
    largest: Option<(TopicPartition, i64)>,
}

impl Work {
    /// The work on `sizes`, each with its bytes and replicas.
    pub(crate) fn new(config: &Config, sizes: &[(TopicPartition, i64, usize)]) -> Self {
        let bytes: i64 = sizes.iter().map(|(_, bytes, _)| bytes).sum();
        let written: f64 = sizes.iter().map(|(_, bytes, replicas)| *bytes as f64 * *replicas as f64).sum();
        let largest = sizes.iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
        let known: HashMap<_, _> = sizes.iter().map(|(partition, bytes, _)| (partition, *bytes)).collect();
        let dealt = sizes.iter().map(|(partition, bytes, _)| (partition.clone(), *bytes)).collect();
        let dealt = batches::deal(dealt, config.seed.partitions_per_batch as usize);
        let weigh = |batch: Vec<TopicPartition>| {
            let bytes = batch.iter().map(|partition| known[partition]).sum();
            (batch, bytes)
        };
        Self {
            bytes,
            partitions: sizes.len(),
            replicas: if bytes > 0 { written / bytes as f64 } else { 1.0 },
            batches: dealt.into_iter().map(weigh).collect(),
            largest: largest.map(|(partition, bytes, _)| (partition.clone(), *bytes)),
        }
    }

    /// Number of batches.
    pub(crate) const fn batches(&self) -> usize {
        self.batches.len()
    }
}

/// Copy functions of a seed.
fn functions(config: &Config, work: &Work) -> u32 {
    copy_functions(config).min(work.batches().max(1) as u32)
}

/// Seconds that one function takes for `bytes`, with its share of the throttle.
fn alone(config: &Config, work: &Work, bytes: i64) -> u64 {
    let share = config.throttle.bytes_per_second.map(|limit| limit.get() as f64 / f64::from(functions(config, work)));
    let rate = share.unwrap_or(f64::MAX).min(FUNCTION_MB_PER_SECOND * MB);
    (bytes as f64 / rate).ceil() as u64
}

/// The largest partition, and the batch that it is dealt into.
pub(crate) fn critical_path(config: &Config, work: &Work) -> Option<CriticalPath> {
    let (partition, bytes) = work.largest.clone()?;
    let (batch, batch_bytes) = work.batches.iter().find(|(batch, _)| batch.contains(&partition))?;
    Some(CriticalPath {
        partition: partition.to_string(),
        bytes,
        seconds: alone(config, work, bytes),
        batch_partitions: batch.len(),
        batch_seconds: alone(config, work, *batch_bytes),
    })
}

/// Estimates the seed of `work`. Brokers of unknown types do not bind.
pub(crate) fn seed(config: &Config, source: &Side<'_>, target: &Side<'_>, work: &Work) -> Estimate {
    let functions = functions(config, work);
    let throttle = config.throttle.bytes_per_second.map(|limit| limit.get() as f64);
    let per_broker = config.throttle.bytes_per_second_per_broker.map(|limit| limit.get() as f64);
    let rates = [
        (Binding::Functions, Some(f64::from(functions) * FUNCTION_MB_PER_SECOND * MB)),
        (Binding::SourceBrokers, source.bytes_per_second()),
        (Binding::TargetBrokers, target.bytes_per_second().map(|rate| rate / work.replicas.max(1.0))),
        (Binding::Throttle, throttle),
        (Binding::Throttle, per_broker.map(|limit| limit * source.brokers.min(target.brokers) as f64)),
    ];
    let known = rates.into_iter().filter_map(|(what, rate)| Some((what, rate?)));
    let (bound_by, rate) = known.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((Binding::Functions, MB));
    let seconds = (work.bytes as f64 / rate).ceil() as u64;
    let largest = work.batches.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    match alone(config, work, largest) {
        longest if longest > seconds => Estimate {
            seconds: longest,
            bytes_per_second: work.bytes.unsigned_abs() / longest,
            bound_by: Binding::LargestBatch,
            functions,
        },
        _ => Estimate { seconds, bytes_per_second: rate as u64, bound_by, functions },
    }
}

/// How long each phase may take, when the seed takes as long as `seed` and `created` partitions are new on the target.
pub(crate) fn phases(config: &Config, work: &Work, seed: &Estimate, created: usize) -> Vec<PhaseEstimate> {
    let phase = |phase, seconds, meaning, bound_by: &str, why: String| PhaseEstimate {
        phase,
        seconds,
        meaning,
        bound_by: bound_by.to_owned(),
        why,
    };
    let cutover = &config.cutover;
    let checked = u64::from(functions(config, work)) * VALIDATED_PER_SECOND;
    vec![
        phase(
            Phase::Precheck,
            PRECHECK_SECONDS,
            Meaning::Estimated,
            "answers of the brokers and of AWS",
            "requests follow the number of brokers, not of topics".to_owned(),
        ),
        phase(
            Phase::TopologyCopy,
            STARTING_SECONDS + (created as u64).div_ceil(CREATED_PER_SECOND),
            Meaning::Estimated,
            "the target's controller",
            format!("{created} partitions to create, {CREATED_PER_SECOND} a second assumed"),
        ),
        phase(
            Phase::Seed,
            STARTING_SECONDS + seed.seconds,
            Meaning::Estimated,
            &seed.bound_by.to_string(),
            format!(
                "{} bytes at {} bytes a second with {} functions of {FUNCTION_MB_PER_SECOND} MB/s each",
                work.bytes, seed.bytes_per_second, seed.functions
            ),
        ),
        phase(
            Phase::Tail,
            cutover.drain_stable_window.as_secs(),
            Meaning::AtLeast,
            "the rate of the producers",
            format!(
                "cutover.drain_stable_window; what is written during the seed is copied first, and how much that is shows                  only then; fails after cutover.drain_timeout, {}",
                cutover.drain_timeout
            ),
        ),
        phase(
            Phase::Cutover,
            cutover.max_producer_freeze.as_secs(),
            Meaning::AtMost,
            "freezing the producers, and the lag at that moment",
            "cutover.max_producer_freeze, up to the first commit on the target".to_owned(),
        ),
        phase(
            Phase::Validating,
            STARTING_SECONDS + (work.partitions as u64).div_ceil(checked),
            Meaning::Estimated,
            "round trips of samples",
            format!("{} partitions, {VALIDATED_PER_SECOND} a second and function assumed", work.partitions),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::num::NonZeroU64;

    const TB: i64 = 1_000_000_000_000;

    /// 306 partitions of three replicas, together a TB: the first takes `first`, the others share the rest.
    fn work(config: &Config, first: i64) -> Work {
        let size = |n: i32| if n == 0 { first } else { (TB - first) / 305 };
        let sizes: Vec<_> = (0..306).map(|n| (TopicPartition::new("t", n), size(n), 3)).collect();
        Work::new(config, &sizes)
    }

    fn estimated(config: &Config, instance: &str, first: i64) -> Estimate {
        let described = Described { instance_type: Some(instance.to_owned()), ..Described::default() };
        let side = || Side { described: Some(&described), brokers: 3 };
        seed(config, &side(), &side(), &work(config, first))
    }

    const EVEN: i64 = TB / 306;

    #[test]
    fn the_slowest_part_binds() {
        let mut config = sample::facts().config;
        config.seed.max_concurrent_partitions = 16;
        let estimate = estimated(&config, "kafka.m5.large", EVEN);
        assert_eq!((estimate.bound_by, estimate.bytes_per_second / 1_000_000), (Binding::TargetBrokers, 48));
        assert_eq!(estimate.seconds / 3600, 5);
        config.seed.max_concurrent_partitions = 1;
        let estimate = estimated(&config, "kafka.m5.large", EVEN);
        assert_eq!((estimate.bound_by, estimate.functions), (Binding::Functions, 1));
        config.throttle.bytes_per_second = NonZeroU64::new(10_000_000);
        assert_eq!(estimated(&config, "kafka.m5.large", EVEN).bound_by, Binding::Throttle);
    }

    #[test]
    fn an_unknown_broker_type_does_not_bind() {
        let mut config = sample::facts().config;
        config.seed.max_concurrent_partitions = 4;
        let estimate = estimated(&config, "kafka.z9.large", EVEN);
        assert_eq!((estimate.bound_by, estimate.bytes_per_second), (Binding::Functions, 100_000_000));
    }

    #[test]
    fn no_seed_is_shorter_than_its_largest_partition() {
        let mut config = sample::facts().config;
        config.seed.max_concurrent_partitions = 16;
        let estimate = estimated(&config, "kafka.m7g.4xlarge", TB / 2);
        assert_eq!(estimate.bound_by, Binding::LargestBatch);
        let path = critical_path(&config, &work(&config, TB / 2)).unwrap();
        assert_eq!((path.partition.as_str(), path.bytes, path.seconds), ("t/0", TB / 2, 20_000));
        assert_eq!(path.batch_seconds, estimate.seconds);
        assert!(path.batch_seconds >= path.seconds, "{path:?}");
    }

    #[test]
    fn a_share_of_the_throttle_is_what_the_largest_partition_has() {
        let mut config = sample::facts().config;
        config.throttle.bytes_per_second = NonZeroU64::new(40_000_000);
        let path = critical_path(&config, &work(&config, TB / 2)).unwrap();
        assert_eq!(path.seconds, 50_000, "four functions");
    }

    #[test]
    fn phases_come_in_their_order_and_say_what_binds() {
        let config = sample::facts().config;
        let seed = estimated(&config, "kafka.m5.large", EVEN);
        let phases = phases(&config, &work(&config, EVEN), &seed, 306);
        assert!(phases.is_sorted_by_key(|phase| phase.phase));
        let of = |wanted| phases.iter().find(|phase| phase.phase == wanted).unwrap();
        assert_eq!((of(Phase::Seed).bound_by.as_str(), of(Phase::Seed).seconds), ("target_brokers", 60 + seed.seconds));
        assert_eq!((of(Phase::Tail).seconds, of(Phase::Tail).meaning), (30, Meaning::AtLeast));
        assert_eq!((of(Phase::Cutover).seconds, of(Phase::Cutover).meaning), (60, Meaning::AtMost));
    }

    #[test]
    fn nothing_to_copy_takes_no_time_and_has_no_critical_path() {
        let config = sample::facts().config;
        let nothing = Work::new(&config, &[]);
        let side = || Side { described: None, brokers: 3 };
        assert_eq!(seed(&config, &side(), &side(), &nothing).seconds, 0);
        assert_eq!((critical_path(&config, &nothing), nothing.batches()), (None, 0));
    }
}
