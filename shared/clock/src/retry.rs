//! Pauses between the attempts of work that failed for a passing reason.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long and how often a failed request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pause after the first failure; each further one doubles.
    pub initial: Duration,
    /// Longest pause.
    pub max: Duration,
    /// Time after which a failure is handed to the caller, counted from the first attempt.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(2), deadline: Duration::from_secs(30) }
    }
}

/// The pauses between the attempts of one piece of work.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
    until: Instant,
}

impl Backoff {
    /// Starts counting the deadline of `policy` now.
    pub fn new(policy: RetryPolicy) -> Self {
        Self { next: policy.initial, max: policy.max, until: Instant::now() + policy.deadline }
    }

    /// Sleeps until the next attempt is due; `false`, at once, if that would be after the deadline.
    pub async fn pause(&mut self) -> bool {
        let pause = self.next.mul_f64(jitter());
        if Instant::now() + pause > self.until {
            return false;
        }
        self.next = (self.next * 2).min(self.max);
        sleep(pause).await;
        true
    }
}

/// A factor from 0.5 to 1, so that clients that failed together do not come back together.
fn jitter() -> f64 {
    0.5 + fastrand::f64() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range_and_varies() {
        let samples: Vec<f64> = (0..100).map(|_| jitter()).collect();
        assert!(samples.iter().all(|sample| (0.5..=1.0).contains(sample)));
        assert!(samples.iter().any(|sample| *sample != samples[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end_at_the_deadline() {
        let policy = RetryPolicy::default();
        let start = Instant::now();
        let mut backoff = Backoff::new(policy);
        let mut pauses = Vec::new();
        let mut last = start;
        while backoff.pause().await {
            pauses.push(Instant::now() - last);
            last = Instant::now();
        }
        assert!(last - start <= policy.deadline);
        assert!(last - start >= policy.deadline - policy.max);
        assert!(pauses[0] <= policy.initial && pauses[0] >= policy.initial / 2);
        assert!(pauses.iter().all(|pause| *pause <= policy.max));
        assert!(pauses.len() >= 15 && pauses.len() < 40, "{}", pauses.len());
    }
}
