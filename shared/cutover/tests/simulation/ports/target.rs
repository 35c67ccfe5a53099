//! The target as a cutover function sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cutover::ports::{Applied, Target};
use documents::Settings;
use kafka::{Api, Code, CommittedOffset, Each, GroupDescription, NewOffset, Place};
use migration::{Error, Result, TopicPartition};
use tokio::time::{Instant, sleep};

use crate::request::{Invocation, To, closed};
use crate::target::{By, Committed};
use crate::witness;
use crate::world::World;

/// How long a commit is repeated that fails for a passing reason.
const REPEATED: Duration = Duration::from_secs(30);

impl Target for Invocation {
    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, (i64, i64)>> {
        let partitions = partitions.to_vec();
        let ask = move |world: &mut World| {
            let of = |partition: &TopicPartition| {
                let log = &world.target.logs[world.setup.index_of(partition).unwrap()];
                (partition.clone(), (log.start, log.end()))
            };
            Ok(partitions.iter().map(of).collect())
        };
        self.cluster("bounds", ask).await
    }

    async fn hold_configs(&self, topics: &[Arc<str>]) -> Result<()> {
        let topics = topics.to_vec();
        let ask =
            move |world: &mut World| Ok(topics.iter().find(|topic| world.target.altered.contains_key(*topic)).cloned());
        let altered: Option<Arc<str>> = self.cluster("hold configs", ask).await?;
        altered.map_or(Ok(()), |topic| Err(Error::data_unsafe("a config was altered on the target").at_topic(&topic)))
    }

    async fn describe_groups(&self, groups: &[String]) -> Each<String, GroupDescription> {
        let ids = groups.to_vec();
        let ask = move |world: &mut World| Ok(ids.iter().map(|id| (id.clone(), world.target.describe(id))).collect());
        let described: Result<Vec<_>> = self.cluster("describe groups", ask).await;
        match described {
            Ok(described) => described.into_iter().map(|(id, group)| (id, Ok(group))).collect(),
            Err(_) => groups.iter().map(|id| (id.clone(), Err(closed()))).collect(),
        }
    }

    async fn group_offsets(&self, groups: &[String]) -> Result<BTreeMap<String, Vec<CommittedOffset>>> {
        let ids = groups.to_vec();
        let ask = move |world: &mut World| Ok(ids.iter().map(|id| (id.clone(), world.target.offsets(id))).collect());
        self.cluster("target group offsets", ask).await
    }

    async fn commit(&self, group: &str, offsets: &[NewOffset]) -> Each<TopicPartition, ()> {
        let until = Instant::now() + REPEATED;
        let mut pause = Duration::from_millis(100);
        loop {
            let (number, id, wanted) = (self.number, group.to_owned(), offsets.to_vec());
            let answer = self.ask(To::Cluster, "commit", move |world| commit(world, number, &id, &wanted)).await;
            let each: Each<_, _> = match answer {
                Some(each) => each,
                None => offsets.iter().map(|offset| (offset.partition.clone(), Err(closed()))).collect(),
            };
            let passes = each.iter().any(|(_, outcome)| outcome.as_ref().is_err_and(kafka::Error::is_retryable));
            if !passes || Instant::now() + pause > until {
                return each;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn apply(&self, _: &Settings) -> Result<Applied> {
        let apply = |world: &mut World| {
            if world.target.refuses_settings > 0 {
                world.saw("settings refused");
            }
            match world.target.refuses_settings {
                0 => Ok(Applied { configs: 1, ..Applied::default() }),
                1 => Ok(Applied { warnings: vec!["topic orders: retention.ms".to_owned()], ..Applied::default() }),
                _ => {
                    let (api, code) = (Api::IncrementalAlterConfigs, Code::PolicyViolation);
                    Err(kafka::Error::Broker { api, code, place: Place::Cluster, message: None })
                }
            }
        };
        self.cluster("apply", apply).await
    }
}

/// The coordinator takes each of `offsets` or refuses it.
fn commit(world: &mut World, number: usize, id: &str, offsets: &[NewOffset]) -> Each<TopicPartition, ()> {
    let is_refused = world.dice.chance(world.faults.refused);
    let mut outcomes = Vec::new();
    for offset in offsets {
        let NewOffset { partition, offset: wanted, metadata } = offset.clone();
        let passing = is_refused.then_some(Code::NotCoordinator);
        if let Some(code) = passing.or_else(|| world.target.refusal(id, offset)) {
            let place = Place::Offset { group: id.to_owned(), partition: partition.clone() };
            let error = kafka::Error::Broker { api: Api::OffsetCommit, code, place, message: None };
            if !error.is_retryable() {
                world.saw("commit refused");
            }
            outcomes.push((partition, Err(error)));
            continue;
        }
        witness::commits(world, number, id, offset);
        let committed = Committed { offset: wanted, metadata, by: By::Migration };
        world.target.group(id).offsets.insert(partition.clone(), committed);
        outcomes.push((partition, Ok(())));
    }
    outcomes
}
