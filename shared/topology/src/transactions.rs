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
    /// Whether coordinators were asked. Those before Kafka 3.0 cannot be, and then age alone speaks, by timestamps that are the
    /// producer's.
    #[serde(default = "yes")]
    pub asked: bool,
}

const fn yes() -> bool {
    true
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
    let first = first_at(source, held, &names).await?;
    let oldest = now.timestamp_millis() - max_timeout_ms(source).await? - GRACE_MS;
    let is_old = |state: &ProducerState| state.last_timestamp < oldest;
    let old: Vec<_> = first.iter().filter(|(_, state)| is_old(state)).map(|(name, _)| name.clone()).collect();
    let (ongoing, still) = match old.is_empty() {
        true => (Some(BTreeSet::new()), BTreeMap::new()),
        // In this order: one that ended before it was looked for at the coordinators is not open any more.
        false => (ongoing(source).await?, first_at(source, held, &old).await?),
    };
    let is_alive = |producer: i64| ongoing.as_ref().is_some_and(|ongoing| ongoing.contains(&producer));
    let transaction = |(partition, state): (TopicPartition, ProducerState)| OpenTransaction {
        offset: held[&partition],
        producer_id: state.producer_id,
        producer_epoch: state.epoch,
        last_written: DateTime::from_timestamp_millis(state.last_timestamp),
        hanging: is_old(&state)
            && !is_alive(state.producer_id)
            && still.get(&partition).is_some_and(|still| still.producer_id == state.producer_id),
        asked: ongoing.is_some(),
        partition,
    };
    Ok(first.into_iter().map(transaction).collect())
}

/// Of each of `partitions` the producer whose transaction begins where `held` says.
async fn first_at(
    source: &Cluster,
    held: &BTreeMap<TopicPartition, i64>,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, ProducerState>> {
    let producers = kafka::all_ok(source.describe_producers(partitions).await)?;
    let first = |(partition, states): (TopicPartition, Vec<ProducerState>)| {
        let offset = held.get(&partition).copied();
        let state =
            states.into_iter().find(|state| state.transaction_start.is_some() && state.transaction_start == offset)?;
        Some((partition, state))
    };
    Ok(producers.into_iter().filter_map(first).collect())
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
        let Self { partition, offset, producer_id, producer_epoch, last_written, hanging, asked: _ } = self;
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
        let Self { partition: TopicPartition { topic, partition }, offset, producer_id, asked, .. } = self;
        let tool = format!("kafka-transactions.sh --bootstrap-server {bootstrap}");
        let look = match asked {
            true => format!(
                "look first: `{tool} list`, as a user who may describe every transactional id, must not show producer \
                 {producer_id} as Ongoing; then end it with"
            ),
            // ListTransactions came with 3.0 (KIP-664), what `abort` asks for is there from 2.8 on.
            false => format!(
                "that is by the timestamps of its records, since brokers before Kafka 3.0 do not tell which transactions are \
                 alive. Look first: one that is alive ends within transaction.max.timeout.ms of the source (15 minutes by default); \
                 when it is still there after that and no producer with id {producer_id} is known to be at work, end it, with the \
                 tools of Kafka 3.0 or later, by"
            ),
        };
        format!("{look} `{tool} abort --topic {topic} --partition {partition} --start-offset {offset}`")
    }
}

/// Producer ids whose transaction will end, by their producer or by timeout; nothing from brokers before 3.0, which do not tell.
async fn ongoing(source: &Cluster) -> Result<Option<BTreeSet<i64>>> {
    match source.ongoing_transactions().await {
        Err(kafka::Error::UnsupportedApi { .. }) => Ok(None),
        outcome => Ok(Some(outcome?)),
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
            asked: true,
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
    fn where_coordinators_cannot_be_asked_nobody_is_told_to_list_them() {
        let transaction = OpenTransaction { asked: false, ..transaction(true) };
        let line = transaction.line("b1:9092");
        assert!(!line.contains("list`") && line.contains("by the timestamps of its records"), "{line}");
        assert!(line.contains("transaction.max.timeout.ms") && line.contains("tools of Kafka 3.0 or later"), "{line}");
        let abort =
            "`kafka-transactions.sh --bootstrap-server b1:9092 abort --topic orders --partition 3 --start-offset 71`";
        assert!(line.ends_with(abort), "{line}");
    }

    #[test]
    fn what_an_older_release_stored_was_asked() {
        let mut json = serde_json::to_value(transaction(true)).unwrap();
        json.as_object_mut().unwrap().remove("asked");
        assert_eq!(serde_json::from_value::<OpenTransaction>(json).unwrap(), transaction(true));
    }

    #[test]
    fn an_open_transaction_is_only_noted() {
        assert!(refuse_hanging(&[transaction(false)], "b1:9092").is_ok());
        assert!(transaction(false).line("").ends_with("what is behind it is copied when it ends"));
    }
}
