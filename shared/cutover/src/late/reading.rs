//! Late records as they are read from the source, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use copy::Slice;
use journal::{Position, ProducerId};
use kafka::ConfigEntry;
use migration::{Error, Result, TopicPartition};

use super::findings::{Configs, Traits};
use super::look::Stretch;
use super::ports::{Ports, Reader, Source};

/// Bytes after which no more is read for one append: they are in memory, and in one object.
const MOST_BYTES: usize = 32 << 20;

/// Bytes of one reading.
const READ_BYTES: usize = 8 << 20;

/// Readings in a row that bring nothing, after which no more is waited for.
const IDLE_READS: u32 = 40;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What the target takes, by partition.
    pub(super) slices: BTreeMap<TopicPartition, Slice>,
    /// Partitions whose records the target would not take as they are, and why.
    pub(super) refused: BTreeMap<TopicPartition, String>,
    /// Whether something is left to be read.
    pub(super) more: bool,
}

/// Reads `stretches` up to their ends, or as much of them as one append brings over or there is time for. What is refused takes no part of that.
///
/// # Errors
/// Those of the source; Transient when it answers with nothing at all, or removed what was read.
pub(super) async fn read(
    ports: &impl Ports,
    stretches: &[Stretch],
    configs: &BTreeMap<Arc<str>, Vec<ConfigEntry>>,
    producer: ProducerId,
) -> Result<Reading> {
    let limit =
        |(topic, configs): (&Arc<str>, &Vec<ConfigEntry>)| Some((topic.clone(), Configs(configs).max_batch_bytes()?));
    let limits: BTreeMap<_, _> = configs.iter().filter_map(limit).collect();
    let start = |stretch: &Stretch| (stretch.partition.clone(), Position { source_next: stretch.from, target_next: 0 });
    let mut reader = ports.source().reader(stretches.iter().map(start).collect(), limits, producer);
    let mut reading = Reading::default();
    let mut idle = 0;
    loop {
        let open: Vec<_> = stretches.iter().filter(|stretch| reading.is_open(stretch)).collect();
        let open: Vec<_> = open.into_iter().map(|stretch| stretch.partition.clone()).collect();
        if open.is_empty() || reading.is_full() || ports.is_out_of_time() {
            reading.more = !open.is_empty();
            break;
        }
        let mut moved = false;
        for slice in reader.read(&open, READ_BYTES).await? {
            moved |= slice.to != slice.from || slice.fault.is_some();
            let configs = configs.get(&slice.partition.topic).map_or(&[][..], Vec::as_slice);
            reading.add(slice, Configs(configs), ports.now())?;
        }
        idle = if moved { 0 } else { idle + 1 };
        if idle == IDLE_READS {
            reading.more = true;
            break;
        }
    }
    if idle == IDLE_READS && reading.slices.values().all(|slice| slice.batches.is_empty()) {
        return Err(Error::transient("the source answers without records, although there are late ones"));
    }
    check_not_removed(ports, stretches).await?;
    Ok(reading)
}

impl Reading {
    fn is_full(&self) -> bool {
        self.slices.values().map(Slice::memory).sum::<usize>() >= MOST_BYTES
    }

    /// Whether `stretch` is to be read on.
    fn is_open(&self, stretch: &Stretch) -> bool {
        let is_read = |slice: &Slice| slice.fault.is_some() || slice.to.source_next >= stretch.until;
        !self.refused.contains_key(&stretch.partition) && !self.slices.get(&stretch.partition).is_some_and(is_read)
    }

    /// Adds what was read. A partition that the target would refuse is left out as a whole.
    fn add(&mut self, slice: Slice, configs: Configs<'_>, now: DateTime<Utc>) -> Result<()> {
        let refusal = match Traits::of(&slice) {
            Ok(traits) => configs.refusal(traits, now.timestamp_millis()),
            Err(error) => Some(format!("a late record cannot be read: {error}")),
        };
        if let Some(why) = refusal.filter(|_| !slice.batches.is_empty()) {
            self.slices.remove(&slice.partition);
            self.refused.insert(slice.partition, why);
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::ConfigSource;
    use kafka::batch::{Codec, Record, Stamp, encode};

    fn slice(partition: i32, timestamp: i64) -> Slice {
        let at = Position { source_next: 10, target_next: 0 };
        let mut slice = Slice::at(TopicPartition::new("t", partition), at, 12);
        let record = Record { timestamp, ..Record::default() };
        slice.batches.push(encode(&[record], Codec::None, Stamp::nth(7, 0, 0), 10).unwrap().into());
        slice.to = Position { source_next: 11, target_next: 1 };
        slice
    }

    #[test]
    fn what_is_refused_takes_no_memory_and_is_not_read_on() {
        let config = ConfigEntry {
            name: "message.timestamp.before.max.ms".to_owned(),
            value: Some("1000".to_owned()),
            source: ConfigSource::DynamicTopic,
            sensitive: false,
            read_only: false,
        };
        let (configs, now) = ([config], DateTime::from_timestamp(1_777_000_000, 0).unwrap());
        let mut reading = Reading::default();
        reading.add(slice(0, 5), Configs(&configs), now).unwrap();
        reading.add(slice(1, now.timestamp_millis()), Configs(&configs), now).unwrap();
        let stretch = |partition| Stretch { partition: TopicPartition::new("t", partition), from: 10, until: 12 };
        assert!(!reading.is_open(&stretch(0)) && reading.is_open(&stretch(1)));
        assert_eq!(reading.slices.keys().map(|one| one.partition).collect::<Vec<_>>(), [1]);
        assert!(reading.refused[&TopicPartition::new("t", 0)].contains("none older than 1000 ms"));
    }
}
