//! Properties of whole batches.

use std::ops::ControlFlow;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::stream::tests::visited;
use super::*;

const LIMIT: DecodeLimit = DecodeLimit::bytes(64 << 20);

fn blob() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        1 => (any::<u8>(), 0usize..4_000).prop_map(|(byte, size)| vec![byte; size].into()),
    ]
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![1_600_000_000_000i64..1_800_000_000_000, any::<i64>(), Just(-1)]
}

fn record() -> impl Strategy<Value = Record> {
    let nullable = || proptest::option::of(blob());
    let header = (prop_oneof![Just(Bytes::from("name")), blob()], nullable());
    (timestamp(), nullable(), nullable(), vec(header, 0..4)).prop_map(|(timestamp, key, value, headers)| Record {
        offset: 0,
        timestamp,
        key,
        value,
        headers,
    })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec(record(), 1..20)
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<i64>(), any::<i16>(), any::<i32>()).prop_map(|(producer_id, producer_epoch, base_sequence)| Stamp {
        producer_id,
        producer_epoch,
        base_sequence,
    })
}

/// A batch and what is in it, as a source cluster could hold it: any flags, and holes where compaction went over it.
#[derive(Debug, Clone)]
struct Stored {
    batch: RawBatch,
    records: Vec<Record>,
}

/// The batch of `records` at `base_offset` as it is after the log cleaner removed those that `keep` is false for, and
/// with `attributes` added.
fn store(mut records: Vec<Record>, keep: &[bool], codec: Codec, attributes: i16, base_offset: i64) -> Stored {
    for (offset, record) in (base_offset..).zip(&mut records) {
        record.offset = offset;
    }
    let last_offset_delta = records.len() as i32 - 1;
    let mut kept = keep.iter().copied().cycle();
    records.retain(|_| kept.next() == Some(true));
    let max_timestamp = records.iter().map(|record| record.timestamp).max().unwrap_or(-1);
    let base_timestamp = 1_000;
    let mut plain = Vec::new();
    for record in &records {
        let deltas = [record.timestamp.wrapping_sub(base_timestamp), record.offset - base_offset];
        let size = 1 + deltas.map(varint::size).iter().sum::<usize>() + record.fields_size();
        varint::put(&mut plain, size as i64);
        plain.push(0);
        deltas.into_iter().for_each(|delta| varint::put(&mut plain, delta));
        record.put_fields(&mut plain);
    }
    let mut bytes = vec![0; HEADER_SIZE];
    if !records.is_empty() {
        codec.compress(&plain, &mut bytes).unwrap();
    }
    let header = Header {
        base_offset,
        batch_length: (bytes.len() - 12) as i32,
        partition_leader_epoch: 5,
        crc: 0,
        attributes: codec as i16 | attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id: 1,
        producer_epoch: 2,
        base_sequence: 3,
        records_count: records.len() as i32,
    };
    let header = header.seal(&mut bytes);
    if header.timestamp_type() == TimestampType::LogAppendTime {
        records.iter_mut().for_each(|record| record.timestamp = max_timestamp);
    }
    Stored { batch: RawBatch::parse(bytes.into()).unwrap(), records }
}

const LOG_APPEND_TIME: i16 = 0x08;

fn stored() -> impl Strategy<Value = Stored> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let flags = flags.prop_map(|(a, b, c)| i16::from(a) << 3 | i16::from(b) << 4 | i16::from(c) << 6);
    let keep = prop_oneof![Just(vec![true]), vec(any::<bool>(), 20)];
    (records(), keep, codec(), flags, 0i64..1 << 40)
        .prop_map(|(records, keep, codec, flags, offset)| store(records, &keep, codec, flags, offset))
}

fn offsets(runs: &[OffsetRun]) -> Vec<i64> {
    runs.iter().flat_map(|run| run.first..run.end()).collect()
}

/// The records with the offsets they have after a rebuild.
fn renumbered(records: &[&Record]) -> Vec<Record> {
    let first = records.first().map_or(0, |record| record.offset);
    (first..).zip(records).map(|(offset, record)| Record { offset, ..(*record).clone() }).collect()
}

proptest! {
    #[test]
    fn encoding_round_trips(records in records(), codec in codec(), stamp in stamp(), base in 0i64..1 << 50) {
        let batch = encode(&records, codec, stamp, base).unwrap();
        batch.verify_crc().unwrap();
        let header = batch.header();
        prop_assert_eq!((header.codec(), header.is_dense(), header.base_offset), (codec, true, base));
        prop_assert_eq!(header.base_timestamp, records[0].timestamp);
        prop_assert_eq!(Some(header.max_timestamp), records.iter().map(|record| record.timestamp).max());
        prop_assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
        prop_assert!(!header.is_control() && !header.is_transactional() && !header.has_delete_horizon());
        let Stamp { producer_id, producer_epoch, base_sequence } = stamp;
        prop_assert_eq!((header.producer_id, header.producer_epoch), (producer_id, producer_epoch));
        prop_assert_eq!(header.base_sequence, base_sequence);
        prop_assert_eq!(&RawBatch::parse(batch.bytes().clone()).unwrap(), &batch);
        let expected: Vec<_> = (base..).zip(records).map(|(offset, record)| Record { offset, ..record }).collect();
        prop_assert_eq!(batch.decode(LIMIT).unwrap(), expected);
    }

    #[test]
    fn decoding_gives_what_is_stored(stored in stored()) {
        prop_assert_eq!(stored.batch.decode(LIMIT).unwrap(), &stored.records[..]);
        let runs = record_offsets(&stored.batch, LIMIT).unwrap();
        prop_assert_eq!(offsets(&runs), stored.records.iter().map(|record| record.offset).collect::<Vec<_>>());
        prop_assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].first), "runs are as long as possible");
    }

    #[test]
    fn visiting_gives_what_decoding_gives(stored in stored(), most in 0_usize..20) {
        prop_assert_eq!(visited(&stored.batch, LIMIT).unwrap(), &stored.records[..]);
        let mut seen = 0;
        stored.batch.visit(LIMIT, |_| {
            seen += 1;
            if seen > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }).unwrap();
        prop_assert_eq!(seen, stored.records.len().min(most + 1), "no more than was wanted");
    }

    #[test]
    fn parts_hold_all_records_from_an_offset_on(stored in stored(), size in 1_usize..2_000, from in any::<Index>()) {
        let from = stored.batch.header().base_offset + from.index(stored.batch.header().last_offset_delta as usize + 2) as i64;
        let (mut arrived, mut sources) = (Vec::new(), Vec::new());
        Assembly::in_parts(&stored.batch, from, (size, LIMIT), |part| {
            let end = part.end();
            let Some(Reencoded { batch, runs }) = part.finish(Stamp::NONE)? else { return Ok(()) };
            assert_eq!(end, runs.last().map(OffsetRun::end));
            arrived.extend(batch.decode(LIMIT)?);
            sources.extend(offsets(&runs));
            Ok(())
        }).unwrap();
        let arrived: Vec<_> = arrived.into_iter().zip(sources).map(|(record, offset)| Record { offset, ..record }).collect();
        let wanted: Vec<_> = stored.records.into_iter().filter(|record| record.offset >= from).collect();
        prop_assert_eq!(arrived, wanted);
    }

    #[test]
    fn a_stamp_changes_only_what_it_names(stored in stored(), stamp in stamp()) {
        let before = stored.batch.clone();
        let stamped = stored.batch.stamped(stamp);
        let after = stamped.to_raw();
        after.verify_crc().unwrap();
        prop_assert_eq!(&RawBatch::parse(after.bytes().clone()).unwrap(), &after);
        prop_assert_eq!(stamped.log_crc(), crc32c::crc32c(after.bytes()));
        let expected = Header {
            attributes: before.header().attributes & !0x50,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            crc: after.header().crc,
            ..*before.header()
        };
        prop_assert_eq!(after.header(), &expected);
        prop_assert_eq!(&after.bytes()[HEADER_SIZE..], &before.bytes()[HEADER_SIZE..]);
        prop_assert_eq!(after.decode(LIMIT).unwrap(), stored.records, "clearing the flags alters no record");
    }

    #[test]
    fn a_stamp_does_not_hide_damage(stored in stored(), stamp in stamp(), at in any::<Index>(), bit in 0u8..8) {
        let mut bytes = stored.batch.bytes().to_vec();
        let at = header::CRC_COVERS_FROM + at.index(bytes.len() - header::CRC_COVERS_FROM);
        bytes[at] ^= 1 << bit;
        if let Ok(damaged) = RawBatch::parse(bytes.into()) {
            prop_assert!(damaged.verify_crc().is_err());
            // Damage to a field that the stamp overwrites is gone, but the checksum cannot know.
            prop_assert!(damaged.stamped(stamp).to_raw().verify_crc().is_err());
        }
    }

    #[test]
    fn produce_bytes_differ_in_the_base_offset_alone(stored in stored()) {
        let expected = [&[0; 8], &stored.batch.bytes()[8..]].concat();
        let bytes = stored.batch.to_produce();
        prop_assert_eq!(bytes.size(), expected.len());
        prop_assert_eq!(&bytes.concat(), &expected);
        RawBatch::parse(bytes.concat()).unwrap().verify_crc().unwrap();
    }

    #[test]
    fn reencoding_keeps_the_wanted_records_exactly(stored in stored(), stamp in stamp(), a in any::<Index>(), b in any::<Index>()) {
        let span = stored.batch.header().last_offset_delta as usize + 2;
        let at = |index: Index| stored.batch.header().base_offset + index.index(span) as i64;
        let keep = at(a).min(at(b))..at(a).max(at(b));
        let wanted: Vec<_> = stored.records.iter().filter(|record| keep.contains(&record.offset)).collect();
        match reencode(&stored.batch, keep, stamp, LIMIT).unwrap() {
            None => prop_assert!(wanted.is_empty()),
            Some(Reencoded { batch, runs }) => {
                batch.verify_crc().unwrap();
                prop_assert_eq!(&RawBatch::parse(batch.bytes().clone()).unwrap(), &batch);
                prop_assert_eq!(batch.decode(LIMIT).unwrap(), renumbered(&wanted));
                prop_assert_eq!(offsets(&runs), wanted.iter().map(|record| record.offset).collect::<Vec<_>>());
                prop_assert_eq!(needs_reencoding(batch.header(), batch.header().base_offset), None);
                let header = batch.header();
                prop_assert_eq!(header.codec(), stored.batch.header().codec());
                prop_assert_eq!(header.partition_leader_epoch, 5);
                prop_assert_eq!(header.producer_id, stamp.producer_id);
                prop_assert!(!header.is_transactional() && !header.has_delete_horizon());
            }
        }
    }

    #[test]
    fn a_cut_loses_nothing_and_no_part_exceeds_the_limit(
        records in records(),
        keep in vec(any::<bool>(), 20),
        codec in codec(),
        limit in 61_usize..6_000,
    ) {
        let stored = store(records, &keep, codec, 0, 100);
        let mut assembly = Assembly::new(codec);
        assembly.add(&Entry::Batch(stored.batch), .., LIMIT).unwrap();
        let mut parts = Vec::new();
        let finished = assembly.finish_within(limit, &mut parts);
        let (mut arrived, mut sources) = (Vec::new(), Vec::new());
        for Reencoded { batch, runs } in &parts {
            batch.verify_crc().unwrap();
            prop_assert!(batch.header().size() <= limit && batch.header().is_dense());
            prop_assert_eq!(batch.header().base_offset, runs[0].first);
            arrived.extend(batch.decode(LIMIT).unwrap());
            sources.extend(offsets(runs));
        }
        let at_source = |record: Record, offset: i64| Record { offset, ..record };
        let arrived: Vec<_> = arrived.into_iter().zip(sources).map(|(record, at)| at_source(record, at)).collect();
        prop_assert_eq!(&arrived[..], &stored.records[..arrived.len()]);
        match finished {
            Ok(()) => prop_assert_eq!(arrived.len(), stored.records.len()),
            Err(error) => {
                let next = &stored.records[arrived.len()];
                let bytes = encode(std::slice::from_ref(next), codec, Stamp::NONE, 0).unwrap().bytes().len();
                prop_assert_eq!(error, BatchError::RecordTooLarge { offset: next.offset, bytes, limit });
                prop_assert!(bytes > limit);
            }
        }
    }

    #[test]
    fn merged_batches_hold_the_records_of_all(stored in vec(records(), 1..6), codec in codec()) {
        let (mut assembly, mut expected, mut next) = (Assembly::new(codec), Vec::new(), 100);
        for records in stored {
            let stored = store(records, &[true], codec, 0, next);
            next = stored.batch.header().next_offset();
            expected.extend(stored.records);
            assembly.add(&Entry::Batch(stored.batch), .., LIMIT).unwrap();
        }
        let Reencoded { batch, runs } = assembly.finish(Stamp::nth(7, 0, 3)).unwrap().unwrap();
        prop_assert_eq!(batch.decode(LIMIT).unwrap(), expected);
        prop_assert_eq!(offsets(&runs), (100..next).collect::<Vec<_>>());
        prop_assert_eq!(batch.header().base_sequence, 3);
    }

    #[test]
    fn what_needs_no_reencoding_equals_its_reencoding(
        records in records(),
        codec in codec(),
        flags in proptest::sample::select(&[0, 0x10, 0x40, 0x50][..]),
        stamp in stamp(),
    ) {
        let batch = store(records, &[true], codec, flags, 100).batch;
        prop_assert_eq!(needs_reencoding(batch.header(), 100), None);
        let rebuilt = reencode(&batch, .., stamp, LIMIT).unwrap().unwrap().batch;
        prop_assert_eq!(rebuilt.decode(LIMIT).unwrap(), batch.stamped(stamp).to_raw().decode(LIMIT).unwrap());
    }

    #[test]
    fn a_cut_record_set_gives_its_whole_batches(stored in vec(stored(), 1..5), cut in any::<Index>()) {
        let whole = stored.iter().flat_map(|one| one.batch.bytes().to_vec()).collect::<Bytes>();
        let cut = cut.index(whole.len() + 1);
        let mut batches = split(whole.slice(..cut));
        let (mut end, mut expected) = (0, Vec::new());
        for Stored { batch, .. } in stored {
            if end + batch.bytes().len() > cut {
                break;
            }
            end += batch.bytes().len();
            expected.push(batch);
        }
        prop_assert_eq!(batches.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), expected);
        prop_assert_eq!(batches.rest(), &whole.slice(end..cut));
        if let Some(size) = batches.next_size() {
            prop_assert!(split(whole.slice(end..end + size)).next().is_some());
        }
    }

    #[test]
    fn damage_never_panics(stored in stored(), flips in vec((any::<Index>(), any::<u8>()), 1..8), cut in any::<Index>()) {
        let mut bytes = stored.batch.bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        exercise(Bytes::from(bytes.clone()));
        bytes.truncate(cut.index(bytes.len()));
        exercise(bytes.into());
    }

    #[test]
    fn noise_in_records_never_panics(
        noise in vec(prop_oneof![Just(0u8), 0u8..32, any::<u8>()], 0..200),
        count in 0i32..40,
        codec in codec(),
    ) {
        let mut bytes = vec![0; HEADER_SIZE];
        codec.compress(&noise, &mut bytes).unwrap();
        let header = Header {
            batch_length: (bytes.len() - 12) as i32,
            records_count: count,
            last_offset_delta: 40,
            ..*encode(&[Record::default()], codec, Stamp::NONE, 7).unwrap().header()
        };
        header.seal(&mut bytes);
        exercise(bytes.into());
    }

    #[test]
    fn pure_noise_never_panics(noise in vec(any::<u8>(), 0..300)) {
        exercise(noise.into());
    }
}

/// Runs everything on bytes that may be anything.
fn exercise(bytes: Bytes) {
    let limit = DecodeLimit::bytes(1 << 20);
    let _ = RawBatch::parse(bytes.clone());
    let _ = Header::parse(&bytes);
    let mut filter = AbortedFilter::new(vec![AbortedTransaction { producer_id: 1, first_offset: 0 }]);
    for batch in split(bytes).flatten() {
        let header = *batch.header();
        let _ = (header.next_offset(), header.dense_run(), needs_reencoding(&header, 5));
        let _ = (batch.verify_crc(), batch.decode(limit), record_offsets(&batch, limit), filter.is_aborted(&batch));
        let _ = reencode(&batch, .., Stamp::NONE, limit);
        match (batch.decode(limit), visited(&batch, limit)) {
            // The limit is one for all records in the one, and one for each in the other.
            (Err(BatchError::TooLarge { .. }), _) => {}
            (decoded, visited) => assert_eq!(decoded.ok(), visited.ok()),
        }
        let valid = batch.verify_crc().is_ok();
        let stamped = batch.stamped(Stamp::NONE);
        assert_eq!(stamped.to_raw().verify_crc().is_ok(), valid);
        let _ = (stamped.log_crc(), stamped.to_produce());
    }
}

fn simple(count: usize) -> Vec<Record> {
    vec![Record { timestamp: 10, value: Some(Bytes::from("value")), ..Record::default() }; count]
}

#[test]
fn reasons_to_reencode() {
    let header = |keep: &[bool], attributes| *store(simple(3), keep, Codec::None, attributes, 100).batch.header();
    let dense = header(&[true], 0x50);
    assert_eq!(needs_reencoding(&dense, 0), None, "neither a transaction nor a delete horizon is a reason");
    assert_eq!(needs_reencoding(&dense, 100), None);
    assert_eq!(needs_reencoding(&dense, 101), Some(Reason::Straddles));
    assert_eq!(needs_reencoding(&header(&[true], LOG_APPEND_TIME), 0), Some(Reason::LogAppendTime));
    for keep in [[false, true, true], [true, false, true], [true, true, false], [false; 3]] {
        assert_eq!(needs_reencoding(&header(&keep, 0), 0), Some(Reason::Holes));
    }
}

#[test]
fn a_batch_that_compaction_emptied_has_nothing() {
    let empty = store(simple(3), &[false], Codec::Zstd, 0, 100).batch;
    assert_eq!(empty.decode(LIMIT).unwrap(), []);
    assert_eq!(record_offsets(&empty, LIMIT).unwrap(), []);
    assert_eq!(reencode(&empty, .., Stamp::NONE, LIMIT).unwrap(), None);
    assert_eq!(empty.header().next_offset(), 103);
}

#[test]
fn records_are_stamped_and_sent_without_a_copy() {
    let batch = encode(&simple(3), Codec::None, Stamp::NONE, 5).unwrap();
    let place = batch.bytes()[HEADER_SIZE..].as_ptr();
    let stamped = batch.stamped(Stamp::nth(1, 0, 7));
    assert_eq!(stamped.log_pieces()[1].as_ptr(), place);
    assert_eq!(stamped.to_produce().pieces()[1].as_ptr(), place);
}

#[test]
fn splitting_shares_the_bytes() {
    let batch = encode(&simple(1), Codec::None, Stamp::NONE, 5).unwrap();
    let set = Bytes::from([&batch.bytes()[..], batch.bytes()].concat());
    let second = split(set.clone()).nth(1).unwrap().unwrap();
    assert_eq!(second.bytes().as_ptr(), set[batch.bytes().len()..].as_ptr());
}

#[test]
fn records_of_an_uncompressed_batch_share_its_bytes() {
    let batch = encode(&simple(1), Codec::None, Stamp::NONE, 5).unwrap();
    let value = batch.decode(LIMIT).unwrap().remove(0).value.unwrap();
    assert!(batch.bytes().as_ptr_range().contains(&value.as_ptr()));
}

#[test]
fn other_formats_and_lengths_end_the_split_with_their_error() {
    let good = encode(&simple(1), Codec::None, Stamp::NONE, 5).unwrap();
    let bad = |at: usize, with: &[u8]| {
        let mut bytes = good.bytes().to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        let mut batches = split([&good.bytes()[..], &bytes, good.bytes()].concat().into());
        assert_eq!(batches.next(), Some(Ok(good.clone())));
        let error = batches.next().unwrap().unwrap_err();
        assert_eq!(batches.next(), None);
        assert_eq!(batches.rest().len(), bytes.len() + good.bytes().len());
        error
    };
    let magic = header::MAGIC_AT;
    assert_eq!(bad(magic, &[0]), BatchError::OldFormat { offset: 5, magic: 0 });
    assert_eq!(bad(magic, &[1]), BatchError::OldFormat { offset: 5, magic: 1 });
    assert_eq!(bad(magic, &[3]), BatchError::UnknownFormat { offset: 5, magic: 3 });
    for length in [i32::MIN, -1, 0, 13, 48] {
        assert_eq!(bad(8, &length.to_be_bytes()), BatchError::Length { offset: 5, length });
    }
}

#[test]
fn a_count_beyond_the_records_is_an_error_without_memory_for_it() {
    let batch = encode(&simple(2), Codec::None, Stamp::NONE, 5).unwrap();
    let mut bytes = batch.bytes().to_vec();
    let lie = |count, bytes: &mut [u8]| {
        let header = Header { records_count: count, last_offset_delta: i32::MAX, ..*batch.header() }.seal(bytes);
        RawBatch::from_parts(header, Bytes::copy_from_slice(bytes)).decode(LIMIT).unwrap_err()
    };
    assert_eq!(lie(i32::MAX, &mut bytes), BatchError::Truncated { offset: 5, index: 2 });
    assert!(matches!(lie(1, &mut bytes), BatchError::Trailing { offset: 5, .. }));
}

#[test]
fn nothing_makes_no_batch() {
    let error = encode(&[], Codec::None, Stamp::NONE, 5).unwrap_err();
    assert!(matches!(error, BatchError::Encode { offset: 5, .. }), "{error}");
    let error = encode(&simple(1), Codec::None, Stamp::NONE, -1).unwrap_err();
    assert!(matches!(error, BatchError::Field { offset: -1, .. }), "{error}");
}

#[test]
fn control_batches_are_not_reencoded() {
    let control = store(simple(1), &[true], Codec::None, 0x20, 5).batch;
    let error = reencode(&control, .., Stamp::NONE, LIMIT).unwrap_err();
    assert!(matches!(error, BatchError::Encode { offset: 5, .. }), "{error}");
}
