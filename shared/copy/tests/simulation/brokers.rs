//! Both clusters as a client sees them: `kafka::Cluster`, request by request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copy::ports::{Brokers, Source, Target};
use futures::future::join_all;
use kafka::batch::ProduceBytes;
use kafka::{
    Api, Code, ConfigEntry, ConfigSource, Each, FetchOptions, FetchPosition, Fetched, OffsetSpec, Place, Produced,
    TopicPartition,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::client::{Side, ask};
use crate::faults::{Breaks, Fate};
use crate::link::Link;
use crate::target::Appended;
use crate::wire::Batch;
use crate::world::{Shared, World, name};

/// Brokers of each cluster.
pub(crate) const BROKERS: usize = 3;

/// Attempts of a call that repeats by itself.
const ATTEMPTS: usize = 4;

/// How long a client waits beyond what it asked the broker to wait.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

type Answer<T> = kafka::Result<T>;

fn index(partition: &TopicPartition) -> usize {
    partition.partition as usize
}

fn refused(api: Api, partition: usize, code: Code) -> kafka::Error {
    kafka::Error::Broker { api, code, place: Place::Partition(name(partition)), message: None }
}

fn closed(broker: usize) -> kafka::Error {
    kafka::Error::Closed { broker: format!("broker {broker}").into() }
}

impl<const SOURCE: bool> Side<SOURCE> {
    /// The leader as this client knows it.
    fn leader(&self, partition: usize) -> usize {
        let mut known = self.leaders.lock().unwrap();
        *known.entry(partition).or_insert_with(|| leader(&self.world.lock(), SOURCE, partition))
    }

    /// Forgets the leader of what failed.
    fn note<T>(&self, partition: usize, answer: &Answer<T>) {
        if answer.is_err() {
            self.leaders.lock().unwrap().remove(&partition);
        }
    }

    async fn offset_once(&self, partition: usize, spec: OffsetSpec) -> Answer<i64> {
        let asked = self.leader(partition);
        let effect = move |world: &mut World| {
            check(world, SOURCE, partition, asked, Api::ListOffsets)?;
            Ok(offset(world, SOURCE, partition, spec))
        };
        let answer = ask(&self.world, effect).await.unwrap_or_else(|| Err(closed(asked)));
        self.note(partition, &answer);
        if let (false, OffsetSpec::Latest, Ok(end)) = (SOURCE, spec, &answer) {
            self.world.lock().knowledge.told(self.number, partition, *end);
        }
        answer
    }

    async fn offset(&self, partition: usize, spec: OffsetSpec) -> Answer<i64> {
        let mut answer = self.offset_once(partition, spec).await;
        for _ in 1..ATTEMPTS {
            if !answer.as_ref().is_err_and(kafka::Error::is_retryable) {
                break;
            }
            sleep(Duration::from_millis(100)).await;
            answer = self.offset_once(partition, spec).await;
        }
        answer
    }
}

fn leader(world: &World, source: bool, partition: usize) -> usize {
    if source { world.source_leaders[partition] } else { world.target[partition].leader }
}

fn offset(world: &World, source: bool, partition: usize, spec: OffsetSpec) -> i64 {
    let now = Instant::now();
    match (source, spec) {
        (true, OffsetSpec::Earliest) => world.source[partition].start(),
        (true, OffsetSpec::Latest) => world.source[partition].end(),
        (true, OffsetSpec::LastStable) => world.source[partition].last_stable(),
        (false, OffsetSpec::Earliest) => 0,
        (false, _) => world.target[partition].high_watermark(now),
    }
}

/// What a broker says before it looks at a request.
fn check(world: &mut World, source: bool, partition: usize, asked: usize, api: Api) -> Answer<()> {
    const PASSING: [Code; 3] = [Code::LeaderNotAvailable, Code::UnknownTopicOrPartition, Code::KafkaStorageError];
    if world.dice.chance(world.faults.refused) {
        return Err(refused(api, partition, world.dice.pick(&PASSING)));
    }
    if leader(world, source, partition) != asked {
        return Err(refused(api, partition, Code::NotLeaderOrFollower));
    }
    Ok(())
}

impl<const SOURCE: bool> Brokers for Side<SOURCE> {
    async fn list_offsets(&self, partitions: &[TopicPartition], spec: OffsetSpec) -> Each<TopicPartition, i64> {
        let asked = partitions.iter().map(|partition| async move {
            let answer = self.offset(index(partition), spec).await;
            (partition.clone(), answer)
        });
        join_all(asked).await
    }

    async fn topic_configs(&self, topics: &[Arc<str>]) -> Each<Arc<str>, Vec<ConfigEntry>> {
        let tiered = ask(&self.world, |world| world.faults.tiered).await;
        let entry = |tiered: bool| ConfigEntry {
            name: "remote.storage.enable".to_owned(),
            value: Some(tiered.to_string()),
            source: ConfigSource::DynamicTopic,
            sensitive: false,
            read_only: false,
        };
        let answer = tiered.map(|tiered| vec![entry(tiered)]).ok_or_else(|| closed(0));
        topics.iter().map(|topic| (topic.clone(), answer.clone())).collect()
    }

    async fn size(&self) -> usize {
        BROKERS
    }

    async fn leaders(&self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, i32> {
        partitions.iter().map(|partition| (partition.clone(), self.leader(index(partition)) as i32)).collect()
    }

    fn invalidate(&self) {
        self.leaders.lock().unwrap().clear();
    }
}

impl Source for Side<true> {
    async fn fetch(&self, positions: &[FetchPosition], options: &FetchOptions) -> Each<TopicPartition, Fetched> {
        let mut by_leader: BTreeMap<usize, Vec<FetchPosition>> = BTreeMap::new();
        for position in positions {
            by_leader.entry(self.leader(index(&position.partition))).or_default().push(position.clone());
        }
        let asked = by_leader.into_iter().map(|(broker, group)| self.fetch_at(broker, group, options.clone()));
        let mut answers: BTreeMap<usize, Answer<Fetched>> = join_all(asked).await.into_iter().flatten().collect();
        let answer = |position: &FetchPosition| {
            let answer = answers.remove(&index(&position.partition)).unwrap();
            self.note(index(&position.partition), &answer);
            (position.partition.clone(), answer)
        };
        positions.iter().map(answer).collect()
    }
}

impl Side<true> {
    async fn fetch_at(
        &self,
        broker: usize,
        group: Vec<FetchPosition>,
        options: FetchOptions,
    ) -> Vec<(usize, Answer<Fetched>)> {
        let number = self.number;
        let read = |group: Vec<FetchPosition>, options: FetchOptions| {
            move |world: &mut World| fetch_all(world, number, broker, &group, &options)
        };
        let mut answer = ask(&self.world, read(group.clone(), options.clone())).await;
        // A leader waits for more when there is less than what was asked for.
        let little = |answers: &Vec<(usize, Answer<Fetched>)>| {
            answers.iter().all(|(_, answer)| answer.is_ok())
                && answers.iter().flat_map(|(_, answer)| answer).map(|fetched| fetched.records.len()).sum::<usize>()
                    < options.min_bytes as usize
        };
        if answer.as_ref().is_some_and(little) && !options.max_wait.is_zero() {
            sleep(options.max_wait).await;
            answer = ask(&self.world, read(group.clone(), options)).await;
        }
        let lost = || group.iter().map(|position| (index(&position.partition), Err(closed(broker)))).collect();
        answer.unwrap_or_else(lost)
    }
}

/// One broker's answer: it fills up in the order of the request, and only the first partition with records gets a batch of
/// any size (`ReplicaManager.readFromLog`).
fn fetch_all(
    world: &mut World,
    number: usize,
    broker: usize,
    group: &[FetchPosition],
    options: &FetchOptions,
) -> Vec<(usize, Answer<Fetched>)> {
    let mut left = (options.max_bytes as usize).min(world.faults.answer_max);
    let mut min_one = true;
    let mut answers = Vec::with_capacity(group.len());
    for position in group {
        let partition = index(&position.partition);
        let answer = fetch_one(world, partition, broker, position, left, min_one);
        if let Ok(fetched) = &answer {
            left = left.saturating_sub(fetched.records.len());
            min_one &= fetched.records.is_empty();
        }
        world.note(|| {
            let what = answer.as_ref().map(|fetched| (fetched.records.len(), fetched.last_stable_offset));
            format!("{number} fetches {partition} from {}: {what:?}", position.offset)
        });
        answers.push((partition, answer));
    }
    answers
}

fn fetch_one(
    world: &mut World,
    partition: usize,
    broker: usize,
    position: &FetchPosition,
    left: usize,
    min_one: bool,
) -> Answer<Fetched> {
    check(world, true, partition, broker, Api::Fetch)?;
    let max_bytes = left.min(position.max_bytes as usize);
    let fetched = world.source[partition].fetch(position.offset, max_bytes, min_one);
    let mut fetched = fetched.map_err(|code| refused(Api::Fetch, partition, code))?;
    if world.faults.tiered && world.dice.chance(200) {
        fetched.records = Bytes::new();
    }
    Ok(fetched)
}

impl Target for Side<false> {
    async fn produce(
        &self,
        batches: &[(TopicPartition, ProduceBytes)],
        timeout: Duration,
    ) -> Each<TopicPartition, Produced> {
        let mut by_leader: BTreeMap<usize, Vec<(usize, Bytes)>> = BTreeMap::new();
        for (partition, bytes) in batches {
            let (partition, bytes) = (index(partition), bytes.concat());
            if let Ok(batch) = Batch::decode(&bytes) {
                self.world.lock().knowledge.sends(self.number, partition, &batch);
            }
            by_leader.entry(self.leader(partition)).or_default().push((partition, bytes));
        }
        let asked = by_leader.into_iter().map(|(broker, group)| self.produce_at(broker, group, timeout));
        let mut answers: BTreeMap<usize, Answer<Produced>> = join_all(asked).await.into_iter().flatten().collect();
        let answer = |(partition, _): &(TopicPartition, ProduceBytes)| {
            let answer = answers.remove(&index(partition)).unwrap();
            self.note(index(partition), &answer);
            (partition.clone(), answer)
        };
        batches.iter().map(answer).collect()
    }

    async fn fetch(&self, positions: &[FetchPosition], _: &FetchOptions) -> Each<TopicPartition, Fetched> {
        let asked = positions.iter().map(async |FetchPosition { partition, offset, .. }| {
            (partition.clone(), self.read_at(index(partition), *offset, count).await)
        });
        join_all(asked).await
    }

    async fn batch_at(&self, partition: &TopicPartition, offset: i64) -> Answer<Fetched> {
        self.read_at(index(partition), offset, |_, _, _| ()).await
    }
}

/// What was read to be counted is not counted again; the broker's answer may be on its way for long.
fn count(world: &mut World, partition: usize, fetched: &Fetched) {
    let last = kafka::batch::split(fetched.records.clone()).filter_map(Result::ok).last();
    let end = last.map_or(0, |batch| batch.header().base_offset + i64::from(batch.header().last_offset_delta) + 1);
    let log = &mut world.target[partition];
    log.counted = log.counted.max(end);
    world.saw("records counted");
}

impl Side<false> {
    async fn read_at(&self, partition: usize, offset: i64, read: fn(&mut World, usize, &Fetched)) -> Answer<Fetched> {
        let asked = self.leader(partition);
        let effect = move |world: &mut World| {
            check(world, false, partition, asked, Api::Fetch)?;
            let found = world.target[partition].fetch(offset, Instant::now());
            let found = found.map_err(|code| refused(Api::Fetch, partition, code))?;
            read(world, partition, &found);
            Ok(found)
        };
        let answer = ask(&self.world, effect).await.unwrap_or_else(|| Err(closed(asked)));
        self.note(partition, &answer);
        answer
    }

    async fn produce_at(
        &self,
        broker: usize,
        group: Vec<(usize, Bytes)>,
        timeout: Duration,
    ) -> Vec<(usize, Answer<Produced>)> {
        let fate = {
            let World { dice, faults, .. } = &mut *self.world.lock();
            Fate::draw(faults, dice)
        };
        let link = self.link(broker);
        let (answer, answered) = oneshot::channel();
        let partitions: Vec<usize> = group.iter().map(|(partition, _)| *partition).collect();
        let request = Request { world: self.world.clone(), number: self.number, broker, group, fate, timeout };
        tokio::spawn(request.serve(link.clone(), answer));
        let failed = tokio::select! {
            biased;
            Ok(answers) = answered => return answers,
            () = link.broken() => closed(broker),
            () = sleep(timeout + REQUEST_TIMEOUT) => {
                link.break_now();
                kafka::Error::Timeout { broker: "a broker".into(), api: Api::Produce, after: timeout }
            }
        };
        partitions.into_iter().map(|partition| (partition, Err(failed.clone()))).collect()
    }

    /// The connection to `broker`, a new one if the last broke.
    fn link(&self, broker: usize) -> Arc<Link> {
        let mut links = self.links.lock().unwrap();
        let link = links.entry(broker).or_insert_with(|| Arc::new(Link::new()));
        if link.is_broken() {
            *link = Arc::new(Link::new());
        }
        link.clone()
    }
}

/// A request to produce, on its way.
struct Request {
    world: Shared,
    number: usize,
    broker: usize,
    group: Vec<(usize, Bytes)>,
    fate: Fate,
    timeout: Duration,
}

impl Request {
    /// Travels, takes effect, waits for the replicas, and answers.
    async fn serve(self, link: Arc<Link>, answer: oneshot::Sender<Vec<(usize, Answer<Produced>)>>) {
        let turn = link.turn().await;
        sleep(self.fate.out).await;
        if self.fate.breaks == Some(Breaks::BeforeEffect) {
            link.break_now();
        }
        if link.is_broken() {
            let Some(later) = self.fate.lingers else { return };
            sleep(later).await;
            self.world.lock().saw("late batch");
        }
        let late = link.is_broken();
        let append = |(partition, bytes): &(usize, Bytes)| self.append(*partition, bytes, late);
        let appended: Vec<_> = self.group.iter().map(append).collect();
        if self.fate.breaks == Some(Breaks::AfterEffect) {
            link.break_now();
            return;
        }
        let give_up = Instant::now() + self.timeout;
        let mut answers = Vec::with_capacity(appended.len());
        for (partition, appended) in appended {
            answers.push((partition, self.acknowledge(partition, appended, give_up).await));
        }
        drop(turn);
        sleep(self.fate.back).await;
        let _ = answer.send(answers);
    }

    fn append(&self, partition: usize, bytes: &Bytes, late: bool) -> (usize, Answer<(Appended, u32)>) {
        let world = &mut *self.world.lock();
        let number = self.number;
        let before = world.target[partition].spoiled;
        let appended = append(world, partition, self.broker, bytes);
        let World { target, knowledge, .. } = world;
        if target[partition].spoiled != before {
            knowledge.misplaced(number, partition, late, &target[partition]);
        }
        if matches!(&appended, Ok((Appended { repeated: None, .. }, _))) {
            target[partition].written_by(number, late);
        }
        world.saw(match &appended {
            Ok((Appended { repeated: Some(_), .. }, _)) => "batch repeated",
            Ok(_) => "batch appended",
            Err(error) if error.code() == Some(Code::OutOfOrderSequenceNumber) => "batch out of order",
            Err(_) => "batch refused",
        });
        world.note(|| {
            let what = appended.as_ref().map(|(appended, _)| (appended.base, appended.end, appended.repeated));
            format!("{number} produces {} bytes to {partition}: {what:?}", bytes.len())
        });
        (partition, appended)
    }

    /// Waits until all replicas have what was appended.
    async fn acknowledge(
        &self,
        partition: usize,
        appended: Answer<(Appended, u32)>,
        give_up: Instant,
    ) -> Answer<Produced> {
        let (appended, leader_epoch) = appended?;
        tokio::time::sleep_until(appended.replicated.min(give_up)).await;
        let world = &mut *self.world.lock();
        if appended.replicated > give_up {
            return Err(refused(Api::Produce, partition, Code::RequestTimedOut));
        }
        let log = &world.target[partition];
        if !log.has_replicated(appended.end, leader_epoch, Instant::now()) {
            return Err(refused(Api::Produce, partition, Code::NotLeaderOrFollower));
        }
        if world.dice.chance(world.faults.refused / 4) {
            return Err(refused(Api::Produce, partition, Code::NotEnoughReplicasAfterAppend));
        }
        let log_start = if appended.repeated.is_some() { -1 } else { 0 };
        // For a repeat a leader answers with the batch's newest timestamp as if it had set it (`UnifiedLog.append`).
        Ok(Produced { base_offset: appended.base, log_append_time: appended.repeated, log_start })
    }
}

fn append(world: &mut World, partition: usize, broker: usize, bytes: &Bytes) -> Answer<(Appended, u32)> {
    check(world, false, partition, broker, Api::Produce)?;
    if world.target[partition].refuses_for(Instant::now()).is_some() {
        world.saw("batch refused for a while");
        return Err(refused(Api::Produce, partition, Code::NotEnoughReplicas));
    }
    let slow = world.dice.chance(world.faults.slow);
    let lag = if slow { world.dice.millis(100..40_000) } else { world.dice.millis(0..8) };
    let log = &mut world.target[partition];
    let appended = log.append(bytes, Instant::now(), lag).map_err(|code| refused(Api::Produce, partition, code))?;
    Ok((appended, log.leader_epoch))
}
