//! What the cutover has decided and the topology copy has seen: what both clusters are compared with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use documents::cutover_plan::PartitionEnd;
use documents::settings::TopicConfigs;
use documents::{CutoverPlan, Document};
use migration::{Error, Result, TopicPartition};
use runtime::Run;
use serde::{Deserialize, Serialize};
use topology::Manifest;

/// What the comparison of partitions needs to know. It never changes once the cutover has passed its mark.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    /// Where every partition ends.
    pub(crate) ends: BTreeMap<TopicPartition, PartitionEnd>,
    /// The configs that the target's topics got.
    pub(crate) configs: BTreeMap<Arc<str>, TopicConfigs>,
    /// Ids of the source's topics, where it has ids.
    pub(crate) source_ids: BTreeMap<Arc<str>, String>,
}

/// The parts of the cutover's plan that are needed for every batch. Its groups are many, and looked at once.
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    ends: Vec<PartitionEnd>,
    settings: BriefSettings,
}

#[derive(Debug, Serialize, Deserialize)]
struct BriefSettings {
    #[serde(default)]
    configs: BTreeMap<Arc<str>, TopicConfigs>,
}

impl Document for Brief {
    const NAME: &'static str = CutoverPlan::NAME;
    const VERSION: u32 = CutoverPlan::VERSION;
}

/// The reference that this process has read last, by the plan's address.
static READ: Mutex<Option<(String, Arc<Reference>)>> = Mutex::new(None);

/// Key of the plan that the cutover carried out.
///
/// # Errors
/// Internal without one, since validation comes after the cutover.
pub(crate) fn plan_key<'a>(run: &'a Run<'_>) -> Result<&'a str> {
    let key = run.meta.plan.as_deref();
    key.ok_or_else(|| Error::internal("the journal names no plan of a cutover, so there is nothing to compare with"))
}

impl Reference {
    /// The reference of `run`. Read once for all the batches that this process compares: it does not change.
    ///
    /// # Errors
    /// Blocked when the plan was deleted; otherwise those of the store.
    pub(crate) async fn of(run: &Run<'_>) -> Result<Arc<Self>> {
        let key = plan_key(run)?;
        let address = run.store.url(key);
        let known = READ.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, reference)) = known.filter(|(read, _)| *read == address) {
            return Ok(reference);
        }
        let brief: Brief = documents::read(&run.store, key).await?;
        let reference = Arc::new(Self::new(brief, &Manifest::load(run).await?));
        *READ.lock().unwrap_or_else(PoisonError::into_inner) = Some((address, reference.clone()));
        Ok(reference)
    }

    fn new(Brief { ends, settings }: Brief, manifest: &Manifest) -> Self {
        let ids = manifest.topics().into_iter().filter_map(|(name, topic)| Some((name.clone(), topic.id.clone()?)));
        Self {
            ends: ends.into_iter().map(|end| (end.partition.clone(), end)).collect(),
            configs: settings.configs,
            source_ids: ids.collect(),
        }
    }

    /// How many partitions of each topic the cutover ended.
    pub(crate) fn partitions(&self) -> BTreeMap<Arc<str>, usize> {
        let mut counts = BTreeMap::new();
        for partition in self.ends.keys() {
            *counts.entry(partition.topic.clone()).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use documents::cutover_plan::{EndProof, GroupPlan};
    use documents::settings::Settings;

    #[test]
    fn a_plan_is_read_without_its_groups() {
        let end = |partition| PartitionEnd {
            partition: TopicPartition::new("orders", partition),
            source_end: 9,
            target_end: 6,
            proof: EndProof::End,
        };
        let configs = BTreeMap::from([("orders".into(), TopicConfigs::from([("a".to_owned(), "1".to_owned())]))]);
        let plan = CutoverPlan {
            made_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            rehearsal: "r".to_owned(),
            ends: vec![end(0), end(1)],
            groups: vec![GroupPlan::skipped("g", "why")],
            settings: Settings { configs: configs.clone(), ..Settings::default() },
            warnings: Vec::new(),
        };
        let stored = documents::document::encode(&plan).unwrap();
        let brief: Brief = documents::document::decode(&stored).unwrap();
        let reference = Reference::new(brief, &Manifest::default());
        assert_eq!(reference.ends.len(), 2);
        assert_eq!(reference.configs, configs);
        assert_eq!(reference.partitions(), BTreeMap::from([("orders".into(), 2)]));
    }
}
