//! Transactions that are open on the source. Nothing behind the first record of one is copied before it has ended, and one
//! that nobody will end holds the migration up for ever (KIP-664).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use kafka::{Cluster, ProducerState, TopicPartition};
use migration::{Error, Result};
use serde::{Deserialize, Serialize};

/// Beyond the longest timeout of a transaction: clocks differ, and brokers look for expired ones only now and then.
const GRACE_MS: i64 = 60_000;

/// `transaction.max.timeout.ms` of Kafka by default, for a broker that does not tell.
const DEFAULT_MAX_TIMEOUT_MS: i64 = 900_000;

/// A transaction that holds the last stable offset of a partition back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// The partition.
    #[serde(flatten)]
    pub partition: TopicPartition,
    /// Offset of its first record, which is the last stable offset.
    pub offset: i64,
    /// Producer id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i32,
    /// Timestamp of the producer's last batch on the partition.
    pub last_written: Option<DateTime<Utc>>,
    /// Whether nobody will end it: it is older than any transaction may become, and no coordinator tells of it.
    pub hanging: bool,
}

/// The transactions at the last stable offsets of `held`: partitions whose last stable offset, which is given, is below
/// their high watermark.
///
/// # Errors
/// When the source cannot be asked.
pub async fn open(
    source: &Cluster,
    held: &BTreeMap<TopicPartition, i64>,
    now: DateTime<Utc>,
) -> Result<Vec<OpenTransaction>> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = held.keys().cloned().collect();
    let producers = kafka::all_ok(source.describe_producers(&names).await)?;
    let oldest = now.timestamp_millis() - max_timeout_ms(source).await? - GRACE_MS;
    let first = |(partition, states): (TopicPartition, Vec<ProducerState>)| {
        let offset = held[&partition];
        let state = states.into_iter().find(|state| state.transaction_start == Some(offset))?;
        Some((partition, offset, state))
    };
    let first: Vec<_> = producers.into_iter().filter_map(first).collect();
    let is_old = |state: &ProducerState| state.last_timestamp < oldest;
    let ongoing = match first.iter().any(|(.., state)| is_old(state)) {
        true => ongoing(source).await?,
        false => BTreeSet::new(),
    };
    let transaction = |(partition, offset, state): (TopicPartition, i64, ProducerState)| OpenTransaction {
        partition,
        offset,
        producer_id: state.producer_id,
        producer_epoch: state.epoch,
        last_written: DateTime::from_timestamp_millis(state.last_timestamp),
        hanging: is_old(&state) && !ongoing.contains(&state.producer_id),
    };
    Ok(first.into_iter().map(transaction).collect())
}

/// Refuses to go on while a transaction hangs.
///
/// # Errors
/// Blocked, naming the first one and the way out. `bootstrap` are the source's servers.
pub fn refuse_hanging(transactions: &[OpenTransaction], bootstrap: &str) -> Result<()> {
    let Some(first) = transactions.iter().find(|transaction| transaction.hanging) else { return Ok(()) };
    Err(Error::blocked(first.line(bootstrap)).at(&first.partition).at_offset(first.offset))
}

impl OpenTransaction {
    /// One line for an operator; `bootstrap` are the source's servers.
    pub fn line(&self, bootstrap: &str) -> String {
        let Self { partition, offset, producer_id, producer_epoch, last_written, hanging } = self;
        let written = last_written.map_or_else(
            || "at an unknown time".to_owned(),
            |at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        );
        let what = format!(
            "transaction on {partition} at offset {offset} by producer {producer_id} (epoch {producer_epoch}), last written \
             {written}"
        );
        if !hanging {
            return format!("open {what}; what is behind it is copied when it ends");
        }
        format!("hanging {what}: nothing behind it is copied; {}", self.way_out(bootstrap))
    }

    /// How to end it. Coordinators leave transactional ids out that the principal may not describe, and timestamps are the
    /// producer's: so somebody has to look before a transaction that is alive is lost.
    pub fn way_out(&self, bootstrap: &str) -> String {
        let Self { partition: TopicPartition { topic, partition }, offset, producer_id, .. } = self;
        let tool = format!("kafka-transactions.sh --bootstrap-server {bootstrap}");
        format!(
            "look first: `{tool} list`, as a user who may describe every transactional id, must not show producer {producer_id} \
             as Ongoing; then end it with `{tool} abort --topic {topic} --partition {partition} --start-offset {offset}`"
        )
    }
}

/// Producer ids whose transaction will end, by their producer or by timeout. A broker before 3.0 does not tell, and then
/// age alone decides.
async fn ongoing(source: &Cluster) -> Result<BTreeSet<i64>> {
    match source.ongoing_transactions().await {
        Err(kafka::Error::UnsupportedApi { .. }) => Ok(BTreeSet::new()),
        outcome => Ok(outcome?),
    }
}

/// The longest timeout that a transaction may have, in milliseconds.
async fn max_timeout_ms(source: &Cluster) -> Result<i64> {
    let Some(broker) = source.brokers().await?.first().map(|broker| broker.id) else {
        return Ok(DEFAULT_MAX_TIMEOUT_MS);
    };
    let configs = source.broker_configs(broker).await?;
    let found = configs.into_iter().find(|config| config.name == "transaction.max.timeout.ms");
    Ok(found.and_then(|config| config.value?.parse().ok()).unwrap_or(DEFAULT_MAX_TIMEOUT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(hanging: bool) -> OpenTransaction {
        OpenTransaction {
            partition: TopicPartition::new("orders", 3),
            offset: 71,
            producer_id: 4000,
            producer_epoch: 2,
            last_written: DateTime::from_timestamp_millis(1_700_000_000_000),
            hanging,
        }
    }

    #[test]
    fn a_hanging_transaction_is_refused_with_the_command_that_ends_it() {
        let error = refuse_hanging(&[transaction(false), transaction(true)], "b1:9092").unwrap_err();
        assert_eq!(
            error.to_string(),
            "hanging transaction on orders/3 at offset 71 by producer 4000 (epoch 2), last written 2023-11-14T22:13:20Z: \
             nothing behind it is copied; look first: `kafka-transactions.sh --bootstrap-server b1:9092 list`, as a user who may \
             describe every transactional id, must not show producer 4000 as Ongoing; then end it with `kafka-transactions.sh \
             --bootstrap-server b1:9092 abort --topic orders --partition 3 --start-offset 71` (orders/3, offset 71)"
        );
    }

    #[test]
    fn an_open_transaction_is_only_noted() {
        assert!(refuse_hanging(&[transaction(false)], "b1:9092").is_ok());
        assert!(transaction(false).line("").ends_with("what is behind it is copied when it ends"));
    }
}
