//! Holding a copy back to so many bytes a second: of a migration, and of each broker on either side.
//!
//! The functions of a migration do not know of each other's pace, so each takes an equal share. The limit is never
//! exceeded for long; it is not used up while some functions have nothing to copy.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use kafka::TopicPartition;
use migration::config::Throttle;
use tokio::time::Instant;

/// Longest that a reader is asked to wait before it looks around again.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// What is read at once under a limit lasts this long, so that the pace is even.
const PORTION: Duration = Duration::from_millis(500);

/// Least that is read at once.
const LEAST_PORTION: usize = 64 * 1024;

/// A broker of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broker {
    /// One of the source's, by id.
    Source(i32),
    /// One of the target's, by id.
    Target(i32),
}

/// The pace of one function.
#[derive(Debug)]
pub struct Pace {
    /// Functions that share the limits.
    functions: u64,
    limits: Throttle,
    /// When what was read so far is paid for: in all, and by broker.
    paid: Option<Instant>,
    brokers: BTreeMap<Broker, Instant>,
}

impl Pace {
    /// No limit yet, for one of so many functions of the migration.
    pub fn of(functions: u32) -> Self {
        let functions = u64::from(functions.max(1));
        Self { functions, limits: Throttle::default(), paid: None, brokers: BTreeMap::new() }
    }

    /// Sets the migration's limits, which count from now on.
    pub fn set(&mut self, limits: Throttle) {
        if limits != self.limits {
            tracing::info!(?limits, "throttle");
            self.limits = limits;
            self.paid = None;
            self.brokers.clear();
        }
    }

    /// Whether there is a limit for each broker, for which the leaders of partitions have to be known.
    pub const fn is_per_broker(&self) -> bool {
        self.limits.bytes_per_second_per_broker.is_some()
    }

    /// How much may be read at once, in bytes.
    pub fn portion(&self) -> usize {
        let limits = [self.limits.bytes_per_second, self.limits.bytes_per_second_per_broker];
        let tightest = limits.into_iter().flatten().min();
        tightest.map_or(usize::MAX, |limit| {
            let bytes = self.share(limit) * PORTION.as_secs_f64();
            (bytes as usize).max(LEAST_PORTION)
        })
    }

    /// How long to wait before anything is read, when `all` brokers are at their limit or not; zero when something may be
    /// read now.
    pub fn wait(&self, all: bool) -> Duration {
        let broker = self.brokers.values().min().filter(|_| all);
        let paid = self.paid.iter().chain(broker).max();
        let left = paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(Instant::now()));
        // A moment at least, so that nobody spins.
        let least = if all { Duration::from_millis(5) } else { Duration::ZERO };
        left.clamp(least, LONGEST_WAIT)
    }

    /// Whether a partition that these brokers lead may be read now.
    pub fn allows(&self, brokers: &[Broker]) -> bool {
        let now = Instant::now();
        brokers.iter().all(|broker| self.brokers.get(broker).is_none_or(|paid| *paid <= now))
    }

    /// Counts `bytes` read of a partition that `brokers` lead.
    pub fn count(&mut self, bytes: usize, brokers: &[Broker]) {
        let now = Instant::now();
        if let Some(limit) = self.limits.bytes_per_second {
            let paid = self.paid.map_or(now, |paid| paid.max(now));
            self.paid = Some(paid + self.price(bytes, limit));
        }
        if let Some(limit) = self.limits.bytes_per_second_per_broker {
            let price = self.price(bytes, limit);
            for broker in brokers {
                let paid = self.brokers.entry(*broker).or_insert(now);
                *paid = (*paid).max(now) + price;
            }
        }
    }

    fn price(&self, bytes: usize, limit: NonZeroU64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.share(limit))
    }

    fn share(&self, limit: NonZeroU64) -> f64 {
        limit.get() as f64 / self.functions as f64
    }
}

/// The brokers that lead `partition`, as far as they are known.
pub fn leaders(
    partition: &TopicPartition,
    source: &BTreeMap<TopicPartition, i32>,
    target: &BTreeMap<TopicPartition, i32>,
) -> Vec<Broker> {
    let source = source.get(partition).copied().map(Broker::Source);
    source.into_iter().chain(target.get(partition).copied().map(Broker::Target)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn limits(all: u64, broker: u64) -> Throttle {
        Throttle { bytes_per_second: NonZeroU64::new(all), bytes_per_second_per_broker: NonZeroU64::new(broker) }
    }

    /// Reads as fast as the pace allows for `seconds`, each time from all of `brokers` that may be read.
    async fn read_for(pace: &mut Pace, seconds: u64, brokers: &[Broker]) -> usize {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut bytes = 0;
        while Instant::now() < until {
            let open = brokers.iter().filter(|broker| pace.allows(&[**broker])).copied().collect::<Vec<_>>();
            if pace.wait(open.is_empty()) > Duration::ZERO {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            let portion = pace.portion().min(16 * MIB);
            for broker in &open {
                pace.count(portion, &[*broker]);
                bytes += portion;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bytes
    }

    fn within(bytes: usize, expected: usize) {
        let (low, high) = (expected * 95 / 100, expected * 110 / 100);
        assert!((low..=high).contains(&bytes), "{bytes} bytes, expected about {expected}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_a_migration_is_shared_by_its_functions() {
        let mut pace = Pace::of(4);
        pace.set(limits(40 * MIB as u64, 0));
        within(read_for(&mut pace, 60, &[Broker::Source(1)]).await, 600 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn each_broker_has_its_own_limit() {
        let mut pace = Pace::of(1);
        pace.set(limits(0, 5 * MIB as u64));
        assert!(pace.is_per_broker());
        within(read_for(&mut pace, 60, &[Broker::Source(1), Broker::Source(2)]).await, 600 * MIB);
        within(read_for(&mut pace, 60, &[Broker::Target(1)]).await, 300 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_can_be_changed_and_lifted() {
        let mut pace = Pace::of(1);
        pace.set(limits(1, 1));
        pace.count(100 * MIB, &[Broker::Source(1)]);
        assert!(pace.wait(false) > Duration::ZERO && !pace.allows(&[Broker::Source(1)]));
        pace.set(Throttle::default());
        assert!(pace.wait(false).is_zero() && pace.allows(&[Broker::Source(1)]), "old debts do not count");
        assert_eq!(pace.portion(), usize::MAX);
    }
}
