//! The body about record batches.

use bytes::Bytes;
use kafka::batch::{
    AbortedFilter, AbortedTransaction, DecodeLimit, RawBatch, Stamp, needs_reencoding, record_offsets, reencode, split,
};

/// Largest size to which a batch may unpack here. Far below the fuzzer's limit for one allocation.
const LIMIT: DecodeLimit = DecodeLimit::bytes(1 << 20);

/// Goes through a record set as a copy does.
pub(crate) fn record_set(bytes: Bytes) {
    let aborted = vec![AbortedTransaction { producer_id: 1, first_offset: 0 }];
    let mut filter = AbortedFilter::new(aborted);
    for batch in split(bytes) {
        let Ok(batch) = batch else { return };
        let _ = filter.is_aborted(&batch);
        one(batch);
    }
}

fn one(batch: RawBatch) {
    let header = *batch.header();
    let first = header.base_offset.saturating_add(1);
    let _ = needs_reencoding(&header, first);
    let decoded = batch.decode(LIMIT);
    let offsets = record_offsets(&batch, LIMIT);
    if let (Ok(records), Ok(runs)) = (&decoded, &offsets) {
        let counted: i64 = runs.iter().map(|run| run.count).sum();
        assert_eq!(counted, records.len() as i64, "the offsets are those of the records");
    }
    let stamp = Stamp::nth(7, 3, 11);
    for from in [header.base_offset, first] {
        if let Ok(Some(rebuilt)) = reencode(&batch, from.., stamp, LIMIT) {
            assert!(rebuilt.batch.verify_crc().is_ok());
            let kept = decoded.as_ref().map(|records| records.iter().filter(|record| record.offset >= from).count());
            let read = rebuilt.batch.decode(DecodeLimit::bytes(4 << 20));
            if let (Ok(kept), Ok(read)) = (kept, read) {
                assert_eq!(kept, read.len(), "what is kept is all there");
            }
        }
    }
    let whole = batch.verify_crc().is_ok();
    assert_eq!(batch.stamped(stamp).verify_crc().is_ok(), whole, "a stamp neither damages nor hides damage");
}
