//! The body about what logs hold: batches, and messages of the formats before them.

use bytes::Bytes;
use kafka::batch::{
    AbortedFilter, AbortedTransaction, Assembly, BatchError, DecodeLimit, Entry, RawBatch, Stamp, entries, markers,
    needs_reencoding, record_offsets, reencode,
};

/// Largest size to which an entry may unpack here. Far below the fuzzer's limit for one allocation.
const LIMIT: DecodeLimit = DecodeLimit::bytes(1 << 20);
/// Largest batch that is made of gathered records.
const PART: usize = 2048;
/// Gathered bytes beyond which a fuzzer would wait for compression only.
const GATHERED: usize = 1 << 16;

/// Goes through a record set as a copy does.
pub(crate) fn record_set(bytes: Bytes) {
    let aborted = vec![AbortedTransaction { producer_id: 1, first_offset: 0 }];
    let mut filter = AbortedFilter::new(aborted);
    let mut gathered: Option<(Assembly, i64)> = None;
    let _ = markers(bytes.clone(), 1, 0);
    for entry in entries(bytes).map_while(Result::ok) {
        let _ = entry.verify_crc();
        let records = match &entry {
            Entry::Batch(batch) => {
                let _ = filter.is_aborted(batch);
                one(batch)
            }
            Entry::Old(message) => message.decode(LIMIT).map(|records| records.len()),
        };
        let (assembly, count) = gathered.get_or_insert_with(|| (Assembly::new(entry.codec()), 0));
        if assembly.plain_size() < GATHERED && assembly.add(&entry, .., LIMIT).is_ok() {
            // What is inside of a batch's records is not looked at when they are gathered.
            *count += records.map_or(-1, |records| records as i64);
        }
    }
    if let Some((assembly, count)) = gathered.filter(|(assembly, _)| assembly.plain_size() < 2 * GATHERED) {
        cut(assembly, count);
    }
}

/// Reads one batch in every way, and returns how many records it has.
fn one(batch: &RawBatch) -> Result<usize, BatchError> {
    let header = *batch.header();
    let first = header.base_offset.saturating_add(1);
    let _ = needs_reencoding(&header, first);
    let decoded = batch.decode(LIMIT);
    let offsets = record_offsets(batch, LIMIT);
    if let (Ok(records), Ok(runs)) = (&decoded, &offsets) {
        let counted: i64 = runs.iter().map(|run| run.count).sum();
        assert_eq!(counted, records.len() as i64, "the offsets are those of the records");
    }
    let stamp = Stamp::nth(7, 3, 11);
    for from in [header.base_offset, first] {
        if let Ok(Some(rebuilt)) = reencode(batch, from.., stamp, LIMIT) {
            assert!(rebuilt.batch.verify_crc().is_ok());
            let kept = decoded.as_ref().map(|records| records.iter().filter(|record| record.offset >= from).count());
            let read = rebuilt.batch.decode(DecodeLimit::bytes(4 << 20));
            if let (Ok(kept), Ok(read)) = (kept, read) {
                assert_eq!(kept, read.len(), "what is kept is all there");
            }
        }
    }
    let whole = batch.verify_crc().is_ok();
    let stamped = batch.clone().stamped(stamp).to_raw();
    assert_eq!(stamped.verify_crc().is_ok(), whole, "a stamp neither damages nor hides damage");
    decoded.map(|records| records.len())
}

/// Cuts gathered records into small batches; `count` is how many there are, negative or too small when that is not known.
fn cut(assembly: Assembly, count: i64) {
    let mut parts = Vec::new();
    let all = assembly.finish_within(PART, &mut parts);
    let made: i64 = parts.iter().map(|part| i64::from(part.batch.header().records_count)).sum();
    let offsets: i64 = parts.iter().flat_map(|part| &part.runs).map(|run| run.count).sum();
    assert_eq!(made, offsets, "every record has its offset");
    assert!(all.is_err() || made >= count, "every record is in a part");
    for part in parts {
        assert!(part.batch.bytes().len() <= PART && part.batch.verify_crc().is_ok());
    }
}
