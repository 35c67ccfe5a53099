//! What a cutover is doing, how long each step took, and what it waits for: so that a time limit that passes is reported with
//! its true cause.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use documents::cutover_report::StepTime;
use migration::Result;
use tokio::time::Instant;

/// The steps of one invocation.
#[derive(Debug, Default)]
pub(crate) struct Steps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    done: Vec<StepTime>,
    current: Option<&'static str>,
    waits_for: Option<String>,
}

impl Steps {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` as the step `name` and notes its time. A step that is repeated adds to the time it had.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) async fn time<T>(&self, name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        {
            let state = &mut *self.state();
            (state.current, state.waits_for) = (Some(name), None);
        }
        let outcome = work.await;
        let took = began.elapsed();
        tracing::info!(step = name, ms = took.as_millis(), ok = outcome.is_ok(), "cutover step");
        self.add(name, took);
        outcome
    }

    fn add(&self, name: &'static str, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let done = &mut self.state().done;
        match done.iter_mut().find(|step| step.step == name) {
            Some(step) => step.ms += ms,
            None => done.push(StepTime { step: name.to_owned(), ms }),
        }
    }

    /// Notes what the current step waits for, in words that follow "waiting for".
    pub(crate) fn waits_for(&self, what: String) {
        self.state().waits_for = Some(what);
    }

    /// What was waited for came.
    pub(crate) fn waits_no_more(&self) {
        self.state().waits_for = None;
    }

    /// The step that is under way or was last.
    pub(crate) fn current(&self) -> &'static str {
        self.state().current.unwrap_or("begin")
    }

    /// The step that is under way, with what it waits for.
    pub(crate) fn describe(&self) -> String {
        let state = self.state();
        let step = state.current.unwrap_or("begin");
        match &state.waits_for {
            Some(what) => format!("step {step:?}, waiting for {what}"),
            None => format!("step {step:?}"),
        }
    }

    /// Times of the steps, in the order in which they first ended.
    pub(crate) fn times(&self) -> Vec<StepTime> {
        self.state().done.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::Error;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn steps_add_up_and_say_what_they_wait_for() {
        let steps = Steps::default();
        assert_eq!(steps.describe(), "step \"begin\"");
        for seconds in [1, 2] {
            let work = async {
                sleep(Duration::from_secs(seconds)).await;
                Ok(())
            };
            steps.time("drain", work).await.unwrap();
        }
        let failed = steps.time("commit", async {
            steps.waits_for("group g".to_owned());
            Err::<(), _>(Error::transient("x"))
        });
        failed.await.unwrap_err();
        assert_eq!((steps.current(), steps.describe().as_str()), ("commit", "step \"commit\", waiting for group g"));
        let times: Vec<_> = steps.times().into_iter().map(|time| (time.step, time.ms)).collect();
        assert_eq!(times, [("drain".to_owned(), 3000), ("commit".to_owned(), 0)]);
    }
}
