//! The source's ACLs and the journal's record of the write fence, as functions see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cutover::ports::{Acls, Record};
use journal::{StoredFence, WriteFence};
use kafka::{AclBinding, AclOperation, Api, Code, Place};
use migration::{Result, TopicPartition};
use tokio::time::Instant;

use crate::request::{Invocation, To};
use crate::rules;
use crate::world::World;

impl Acls for Invocation {
    async fn rules(&self) -> Result<Option<Vec<AclBinding>>> {
        self.cluster("rules", |world| Ok(Some(world.source.rules.iter().cloned().collect()))).await
    }

    async fn add(&self, rules: &[AclBinding]) -> Result<()> {
        let (shared, rules) = (self.world.clone(), rules.to_vec());
        let add = move |world: &mut World| {
            let (now, outcome) = partly(world, &rules, Api::CreateAcls);
            rules::change(&shared, world, |there| there.extend(now));
            outcome
        };
        self.cluster("add rules", add).await
    }

    async fn remove(&self, rules: &[AclBinding]) -> Result<()> {
        let (shared, rules) = (self.world.clone(), rules.to_vec());
        let remove = move |world: &mut World| {
            let (now, outcome) = partly(world, &rules, Api::DeleteAcls);
            rules::change(&shared, world, |there| there.retain(|rule| !now.contains(rule)));
            outcome
        };
        self.cluster("remove rules", remove).await
    }

    async fn permitted(&self, topics: &[Arc<str>], operation: AclOperation) -> Result<BTreeSet<Arc<str>>> {
        let topics = topics.to_vec();
        let ask = move |world: &mut World| {
            let may = |topic: &&Arc<str>| match operation {
                AclOperation::Write => rules::may_write(world, topic),
                _ => rules::may_read(world, topic),
            };
            Ok(topics.iter().filter(may).cloned().collect())
        };
        self.cluster("permitted", ask).await
    }

    async fn unrefused(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, String>> {
        let partitions = partitions.to_vec();
        let probe = move |world: &mut World| {
            let said = |partition: &TopicPartition| {
                let log = &world.source.logs[world.setup.index_of(partition).unwrap()];
                let is_away = log.away_until.is_some_and(|until| until > Instant::now());
                let said = if is_away { "has no leader" } else { "it takes writes" };
                (is_away || !log.denies).then(|| (partition.clone(), said.to_owned()))
            };
            Ok(partitions.iter().filter_map(said).collect())
        };
        self.cluster("probe", probe).await
    }

    async fn refusing(&self, topics: &BTreeSet<Arc<str>>) -> Result<BTreeSet<Arc<str>>> {
        let topics = topics.clone();
        let probe = move |world: &mut World| {
            let refuses = |topic: &&Arc<str>| rules::is_refused(world, topic);
            Ok(topics.iter().filter(refuses).cloned().collect())
        };
        self.cluster("probe what is lifted", probe).await
    }
}

/// Those of `rules` that take effect before a controller is lost, if it is: both of a topic, or none.
fn partly(world: &mut World, rules: &[AclBinding], api: Api) -> (Vec<AclBinding>, kafka::Result<()>) {
    if !world.dice.chance(world.faults.refused) {
        return (rules.to_vec(), Ok(()));
    }
    let mut some = world.dice.index(0..rules.len() + 1);
    while (1..rules.len()).contains(&some) && rules[some - 1].name == rules[some].name {
        some += 1;
    }
    let error = kafka::Error::Broker { api, code: Code::NotController, place: Place::Cluster, message: None };
    (rules[..some].to_vec(), Err(error))
}

impl Record for Invocation {
    async fn load(&self) -> Result<Option<StoredFence>> {
        self.aws(To::Journal, "read the write fence", |world| world.journal.fence.clone()).await
    }

    async fn store(&self, edition: Option<u64>, fence: &WriteFence) -> Result<bool> {
        let fence = fence.clone();
        let store = move |world: &mut World| {
            let holds = world.journal.fence.as_ref().map(|stored| stored.edition) == edition;
            if holds {
                let edition = edition.unwrap_or_default() + 1;
                world.journal.fence = Some(StoredFence { edition, fence: fence.clone() });
            }
            holds
        };
        self.aws(To::Journal, "write the write fence", store).await
    }

    fn now(&self) -> DateTime<Utc> {
        Self::now(self)
    }
}
