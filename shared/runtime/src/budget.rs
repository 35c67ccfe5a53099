//! How long an invocation may go on taking work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Time kept back to store, produce and checkpoint what is in flight when the budget is spent.
const RESERVE: Duration = Duration::from_secs(60);

/// Budget when the deadline makes no sense and `MSK_KRAFT_TIME_BUDGET` is not set.
const FALLBACK: Duration = Duration::from_secs(12 * 60);

/// The end of an invocation's working time.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    end: Instant,
}

impl Budget {
    /// A budget from the Lambda deadline in milliseconds since 1970. The local Lambda emulation gives a deadline long
    /// past; then `MSK_KRAFT_TIME_BUDGET` (milliseconds) counts.
    pub fn from_deadline(deadline_ms: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_millis(deadline_ms).checked_sub(now);
        let configured = || {
            let text = std::env::var("MSK_KRAFT_TIME_BUDGET").ok()?;
            text.parse().ok().map(Duration::from_millis)
        };
        let working = match left {
            Some(left) if left > Duration::ZERO => left.saturating_sub(RESERVE),
            _ => configured().unwrap_or(FALLBACK),
        };
        Self::lasting(working)
    }

    /// A budget that ends after `length`.
    pub fn lasting(length: Duration) -> Self {
        Self { end: Instant::now() + length }
    }

    /// Whether no new work should be taken.
    pub fn is_spent(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Time left, zero when spent.
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_deadline_counts_less_the_reserve() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let budget = Budget::from_deadline((now + Duration::from_secs(90)).as_millis() as u64);
        assert!(budget.left() > Duration::from_secs(20) && budget.left() <= Duration::from_secs(30));
    }

    #[test]
    fn a_deadline_in_1970_is_not_believed() {
        assert!(!Budget::from_deadline(600).is_spent());
    }
}
