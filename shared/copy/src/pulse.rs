//! How the work of an invocation goes, known to all stages of a copy and told to the journal while it lasts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::heartbeat::BEAT_EVERY;
use journal::{Beat, CopyWork, Health, Lease};
use migration::{Error, TopicPartition};

use crate::ports::Ledger;

/// What the stages say of their work. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What kept something from being read the last time.
    reading: Option<Error>,
    /// What kept something from being written the last time.
    writing: Option<Error>,
    /// Partitions of which the target takes nothing, and why not of the first.
    refused: Option<(Vec<TopicPartition>, Error)>,
    /// Whether anything was done yet.
    proven: bool,
}

impl Pulse {
    /// The source was read, apart from what `error` says.
    pub fn read(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.proven |= error.is_none();
        state.reading = error;
    }

    /// The target was written to, apart from what `error` says.
    pub fn wrote(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.proven |= error.is_none();
        state.writing = error;
    }

    /// The target takes nothing of some partitions for the moment, and why not of the first; of none when it is none.
    pub fn refused(&self, refused: Option<(Vec<TopicPartition>, Error)>) {
        self.lock().refused = refused;
    }

    fn beat(&self, work: CopyWork) -> Beat {
        let state = self.lock();
        let refused = state.refused.as_ref();
        let error = refused.map(|(_, cause)| cause).or(state.writing.as_ref()).or(state.reading.as_ref());
        let health = match error {
            Some(error) => Health::Failing(error.clone()),
            None if state.proven => Health::Well,
            None => Health::Unproven,
        };
        Beat { work, health, refused: refused.map(|(partitions, _)| partitions.clone()).unwrap_or_default() }
    }

    /// Beats under `lease` until it is dropped, or a newer claim has beaten. That a beat is not stored is no reason to stop.
    pub(crate) async fn beat_on<L: Ledger>(&self, ledger: &L, lease: &Lease, work: CopyWork) {
        loop {
            match ledger.beat(lease, &self.beat(work)).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(batch = %lease.batch, "a sign of life was not stored: {error}"),
            }
            tokio::time::sleep(BEAT_EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_well_when_something_was_done_and_nothing_fails() {
        let pulse = Pulse::default();
        let health = || pulse.beat(CopyWork::Tail).health;
        assert_eq!(health(), Health::Unproven);
        let (no_leader, refused) = (Error::transient("no leader"), Error::transient("refused"));
        pulse.read(Some(no_leader.clone()));
        assert_eq!(health(), Health::Failing(no_leader.clone()));
        pulse.wrote(Some(refused.clone()));
        assert_eq!(health(), Health::Failing(refused), "what waits to be written is nearer to the end");
        pulse.wrote(None);
        assert_eq!(health(), Health::Failing(no_leader));
        pulse.clone().read(None);
        assert_eq!(health(), Health::Well);
    }

    #[test]
    fn partitions_that_the_target_does_not_take_are_named_with_the_cause_while_the_others_go_on() {
        let pulse = Pulse::default();
        let (partition, cause) = (TopicPartition::new("orders", 3), Error::transient("too few replicas"));
        pulse.refused(Some((vec![partition.clone()], cause.clone())));
        pulse.wrote(None);
        let beat = pulse.beat(CopyWork::Tail);
        assert_eq!((beat.health, beat.refused), (Health::Failing(cause), vec![partition]));
        pulse.refused(None);
        let beat = pulse.beat(CopyWork::Tail);
        assert_eq!((beat.health, beat.refused), (Health::Well, Vec::new()));
    }
}
