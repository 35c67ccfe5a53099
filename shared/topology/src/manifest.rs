//! Which partitions there are to copy, from where, and which invocation copies which.
//!
//! Deals are numbered from 0, the one of the topology copy; later ones hold what appeared on the source on the way. Each is
//! one object that nobody can replace: whoever stores it first decides. Batches, positions and the manifest follow from
//! the deals, so that a second run, or another at the same time, writes the same whatever the source looks like by then.
//! Were batches stored one by one, those of two deals could mix, and a partition be in none of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use copy::batches;
use kafka::{Cluster, OffsetSpec};
use migration::progress::PartitionProgress;
use migration::{BatchId, Error, Result, TopicPartition};
use runtime::Run;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::configs::TopicConfigs;
use crate::inventory::{Topic, Topics};

/// What the state machine's Maps read: one item for each batch.
const MANIFEST: &str = "manifests/batches.json";

/// One deal: all that was known of the source then, dealt into batches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Deal {
    topics: BTreeMap<Arc<str>, DealtTopic>,
    batches: Vec<Vec<Entry>>,
}

/// A topic of the source as it was when the first of its partitions were dealt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealtTopic {
    /// Its id, where the source has ids.
    pub id: Option<String>,
    /// Configs that were set on it.
    pub configs: TopicConfigs,
}

/// One partition of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    partition: TopicPartition,
    /// Log start on the source.
    source_start: i64,
    /// Source offset that the seed has to reach: the last stable one. What the tail copies from its beginning needs no
    /// seed.
    seed_end: i64,
    /// Bytes of the source's log.
    bytes: i64,
}

/// Partitions of one topic that appeared on the source after the migration had begun, and are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickedUp {
    /// The topic.
    pub topic: String,
    /// Numbers of the partitions, ascending.
    pub partitions: Vec<i32>,
    /// Whether the whole topic is new; otherwise partitions were added to it.
    pub new_topic: bool,
}

/// Every deal of a migration so far.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    deals: Vec<Deal>,
}

impl Manifest {
    /// Reads all deals; none before the topology was copied.
    ///
    /// # Errors
    /// What S3 gives.
    pub async fn load(run: &Run<'_>) -> Result<Self> {
        let mut deals = Vec::new();
        loop {
            let name = deal_name(deals.len());
            let Some(object) = run.store.get(&name).await? else { return Ok(Self { deals }) };
            let deal = serde_json::from_slice(&object.body);
            deals.push(deal.map_err(|error| Error::internal(format_args!("{name} cannot be read: {error}")))?);
        }
    }

    /// How often it was extended.
    pub fn generation(&self) -> u32 {
        self.deals.len().saturating_sub(1) as u32
    }

    /// Every topic as it was when it was first dealt.
    pub fn topics(&self) -> BTreeMap<&Arc<str>, &DealtTopic> {
        let mut topics = BTreeMap::new();
        for (name, topic) in self.deals.iter().flat_map(|deal| &deal.topics) {
            topics.entry(name).or_insert(topic);
        }
        topics
    }

    /// The topics of the topology copy, as they were then.
    pub fn beginning(&self) -> BTreeMap<&Arc<str>, &DealtTopic> {
        self.deals.first().into_iter().flat_map(|deal| &deal.topics).collect()
    }

    /// Every partition.
    pub fn partitions(&self) -> BTreeSet<&TopicPartition> {
        self.deals.iter().flat_map(Deal::partitions).collect()
    }

    /// What was dealt after the beginning, in the order in which it was.
    pub fn picked_up(&self) -> Vec<PickedUp> {
        let mut known: BTreeSet<&Arc<str>> = BTreeSet::new();
        let mut picked_up = Vec::new();
        for (number, deal) in self.deals.iter().enumerate() {
            let mut added: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
            for partition in deal.partitions() {
                added.entry(&partition.topic).or_default().push(partition.partition);
            }
            for (topic, mut partitions) in added {
                let new_topic = known.insert(topic);
                if number > 0 {
                    partitions.sort_unstable();
                    picked_up.push(PickedUp { topic: topic.to_string(), partitions, new_topic });
                }
            }
        }
        picked_up
    }

    /// Deals all partitions of `topics` out, unless that was done before.
    ///
    /// # Errors
    /// Blocked without any partition; otherwise what the source and S3 give.
    pub async fn begin(run: &Run<'_>, source: &Cluster, topics: &Topics) -> Result<Self> {
        let mut manifest = Self::load(run).await?;
        if manifest.deals.is_empty() {
            let partitions: Vec<_> = topics.values().flat_map(Topic::partitions).collect();
            if partitions.is_empty() {
                return Err(Error::blocked("the source has no topics to migrate"));
            }
            let ends = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::LastStable).await)?;
            let deal = deal(run, source, topics, partitions, |partition, _| ends[partition]).await?;
            manifest.append(run, &deal).await?;
        }
        Ok(manifest)
    }

    /// Deals `partitions` of `topics` out in batches of their own. When somebody else extended the manifest first, that is
    /// what it has then, and some of `partitions` may not be in it yet.
    ///
    /// # Errors
    /// What the source and S3 give.
    pub async fn extend(
        &mut self,
        run: &Run<'_>,
        source: &Cluster,
        topics: &Topics,
        partitions: Vec<TopicPartition>,
    ) -> Result<()> {
        let deal = deal(run, source, topics, partitions, |_, start| start).await?;
        self.append(run, &deal).await
    }

    async fn append(&mut self, run: &Run<'_>, deal: &Deal) -> Result<()> {
        let name = deal_name(self.deals.len());
        let body = serde_json::to_vec(deal).map_err(|error| Error::internal(format_args!("{name}: {error}")))?;
        // Whoever is first, what is stored counts.
        run.store.put_once(&name, body.into(), HashMap::new()).await?;
        self.deals.push(run.store.get_json(&name).await?);
        Ok(())
    }

    /// Gives each partition its position in the journal, writes the manifest that Maps read, and tells running tails of it.
    /// Returns the number of batches. Repeating it changes nothing.
    ///
    /// # Errors
    /// What S3 and the journal give.
    pub async fn publish(&self, run: &Run<'_>) -> Result<u32> {
        let mut items = Vec::new();
        for (number, entries) in (0..).zip(self.deals.iter().flat_map(|deal| &deal.batches)) {
            let batch = BatchId(number);
            run.store.put_json(&format!("manifests/batch-{batch}.json"), entries).await?;
            let new = |entry: &Entry| {
                let Entry { partition, source_start, seed_end, bytes } = entry.clone();
                PartitionProgress::new(partition, source_start, seed_end).sized(bytes)
            };
            run.journal.init_partitions(batch, &entries.iter().map(new).collect::<Vec<_>>()).await?;
            items.push(json!({"migration_id": run.id, "batch": batch, "generation": self.generation()}));
        }
        // Behind the batches, so that it never names one that is not there.
        run.store.put_json(MANIFEST, &items).await?;
        run.journal.set_fact("batches", &json!(items.len())).await?;
        run.journal.set_tail_generation(self.generation()).await?;
        Ok(items.len() as u32)
    }
}

impl Deal {
    fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.batches.iter().flatten().map(|entry| &entry.partition)
    }
}

/// Deals `partitions`; `seed_end` gives the end of a partition's seed from its log start.
async fn deal(
    run: &Run<'_>,
    source: &Cluster,
    topics: &Topics,
    partitions: Vec<TopicPartition>,
    seed_end: impl Fn(&TopicPartition, i64) -> i64,
) -> Result<Deal> {
    let starts = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let sizes = source.log_sizes().await?;
    let size = |partition: &TopicPartition| sizes.get(partition).copied().unwrap_or(0);
    let sized = partitions.into_iter().map(|partition| (partition.clone(), size(&partition)));
    let dealt = batches::deal(sized.collect(), run.config.seed.partitions_per_batch as usize);
    let entry = |partition: TopicPartition| {
        let source_start = starts[&partition];
        Entry { source_start, seed_end: seed_end(&partition, source_start), bytes: size(&partition), partition }
    };
    let batches: Vec<Vec<_>> = dealt.into_iter().map(|batch| batch.into_iter().map(entry).collect()).collect();
    let dealt_topic = |topic: &Topic| DealtTopic { id: topic.info.id.clone(), configs: topic.configs.clone() };
    let topics = topics.iter().map(|(name, topic)| (name.clone(), dealt_topic(topic))).collect();
    Ok(Deal { topics, batches })
}

fn deal_name(number: usize) -> String {
    format!("manifests/deal-{number}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal(partitions: &[(&str, i32)], config: &str) -> Deal {
        let entry = |(topic, partition): &(&str, i32)| Entry {
            partition: TopicPartition::new(*topic, *partition),
            source_start: 3,
            seed_end: 5,
            bytes: 7,
        };
        let configs = BTreeMap::from([("retention.ms".to_owned(), config.to_owned())]);
        let topics =
            partitions.iter().map(|(topic, _)| ((*topic).into(), DealtTopic { id: None, configs: configs.clone() }));
        Deal { topics: topics.collect(), batches: vec![partitions.iter().map(entry).collect()] }
    }

    #[test]
    fn later_deals_say_what_was_new_in_them() {
        let deals = vec![deal(&[("a", 0)], "1"), deal(&[("b", 1), ("b", 0), ("a", 1)], "2"), deal(&[("b", 2)], "3")];
        let manifest = Manifest { deals };
        let new = |topic: &str, partitions: &[i32], new_topic| PickedUp {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
            new_topic,
        };
        assert_eq!(manifest.picked_up(), [new("a", &[1], false), new("b", &[0, 1], true), new("b", &[2], false)]);
        assert_eq!((manifest.generation(), manifest.partitions().len()), (2, 5));
    }

    #[test]
    fn a_topic_is_remembered_as_it_was_first_dealt() {
        let manifest = Manifest { deals: vec![deal(&[("a", 0)], "1"), deal(&[("a", 1), ("b", 0)], "2")] };
        let topics = manifest.topics();
        let retention = |topic: &str| topics[&Arc::from(topic)].configs["retention.ms"].as_str();
        assert_eq!((retention("a"), retention("b")), ("1", "2"));
    }

    #[test]
    fn a_stored_deal_reads_back() {
        let deal = deal(&[("a", 0), ("b", 7)], "1");
        assert_eq!(serde_json::from_slice::<Deal>(&serde_json::to_vec(&deal).unwrap()).unwrap(), deal);
    }
}
