//! What is on record of a run, as far as it can be read: its working data may be damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use documents::settings::TopicConfigs;
use journal::{Journal, ProducerId, Remains};
use kafka::batch;
use migration::{BatchId, Result};
use runtime::Store;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::decide::Known;
use crate::made;
use crate::target_state::{BEFORE, TargetState, TopicState};

/// What is on record.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// What decides.
    pub(super) known: Known,
    /// Topics that the target had before, with the configs that were set on them then.
    pub(super) had: BTreeMap<Arc<str>, TopicConfigs>,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

/// A deal of the manifest, as far as it matters here.
#[derive(Deserialize)]
struct DealtTopics {
    topics: BTreeMap<Arc<str>, serde_json::Value>,
}

/// The report of the topology copy, as far as it matters here.
#[derive(Deserialize)]
struct Created {
    created: BTreeSet<Arc<str>>,
}

/// Reads what is on record in `store` and in the journal, of which `remains` is what is left of the run's own item.
///
/// # Errors
/// When S3 or DynamoDB cannot be asked. What is damaged is a note.
pub(super) async fn read(store: &Store, journal: &Journal, remains: Option<&Remains>) -> Result<Record> {
    let mut notes = Vec::new();
    let before: Option<TargetState> = readable(store, BEFORE, &mut notes).await?;
    let report: Option<Created> = readable(store, "topology/report.json", &mut notes).await?;
    let mut created = report.map(|report| report.created).unwrap_or_default();
    for name in store.list(made::FOLDER, None).await? {
        created.extend(readable::<BTreeSet<Arc<str>>>(store, &name, &mut notes).await?.unwrap_or_default());
    }
    let mut copied = BTreeSet::new();
    for name in store.list("manifests/deal-", None).await? {
        let deal: Option<DealtTopics> = readable(store, &name, &mut notes).await?;
        copied.extend(deal.into_iter().flat_map(|deal| deal.topics.into_keys()));
    }
    copied.extend(in_journal(journal, remains.map_or(0, |remains| remains.batches), &mut notes).await?);
    if before.is_none() && !copied.is_empty() {
        notes.push(format!(
            "{} is not there: of topics that are nowhere on record as created it is not known whether the target had them before",
            store.url(BEFORE)
        ));
    }
    let producer = match remains.and_then(|remains| remains.producer) {
        Some(producer) => Some(producer),
        None => stored_producer(store).await?,
    };
    let configs = |(name, topic): (Arc<str>, TopicState)| (name, topic.configs);
    let had = before.map(|before| before.topics.into_iter().map(configs).collect());
    Ok(Record { known: known(created, copied, had.as_ref(), producer), had: had.unwrap_or_default(), notes })
}

/// Topics that were copied to and not there before were created. Where it is not on record what was there before, only what is
/// on record as created was.
fn known(
    mut created: BTreeSet<Arc<str>>,
    copied: BTreeSet<Arc<str>>,
    had: Option<&BTreeMap<Arc<str>, TopicConfigs>>,
    producer: Option<ProducerId>,
) -> Known {
    let before: BTreeSet<_> = had.into_iter().flat_map(BTreeMap::keys).cloned().collect();
    let mut unclear = BTreeSet::new();
    match had {
        Some(_) => created.extend(copied),
        None => unclear = copied.difference(&created).cloned().collect(),
    }
    created.retain(|topic| !before.contains(topic));
    Known { created, before, unclear, producer, marked: None }
}

/// The object `name`; none, with a note, when it is damaged.
async fn readable<T: DeserializeOwned>(store: &Store, name: &str, notes: &mut Vec<String>) -> Result<Option<T>> {
    let Some(object) = store.get(name).await? else { return Ok(None) };
    match serde_json::from_slice(&object.body) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            notes.push(format!("{} cannot be read: {error}", store.url(name)));
            Ok(None)
        }
    }
}

/// Topics of the partitions that the journal knows.
async fn in_journal(journal: &Journal, batches: u32, notes: &mut Vec<String>) -> Result<BTreeSet<Arc<str>>> {
    let mut topics = BTreeSet::new();
    for batch in (0..batches).map(BatchId) {
        match journal.partitions(batch).await {
            Ok(partitions) => topics.extend(partitions.into_iter().map(|progress| progress.partition.topic)),
            Err(error) if error.kind.is_retryable() => return Err(error),
            Err(error) => notes.push(error.message),
        }
    }
    Ok(topics)
}

/// Who wrote what is stored of the copy: the batches of segments and of the tail's objects are those that were produced, and both
/// kinds of object begin with them.
async fn stored_producer(store: &Store) -> Result<Option<ProducerId>> {
    for folder in ["segments/", "tail/"] {
        let Some(name) = store.first(folder).await? else { continue };
        let producer = store.get(&name).await?.and_then(|object| producer_of(object.body));
        if producer.is_some() {
            return Ok(producer);
        }
    }
    Ok(None)
}

fn producer_of(stored: Bytes) -> Option<ProducerId> {
    let first = batch::split(stored).next()?.ok()?;
    let header = first.header();
    Some(ProducerId { id: header.producer_id, epoch: header.producer_epoch }).filter(|producer| producer.id >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Record, Stamp, encode};

    fn names(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn what_was_copied_and_not_there_before_was_created() {
        let had = [("old".into(), TopicConfigs::new())].into();
        let known = known(names(&["made", "old"]), names(&["dealt", "old"]), Some(&had), None);
        assert_eq!(
            (known.created, known.before, known.unclear),
            (names(&["dealt", "made"]), names(&["old"]), names(&[]))
        );
    }

    #[test]
    fn without_a_record_of_the_target_only_what_is_on_record_as_created_was() {
        let known = known(names(&["made"]), names(&["dealt", "made"]), None, None);
        assert_eq!((known.created, known.before, known.unclear), (names(&["made"]), names(&[]), names(&["dealt"])));
    }

    #[test]
    fn a_stored_batch_says_who_wrote_it() {
        let stored = |stamp| {
            let batch = encode(&[Record::default()], Codec::None, stamp, 0).unwrap();
            batch.into_bytes()
        };
        assert_eq!(producer_of(stored(Stamp::nth(7, 3, 0))), Some(ProducerId { id: 7, epoch: 3 }));
        assert_eq!(producer_of(stored(Stamp::NONE)), None);
        assert_eq!(producer_of(Bytes::from_static(b"damaged")), None);
    }
}
