//! How long the seed would take, and what binds it. `docs/PERFORMANCE.md` says where the figures come from.

use migration::Config;
use migration::report::{Binding, Estimate};
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

/// One side of the estimate.
pub(crate) struct Side<'a> {
    /// What the MSK API says of the cluster, when it answers.
    pub(crate) described: Option<&'a Described>,
    /// Number of brokers that are alive.
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

/// Estimates the seed of `bytes` on the source's leaders, written `replicas` times on the target, in about `batches` batches
/// of partitions. Brokers of unknown types do not bind.
pub(crate) fn seed(
    config: &Config,
    source: &Side<'_>,
    target: &Side<'_>,
    bytes: i64,
    replicas: f64,
    partitions: usize,
) -> Estimate {
    let batches = (partitions as u32).div_ceil(config.seed.partitions_per_batch).max(1);
    let functions = copy_functions(config).min(batches);
    let throttle = config.throttle.bytes_per_second.map(|limit| limit.get() as f64);
    let per_broker = config.throttle.bytes_per_second_per_broker.map(|limit| limit.get() as f64);
    let rates = [
        (Binding::Functions, Some(f64::from(functions) * FUNCTION_MB_PER_SECOND * MB)),
        (Binding::SourceBrokers, source.bytes_per_second()),
        (Binding::TargetBrokers, target.bytes_per_second().map(|rate| rate / replicas.max(1.0))),
        (Binding::Throttle, throttle),
        (Binding::Throttle, per_broker.map(|limit| limit * source.brokers.min(target.brokers) as f64)),
    ];
    let known = rates.into_iter().filter_map(|(what, rate)| Some((what, rate?)));
    let (bound_by, rate) = known.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((Binding::Functions, MB));
    Estimate { seconds: (bytes as f64 / rate).ceil() as u64, bytes_per_second: rate as u64, bound_by, functions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::num::NonZeroU64;

    const TB: i64 = 1_000_000_000_000;

    fn brokers(instance: &str) -> Described {
        Described { instance_type: Some(instance.to_owned()), ..Described::default() }
    }

    fn estimated(config: &Config, instance: &str) -> Estimate {
        let described = brokers(instance);
        let side = || Side { described: Some(&described), brokers: 3 };
        seed(config, &side(), &side(), TB, 3.0, 306)
    }

    #[test]
    fn the_slowest_part_binds() {
        let mut config = sample::facts().config;
        config.seed.max_concurrent_partitions = 16;
        let estimate = estimated(&config, "kafka.m5.large");
        assert_eq!((estimate.bound_by, estimate.bytes_per_second / 1_000_000), (Binding::TargetBrokers, 48));
        assert_eq!(estimate.seconds / 3600, 5);
        config.seed.max_concurrent_partitions = 1;
        let estimate = estimated(&config, "kafka.m5.large");
        assert_eq!((estimate.bound_by, estimate.functions), (Binding::Functions, 1));
        config.throttle.bytes_per_second = NonZeroU64::new(10_000_000);
        assert_eq!(estimated(&config, "kafka.m5.large").bound_by, Binding::Throttle);
    }

    #[test]
    fn an_unknown_broker_type_does_not_bind() {
        let mut config = sample::facts().config;
        config.seed.max_concurrent_partitions = 4;
        let estimate = estimated(&config, "kafka.z9.large");
        assert_eq!((estimate.bound_by, estimate.bytes_per_second), (Binding::Functions, 100_000_000));
    }
}
