//! The source as a cutover function sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover::ports::{GroupOffsets, Markers, Offsets, PendingOffset, Source, SourceChanges, WrittenBatch};
use documents::rehearsal::Rehearsal;
use kafka::{Api, Code, Each, GroupListing, Place, ProducerIdentity};
use migration::{Result, TopicPartition};
use tokio::time::{Instant, sleep, sleep_until};

use crate::request::{Invocation, closed};
use crate::source::{Entry, Kind, Log, MARKER_PRODUCER, Writer};
use crate::world::{Shared, World};

impl Source for Invocation {
    async fn ends(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let partitions = partitions.to_vec();
        self.cluster("ends", move |world| each(world, &partitions, |log, _| log.end())).await
    }

    async fn stable_ends(&self, partitions: &[TopicPartition]) -> Result<Offsets> {
        let partitions = partitions.to_vec();
        let ask = move |world: &mut World| {
            let found = each(world, &partitions, |log, _| (log.last_stable(), log.last_stable() < log.end()))?;
            if found.values().any(|(_, is_open)| *is_open) {
                world.saw("open transaction waited for");
            }
            Ok(found)
        };
        let found = self.cluster("stable ends", ask).await?;
        let open = found.iter().filter(|(_, (_, is_open))| *is_open).map(|(partition, _)| partition.clone());
        self.world.lock().witness.known(self.number).open = open.collect();
        Ok(found.into_iter().map(|(partition, (stable, _))| (partition, stable)).collect())
    }

    async fn batches(&self, from: &[(TopicPartition, i64)]) -> Result<BTreeMap<TopicPartition, Vec<WrittenBatch>>> {
        let from: Offsets = from.iter().cloned().collect();
        let partitions: Vec<_> = from.keys().cloned().collect();
        let ask = move |world: &mut World| each(world, &partitions, |log, name| log.batches_from(from[name]));
        self.cluster("written batches", ask).await
    }

    async fn append_markers(&self, partitions: &[TopicPartition]) -> Result<Markers> {
        let (shared, partitions) = (self.world.clone(), partitions.to_vec());
        self.cluster("append markers", move |world| Ok(append_markers(&shared, world, &partitions))).await
    }

    async fn append_records(&self, partitions: &[TopicPartition]) -> Each<TopicPartition, i64> {
        let wanted = partitions.to_vec();
        let append = move |world: &mut World| -> Each<TopicPartition, i64> {
            wanted.iter().map(|partition| (partition.clone(), append_record(world, partition))).collect()
        };
        match self.ask(crate::request::To::Cluster, "append records", append).await {
            Some(outcomes) => outcomes,
            None => partitions.iter().map(|partition| (partition.clone(), Err(closed()))).collect(),
        }
    }

    async fn changes_since(&self, _: &Rehearsal) -> Result<SourceChanges> {
        let appeared = |_: &mut World| Ok(vec!["ACL: User:app is denied Write on topic orders".to_owned()]);
        let appeared = self.cluster("changes since", appeared).await?;
        Ok(SourceChanges { appeared })
    }

    async fn groups(&self) -> Result<Vec<GroupListing>> {
        let list = |world: &mut World| {
            let pending = world.source.pending().map(|(_, _, pending)| pending.group.clone());
            let listed: Vec<_> = if world.setup.lists_pending { pending.collect() } else { Vec::new() };
            Ok(world.groups.listing(listed.into_iter()))
        };
        self.cluster("source groups", list).await
    }

    async fn group_offsets(&self, groups: &[String]) -> Result<BTreeMap<String, GroupOffsets>> {
        let (number, ids) = (self.number, groups.to_vec());
        let read = move |world: &mut World| {
            let offsets = world.groups.offsets(&ids, &world.source);
            world.witness.snapshot(number, &offsets);
            Ok(offsets)
        };
        let offsets = self.cluster("source group offsets", read).await?;
        let pending = offsets.iter().filter(|(_, offsets)| !offsets.pending.is_empty()).map(|(id, _)| id.clone());
        let world = &mut *self.world.lock();
        let known = world.witness.known(self.number);
        known.pending = std::mem::take(&mut known.listed).into_iter().chain(pending).collect();
        Ok(offsets)
    }

    async fn pending_offsets(&self) -> Result<Vec<PendingOffset>> {
        let list = |world: &mut World| {
            let pending = world.source.pending().map(|(producer_id, is_hidden, pending)| PendingOffset {
                group: pending.group.clone(),
                partition: (!is_hidden).then(|| pending.partition.clone()),
                producer_id,
            });
            let pending: Vec<_> = pending.collect();
            if !pending.is_empty() {
                world.saw("pending commit waited for");
            }
            Ok(pending)
        };
        let pending = self.cluster("pending offsets", list).await?;
        let groups = pending.iter().map(|pending| pending.group.clone());
        self.world.lock().witness.known(self.number).listed = groups.collect();
        Ok(pending)
    }
}

fn broker(api: Api, code: Code, partition: &TopicPartition) -> kafka::Error {
    kafka::Error::Broker { api, code, place: Place::Partition(partition.clone()), message: None }
}

/// What `ask` says of the log of each of `partitions`, if all leaders answer.
fn each<T>(
    world: &mut World,
    partitions: &[TopicPartition],
    ask: impl Fn(&Log, &TopicPartition) -> T,
) -> kafka::Result<BTreeMap<TopicPartition, T>> {
    if let Some(first) = partitions.first().filter(|_| world.dice.chance(world.faults.refused)) {
        return Err(broker(Api::ListOffsets, Code::NotLeaderOrFollower, first));
    }
    let of = |partition: &TopicPartition| {
        let log = &world.source.logs[world.setup.index_of(partition).unwrap()];
        match log.away_until.filter(|until| *until > Instant::now()) {
            Some(_) => Err(kafka::Error::NoLeader { partition: partition.clone() }),
            None => Ok((partition.clone(), ask(log, partition))),
        }
    };
    partitions.iter().map(of).collect()
}

/// Begins and commits an empty transaction. Leaders write its markers behind the answer.
fn append_markers(shared: &Shared, world: &mut World, partitions: &[TopicPartition]) -> Markers {
    world.source.marker_epoch += 1;
    let identity = ProducerIdentity { id: MARKER_PRODUCER, epoch: world.source.marker_epoch };
    let mut refused = BTreeMap::new();
    for partition in partitions {
        let index = world.setup.index_of(partition).unwrap();
        if let Some(reason) = world.source.logs[index].no_marker {
            refused.insert(partition.clone(), reason.to_owned());
            world.saw("marker refused");
            continue;
        }
        let World { dice, faults, .. } = world;
        let after = if dice.chance(faults.late_markers) { dice.millis(500..20_000) } else { dice.millis(0..15) };
        tokio::spawn(append_marker(shared.clone(), index, identity, after));
    }
    Markers { identity, refused }
}

async fn append_marker(shared: Shared, index: usize, identity: ProducerIdentity, after: Duration) {
    sleep(after).await;
    loop {
        let away = {
            let world = &mut *shared.lock();
            let at = world.elapsed();
            let log = &mut world.source.logs[index];
            let away = log.away_until.filter(|until| *until > Instant::now());
            if away.is_none() {
                log.append_marker(identity, at);
            }
            away
        };
        let Some(until) = away else { return };
        sleep_until(until).await;
    }
}

fn append_record(world: &mut World, partition: &TopicPartition) -> kafka::Result<i64> {
    let at = world.elapsed();
    let is_refused = world.dice.chance(world.faults.refused);
    let log = &mut world.source.logs[world.setup.index_of(partition).unwrap()];
    if log.no_record {
        return Err(broker(Api::Produce, Code::TopicAuthorizationFailed, partition));
    }
    if is_refused || log.away_until.is_some_and(|until| until > Instant::now()) {
        return Err(broker(Api::Produce, Code::NotEnoughReplicas, partition));
    }
    let (kind, writer) = (Kind::Plain, Writer::Sentinel);
    Ok(log.append(Entry { base: 0, records: 1, kind, writer, identity: None, at }))
}
