//! What lies in a stretch of the source: how many records, by whom, how new.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use documents::late::LateRecords;
use kafka::batch::{BatchError, DecodeLimit, Entry};
use kafka::{Cluster, Isolation};
use migration::Result;

use super::look::Stretch;
use super::walk::walk;

/// Batches of a partition that are looked at, and bytes; what lies behind is not counted.
const MOST_BATCHES: u32 = 20_000;
const MOST_BYTES: usize = 64 << 20;

/// Adds up committed records.
#[derive(Debug, Default)]
struct Sum {
    from: Option<i64>,
    to: i64,
    records: i64,
    producers: BTreeSet<i64>,
    newest: i64,
    batches: u32,
    bytes: usize,
    /// Whether there may be more.
    at_least: bool,
}

/// What the committed records of `stretch` are together; nothing where there are none.
///
/// # Errors
/// Those of the source.
pub(super) async fn count(
    source: &Cluster,
    stretch: &Stretch,
    first_seen: DateTime<Utc>,
) -> Result<Option<LateRecords>> {
    let mut sum = Sum { newest: -1, ..Sum::default() };
    let take = |entry: &Entry| sum.take(entry, stretch.from);
    walk(source, &stretch.partition, stretch.from, Isolation::ReadCommitted, take).await?;
    let newest = DateTime::from_timestamp_millis(sum.newest).filter(|_| sum.newest >= 0);
    Ok(sum.from.map(|from| LateRecords {
        partition: stretch.partition.clone(),
        from,
        to: sum.to,
        records: sum.records,
        at_least: sum.at_least,
        producers: sum.producers.into_iter().collect(),
        newest,
        first_seen,
    }))
}

impl Sum {
    /// Adds a batch that is not aborted. Whether to go on.
    fn take(&mut self, entry: &Entry, from: i64) -> Result<bool, BatchError> {
        let (first, records, producer, newest) = match entry {
            Entry::Batch(batch) if batch.header().is_control() => return Ok(true),
            Entry::Batch(batch) => {
                let header = batch.header();
                // A batch that begins before the stretch is dense, or nearly so: it is the last one that was copied.
                let before = (from - header.base_offset).max(0);
                let records = (i64::from(header.records_count) - before).max(0);
                (header.base_offset.max(from), records, header.producer_id, header.max_timestamp)
            }
            Entry::Old(message) => {
                let records = message.decode(DecodeLimit::default())?;
                let late: Vec<_> = records.iter().filter(|record| record.offset >= from).collect();
                let newest = late.iter().map(|record| record.timestamp).max().unwrap_or(-1);
                (late.first().map_or(from, |record| record.offset), late.len() as i64, -1, newest)
            }
        };
        if records > 0 {
            self.from.get_or_insert(first);
            self.to = entry.next_offset();
            self.records += records;
            self.newest = self.newest.max(newest);
            self.producers.extend(Some(producer).filter(|id| *id >= 0));
        }
        self.batches += 1;
        if let Entry::Batch(batch) = entry {
            self.bytes += batch.bytes().len();
        }
        self.at_least = self.batches >= MOST_BATCHES || self.bytes >= MOST_BYTES;
        Ok(!self.at_least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Record, Stamp, encode};

    fn batch(base: i64, records: usize, producer: i64) -> Entry {
        let record = |at| Record { timestamp: 100 + at as i64, ..Record::default() };
        let records: Vec<_> = (0..records).map(record).collect();
        Entry::Batch(
            encode(&records, Codec::None, Stamp { producer_id: producer, producer_epoch: 0, base_sequence: 0 }, base)
                .unwrap(),
        )
    }

    #[test]
    fn late_records_are_summed_up_by_partition() {
        let mut sum = Sum { newest: -1, ..Sum::default() };
        for entry in [batch(8, 4, 7), batch(12, 1, 9)] {
            assert!(sum.take(&entry, 10).unwrap());
        }
        assert_eq!((sum.from, sum.to, sum.records, sum.newest, sum.at_least), (Some(10), 13, 3, 103, false));
        assert_eq!(sum.producers.into_iter().collect::<Vec<_>>(), [7, 9]);
    }

    #[test]
    fn very_many_batches_are_not_all_looked_at() {
        for mut sum in
            [Sum { batches: MOST_BATCHES - 1, ..Sum::default() }, Sum { bytes: MOST_BYTES - 1, ..Sum::default() }]
        {
            assert!(!sum.take(&batch(10, 1, 7), 10).unwrap());
            assert!(sum.at_least);
        }
    }
}
