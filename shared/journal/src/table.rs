//! Keys of the table and the few calls everything else is made of.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use migration::{BatchId, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Journal;
use crate::write::Write;

/// An item as DynamoDB returns it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Primary key of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Key {
    /// Partition key.
    pub(crate) pk: String,
    /// Sort key.
    pub(crate) sk: String,
}

impl Key {
    /// The event that brought the run to `version`.
    pub(crate) fn event_sk(version: u64) -> String {
        format!("event#{version:08}")
    }
}

impl Journal {
    /// Key of an item of the run itself.
    pub(crate) fn key(&self, sk: impl Into<String>) -> Key {
        Key { pk: self.run_pk(), sk: sk.into() }
    }

    /// Partition key of the run's own items.
    pub(crate) fn run_pk(&self) -> String {
        format!("run#{}", self.run)
    }

    /// Key of a batch of partitions.
    pub(crate) fn batch_key(&self, batch: BatchId) -> Key {
        Key { pk: format!("run#{}#batch#{batch}", self.run), sk: "batch".into() }
    }

    /// Key of the sign of life of a batch's function.
    pub(crate) fn heartbeat_key(&self, batch: BatchId) -> Key {
        Key { sk: "heartbeat".into(), ..self.batch_key(batch) }
    }

    /// The item at `key`, strongly consistent.
    pub(crate) async fn get(&self, action: &str, key: &Key) -> Result<Option<Item>> {
        let request = self.client.get_item().table_name(&*self.table).consistent_read(true);
        let request = request.key("pk", AttributeValue::S(key.pk.clone())).key("sk", AttributeValue::S(key.sk.clone()));
        Ok(request.send().await.map_err(|error| self.fault(action, &error))?.item)
    }

    /// Every item of `pk` whose sort key begins with `prefix`, in the order of the sort key, strongly consistent.
    /// DynamoDB answers with at most 1 MB at a time; all pages are read.
    pub(crate) async fn query(&self, action: &str, pk: &str, prefix: &str) -> Result<Vec<Item>> {
        let mut pages = self
            .client
            .query()
            .table_name(&*self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            .into_paginator()
            .send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page.map_err(|error| self.fault(action, &error))?.items.unwrap_or_default());
        }
        Ok(items)
    }

    /// Sends `write` and returns the item as it is afterwards, or `None` when a condition did not hold.
    pub(crate) async fn update(&self, action: &str, write: Write) -> Result<Option<Item>> {
        let (update, condition) = (write.update(), write.condition());
        let sent = self
            .client
            .update_item()
            .table_name(&*self.table)
            .key("pk", AttributeValue::S(write.key.pk))
            .key("sk", AttributeValue::S(write.key.sk))
            .update_expression(update)
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(write.names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(write.values).filter(|values| !values.is_empty()))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match sent {
            Ok(done) => Ok(Some(done.attributes.unwrap_or_default())),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(None)
            }
            Err(error) => Err(self.fault(action, &error)),
        }
    }

    /// Stores `body` at `key`, unless an item is there whose number `attribute` is not `expected` (`None`: unless any
    /// item is there). Says whether it was stored.
    pub(crate) async fn put<T: Serialize>(
        &self,
        action: &str,
        key: Key,
        body: &T,
        expected: Option<(&str, u64)>,
    ) -> Result<bool> {
        let request = self.client.put_item().table_name(&*self.table).set_item(Some(self.item(key, body)?));
        let request = match expected {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some((attribute, number)) => request
                .condition_expression("#expected = :expected")
                .expression_attribute_names("#expected", attribute)
                .expression_attribute_values(":expected", AttributeValue::N(number.to_string())),
        };
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(self.fault(action, &error)),
        }
    }

    /// `body` as the item at `key`.
    pub(crate) fn item<T: Serialize>(&self, key: Key, body: &T) -> Result<Item> {
        let mut item: Item = serde_dynamo::to_item(body).map_err(|error| {
            Error::internal(format_args!("item {}/{} cannot be stored: {error}", key.pk, key.sk)).in_run(&self.run)
        })?;
        item.insert("pk".into(), AttributeValue::S(key.pk));
        item.insert("sk".into(), AttributeValue::S(key.sk));
        Ok(item)
    }

    /// An item read back as `T`. The error names the item and never shows what it holds.
    pub(crate) fn read<T: DeserializeOwned>(&self, item: Item) -> Result<T> {
        let place = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        let (pk, sk) = (place("pk"), place("sk"));
        serde_dynamo::from_item(item).map_err(|error| {
            Error::internal(format_args!("item {pk}/{sk} of table {} cannot be read: {error}", self.table))
                .in_run(&self.run)
        })
    }

    /// The error after [`RACE_ATTEMPTS`](crate::RACE_ATTEMPTS) lost races.
    pub(crate) fn lost_races(&self, action: &str) -> Error {
        Error::transient(format_args!("cannot {action}: others changed the journal each time; repeat it"))
            .in_run(&self.run)
    }
}

/// The number `attribute` of `item`, if it is one.
pub(crate) fn number(item: &Item, attribute: &str) -> Option<u64> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}
