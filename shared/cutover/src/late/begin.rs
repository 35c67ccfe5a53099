//! The beginning of an append: what it brings over is read, looked at, and stored before anything is produced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use copy::{Slice, objects};
use documents::late_append::{self, Append, LateRange};
use documents::{LateAppend, Objects, PutOnce};
use journal::{LateLease, ProducerId};
use kafka::{Code, ConfigEntry};
use migration::{Error, Result, TopicPartition};

use super::findings::Configs;
use super::look::{Stretch, look};
use super::ports::{Ledger, Ports, Target};
use super::reading::read;
use super::uncertain::uncertain;

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
    let uncertain = uncertain(ports, &stretches, &copied, copier).await?;
    let is_left_out =
        |name: &TopicPartition| uncertain.left_out.contains_key(name) || uncertain.unfinished.contains(name);
    stretches.retain(|stretch| !is_left_out(&stretch.partition));
    begun.more = !uncertain.unfinished.is_empty();
    begun.leave_out_all(uncertain.left_out);
    if stretches.is_empty() {
        return Ok(begun);
    }
    let producer = ports.target().new_producer().await?;
    let producer = ProducerId { id: producer.id, epoch: producer.epoch };
    let reading = read(ports, &stretches, &configs, producer).await?;
    begun.more |= reading.more;
    begun.leave_out_all(reading.refused);
    let mut slices = Vec::new();
    for slice in reading.slices.into_values() {
        begun.left_out.extend(slice.fault.as_ref().map(ToString::to_string));
        slices.extend((!slice.batches.is_empty()).then_some(slice));
    }
    let names: Vec<_> = slices.iter().map(|slice| slice.partition.clone()).collect();
    let mut ends = BTreeMap::new();
    for (partition, end) in ports.target().ends(&names).await {
        match end {
            Ok(end) => _ = ends.insert(partition, end),
            Err(error) if error.partition().is_some() => begun.leave_out(&partition, &error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    slices.retain(|slice| ends.contains_key(&slice.partition));
    if slices.is_empty() {
        return Ok(begun);
    }
    let range = |slice: &Slice| LateRange {
        partition: slice.partition.clone(),
        from: slice.from.source_next,
        to: slice.to.source_next,
        records: slice.to.target_next,
        target_end: ends[&slice.partition],
    };
    let plan = LateAppend {
        by: by.to_owned(),
        begun_at: ports.now(),
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

    fn leave_out_all(&mut self, whys: BTreeMap<TopicPartition, String>) {
        whys.iter().for_each(|(partition, why)| self.leave_out(partition, why));
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
