//! The run's way from phase to phase.

use std::time::Duration;

use aws_sdk_dynamodb::types::TransactWriteItem;
use migration::{Phase, Result};

use crate::event::Event;
use crate::restart;
use crate::run::Meta;
use crate::{Journal, RACE_ATTEMPTS};

/// DynamoDB's codes for a transaction that may succeed when repeated: it met another one on an item, or was throttled.
const PASSING: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
/// DynamoDB's code for a condition of a transaction that did not hold.
const CONDITION: &str = "ConditionalCheckFailed";

/// Outcome of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// It happened now.
    Done(Event),
    /// The run is in this phase already: the call is a replay, or there was nothing to do.
    Already(Phase),
}

impl Transition {
    /// The phase the run is in.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Done(event) => event.to,
            Self::Already(phase) => *phase,
        }
    }
}

/// What a transition is going to write.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    to: Phase,
    reason: String,
}

fn go(meta: &Meta, to: Phase, reason: &str) -> Result<Option<Step>> {
    if meta.phase == to {
        return Ok(None);
    }
    meta.check_transition(to)?;
    Ok(Some(Step { to, reason: reason.to_owned() }))
}

fn abort(meta: &Meta, reason: &str) -> Result<Option<Step>> {
    let can_end = meta.phase == Phase::Cutover && !meta.committed;
    if can_end { go(meta, Phase::Failed, reason) } else { Ok(None) }
}

fn resume(meta: &Meta) -> Result<Option<Step>> {
    let Some(to) = meta.resumes_at() else { return Ok(None) };
    let failed_in = meta.failed_in.map_or("", Phase::name);
    go(meta, to, &format!("resumed from {failed_in}"))
}

impl Journal {
    /// Takes the run to phase `to`. A repeated call finds it there and changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when [`Meta::check_transition`] refuses,
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn transition(&self, to: Phase, reason: &str) -> Result<Transition> {
        self.advance(|meta| go(meta, to, reason)).await
    }

    /// Takes the run to `failed` and remembers the phase that failed.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) when the run has ended,
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when it does not exist.
    pub async fn fail(&self, reason: &str) -> Result<Transition> {
        self.transition(Phase::Failed, reason).await
    }

    /// Takes a run that is in `cutover`, and has not passed the point of no return, to `failed`: from then on it cannot pass
    /// it. Any other run stays as it is. This and the mark exclude each other.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn abort_cutover(&self, reason: &str) -> Result<Transition> {
        self.advance(|meta| abort(meta, reason)).await
    }

    /// Takes a failed run back to where it goes on, see [`Phase::resumes_at`]. A run that is not failed stays where it
    /// is.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when the run does not exist.
    pub async fn resume_from_failed(&self) -> Result<Transition> {
        self.advance(resume).await
    }

    /// Plans a step on the run as it stands and writes it, until no other writer came in between.
    async fn advance(&self, plan: impl Fn(&Meta) -> Result<Option<Step>>) -> Result<Transition> {
        for _ in 0..RACE_ATTEMPTS {
            let meta = self.meta().await?;
            let Some(step) = plan(&meta).map_err(|error| error.in_run(&self.run))? else {
                return Ok(Transition::Already(meta.phase));
            };
            let event = Event {
                number: meta.version + 1,
                from: Some(meta.phase),
                to: step.to,
                at: self.now(),
                reason: step.reason,
            };
            if self.write_step(&meta, &event).await? {
                tracing::info!(run = %self.run, from = %meta.phase, to = %event.to, reason = event.reason, "phase changed");
                return Ok(Transition::Done(event));
            }
        }
        Err(self.lost_races("change the phase"))
    }

    /// The phase and its event in one transaction; says whether the run was still as `meta` says.
    async fn write_step(&self, meta: &Meta, event: &Event) -> Result<bool> {
        let write = self.to_meta().set("phase", event.to.name()).set("version", event.number);
        let write = match event.to {
            Phase::Failed => write.set("failed_in", meta.phase.name()),
            _ => write.remove("failed_in"),
        };
        // `committed` changes without a new version and decides which transitions are allowed.
        let write = write
            .if_equal("version", meta.version)
            .if_equal("phase", meta.phase.name())
            .if_equal("committed", meta.committed)
            .if_absent(restart::MARK);
        let update = write.into_part().table_name(&*self.table).build().map_err(|error| self.broken_request(&error))?;
        let parts = vec![TransactWriteItem::builder().update(update).build(), self.put_event(event)?];
        self.transact("change the phase", parts).await
    }

    /// Sends a transaction; `false` when a condition did not hold. A conflict with another transaction is waited out.
    pub(crate) async fn transact(&self, action: &str, parts: Vec<TransactWriteItem>) -> Result<bool> {
        for attempt in 1..=RACE_ATTEMPTS {
            let sent = self.client.transact_write_items().set_transact_items(Some(parts.clone())).send().await;
            let Err(error) = sent else { return Ok(true) };
            let codes = cancellation_codes(&error);
            if codes.contains(&CONDITION) {
                return Ok(false);
            }
            if !codes.iter().any(|code| PASSING.contains(code)) {
                return Err(self.fault(action, &error));
            }
            tokio::time::sleep(Duration::from_millis(10) * attempt).await;
        }
        Err(self.lost_races(action))
    }
}

type TransactError =
    aws_sdk_dynamodb::error::SdkError<aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError>;

fn cancellation_codes(error: &TransactError) -> Vec<&str> {
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException;
    match error.as_service_error() {
        Some(TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta(phase: Phase, failed_in: Option<Phase>, committed: bool) -> Meta {
        Meta {
            phase,
            version: 1,
            config: serde_json::Value::Null,
            fingerprint: String::new(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            producer: None,
            failed_in,
            committed,
            plan: None,
            cutover_epoch: 0,
            late_epoch: 0,
            executions: 0,
            facts: std::collections::BTreeMap::default(),
        }
    }

    #[test]
    fn a_failed_run_goes_on_where_it_must_and_says_from_where() {
        let step = resume(&meta(Phase::Failed, Some(Phase::DrainReady), false)).unwrap().unwrap();
        assert_eq!(step, Step { to: Phase::Tail, reason: "resumed from drain_ready".into() });
        let committed = meta(Phase::Failed, Some(Phase::Cutover), true);
        assert_eq!(resume(&committed).unwrap().unwrap().to, Phase::Cutover);
        assert_eq!(resume(&meta(Phase::Tail, None, false)).unwrap(), None);
        assert!(go(&meta(Phase::Failed, Some(Phase::Seed), false), Phase::Tail, "").is_err());
    }

    #[test]
    fn only_a_cutover_before_the_point_of_no_return_is_aborted() {
        let cutover = meta(Phase::Cutover, None, false);
        assert_eq!(abort(&cutover, "x").unwrap().unwrap(), Step { to: Phase::Failed, reason: "x".into() });
        assert_eq!(abort(&meta(Phase::Cutover, None, true), "x").unwrap(), None);
        for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Cutover) {
            let failed_in = (phase == Phase::Failed).then_some(Phase::Cutover);
            assert_eq!(abort(&meta(phase, failed_in, false), "x").unwrap(), None, "{phase}");
        }
    }

    #[test]
    fn nothing_goes_back_after_the_point_of_no_return() {
        let failed = meta(Phase::Failed, Some(Phase::Cutover), true);
        assert!(go(&failed, Phase::RolledBack, "").unwrap_err().message.contains("committed on the target"));
        assert!(go(&meta(Phase::Cutover, None, true), Phase::Tail, "").is_err());
        assert!(go(&meta(Phase::Cutover, None, false), Phase::Tail, "").unwrap().is_some());
        assert!(go(&meta(Phase::Failed, Some(Phase::Cutover), false), Phase::RolledBack, "").unwrap().is_some());
    }

    /// What may happen to a run.
    #[derive(Debug, Clone, Copy)]
    enum Act {
        Go(Phase),
        Resume,
        Commit,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            8 => prop::sample::select(Phase::ALL.to_vec()).prop_map(Act::Go),
            1 => Just(Act::Resume),
            1 => Just(Act::Commit),
        ];
        prop::collection::vec(act, 0..200)
    }

    /// Applies `act` as the table would: what is refused changes nothing.
    fn apply(meta: &mut Meta, act: Act) {
        let step = match act {
            Act::Go(to) => go(meta, to, ""),
            Act::Resume => resume(meta),
            Act::Commit => {
                meta.committed |= meta.phase == Phase::Cutover;
                return;
            }
        };
        if let Ok(Some(step)) = step {
            meta.failed_in = (step.to == Phase::Failed).then_some(meta.phase);
            meta.phase = step.to;
            meta.version += 1;
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_a_run_keeps_its_promises(acts in acts()) {
            let mut run = meta(Phase::Planned, None, false);
            for act in acts {
                let before = run.clone();
                apply(&mut run, act);
                prop_assert_eq!(run.phase == Phase::Failed, run.failed_in.is_some(), "failed exactly with a memory");
                prop_assert!(run.failed_in != Some(Phase::Failed));
                prop_assert!(before.committed <= run.committed, "the point of no return is never unmarked");
                if run.committed {
                    let stage = run.failed_in.unwrap_or(run.phase);
                    prop_assert!(!stage.allows_rollback() && stage != Phase::RolledBack, "{:?} is no way on", stage);
                }
                if before.phase.is_terminal() {
                    prop_assert_eq!(&before, &run);
                }
                if before.phase == Phase::Failed && run.phase != Phase::Failed {
                    prop_assert!(run.phase == Phase::RolledBack || Some(run.phase) == before.resumes_at());
                }
                // A repeated call changes nothing.
                let once = run.clone();
                if let Act::Go(_) | Act::Commit = act {
                    apply(&mut run, act);
                    prop_assert_eq!(&once, &run);
                }
            }
        }
    }
}
