//! Finding the markers of an empty transaction again.

use std::time::Duration;

use migration::TopicPartition;

use crate::batch::{BatchError, ControlType, entries, markers};
use crate::cluster::Cluster;
use crate::error::{Each, Error, Place, Result};
use crate::fetch::{FetchOptions, FetchPosition, Fetched, Isolation};
use crate::produce::ProducerIdentity;
use crate::spread::{Outcomes, complete, distinct};
use crate::{Api, Code};

/// Most bytes of one partition in the first answer: a marker has 78, and what little else was written about then.
const FIRST_BYTES: i32 = 16 << 10;
/// Most bytes of one partition in any answer, which is more than any batch has in practice; a broker sends the first partition of a
/// request a whole batch even if it is larger.
const MOST_BYTES: i32 = 16 << 20;
/// Most bytes of one leader's answer.
const ANSWER_BYTES: i32 = 8 << 20;

/// Where the search in one partition has got to.
struct Search {
    partition: TopicPartition,
    offset: i64,
    max_bytes: i32,
    /// The end of the log when it was first read.
    until: Option<i64>,
}

/// What came of one step.
enum Step {
    Done(Result<Option<i64>>),
    Further(Search),
}

impl Cluster {
    /// The offset of the commit marker that an empty transaction of `identity` has left in `partition`, searched from
    /// `from_offset` to the end of the log as it is now; nothing if it is not there (yet).
    ///
    /// # Errors
    /// As [`Cluster::find_markers`].
    pub async fn find_marker(
        &self,
        partition: &TopicPartition,
        from_offset: i64,
        identity: ProducerIdentity,
    ) -> Result<Option<i64>> {
        let found = self.find_markers(&[(partition.clone(), from_offset)], identity).await.pop();
        found.map_or(Ok(None), |(_, found)| found)
    }

    /// The offset of the commit marker that an empty transaction of `identity` ([`Cluster::append_markers`]) has left in each
    /// partition, searched from the given offset to the end of the log as it is now; nothing where it is not there (yet). All
    /// partitions of a leader are read with one request, as long as little else lies behind the offsets.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](crate::Code::OffsetOutOfRange) where the log no longer has the offset or has not reached it. A batch
    /// that cannot be read, or a marker whose checksum is wrong, is [`CorruptMessage`](crate::Code::CorruptMessage).
    pub async fn find_markers(
        &self,
        from: &[(TopicPartition, i64)],
        identity: ProducerIdentity,
    ) -> Each<TopicPartition, Option<i64>> {
        if let Err(error) = distinct(from) {
            return from.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect();
        }
        let begin = |(partition, offset): &(TopicPartition, i64)| Search {
            partition: partition.clone(),
            offset: *offset,
            max_bytes: FIRST_BYTES,
            until: None,
        };
        let mut open: Vec<Search> = from.iter().map(begin).collect();
        let mut outcomes = Outcomes::new();
        while !open.is_empty() {
            let mut further = Vec::new();
            for (search, fetched) in self.search(open).await {
                let partition = search.partition.clone();
                match step(search, fetched, identity) {
                    Step::Done(found) => drop(outcomes.insert(partition, found)),
                    Step::Further(search) => further.push(search),
                }
            }
            // Brokers fill their answers in the order of the request, and those that got nothing have more room now.
            further.sort_by_key(|search| std::cmp::Reverse(search.max_bytes));
            open = further;
        }
        complete(from.iter().map(|(partition, _)| partition.clone()).collect(), Ok(outcomes))
    }

    async fn search(&self, open: Vec<Search>) -> Vec<(Search, Result<Fetched>)> {
        let options = FetchOptions {
            max_wait: Duration::ZERO,
            min_bytes: 0,
            max_bytes: ANSWER_BYTES,
            isolation: Isolation::ReadUncommitted,
        };
        let position = |search: &Search| FetchPosition {
            partition: search.partition.clone(),
            offset: search.offset,
            max_bytes: search.max_bytes,
        };
        let positions: Vec<_> = open.iter().map(position).collect();
        let fetched = self.fetch_retrying(&positions, &options).await;
        open.into_iter().zip(fetched.into_iter().map(|(_, fetched)| fetched)).collect()
    }
}

fn step(search: Search, fetched: Result<Fetched>, identity: ProducerIdentity) -> Step {
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => return Step::Done(Err(error)),
    };
    let found = markers(fetched.records.clone(), identity.id, identity.epoch).map(|found| {
        let ours = found.into_iter().filter(|marker| marker.control_type == ControlType::Commit);
        ours.map(|marker| marker.offset).find(|offset| *offset >= search.offset)
    });
    match found {
        Ok(Some(offset)) => return Step::Done(Ok(Some(offset))),
        Ok(None) => {}
        Err(error) => return Step::Done(Err(corrupt(search.partition, &error))),
    }
    // Readable, as all markers have just been looked for among them.
    let read = entries(fetched.records).filter_map(std::result::Result::ok).last().map(|last| last.next_offset());
    let offset = read.unwrap_or(search.offset).max(search.offset);
    let until = search.until.unwrap_or(fetched.high_watermark);
    if offset >= until {
        return Step::Done(Ok(None));
    }
    // The answer was full before this partition, or the next batch does not fit into its part.
    let max_bytes =
        if offset == search.offset { search.max_bytes.saturating_mul(8).min(MOST_BYTES) } else { FIRST_BYTES };
    Step::Further(Search { offset, max_bytes, until: Some(until), ..search })
}

fn corrupt(partition: TopicPartition, error: &BatchError) -> Error {
    let (place, message) = (Place::Partition(partition), Some(error.to_string()));
    Error::Broker { api: Api::Fetch, code: Code::CorruptMessage, place, message }
}
