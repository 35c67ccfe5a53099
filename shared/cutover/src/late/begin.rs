//! The beginning of an append: what it brings over is read, looked at, and stored before anything is produced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use copy::{Slice, objects};
use documents::late_append::{self, Append, LateRange};
use documents::{LateAppend, Objects, PutOnce};
use journal::{LateLease, Position, ProducerId};
use kafka::{Code, ConfigEntry};
use migration::{Error, Result, TopicPartition};

use super::findings::{Configs, Traits};
use super::look::{Stretch, look};
use super::ports::{CopyEnd, Ledger, Ports, Source, Target};

/// Bytes after which no more is read for one append: they are in memory, and in one object.
const MOST_BYTES: usize = 32 << 20;

/// Bytes of one reading.
const READ_BYTES: usize = 8 << 20;

/// Readings in a row that bring nothing, after which the invocation gives up.
const IDLE_READS: u32 = 40;

/// An append that was begun.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// What it brings over; nothing when there is nothing.
    pub(super) plan: Option<LateAppend>,
    /// What cannot be appended, and why.
    pub(super) left_out: Vec<String>,
    /// Whether there is more than one append brings over.
    pub(super) more: bool,
}

/// What was read of the source.
#[derive(Debug, Default)]
struct Reading {
    slices: BTreeMap<TopicPartition, Slice>,
    more: bool,
}

/// Begins the append `number`, behind `appends`: reads, and stores what is to be produced.
///
/// # Errors
/// Those of the clusters and the bucket; Fenced when another invocation has begun it.
pub(super) async fn begin(
    ports: &impl Ports,
    lease: &LateLease,
    number: u32,
    by: &str,
    appends: &[Append],
) -> Result<Begun> {
    let (copied, copier) = ports.ledger().copied().await?;
    let look = look(ports.source(), &copied, appends).await?;
    let mut begun = Begun::default();
    begun.left_out.extend(look.unreadable.iter().map(|(partition, why)| format!("{partition}: {why}")));
    let configs = configs(ports, &look.stretches).await?;
    let mut stretches = Vec::new();
    for stretch in look.stretches {
        let refusal = match configs.get(&stretch.partition.topic) {
            Some(configs) => Configs(configs).replaces_timestamps(),
            None => Some("the topic was deleted on the target".to_owned()),
        };
        match refusal {
            Some(why) => begun.leave_out(&stretch.partition, &why),
            None => stretches.push(stretch),
        }
    }
    leave_out_uncertain(ports, &mut stretches, &copied, copier, &mut begun).await?;
    if stretches.is_empty() {
        return Ok(begun);
    }
    let producer = ports.target().new_producer().await?;
    let producer = ProducerId { id: producer.id, epoch: producer.epoch };
    let reading = read(ports, &stretches, &configs, producer).await?;
    begun.more = reading.more;
    let now = ports.now();
    let mut slices = Vec::new();
    for slice in reading.slices.into_values() {
        begun.left_out.extend(slice.fault.as_ref().map(ToString::to_string));
        let bound = Configs(&configs[&slice.partition.topic]);
        let traits = Traits::of(&slice).map_err(|error| {
            Error::data_unsafe(format_args!("a late record cannot be read: {error}")).at(&slice.partition)
        })?;
        match bound.refusal(traits, now.timestamp_millis()) {
            _ if slice.batches.is_empty() => {}
            Some(why) => begun.leave_out(&slice.partition, &why),
            None => slices.push(slice),
        }
    }
    if slices.is_empty() {
        return Ok(begun);
    }
    let names: Vec<_> = slices.iter().map(|slice| slice.partition.clone()).collect();
    let ends = kafka::all_ok(ports.target().ends(&names).await)?;
    let range = |slice: &Slice| LateRange {
        partition: slice.partition.clone(),
        from: slice.from.source_next,
        to: slice.to.source_next,
        records: slice.to.target_next,
        target_end: ends[&slice.partition],
    };
    let plan = LateAppend {
        by: by.to_owned(),
        begun_at: now,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        batches: late_append::batches_key(number, lease.epoch),
        partitions: slices.iter().map(range).collect(),
        // Of other partitions it is found again.
        removed: look.removed.into_iter().filter(|removed| ends.contains_key(&removed.partition)).collect(),
    };
    store(ports, lease, number, &plan, &slices).await?;
    begun.plan = Some(plan);
    Ok(begun)
}

impl Begun {
    fn leave_out(&mut self, partition: &TopicPartition, why: &str) {
        self.left_out.push(format!("{partition}: {why}"));
    }
}

/// The target's configs of the topics of `stretches`; none of those that are not there.
async fn configs(ports: &impl Ports, stretches: &[Stretch]) -> Result<BTreeMap<Arc<str>, Vec<ConfigEntry>>> {
    let topics: BTreeSet<_> = stretches.iter().map(|stretch| stretch.partition.topic.clone()).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let mut configs = BTreeMap::new();
    for (topic, found) in ports.target().configs(&topics).await {
        match found {
            Err(error) if error.code() == Some(Code::UnknownTopicOrPartition) => {}
            found => _ = configs.insert(topic, found?),
        }
    }
    Ok(configs)
}

/// Leaves partitions out to which the tail wrote behind its last checkpoint: which late records those are is not on record, and
/// appending them would double them.
async fn leave_out_uncertain(
    ports: &impl Ports,
    stretches: &mut Vec<Stretch>,
    copied: &[CopyEnd],
    copier: i64,
    begun: &mut Begun,
) -> Result<()> {
    let target_next: BTreeMap<_, _> = copied.iter().map(|end| (&end.partition, end.target_next)).collect();
    let from: Vec<_> = stretches.iter().map(|one| (one.partition.clone(), target_next[&one.partition])).collect();
    for (partition, scanned) in ports.target().scan(&from, copier).await {
        if !scanned?.batches.is_empty() {
            stretches.retain(|stretch| stretch.partition != partition);
            let why = "the tail wrote to the target behind its last checkpoint, so which of the late records it copied is not known; \
                       compare both clusters from there on, and accept the finding when it is finalized";
            begun.leave_out(&partition, why);
        }
    }
    Ok(())
}

/// Reads `stretches` up to their ends, or as much of them as one append brings over.
async fn read(
    ports: &impl Ports,
    stretches: &[Stretch],
    configs: &BTreeMap<Arc<str>, Vec<ConfigEntry>>,
    producer: ProducerId,
) -> Result<Reading> {
    let limit =
        |(topic, configs): (&Arc<str>, &Vec<ConfigEntry>)| Some((topic.clone(), Configs(configs).max_batch_bytes()?));
    let limits: BTreeMap<_, _> = configs.iter().filter_map(limit).collect();
    let mut reading = Reading::default();
    let mut idle = 0;
    loop {
        let is_full = reading.slices.values().map(Slice::memory).sum::<usize>() >= MOST_BYTES;
        let open: BTreeMap<_, _> = stretches.iter().filter_map(|stretch| reading.position(stretch)).collect();
        if open.is_empty() || is_full {
            reading.more = !open.is_empty();
            break;
        }
        let mut moved = false;
        for slice in ports.source().read(&open, &limits, producer, READ_BYTES).await? {
            moved |= slice.to != slice.from || slice.fault.is_some();
            reading.add(slice)?;
        }
        idle = if moved { 0 } else { idle + 1 };
        if idle == IDLE_READS {
            return Err(Error::transient("the source answers without records, although there are late ones"));
        }
    }
    check_not_removed(ports, stretches).await?;
    Ok(reading)
}

impl Reading {
    /// Where to read `stretch` on, unless it is read.
    fn position(&self, stretch: &Stretch) -> Option<(TopicPartition, Position)> {
        let at = match self.slices.get(&stretch.partition) {
            Some(slice) if slice.fault.is_some() || slice.to.source_next >= stretch.until => return None,
            Some(slice) => slice.to,
            None => Position { source_next: stretch.from, target_next: 0 },
        };
        Some((stretch.partition.clone(), at))
    }

    fn add(&mut self, slice: Slice) -> Result<()> {
        match self.slices.get_mut(&slice.partition) {
            Some(before) => before.join(slice),
            None => {
                self.slices.insert(slice.partition.clone(), slice);
                Ok(())
            }
        }
    }
}

/// Refuses what was read when the source removed some of it meanwhile: a reading skips what is not there.
async fn check_not_removed(ports: &impl Ports, stretches: &[Stretch]) -> Result<()> {
    let names: Vec<_> = stretches.iter().map(|stretch| stretch.partition.clone()).collect();
    let bounds = ports.source().bounds(&names).await?;
    for Stretch { partition, from, .. } in stretches {
        let why = match bounds.get(partition) {
            Some(Ok(bounds)) if bounds.start <= *from => continue,
            Some(Ok(bounds)) => {
                format!("the source removed records up to offset {} while they were read", bounds.start)
            }
            Some(Err(why)) => why.clone(),
            None => "the source does not show it any more".to_owned(),
        };
        return Err(Error::transient(why).at(partition).at_offset(*from));
    }
    Ok(())
}

/// Stores the batches, then the plan that names them.
async fn store(ports: &impl Ports, lease: &LateLease, number: u32, plan: &LateAppend, slices: &[Slice]) -> Result<()> {
    let batches = objects::pack(slices.iter())?.concat();
    // The name holds the lease's epoch: what has it already is from this invocation.
    ports.objects().put_new(&plan.batches, batches).await?;
    ports.ledger().check(lease).await?;
    let key = late_append::key(number);
    if documents::write_new(ports.objects(), &key, plan).await? == PutOnce::Taken {
        let stored: LateAppend = documents::read(ports.objects(), &key).await?;
        if stored.batches != plan.batches {
            return Err(Error::fenced(format_args!("another invocation began append {number} of late records")));
        }
    }
    Ok(())
}
