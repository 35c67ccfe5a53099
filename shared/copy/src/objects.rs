//! The S3 objects that hold slices. A name can be taken once: whoever stores under it first has decided what is produced.
//!
//! The seed stores one object for each slice, a plain Kafka log segment `segments/<topic>/<partition>/<source>.<target>.log`
//! named by where it begins on both sides, which Kafka's own tools read as a segment that begins at the source offset.
//! Positions and offset runs are its metadata. Whoever stands at a position finds by name what follows there. The tail stores
//! one object for each round, `tail/<batch>/<number>.tail`: the log of each slice, then an index, so that a second of
//! latency does not cost an object for every partition.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use documents::PutOnce;
use journal::Position;
use migration::progress::{Gap, ReencodedCounts};
use migration::{BatchId, Error, Result, TopicPartition};
use runtime::Content;
use serde::{Deserialize, Serialize};

use crate::ports::Bucket;
use crate::slice::Slice;
use offsets::OffsetRuns;

/// Ends a tail object, behind the index's length as u64 big-endian.
const TAIL_MAGIC: &[u8; 8] = b"MSKTAIL1";

/// S3 keeps at most 2 KB of user metadata; longer runs go to an object of their own. What remains is enough for the other
/// fields, with one gap.
const INLINE_RUNS_MAX: usize = 1400;

/// The objects of one migration.
#[derive(Debug)]
pub struct Objects<'a, B> {
    store: &'a B,
}

/// What is known of a slice beside its batches.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    #[serde(flatten)]
    partition: TopicPartition,
    source_from: i64,
    target_from: i64,
    source_to: i64,
    target_to: i64,
    source_end: i64,
    #[serde(default, skip_serializing_if = "ReencodedCounts::is_empty")]
    reencoded: ReencodedCounts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
    runs: String,
    /// Bytes of the slice's log, in the order of the index.
    #[serde(default)]
    bytes: usize,
}

impl Index {
    fn of(slice: &Slice) -> Self {
        Self {
            partition: slice.partition.clone(),
            source_from: slice.from.source_next,
            target_from: slice.from.target_next,
            source_to: slice.to.source_next,
            target_to: slice.to.target_next,
            source_end: slice.source_end,
            reencoded: slice.reencoded.clone(),
            gaps: slice.gaps.clone(),
            runs: slice.runs.to_text(),
            bytes: slice.bytes(),
        }
    }

    fn into_slice(self, log: Bytes) -> Result<Slice> {
        let from = Position { source_next: self.source_from, target_next: self.target_from };
        let mut slice = Slice::at(self.partition, from, self.source_end);
        slice.to = Position { source_next: self.source_to, target_next: self.target_to };
        slice.runs = OffsetRuns::from_text(&self.runs)?;
        slice.reencoded = self.reencoded;
        slice.gaps = self.gaps;
        slice.set_log(log)?;
        Ok(slice)
    }
}

impl<'a, B: Bucket> Objects<'a, B> {
    /// The objects in `store`.
    pub const fn new(store: &'a B) -> Self {
        Self { store }
    }

    /// Stores a slice as a log segment. `epoch` tells this invocation's side objects from another's.
    ///
    /// # Errors
    /// Those of the [`Bucket`].
    pub async fn put_segment(&self, slice: &Slice, epoch: u64) -> Result<PutOnce> {
        let name = segment_name(&slice.partition, slice.from);
        let mut index = Index::of(slice);
        if index.runs.len() > INLINE_RUNS_MAX {
            let side = format!("{name}-{epoch}.runs");
            self.store.put(&side, std::mem::take(&mut index.runs).into()).await?;
            index.runs = format!("@{side}");
        }
        let index = serde_json::to_string(&index).map_err(|error| Error::internal(format_args!("index: {error}")))?;
        let metadata = HashMap::from([("index".to_owned(), index)]);
        let mut content = Content::default();
        slice.add_log(&mut content);
        self.store.put_once(&format!("{name}.log"), content, metadata).await
    }

    /// Reads the segment of `partition` that begins at `at`, if it was stored.
    ///
    /// # Errors
    /// Those of the [`Bucket`]; Unsafe when the segment is damaged.
    pub async fn get_segment(&self, partition: &TopicPartition, at: Position) -> Result<Option<Slice>> {
        let name = &format!("{}.log", segment_name(partition, at));
        let Some(object) = self.store.get(name).await? else { return Ok(None) };
        let index = object.metadata.get("index").and_then(|text| serde_json::from_str(text).ok());
        let mut index: Index =
            index.ok_or_else(|| Error::data_unsafe(format_args!("{} has no index", self.store.url(name))))?;
        if let Some(side) = index.runs.strip_prefix('@') {
            let runs = self.store.get(side).await?;
            let runs = runs.ok_or_else(|| Error::blocked(format_args!("{} was deleted", self.store.url(side))))?;
            index.runs = String::from_utf8_lossy(&runs.body).into_owned();
        }
        index.into_slice(object.body).map(Some)
    }

    /// Stores the slices of one round of the tail of `batch` as its object `number`.
    ///
    /// # Errors
    /// Those of the [`Bucket`].
    pub async fn put_tail<'s>(
        &self,
        batch: BatchId,
        number: u64,
        slices: impl Iterator<Item = &'s Slice> + Clone,
    ) -> Result<PutOnce> {
        self.store.put_once(&tail_name(batch, number), pack(slices)?, HashMap::new()).await
    }

    /// Reads the tail object `number` of `batch`, if it was stored.
    ///
    /// # Errors
    /// Those of the [`Bucket`]; Unsafe when the object is damaged.
    pub async fn get_tail(&self, batch: BatchId, number: u64) -> Result<Option<Vec<Slice>>> {
        let name = tail_name(batch, number);
        let Some(object) = self.store.get(&name).await? else { return Ok(None) };
        unpack(object.body).map(Some).map_err(|mut error| {
            error.message = format!("{}: {}", self.store.url(&name), error.message);
            error
        })
    }
}

fn segment_name(partition: &TopicPartition, at: Position) -> String {
    let TopicPartition { topic, partition } = partition;
    format!("segments/{topic}/{partition}/{:020}.{}", at.source_next, at.target_next)
}

fn tail_name(batch: BatchId, number: u64) -> String {
    format!("tail/{batch}/{number:020}.tail")
}

/// The content of the tail object of `slices`; public for fuzzing.
#[doc(hidden)]
pub fn pack<'s>(slices: impl Iterator<Item = &'s Slice> + Clone) -> Result<Content> {
    let index: Vec<_> = slices.clone().map(Index::of).collect();
    let index = serde_json::to_vec(&index).map_err(|error| Error::internal(format_args!("index: {error}")))?;
    let mut content = Content::default();
    slices.for_each(|slice| slice.add_log(&mut content));
    let mut trailer = BytesMut::from(&index[..]);
    trailer.put_u64(index.len() as u64);
    trailer.extend_from_slice(TAIL_MAGIC);
    content.push(trailer.freeze());
    Ok(content)
}

/// The slices of a tail object; public for fuzzing.
#[doc(hidden)]
pub fn unpack(mut object: Bytes) -> Result<Vec<Slice>> {
    let index = split_index(&mut object).ok_or_else(|| Error::data_unsafe("a tail object is damaged"))?;
    let mut slices = Vec::with_capacity(index.len());
    for entry in index {
        if entry.bytes > object.len() {
            return Err(Error::data_unsafe("a tail object is damaged"));
        }
        let log = object.split_to(entry.bytes);
        slices.push(entry.into_slice(log)?);
    }
    Ok(slices)
}

/// Cuts the index off the end of `object`.
fn split_index(object: &mut Bytes) -> Option<Vec<Index>> {
    let logs_and_index = object.len().checked_sub(16)?;
    let trailer = object.split_off(logs_and_index);
    if trailer.get(8..)? != TAIL_MAGIC {
        return None;
    }
    let length = u64::from_be_bytes(trailer.get(..8)?.try_into().ok()?);
    let start = object.len().checked_sub(usize::try_from(length).ok()?)?;
    serde_json::from_slice(&object.split_off(start)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka::batch::{Codec, Record, Stamp, encode};
    use proptest::prelude::*;

    fn slice(partition: i32, records: i64) -> Slice {
        let from = Position { source_next: 100, target_next: 7 };
        let mut slice = Slice::at(TopicPartition::new("orders", partition), from, 500);
        if records > 0 {
            let record = |n| Record {
                offset: 100 + n,
                timestamp: n,
                key: None,
                value: Some(Bytes::from(n.to_string())),
                headers: Vec::new(),
            };
            let records: Vec<_> = (0..records).map(record).collect();
            slice.batches.push(encode(&records, Codec::Lz4, Stamp::nth(9, 0, 7), 100).unwrap().into());
            slice.runs.push(100, records.len() as i64).unwrap();
            slice.to = Position { source_next: 100 + records.len() as i64, target_next: 7 + records.len() as i64 };
        }
        slice
    }

    #[test]
    fn a_tail_object_reads_back() {
        let mut slices = [slice(0, 3), slice(1, 0), slice(2, 50)];
        slices[1].gaps = vec![Gap { from: 100, to: 107, at: "then".to_owned() }];
        let read = unpack(pack(slices.iter()).unwrap().concat()).unwrap();
        assert_eq!(read.len(), slices.len());
        for (read, stored) in read.iter().zip(&slices) {
            assert_eq!(
                (read.from, read.to, &read.batches, &read.runs, &read.gaps),
                (stored.from, stored.to, &stored.batches, &stored.runs, &stored.gaps)
            );
        }
    }

    proptest! {
        #[test]
        fn a_damaged_tail_object_is_an_error_and_never_a_panic(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut object = pack([slice(0, 3), slice(2, 20)].iter()).unwrap().concat().to_vec();
            let at = at.index(object.len());
            object[at] ^= flip;
            if let Ok(slices) = unpack(Bytes::from(object)) {
                for slice in slices {
                    prop_assert!(slice.batches.iter().all(|batch| batch.to_raw().verify_crc().is_ok()));
                }
            }
        }

        #[test]
        fn a_truncated_tail_object_is_an_error(keep in 0_usize..2000) {
            let object = pack([slice(0, 3), slice(2, 20)].iter()).unwrap().concat();
            if keep < object.len() {
                prop_assert!(unpack(object.slice(..keep)).is_err());
            }
        }
    }
}
