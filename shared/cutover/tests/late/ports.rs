//! What an invocation sees of the world.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use copy::Slice;
use cutover::late::ports::{Bounds, CopyEnd, Ledger, Ports, Reader, Scanned, Source, Target};
use documents::{Object, Objects, PutOnce};
use journal::{LateLease, Position, ProducerId};
use kafka::batch::ProduceBytes;
use kafka::{Api, Code, ConfigEntry, Each, Fetched, Place, Produced, ProducerIdentity, TopicPartition};
use migration::{Error, Phase, Result};
use tokio::time::sleep;

use crate::invocation::{Invocation, UnderWay};
use crate::logs::Taken;
use crate::world::World;

/// How long a leader waits for its followers.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

fn unreachable() -> kafka::Error {
    kafka::Error::Unreachable { message: "the connection broke".to_owned() }
}

fn broker(partition: &TopicPartition, code: Code) -> kafka::Error {
    kafka::Error::Broker { api: Api::Produce, code, place: Place::Partition(partition.clone()), message: None }
}

/// One outcome for each partition, of `answer` or of the connection that broke.
fn each<T>(partitions: &[TopicPartition], answer: Option<Vec<kafka::Result<T>>>) -> Each<TopicPartition, T> {
    match answer {
        Some(answers) => partitions.iter().cloned().zip(answers).collect(),
        None => partitions.iter().map(|partition| (partition.clone(), Err(unreachable()))).collect(),
    }
}

impl Ports for Invocation {
    type Source = Self;
    type Target = Self;
    type Ledger = Self;
    type Objects = Self;

    fn source(&self) -> &Self {
        self
    }

    fn target(&self) -> &Self {
        self
    }

    fn ledger(&self) -> &Self {
        self
    }

    fn objects(&self) -> &Self {
        self
    }

    fn now(&self) -> DateTime<Utc> {
        let elapsed = self.world.lock().unwrap().elapsed();
        DateTime::from_timestamp(1_777_000_000, 0).unwrap() + TimeDelta::from_std(elapsed).unwrap()
    }

    fn is_out_of_time(&self) -> bool {
        let is_out = self.made.load(Ordering::Relaxed) >= self.requests_left;
        if is_out {
            self.world.lock().unwrap().saw("time was up");
        }
        is_out
    }
}

impl Source for Invocation {
    type Reader = SourceReader;

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Result<Bounds, String>>> {
        let partitions = partitions.to_vec();
        let bounds = move |world: &mut World| {
            let one = |partition: &TopicPartition| {
                let log = &world.sources[World::number(partition)];
                (partition.clone(), Ok(Bounds { start: log.start, stable: log.end, end: log.end }))
            };
            partitions.iter().map(one).collect()
        };
        self.request("bounds", bounds).await.ok_or_else(|| Error::from(unreachable()))
    }

    fn reader(
        &self,
        from: BTreeMap<TopicPartition, Position>,
        _: BTreeMap<Arc<str>, usize>,
        producer: ProducerId,
    ) -> SourceReader {
        SourceReader { invocation: self.clone(), from, producer }
    }
}

/// Reads the source for an invocation.
pub(crate) struct SourceReader {
    invocation: Invocation,
    from: BTreeMap<TopicPartition, Position>,
    producer: ProducerId,
}

impl Reader for SourceReader {
    async fn read(&mut self, partitions: &[TopicPartition], _: usize) -> Result<Vec<Slice>> {
        let at = |partition: &TopicPartition| Some((partition.clone(), *self.from.get(partition)?));
        let from: Vec<_> = partitions.iter().filter_map(at).collect();
        let producer = self.producer;
        let read = move |world: &mut World| {
            from.into_iter().map(|(partition, at)| read_one(world, partition, at, producer)).collect()
        };
        let slices: Vec<Slice> =
            self.invocation.request("read", read).await.ok_or_else(|| Error::from(unreachable()))?;
        self.from.extend(slices.iter().map(|slice| (slice.partition.clone(), slice.to)));
        Ok(slices)
    }
}

fn read_one(world: &mut World, partition: TopicPartition, at: Position, producer: ProducerId) -> Slice {
    // Few bytes at a time, so that there are many batches.
    let most = world.dice.index(1..4);
    let log = &world.sources[World::number(&partition)];
    let mut slice = Slice::at(partition, at, log.end).with_limit(200);
    if log.start > at.source_next {
        match at.target_next {
            0 => slice.to.source_next = log.start,
            _ => slice.fault = Some(Error::data_unsafe("removed")),
        }
        return slice;
    }
    let records = log.read(at.source_next, most);
    let (end, start) = (log.end, log.start);
    let fetched =
        Fetched { high_watermark: end, last_stable_offset: end, log_start: start, aborted: Vec::new(), records };
    slice.append(fetched, producer).unwrap();
    slice
}

impl Target for Invocation {
    async fn ends(&self, partitions: &[TopicPartition]) -> Each<TopicPartition, i64> {
        let names = partitions.to_vec();
        let ends = move |world: &mut World| {
            names.iter().map(|name| Ok(world.targets[World::number(name)].high_watermark())).collect()
        };
        each(partitions, self.request("ends", ends).await)
    }

    async fn configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        let names = topics.to_vec();
        let configs = move |world: &mut World| {
            let one =
                |topic: &Arc<str>| world.targets[World::number(&TopicPartition::new(topic.clone(), 0))].configs(topic);
            names.iter().map(one).collect::<Vec<_>>()
        };
        match self.request("configs", configs).await {
            Some(answers) => topics.iter().cloned().zip(answers).collect(),
            None => topics.iter().map(|topic| (topic.clone(), Err(unreachable()))).collect(),
        }
    }

    async fn new_producer(&self) -> Result<ProducerIdentity> {
        let id = self.request("new producer", World::next_producer).await.ok_or_else(|| Error::from(unreachable()))?;
        Ok(ProducerIdentity { id, epoch: 0 })
    }

    async fn scan(&self, partition: &TopicPartition, from: i64, producer: i64) -> kafka::Result<Scanned> {
        let name = partition.clone();
        let scan = move |world: &mut World| {
            // Few batches at a time, so that a scan takes several.
            let most = world.dice.index(1..40);
            let log = &world.targets[World::number(&name)];
            let scanned = log.absence(&name)?.scan(from, producer, most);
            let scanned = scanned.ok_or_else(|| broker(&name, Code::OffsetOutOfRange))?;
            if !scanned.batches.is_empty() {
                world.saw("found by a scan");
            }
            if scanned.reached < scanned.end {
                world.saw("scan went on later");
            }
            Ok(scanned)
        };
        self.request("scan", scan).await.unwrap_or_else(|| Err(unreachable()))
    }

    async fn produce(&self, partition: &TopicPartition, batch: ProduceBytes) -> kafka::Result<Produced> {
        let under_way = UnderWay::begin(&self.world);
        self.world.lock().unwrap().disarm(self.number);
        let name = partition.clone();
        let produce = move |world: &mut World| {
            let log = &mut world.targets[World::number(&name)];
            log.absence(&name)?;
            let taken = log.take(batch.concat()).map(|taken| (taken, log.leader));
            match &taken {
                Ok((Taken::Duplicate(_), _)) => world.saw("duplicate answered"),
                Err(_) => world.saw("out of order answered"),
                Ok(_) => {}
            }
            world.note(|| format!("{name}: {taken:?}"));
            taken.map_err(|code| broker(&name, code))
        };
        let taken = self.request("produce", produce).await.unwrap_or_else(|| Err(unreachable()));
        let answer = match taken {
            Ok((Taken::Appended(index) | Taken::Duplicate(index), leader)) => {
                self.replicated(partition, index, leader).await
            }
            Err(error) => Err(error),
        };
        drop(under_way);
        answer
    }
}

impl Invocation {
    /// Waits until every replica has the batch `index`.
    async fn replicated(&self, partition: &TopicPartition, index: usize, leader: u32) -> kafka::Result<Produced> {
        let waited = async {
            loop {
                {
                    let log = &self.world.lock().unwrap().targets[World::number(partition)];
                    if log.leader != leader {
                        return Err(broker(partition, Code::NotLeaderOrFollower));
                    }
                    if log.replicated > index {
                        let base_offset = log.entries[index].offset;
                        return Ok(Produced { base_offset, log_append_time: None, log_start: log.start });
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let timeout = |_| Err(broker(partition, Code::RequestTimedOut));
        tokio::time::timeout(PRODUCE_TIMEOUT, waited).await.unwrap_or_else(timeout)
    }
}

impl Ledger for Invocation {
    async fn phase(&self) -> Result<Phase> {
        self.aws("phase", |_| Phase::Validating).await
    }

    async fn claim(&self) -> Result<LateLease> {
        let claim = |world: &mut World| {
            world.epoch += 1;
            LateLease { epoch: world.epoch }
        };
        self.aws("claim", claim).await
    }

    async fn check(&self, lease: &LateLease) -> Result<()> {
        let (lease, number) = (*lease, self.number);
        let check = move |world: &mut World| {
            if world.epoch == lease.epoch {
                *world.armed.entry(number).or_default() += 1;
                return Ok(());
            }
            world.saw("lease checked in vain");
            Err(Error::fenced("another invocation appends"))
        };
        self.aws("check", check).await?
    }

    async fn copied(&self) -> Result<(Vec<CopyEnd>, i64)> {
        let copied = |world: &mut World| {
            let end = |(number, end): (usize, &i64)| CopyEnd {
                partition: World::partition(number),
                source_next: *end,
                target_next: *end,
            };
            world.copied.iter().enumerate().map(end).collect()
        };
        Ok((self.aws("copied", copied).await?, 1))
    }
}

impl Objects for Invocation {
    async fn put(&self, name: &str, body: Bytes) -> Result<()> {
        let name = name.to_owned();
        let put = move |world: &mut World| drop(world.objects.insert(name.clone(), body.clone()));
        self.aws("put", put).await
    }

    async fn put_new(&self, name: &str, body: Bytes) -> Result<PutOnce> {
        let name = name.to_owned();
        let put = move |world: &mut World| {
            if world.objects.contains_key(&name) {
                world.saw("plan taken");
                return PutOnce::Taken;
            }
            world.note(|| format!("stored {name}"));
            if name.ends_with(".json") && name.contains("000002") {
                world.saw("further append");
            }
            if name.ends_with("000001.json") {
                world.targets.iter_mut().for_each(|log| log.absent = log.absent.or(log.absent_later));
            }
            world.objects.insert(name.clone(), body.clone());
            PutOnce::Stored
        };
        self.aws("put new", put).await
    }

    async fn get(&self, name: &str) -> Result<Option<Object>> {
        let name = name.to_owned();
        let get = move |world: &mut World| world.objects.get(&name).cloned();
        Ok(self.aws("get", get).await?.map(|body| Object { body, metadata: HashMap::new() }))
    }

    fn url(&self, name: &str) -> String {
        format!("s3://simulated/{name}")
    }
}
