//! The ceiling: fetches raw batches, stamps them and produces them raw, as fast as the brokers take them. No S3, no journal,
//! no offset runs, no checksum looked at, no way on after a fault.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use kafka::batch::{self, ProduceBytes, Stamp};
use kafka::{Cluster, FetchOptions, FetchPosition, Isolation, OffsetSpec, ProducerIdentity, Settings, TopicPartition};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Most bytes of one answer of the source, and of one partition in it.
const FETCH_BYTES: i32 = 16 << 20;
const PARTITION_BYTES: i32 = 4 << 20;

/// How long the source waits for records when there are none.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// Bytes after which a request takes no further partition.
const REQUEST_BYTES: usize = 8 << 20;

/// Requests in flight; the broker remembers as many batches of a producer.
const WINDOW: usize = 5;

/// Bytes that wait to be produced before no more are fetched.
const QUEUE_BYTES: usize = 32 << 20;

const PRODUCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Flags of `bench relay`.
#[derive(Debug, Args)]
pub(crate) struct RelayArgs {
    /// Bootstrap servers of the source.
    #[arg(long)]
    source: String,
    /// Bootstrap servers of the target.
    #[arg(long)]
    target: String,
    /// Topic to copy; it has to be on the target, empty.
    #[arg(long)]
    topic: String,
    /// Pairs of connections that partitions are dealt out to.
    #[arg(long, default_value_t = 2)]
    lanes: u8,
}

/// A batch on its way: its partition, the offset it has to get, and its bytes.
struct Stamped {
    partition: TopicPartition,
    offset: i64,
    bytes: ProduceBytes,
}

/// Copies, and follows new records, until the process is ended.
///
/// # Errors
/// With the first fault.
pub(crate) async fn run(args: &RelayArgs) -> anyhow::Result<()> {
    let source = Cluster::connect(Settings::parse(&args.source)).await?;
    let target = Cluster::connect(Settings::parse(&args.target)).await?;
    let producer = target.init_producer_id().await?;
    let topics = source.topics().await?;
    let topic = topics.iter().find(|topic| *topic.name == *args.topic).context("no such topic on the source")?;
    let partitions: Vec<_> = topic.topic_partitions().collect();
    let starts: BTreeMap<_, _> = kafka::all_ok(source.list_offsets(&partitions, OffsetSpec::Earliest).await)?;
    let mut lanes = JoinSet::new();
    for lane in 0..args.lanes {
        let own = starts.iter().enumerate().filter(|(index, _)| index % usize::from(args.lanes) == usize::from(lane));
        let positions: BTreeMap<_, _> = own.map(|(_, (partition, start))| (partition.clone(), (*start, 0))).collect();
        if positions.is_empty() {
            continue;
        }
        let (read, written) = mpsc::channel(1);
        lanes.spawn(fetch(source.lane(lane), positions, producer, read));
        lanes.spawn(produce(target.lane(lane), written));
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    Ok(())
}

/// Fetches on and on; `positions` are the next offsets on the source and on the target.
async fn fetch(
    source: Cluster,
    mut positions: BTreeMap<TopicPartition, (i64, i64)>,
    producer: ProducerIdentity,
    batches: mpsc::Sender<Vec<Stamped>>,
) -> anyhow::Result<()> {
    let options =
        FetchOptions { max_wait: MAX_WAIT, min_bytes: 1, max_bytes: FETCH_BYTES, isolation: Isolation::ReadCommitted };
    let position = |(partition, (offset, _)): (&TopicPartition, &(i64, i64))| FetchPosition {
        partition: partition.clone(),
        offset: *offset,
        max_bytes: PARTITION_BYTES,
    };
    for turn in 0_usize.. {
        let mut wanted: Vec<_> = positions.iter().map(position).collect();
        let front = turn % wanted.len();
        wanted.rotate_left(front);
        let mut round = Vec::new();
        for (partition, fetched) in source.fetch(&wanted, &options).await {
            let next = positions.get_mut(&partition).context("a partition nobody asked for")?;
            for batch in batch::split(fetched?.records) {
                let batch = batch?;
                let (count, end) = (batch.header().records_count, batch.header().next_offset());
                let stamp = Stamp::nth(producer.id, producer.epoch, next.1);
                let bytes = batch.stamped(stamp).to_produce();
                round.push(Stamped { partition: partition.clone(), offset: next.1, bytes });
                *next = (end, next.1 + i64::from(count));
            }
        }
        if !round.is_empty() && batches.send(round).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Produces what comes, the batches of a partition in their order, several requests in flight.
async fn produce(target: Cluster, mut rounds: mpsc::Receiver<Vec<Stamped>>) -> anyhow::Result<()> {
    let mut queue = Queue::default();
    let mut in_flight = FuturesOrdered::new();
    // The first request is alone: while its connection is opened, those behind it might pass it.
    let mut window = 1;
    loop {
        while in_flight.len() < window {
            let request = queue.next_request();
            if request.is_empty() {
                break;
            }
            in_flight.push_back(send(&target, request));
        }
        tokio::select! {
            Some(answer) = in_flight.next() => {
                answer?;
                window = WINDOW;
            }
            round = rounds.recv(), if queue.bytes < QUEUE_BYTES => match round {
                Some(round) => queue.add(round),
                None => anyhow::bail!("the fetching side ended"),
            },
        }
    }
}

async fn send(target: &Cluster, request: Vec<Stamped>) -> anyhow::Result<()> {
    let batches: Vec<_> = request.iter().map(|batch| (batch.partition.clone(), batch.bytes.clone())).collect();
    for ((partition, produced), sent) in target.produce(&batches, PRODUCE_TIMEOUT).await.into_iter().zip(&request) {
        let at = produced?.base_offset;
        anyhow::ensure!(at == sent.offset, "{partition}: appended at {at}, expected {}", sent.offset);
    }
    Ok(())
}

/// What waits to be produced.
#[derive(Default)]
struct Queue {
    by_partition: BTreeMap<TopicPartition, VecDeque<Stamped>>,
    bytes: usize,
    front: usize,
}

impl Queue {
    fn add(&mut self, round: Vec<Stamped>) {
        for batch in round {
            self.bytes += batch.bytes.size();
            self.by_partition.entry(batch.partition.clone()).or_default().push_back(batch);
        }
    }

    /// The next batch of as many partitions as fit into a request, by turns.
    fn next_request(&mut self) -> Vec<Stamped> {
        let count = self.by_partition.len();
        let mut request = Vec::new();
        let mut bytes = 0;
        let turns = self.by_partition.values_mut();
        let mut turns: Vec<_> = turns.collect();
        for step in 0..count {
            let index = (self.front + step) % count;
            let Some(batch) = turns[index].pop_front() else { continue };
            bytes += batch.bytes.size();
            request.push(batch);
            if bytes >= REQUEST_BYTES {
                self.front = index + 1;
                break;
            }
        }
        self.bytes -= bytes;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_one_batch_of_a_partition_and_keeps_their_order() {
        let batch = |n, offset| Stamped {
            partition: TopicPartition::new("t", n),
            offset,
            bytes: bytes::Bytes::from_static(&[0; 8]).into(),
        };
        let mut queue = Queue::default();
        queue.add(vec![batch(0, 0), batch(0, 1), batch(1, 0)]);
        let next = |queue: &mut Queue| -> Vec<_> {
            queue.next_request().iter().map(|batch| (batch.partition.partition, batch.offset)).collect()
        };
        assert_eq!(next(&mut queue), [(0, 0), (1, 0)]);
        assert_eq!((next(&mut queue), queue.bytes), (vec![(0, 1)], 0));
        assert!(next(&mut queue).is_empty());
    }
}
