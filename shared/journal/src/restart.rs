//! Removing a run, so that the migration can begin again under the same id.
//!
//! Whoever removes it marks the run first. From then on nobody can read it: what still belongs to it is
//! [`Blocked`](migration::ErrorKind::Blocked), and so are those who would start it. Of several invocations that remove a run the
//! newest wins, and each change of the journal is conditional on its claim, in one transaction. The mark goes with the run's
//! own item, last, so that what was interrupted is found and can be repeated.
//!
//! Two things stay. The fencing epoch of each batch: were the next run's to begin at 1 again, a function of this one could hold
//! the same. And the item `restarted`, with what the next run goes by.

mod removal;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use chrono::{DateTime, Utc};
use migration::{Error, Phase, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use removal::Removed;

use crate::Journal;
use crate::event::Event;
use crate::run::ProducerId;
use crate::schema;
use crate::table::{Item, number};
use crate::write::Write;

/// The run's mark: the key of the document that says what is removed.
pub(crate) const MARK: &str = "restarting";
/// Claims of the removal so far.
const EPOCH: &str = "restart_epoch";
/// When the target had none of the run's topics any more.
const GONE_AT: &str = "topics_gone_at";

/// What the journal still tells of a run, attribute by attribute: what cannot be read is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remains {
    /// The configuration the run was created with.
    pub config: Option<Value>,
    /// The phase.
    pub phase: Option<Phase>,
    /// Whether the point of no return is passed.
    pub committed: Option<bool>,
    /// Producer id of everything that it wrote to the target; none before there was one, too.
    pub producer: Option<ProducerId>,
    /// Step Functions executions started for it.
    pub executions: u32,
    /// Batches its partitions were dealt into; 0 before there were any, too.
    pub batches: u32,
    /// Key of the document that says what is removed, once the removal has begun.
    pub restarting: Option<String>,
    /// When the target had none of its topics any more, once that is so.
    pub topics_gone_at: Option<DateTime<Utc>>,
    version: Option<u64>,
}

impl Remains {
    fn of(item: &Item) -> Self {
        let text = |name: &str| item.get(name)?.as_s().ok();
        let integer = |name: &str| item.get(name)?.as_n().ok();
        let producer = || {
            let (id, epoch) = (integer("producer_id")?.parse().ok()?, integer("producer_epoch")?.parse().ok()?);
            Some(ProducerId { id, epoch })
        };
        let batches = || item.get("facts")?.as_m().ok()?.get("batches")?.as_s().ok()?.parse().ok();
        Self {
            config: text("config").and_then(|text| serde_json::from_str(text).ok()),
            phase: text("phase").and_then(|name| Phase::ALL.into_iter().find(|phase| phase.name() == name)),
            committed: item.get("committed").and_then(|value| value.as_bool().ok().copied()),
            producer: producer(),
            executions: integer("executions").and_then(|count| count.parse().ok()).unwrap_or(0),
            batches: batches().unwrap_or(0),
            restarting: text(MARK).cloned(),
            topics_gone_at: text(GONE_AT).and_then(|at| at.parse().ok()),
            version: number(item, "version"),
        }
    }
}

/// The right to remove a run, until the next claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartLease {
    /// Key of the document that says what is removed.
    pub document: String,
    epoch: u64,
}

/// What a run that was removed left for the next one of its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Restarted {
    /// When it was removed.
    pub at: DateTime<Utc>,
    /// Address of the document that says what was removed.
    pub document: String,
    /// Step Functions executions started so far.
    pub executions: u32,
    /// The configuration it had, until the next run is created.
    pub config: Option<Value>,
}

/// [`Restarted`] in the table.
#[derive(Serialize, Deserialize)]
struct RestartedItem {
    #[serde(with = "clock::micros")]
    at: DateTime<Utc>,
    document: String,
    executions: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
}

impl Journal {
    /// What the journal still tells of the run, however damaged it is; `None` when it has no item of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](migration::ErrorKind::Invalid) when another release with another schema wrote it.
    pub async fn remains(&self) -> Result<Option<Remains>> {
        let item = self.get("read the run", &self.key("meta")).await?;
        match item.as_ref().and_then(|item| number(item, "schema")) {
            Some(version) if version != u64::from(schema::VERSION) => Err(self.unknown_schema(Some(version))),
            _ => Ok(item.as_ref().map(Remains::of)),
        }
    }

    /// What an earlier run of this id left when it was removed.
    pub async fn restarted(&self) -> Result<Option<Restarted>> {
        let item = self.get("read what was removed", &self.key("restarted")).await?;
        let Some(item) = item.map(|item| self.read::<RestartedItem>(item)).transpose()? else { return Ok(None) };
        let config = item.config.map(|text| self.json("config", &text)).transpose()?;
        Ok(Some(Restarted { at: item.at, document: item.document, executions: item.executions, config }))
    }

    /// Claims the removal of the run of which `found` was read, and marks the run with the key `document` unless it is marked
    /// already. A run that was going on is failed with `reason`.
    ///
    /// # Errors
    /// [`ErrorKind::Blocked`](migration::ErrorKind::Blocked) behind the point of no return;
    /// [`ErrorKind::Transient`](migration::ErrorKind::Transient) when the run has changed since.
    pub async fn claim_restart(&self, found: Option<&Remains>, document: &str, reason: &str) -> Result<RestartLease> {
        if found.is_some_and(|found| found.committed == Some(true)) {
            return Err(Error::blocked("offsets are committed on the target: the run cannot be removed any more")
                .in_run(&self.run));
        }
        let write = Write::to(self.key("meta"));
        let claimed = match found {
            Some(Remains { restarting: Some(mark), .. }) => {
                let item = self.update("claim the removal", write.add(EPOCH, 1).if_equal(MARK, mark.as_str())).await?;
                item.map(|item| RestartLease {
                    document: mark.clone(),
                    epoch: number(&item, EPOCH).unwrap_or_default(),
                })
            }
            found => {
                let write = write.set(MARK, document).set(EPOCH, 1_u64).if_absent(MARK);
                let marked = self.mark(write, found, reason).await?;
                marked.then(|| RestartLease { document: document.to_owned(), epoch: 1 })
            }
        };
        if let Some(lease) = &claimed {
            tracing::info!(run = %self.run, document = lease.document, epoch = lease.epoch, "removal claimed");
        }
        claimed.ok_or_else(|| self.lost_races("claim the removal"))
    }

    /// Carries out `write`, which marks the run, as long as it is as `found`; says whether it was.
    async fn mark(&self, mut write: Write, found: Option<&Remains>, reason: &str) -> Result<bool> {
        let Some(found) = found else {
            return Ok(self.update("mark the run", write.if_absent("pk")).await?.is_some());
        };
        write = write.if_exists();
        if let Some(version) = found.version {
            write = write.if_equal("version", version);
        }
        if found.committed.is_some() {
            write = write.if_equal("committed", false);
        }
        let going = found.phase.filter(|phase| *phase != Phase::Failed && !phase.is_terminal());
        let event = going.zip(found.version).map(|(phase, version)| Event {
            number: version + 1,
            from: Some(phase),
            to: Phase::Failed,
            at: self.now(),
            reason: reason.to_owned(),
        });
        let mut parts = Vec::new();
        if let (Some(event), Some(phase)) = (&event, going) {
            write = write.set("phase", Phase::Failed.name()).set("version", event.number);
            write = write.set("failed_in", phase.name()).if_equal("phase", phase.name());
            parts.push(self.put_event(event)?);
        }
        parts.push(TransactWriteItem::builder().update(self.built(write)?).build());
        self.transact("mark the run", parts).await
    }

    /// Checks that no newer claim was made.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation goes on with the removal, or has ended it.
    pub async fn check_restart(&self, lease: &RestartLease) -> Result<()> {
        let item = self.get("read the run", &self.key("meta")).await?.unwrap_or_default();
        let holds = Remains::of(&item).restarting.as_deref() == Some(lease.document.as_str())
            && number(&item, EPOCH) == Some(lease.epoch);
        if holds { Ok(()) } else { Err(self.overtaken()) }
    }

    /// Takes the mark back: nothing was removed, and nothing will be. The run stays failed, and can be resumed.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation claimed it.
    pub async fn abandon_restart(&self, lease: &RestartLease) -> Result<()> {
        let write = self.held(lease).remove(MARK).remove(EPOCH).remove(GONE_AT);
        self.update("take the mark back", write).await?.map(drop).ok_or_else(|| self.overtaken())
    }

    /// Records that the target has none of the run's topics any more, and returns since when. The first record stands.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation claimed the removal.
    pub async fn note_topics_gone(&self, lease: &RestartLease) -> Result<DateTime<Utc>> {
        let now = self.now();
        let noted = self.update("record that topics are gone", self.held(lease).set(GONE_AT, now).if_absent(GONE_AT));
        if noted.await?.is_some() {
            return Ok(now);
        }
        self.check_restart(lease).await?;
        Ok(self.remains().await?.and_then(|found| found.topics_gone_at).unwrap_or(now))
    }

    /// The part of a creation that says that the removed run was followed by another one.
    pub(crate) fn note_begun_again(&self) -> Result<TransactWriteItem> {
        let write = Write::to(self.key("restarted")).remove("config").if_exists();
        Ok(TransactWriteItem::builder().update(self.built(write)?).build())
    }

    /// Refuses a run that is being removed.
    pub(crate) fn refuse_restarting(&self, item: &Item) -> Result<()> {
        if !item.contains_key(MARK) {
            return Ok(());
        }
        Err(Error::blocked(format_args!(
            "migration {0} is being removed to begin again, or that was interrupted; to go on with it: msk-kraft execute \
             --force-restart --config FILE --migration-id {0}",
            self.run
        ))
        .in_run(&self.run))
    }

    /// A write to the run's own item as long as the claim holds.
    fn held(&self, lease: &RestartLease) -> Write {
        Write::to(self.key("meta")).if_equal(MARK, lease.document.as_str()).if_equal(EPOCH, lease.epoch)
    }

    fn built(&self, write: Write) -> Result<Update> {
        write.into_part().table_name(&*self.table).build().map_err(|error| self.broken_request(&error))
    }

    fn overtaken(&self) -> Error {
        Error::fenced("another invocation goes on with the removal of the run, or has ended it").in_run(&self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue;

    #[test]
    fn what_cannot_be_read_does_not_hide_the_rest() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: &str| AttributeValue::N(number.to_owned());
        let item: Item = [
            ("config", text("{\"half\": ")),
            ("phase", text("hovering")),
            ("committed", AttributeValue::Bool(false)),
            ("producer_id", number("4000000000")),
            ("producer_epoch", number("3")),
            ("executions", text("two")),
            ("facts", AttributeValue::M([("batches".to_owned(), text("7")), ("x".to_owned(), text("{"))].into())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let remains = Remains::of(&item);
        let producer = Some(ProducerId { id: 4_000_000_000, epoch: 3 });
        assert_eq!(remains, Remains { committed: Some(false), producer, batches: 7, ..Remains::default() });
        assert_eq!(Remains::of(&Item::new()), Remains::default());
    }
}
