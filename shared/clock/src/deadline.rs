//! A time limit that everything below it shares.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The moment at which work has to have ended. It is measured by the machine's monotonic clock, which nobody sets back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// The deadline came first; what was under way was dropped at an await point, so whether its last request took effect is
/// unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed;

impl Deadline {
    /// The moment `left` from now.
    pub fn after(left: Duration) -> Self {
        Self(Instant::now() + left)
    }

    /// Time left, zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether no time is left.
    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn or_earlier(self, other: Self) -> Self {
        self.min(other)
    }

    /// The outcome of `work`, unless the deadline comes first. Behind the deadline nothing of `work` is done any more, also when
    /// the whole process stood still for a while.
    ///
    /// # Errors
    /// [`Passed`] when it does, also when it had passed before `work` began.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Result<T, Passed> {
        tokio::select! {
            biased;
            () = sleep_until(self.0) => Err(Passed),
            outcome = work => Ok(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn work_ends_with_the_deadline_and_does_not_begin_behind_it() {
        let deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(deadline.limit(sleep(Duration::from_secs(2))).await, Ok(()));
        assert_eq!(deadline.left(), Duration::from_secs(3));
        assert_eq!(deadline.limit(sleep(Duration::from_secs(4))).await, Err(Passed));
        assert!(deadline.has_passed());
        assert_eq!(deadline.limit(async {}).await, Err(Passed), "though it would be done at once");
        assert_eq!(
            Deadline::after(Duration::ZERO).or_earlier(Deadline::after(Duration::MAX / 4)).left(),
            Duration::ZERO
        );
    }
}
