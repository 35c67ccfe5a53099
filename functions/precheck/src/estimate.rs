//! How long the phases would take, and what binds them. `docs/PERFORMANCE.md` says where the seed's figures come from.

use std::collections::HashMap;

use copy::batches;
use migration::report::{Binding, CriticalPath, Estimate, Meaning, PhaseEstimate};
use migration::{Config, Phase, TopicPartition};
use runtime::run::copy_functions;

use crate::facts::{Cluster, Described, Reached};

/// Baseline throughput of the EBS connection of broker types, in MB/s
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ebs-optimized.html>). Every replica passes it.
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

/// What clients may write to, and read from, an Express broker in MB/s for as long as they like
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/limits.html#msk-express-quota>). Replicas do not count.
const EXPRESS_MB_PER_SECOND: [(&str, f64, f64); 7] = [
    ("express.m7g.large", 15.6, 31.2),
    ("express.m7g.xlarge", 31.2, 62.5),
    ("express.m7g.2xlarge", 62.5, 125.0),
    ("express.m7g.4xlarge", 124.9, 249.8),
    ("express.m7g.8xlarge", 250.0, 500.0),
    ("express.m7g.12xlarge", 375.0, 750.0),
    ("express.m7g.16xlarge", 500.0, 1000.0),
];

/// Throughput of a broker's volume in MiB/s where none is provisioned
/// (<https://docs.aws.amazon.com/msk/latest/developerguide/msk-provision-throughput.html>).
const VOLUME_MIB_PER_SECOND: i32 = 250;

/// Share of a broker's throughput that a copy takes beside production.
const SHARE: f64 = 0.6;

/// What one function moves in MB/s: a third of a Lambda's network, since a byte comes in once and goes out twice.
const FUNCTION_MB_PER_SECOND: f64 = 25.0;

const MB: f64 = 1e6;

/// Seconds until both clusters have answered precheck: a request asks about thousands of topics. Assumed.
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
    described: Option<&'a Described>,
    /// Number of brokers, those that are down for the moment too where MSK tells.
    brokers: usize,
}

impl<'a> Side<'a> {
    /// Of `cluster`, whose brokers say what is in `reached`.
    pub(crate) fn of(cluster: &'a Cluster, reached: &Reached) -> Self {
        Self { described: cluster.described.as_ref().ok(), brokers: cluster.brokers_with(reached) }
    }

    /// What its brokers give in bytes per second, when their type is known.
    fn gives(&self) -> Option<f64> {
        Some(self.copied(self.express().map(|(_, egress)| egress).or_else(|| self.disk())?))
    }

    /// What its brokers take in bytes per second of records that are written `replicas` times, when their type is known.
    fn takes(&self, replicas: f64) -> Option<f64> {
        Some(
            self.copied(self.express().map(|(ingress, _)| ingress).or_else(|| Some(self.disk()? / replicas.max(1.0)))?),
        )
    }

    /// Bytes per second of a copy, where one broker moves `mb_per_second`.
    fn copied(&self, mb_per_second: f64) -> f64 {
        mb_per_second * MB * SHARE * self.brokers as f64
    }

    /// What an Express broker takes and gives in MB/s.
    fn express(&self) -> Option<(f64, f64)> {
        let instance = self.described?.instance_type.as_deref()?;
        EXPRESS_MB_PER_SECOND.iter().find(|(name, ..)| *name == instance).map(|(_, takes, gives)| (*takes, *gives))
    }

    /// What a standard broker's disk moves in MB/s.
    fn disk(&self) -> Option<f64> {
        let described = self.described?;
        let instance = described.instance_type.as_deref()?;
        let connection = BROKER_MB_PER_SECOND.iter().find(|(name, _)| *name == instance)?.1;
        let volume = described.provisioned_mib_per_second.unwrap_or(VOLUME_MIB_PER_SECOND);
        Some(connection.min(f64::from(volume) * 1.048_576))
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

    /// Bytes of the function that is last to end when `functions` take whole batches in their order, each as soon as it is
    /// free.
    fn longest_turn(&self, functions: u32) -> i64 {
        let mut turns = vec![0; functions.max(1) as usize];
        for (_, bytes) in &self.batches {
            if let Some(free) = turns.iter_mut().min() {
                *free += bytes;
            }
        }
        turns.into_iter().max().unwrap_or(0)
    }
}

/// Copy functions of a seed.
fn functions(config: &Config, work: &Work) -> u32 {
    copy_functions(config).min(work.batches().max(1) as u32)
}

/// Bytes a second of one of the functions, and what they follow from: its own, or its share of the throttle.
fn one_function(config: &Config, work: &Work) -> (Binding, f64) {
    let own = FUNCTION_MB_PER_SECOND * MB;
    let share = config.throttle.bytes_per_second.map(|limit| limit.get() as f64 / f64::from(functions(config, work)));
    share.filter(|share| *share < own).map_or((Binding::Functions, own), |share| (Binding::Throttle, share))
}

/// Whole seconds for `bytes` at `rate` bytes a second.
fn seconds(bytes: i64, rate: f64) -> u64 {
    (bytes as f64 / rate).ceil() as u64
}

/// Seconds that one function takes for `bytes`.
fn alone(config: &Config, work: &Work, bytes: i64) -> u64 {
    seconds(bytes, one_function(config, work).1)
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

/// Estimates the seed of `work`: it takes as long as its slowest part alone. Brokers of unknown types do not bind.
pub(crate) fn seed(config: &Config, source: &Side<'_>, target: &Side<'_>, work: &Work) -> Estimate {
    let functions = functions(config, work);
    let per_broker = config.throttle.bytes_per_second_per_broker.map(|limit| limit.get() as f64);
    let rates = [
        (Binding::SourceBrokers, source.gives()),
        (Binding::TargetBrokers, target.takes(work.replicas)),
        (Binding::Throttle, per_broker.map(|limit| limit * source.brokers.min(target.brokers) as f64)),
    ];
    let known = rates.into_iter().filter_map(|(what, rate)| Some((what, seconds(work.bytes, rate?))));
    let of_functions = in_turns(config, work, functions);
    let (bound_by, seconds) = known.fold(of_functions, |slowest, part| if part.1 > slowest.1 { part } else { slowest });
    Estimate { seconds, bytes_per_second: work.bytes.unsigned_abs() / seconds.max(1), bound_by, functions }
}

/// Seconds that the functions take, and what makes it so many.
fn in_turns(config: &Config, work: &Work, functions: u32) -> (Binding, u64) {
    let (bound_by, rate) = one_function(config, work);
    let longest = work.longest_turn(functions);
    let largest = work.batches.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    // The function with the largest batch takes no other, and is still the last to end, by more than a tenth.
    let waits = longest == largest && longest as f64 > 1.1 * work.bytes as f64 / f64::from(functions);
    (if waits { Binding::LargestBatch } else { bound_by }, seconds(longest, rate))
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
            "brokers are asked at the same time, about thousands of topics in a request".to_owned(),
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
                "{} bytes in {} batches at {} bytes a second; {} functions of {FUNCTION_MB_PER_SECOND} MB/s each take whole \
                 batches in turn",
                work.bytes,
                work.batches(),
                seed.bytes_per_second,
                seed.functions
            ),
        ),
        phase(
            Phase::Tail,
            cutover.drain_stable_window.as_secs(),
            Meaning::AtLeast,
            "the rate of the producers",
            format!(
                "cutover.drain_stable_window; what is written during the seed is copied first, and how much that is \
                 shows only then; fails after cutover.drain_timeout, {}",
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
        assert_eq!(estimate.bound_by, Binding::Functions);
    }

    #[test]
    fn whole_batches_are_taken_in_turn() {
        let mut config = sample::facts().config;
        // Five batches, as good as equal: on four functions one of them takes two, and so it does on three.
        let seconds = |config: &Config| estimated(config, "kafka.z9.large", EVEN).seconds as f64;
        let batch = TB as f64 / 5.0 / (FUNCTION_MB_PER_SECOND * MB);
        for (functions, turns) in [(1, 5.0), (2, 3.0), (3, 2.0), (4, 2.0), (5, 1.0), (16, 1.0)] {
            config.seed.max_concurrent_partitions = functions;
            let turns_taken = seconds(&config) / batch;
            assert!((turns_taken / turns - 1.0).abs() < 0.03, "{functions} functions: {turns_taken}");
        }
    }

    #[test]
    fn an_express_broker_binds_by_its_quota_whatever_the_replicas() {
        let mut config = sample::facts().config;
        config.seed.max_concurrent_partitions = 16;
        let estimate = estimated(&config, "express.m7g.large", EVEN);
        // Three brokers that take 15.6 MB/s each, of which the copy has its share.
        assert_eq!((estimate.bound_by, estimate.bytes_per_second / 1_000_000), (Binding::TargetBrokers, 28));
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
