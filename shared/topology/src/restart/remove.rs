//! Carrying a removal out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use journal::{LIFETIME, RestartLease, TailWanted};
use kafka::{Cluster, Code};
use migration::restart::RemovedTopic;
use migration::{Error, Result};
use runtime::Budget;
use runtime::store::DELETED_AT_ONCE;
use tokio::time::Instant;

use super::{OUTLIVES, Restart};

/// Topics deleted in one request.
const TOPICS_AT_ONCE: usize = 200;

/// How long the brokers may take to forget a topic that the controller has deleted, and the pause between two looks.
const FORGETTING: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

/// A removal under one claim.
pub(super) struct Removing<'a> {
    pub(super) restart: &'a Restart<'a>,
    pub(super) target: &'a Cluster,
    pub(super) lease: &'a RestartLease,
    pub(super) budget: Budget,
}

/// Why it did not go on.
pub(super) struct Stopped {
    pub(super) error: Error,
    /// Whether a topic may be deleted already.
    pub(super) removed_something: bool,
}

impl Removing<'_> {
    /// Removes everything; says whether the time was enough.
    pub(super) async fn carry_out(&self) -> std::result::Result<bool, Stopped> {
        let mut removed_something = false;
        let done = self.steps(&mut removed_something).await;
        done.map_err(|error| Stopped { error, removed_something })
    }

    async fn steps(&self, removed_something: &mut bool) -> Result<bool> {
        let Restart { journal, store, remains, .. } = self.restart;
        let (batches, executions) = remains.as_ref().map_or((0, 0), |remains| (remains.batches, remains.executions));
        // Whoever still copies stops by itself, and cannot record anything.
        journal.set_tail_wanted(TailWanted::Stop, executions).await?;
        journal.fence_batches(self.lease, batches).await?;
        // Looked at again: a function may have written on, and somebody else too.
        let topics = self.restart.plan(self.target).await?.removal.topics;
        self.delete_topics(&topics, removed_something).await?;
        if !self.are_gone(&topics).await? {
            return Ok(false);
        }
        let gone_at = journal.note_topics_gone(self.lease).await?;
        if !self.delete_objects().await? {
            return Ok(false);
        }
        let now = journal.now();
        let last = journal.last_claim(batches).await?.filter(|claimed| now - *claimed < LIFETIME);
        let until = TimeDelta::from_std(OUTLIVES).unwrap_or_default();
        if last.is_some() && !self.wait((gone_at + until - now).to_std().unwrap_or_default()).await {
            return Ok(false);
        }
        // What a function stored meanwhile would keep the next run from storing its own.
        if !self.delete_objects().await? {
            return Ok(false);
        }
        journal.remove_run(self.lease, batches, &store.url(&self.lease.document)).await?;
        Ok(true)
    }

    async fn delete_topics(&self, topics: &[RemovedTopic], removed_something: &mut bool) -> Result<()> {
        let names: Vec<Arc<str>> = topics.iter().map(|topic| topic.topic.as_str().into()).collect();
        for some in names.chunks(TOPICS_AT_ONCE) {
            self.restart.journal.check_restart(self.lease).await?;
            for (topic, outcome) in self.target.delete_topics(some).await {
                match outcome {
                    // The answer to a first attempt was lost.
                    Err(error) if error.code() == Some(Code::UnknownTopicOrPartition) => {}
                    Err(error) if error.code() == Some(Code::TopicDeletionDisabled) => {
                        return Err(Error::blocked(
                            "the target does not let topics be deleted: set delete.topic.enable to true there, or delete the \
                             topics by other means, then repeat the command",
                        )
                        .at_topic(&topic));
                    }
                    outcome => outcome.map_err(|error| Error::from(error).at_topic(&topic))?,
                }
                *removed_something = true;
            }
        }
        Ok(())
    }

    /// Waits until no broker shows any of `topics`: one that still does would take records for it. Says whether the time was
    /// enough.
    async fn are_gone(&self, topics: &[RemovedTopic]) -> Result<bool> {
        let ids: BTreeMap<&str, &Option<String>> =
            topics.iter().map(|topic| (topic.topic.as_str(), &topic.id)).collect();
        let give_up = Instant::now() + FORGETTING;
        loop {
            let of_brokers = self.target.topics_of_brokers().await?;
            let shown = of_brokers.iter().find_map(|(broker, topics)| {
                let same = topics.iter().find(|topic| ids.get(&*topic.name).is_some_and(|id| **id == topic.id))?;
                Some((*broker, same.name.clone()))
            });
            let Some((broker, topic)) = shown else { return Ok(true) };
            if Instant::now() >= give_up {
                let message = format!("broker {broker} of the target still shows the topic, which is deleted");
                return Err(Error::transient(message).at_topic(&topic));
            }
            if !self.wait(PAUSE).await {
                return Ok(false);
            }
        }
    }

    /// Deletes the working data. Says whether the time was enough.
    async fn delete_objects(&self) -> Result<bool> {
        for some in self.restart.objects().await?.chunks(DELETED_AT_ONCE) {
            if self.budget.is_spent() {
                return Ok(false);
            }
            self.restart.journal.check_restart(self.lease).await?;
            self.restart.store.delete(some).await?;
        }
        Ok(true)
    }

    /// Waits for `length`, or until the time is up. Says whether the time was enough.
    async fn wait(&self, length: Duration) -> bool {
        let left = self.budget.left();
        tokio::time::sleep(length.min(left)).await;
        length <= left
    }
}
