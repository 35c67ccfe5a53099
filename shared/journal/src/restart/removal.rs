//! What goes of a run's items, and in which order.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem};
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use migration::{BatchId, Result};
use serde_json::Value;

use super::{EPOCH, MARK, Remains, RestartLease, RestartedItem};
use crate::Journal;
use crate::batch::BATCHES_IN_FLIGHT;
use crate::table::{Item, Key};
use crate::write::Write;

/// Changes in one transaction beside its condition; DynamoDB takes 100 in all
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
const AT_ONCE: usize = 50;

/// That the claim holds.
const HELD: &str = "#mark = :mark AND #epoch = :epoch";

/// What was removed of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Items of the journal.
    pub items: usize,
}

/// The items of one batch: their keys, and when the batch was claimed last.
struct BatchItems {
    keys: Vec<Key>,
    claimed_at: Option<DateTime<Utc>>,
}

impl Journal {
    /// Items that [`Journal::remove_run`] would remove. There are at least `batches` batches, if all are there.
    pub async fn count_items(&self, batches: u32) -> Result<usize> {
        let of_batches: usize = self.batch_items(batches).await?.iter().map(|batch| batch.keys.len()).sum();
        let own = self.keys_of(&self.run_pk()).await?;
        Ok(own.iter().filter(|key| key.sk != "restarted").count() + of_batches)
    }

    /// When a batch of the run was claimed last; none when none ever was. A time that cannot be read counts as now.
    pub async fn last_claim(&self, batches: u32) -> Result<Option<DateTime<Utc>>> {
        Ok(self.batch_items(batches).await?.into_iter().filter_map(|batch| batch.claimed_at).max())
    }

    /// Takes every batch over from whoever copies it: what they checkpoint from now on is refused.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation claimed the removal.
    pub async fn fence_batches(&self, lease: &RestartLease, batches: u32) -> Result<()> {
        let mut parts = Vec::new();
        for batch in self.batch_items(batches).await? {
            for key in batch.keys.into_iter().filter(|key| key.sk == "batch") {
                let write = Write::to(key).add("epoch", 1).if_exists();
                parts.push(TransactWriteItem::builder().update(self.built(write)?).build());
            }
        }
        self.in_parts(lease, "fence the batches", parts).await
    }

    /// Removes every item of the run, its own last; of batches the fencing epoch stays. `document` is the address of what says
    /// so, for the next run.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`](migration::ErrorKind::Fenced) when another invocation claimed the removal.
    pub async fn remove_run(&self, lease: &RestartLease, batches: u32, document: &str) -> Result<Removed> {
        let found = self.remains().await?.unwrap_or_default();
        let mut parts = Vec::new();
        for batch in self.batch_items(batches.max(found.batches)).await? {
            for key in batch.keys {
                parts.push(if key.sk == "batch" { self.reset_batch(key)? } else { self.deleted(key)? });
            }
        }
        let own = self.keys_of(&self.run_pk()).await?.into_iter();
        for key in own.filter(|key| !matches!(key.sk.as_str(), "meta" | "restarted")) {
            parts.push(self.deleted(key)?);
        }
        let items = parts.len() + 1;
        self.in_parts(lease, "remove the run", parts).await?;
        self.remove_own(lease, &found, document).await?;
        tracing::info!(run = %self.run, items, "run removed");
        Ok(Removed { items })
    }

    /// Leaves word for the next run and removes the run's own item, in one step.
    async fn remove_own(&self, lease: &RestartLease, found: &Remains, document: &str) -> Result<()> {
        let earlier = self.restarted().await?.map_or(0, |earlier| earlier.executions);
        let word = RestartedItem {
            at: self.now(),
            document: document.to_owned(),
            executions: found.executions.max(earlier),
            config: found.config.as_ref().map(Value::to_string),
        };
        let put = Put::builder().table_name(&*self.table).set_item(Some(self.item(self.key("restarted"), &word)?));
        let put = put.build().map_err(|error| self.broken_request(&error))?;
        let Key { pk, sk } = self.key("meta");
        let delete = Delete::builder().table_name(&*self.table);
        let delete = delete.key("pk", AttributeValue::S(pk)).key("sk", AttributeValue::S(sk));
        let delete = delete.condition_expression(HELD);
        let delete = delete.expression_attribute_names("#mark", MARK).expression_attribute_names("#epoch", EPOCH);
        let delete = delete
            .expression_attribute_values(":mark", AttributeValue::S(lease.document.clone()))
            .expression_attribute_values(":epoch", AttributeValue::N(lease.epoch.to_string()));
        let delete = delete.build().map_err(|error| self.broken_request(&error))?;
        let parts =
            vec![TransactWriteItem::builder().put(put).build(), TransactWriteItem::builder().delete(delete).build()];
        if self.transact("remove the run", parts).await? { Ok(()) } else { Err(self.overtaken()) }
    }

    /// Carries out `parts`, each step as long as the claim holds.
    async fn in_parts(&self, lease: &RestartLease, action: &str, parts: Vec<TransactWriteItem>) -> Result<()> {
        for some in parts.chunks(AT_ONCE) {
            let step = std::iter::once(self.condition(lease)?).chain(some.iter().cloned()).collect();
            if !self.transact(action, step).await? {
                self.check_restart(lease).await?;
                return Err(self.lost_races(action));
            }
        }
        Ok(())
    }

    /// The condition of a transaction that the claim holds.
    fn condition(&self, lease: &RestartLease) -> Result<TransactWriteItem> {
        let Key { pk, sk } = self.key("meta");
        let check = ConditionCheck::builder()
            .table_name(&*self.table)
            .key("pk", AttributeValue::S(pk))
            .key("sk", AttributeValue::S(sk))
            .condition_expression(HELD)
            .expression_attribute_names("#mark", MARK)
            .expression_attribute_names("#epoch", EPOCH)
            .expression_attribute_values(":mark", AttributeValue::S(lease.document.clone()))
            .expression_attribute_values(":epoch", AttributeValue::N(lease.epoch.to_string()));
        let check = check.build().map_err(|error| self.broken_request(&error))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    /// A batch of which nothing is left but who may not work on it any more: whoever claimed it so far.
    fn reset_batch(&self, key: Key) -> Result<TransactWriteItem> {
        let attributes = ["partitions", "owner", "claimed_at", "checkpoints", "tail_next"];
        let write = attributes.into_iter().fold(Write::to(key), Write::remove).add("epoch", 1).if_exists();
        Ok(TransactWriteItem::builder().update(self.built(write)?).build())
    }

    fn deleted(&self, key: Key) -> Result<TransactWriteItem> {
        let delete = Delete::builder().table_name(&*self.table);
        let delete = delete.key("pk", AttributeValue::S(key.pk)).key("sk", AttributeValue::S(key.sk));
        let delete = delete.build().map_err(|error| self.broken_request(&error))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// The items of every batch: of the first `least` numbers, and on until a number has none.
    async fn batch_items(&self, least: u32) -> Result<Vec<BatchItems>> {
        let mut found = Vec::new();
        for first in (0_u32..).step_by(BATCHES_IN_FLIGHT) {
            let numbers = first..first + BATCHES_IN_FLIGHT as u32;
            let some = try_join_all(numbers.map(|number| self.items_of_batch(BatchId(number)))).await?;
            let is_last = first + BATCHES_IN_FLIGHT as u32 >= least && some.iter().any(|batch| batch.keys.is_empty());
            found.extend(some.into_iter().filter(|batch| !batch.keys.is_empty()));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    async fn items_of_batch(&self, batch: BatchId) -> Result<BatchItems> {
        let items = self.projected(&self.batch_key(batch).pk, &["pk", "sk", "claimed_at"]).await?;
        let claimed = |item: &Item| {
            let at = item.get("claimed_at")?;
            Some(at.as_s().ok().and_then(|at| at.parse().ok()).unwrap_or_else(|| self.now()))
        };
        let claimed_at = items.iter().filter_map(claimed).max();
        Ok(BatchItems { keys: items.iter().filter_map(key_of).collect(), claimed_at })
    }

    async fn keys_of(&self, pk: &str) -> Result<Vec<Key>> {
        Ok(self.projected(pk, &["pk", "sk"]).await?.iter().filter_map(key_of).collect())
    }

    /// `attributes` of every item under `pk`, strongly consistent.
    async fn projected(&self, pk: &str, attributes: &[&str]) -> Result<Vec<Item>> {
        let aliases: Vec<_> = (0..attributes.len()).map(|number| format!("#p{number}")).collect();
        let mut query = self
            .client
            .query()
            .table_name(&*self.table)
            .consistent_read(true)
            .key_condition_expression("#p0 = :pk")
            .projection_expression(aliases.join(", "))
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        for (alias, attribute) in aliases.iter().zip(attributes) {
            query = query.expression_attribute_names(alias, *attribute);
        }
        let mut pages = query.into_paginator().send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.fault("look what there is of the run", &error))?;
            items.extend(page.items.unwrap_or_default());
        }
        Ok(items)
    }
}

fn key_of(item: &Item) -> Option<Key> {
    Some(Key { pk: item.get("pk")?.as_s().ok()?.clone(), sk: item.get("sk")?.as_s().ok()?.clone() })
}
