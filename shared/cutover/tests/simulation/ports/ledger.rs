//! The journal as a cutover function sees it, with the requests that `journal` makes.

use chrono::{DateTime, Utc};
use cutover::ports::{Attempt, Ledger};
use journal::{CutoverLease, TailWanted};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Phase, Result};

use tokio::time::Instant;

use crate::request::{Invocation, To};
use crate::witness;
use crate::world::World;

impl Ledger for Invocation {
    async fn claim(&self) -> Result<(CutoverLease, Option<String>)> {
        let number = self.number;
        let claim = move |world: &mut World| {
            let claimed = world.journal.claim();
            if let Ok((lease, plan)) = &claimed {
                world.note(|| format!("{number} claims {lease:?}, plan {plan:?}"));
                world.witness.claims(number, plan.is_some());
            }
            if matches!(claimed, Ok((_, Some(_)))) {
                world.saw("resumed behind the mark");
            }
            claimed
        };
        self.aws(To::Journal, "claim", claim).await?
    }

    async fn check(&self, lease: &CutoverLease) -> Result<()> {
        let (number, lease) = (self.number, *lease);
        let check = move |world: &mut World| match world.journal.meta().why_not(&lease) {
            Some(error) => Err(error),
            None => {
                world.witness.checks(number);
                Ok(())
            }
        };
        self.aws(To::Journal, "check", check).await?
    }

    async fn mark(&self, lease: &CutoverLease, plan: &str) -> Result<()> {
        let (number, held, key) = (self.number, *lease, plan.to_owned());
        let (own_now, sent) = (self.now(), self.sent());
        {
            let world = &mut *self.world.lock();
            world.begins_mark(number, own_now);
            if world.witness.requests.0 == 0 {
                world.witness.requests.0 = sent;
            }
        }
        let mark = move |world: &mut World| {
            let holds = world.journal.mark(&held, &key);
            if holds {
                witness::marks(world, number, &key);
            }
            holds
        };
        if self.aws(To::Journal, "mark", mark).await? {
            return Ok(());
        }
        let meta = self.aws(To::Journal, "read meta", |world| world.journal.meta()).await?;
        match &meta.plan {
            Some(marked) if marked == plan => Ok(()),
            Some(_) => Err(Error::fenced("another invocation passed the point of no return")),
            None => Err(meta.why_not(lease).unwrap_or_else(|| Error::transient("lost too many races"))),
        }
    }

    async fn phase(&self) -> Result<Phase> {
        self.aws(To::Journal, "phase", |world| world.journal.phase).await
    }

    async fn frozen_since(&self) -> Result<Option<DateTime<Utc>>> {
        let number = self.number;
        let read = move |world: &mut World| {
            let since = world.journal.frozen_at;
            let limit = world.setup.limits.max_producer_freeze;
            world.witness.knows_freeze(number, since.map(|at| at + std::time::Duration::from(limit)));
            since
        };
        self.aws(To::Journal, "frozen since", read).await
    }

    async fn progress(&self, batches: &[BatchId]) -> Result<Vec<(BatchId, Vec<PartitionProgress>)>> {
        let batches = batches.to_vec();
        let progress = self.aws(To::Journal, "progress", move |world| world.journal.progress(&batches)).await?;
        // What was found before belongs to another step.
        let world = &mut *self.world.lock();
        let known = world.witness.known(self.number);
        known.open.clear();
        known.pending.clear();
        Ok(progress)
    }

    async fn note_attempt(&self, attempt: &Attempt) -> Result<()> {
        let attempt = attempt.clone();
        self.aws(To::Journal, "note attempt", move |world| world.journal.attempt = Some(attempt.clone())).await
    }

    async fn stop_tail(&self) -> Result<()> {
        self.aws(To::Journal, "stop tail", |world| world.journal.wanted = TailWanted::Stop).await
    }

    async fn ready(&self, _: &str) -> Result<()> {
        for _ in 0..5 {
            let meta = self.aws(To::Journal, "read meta", |world| world.journal.meta()).await?;
            match meta.phase {
                Phase::AwaitingClientSwitch => return Ok(()),
                Phase::Cutover => {}
                other => return Err(Error::blocked(format_args!("a migration in phase {other} cannot go on"))),
            }
            let advance = move |world: &mut World| {
                let advanced = world.journal.advance(&meta, Phase::AwaitingClientSwitch);
                if advanced {
                    world.witness.ready_at.get_or_insert_with(Instant::now);
                }
                advanced
            };
            if self.aws(To::Journal, "ready", advance).await? {
                return Ok(());
            }
        }
        Err(Error::transient("lost too many races"))
    }
}
