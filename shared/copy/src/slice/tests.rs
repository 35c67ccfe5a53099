//! What arrives is what a read_committed consumer sees, however the source laid it out.

mod source;

use kafka::batch::{Codec, DecodeLimit, Record, TimestampType, encode};
use migration::ErrorKind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use self::source::{Layout, Source};
use super::*;

const PRODUCER: ProducerId = ProducerId { id: 4242, epoch: 3 };
const LIMIT: DecodeLimit = DecodeLimit::bytes(64 << 20);

fn part() -> impl Strategy<Value = Option<Bytes>> {
    prop_oneof![
        2 => Just(None),
        6 => vec(any::<u8>(), 0..40).prop_map(|bytes| Some(bytes.into())),
        1 => (any::<u64>(), 1_000_usize..12_000).prop_map(|(seed, size)| Some(noise(seed, size))),
    ]
}

/// Bytes that hardly compress.
fn noise(seed: u64, size: usize) -> Bytes {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(size)
    .collect()
}

fn record() -> impl Strategy<Value = Record> {
    let timestamp = prop_oneof![8 => 1_700_000_000_000_i64..1_700_000_100_000, 1 => Just(-1), 1 => any::<i64>()];
    let headers = vec((part().prop_map(Option::unwrap_or_default), part()), 0..2);
    (timestamp, part(), part(), headers).prop_map(|(timestamp, key, value, headers)| Record {
        timestamp,
        key,
        value,
        headers,
        ..Record::default()
    })
}

fn layout() -> impl Strategy<Value = Layout> {
    let kept = || prop_oneof![3 => Just(vec![true]), 1 => vec(any::<bool>(), 7)];
    let codec = prop_oneof![2 => Just(Codec::None), 2 => select(&Codec::ALL[..])];
    let transaction = prop_oneof![6 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let batch = (codec, kept(), proptest::bool::weighted(0.1), transaction).prop_map(
        |(codec, kept, log_append_time, transaction)| Layout::Batch { codec, kept, log_append_time, transaction },
    );
    let old = (0_u8..2, any::<bool>(), kept(), any::<bool>())
        .prop_map(|(magic, gzip, kept, log_append_time)| Layout::Old { magic, gzip, kept, log_append_time });
    prop_oneof![6 => batch, 2 => old, 1 => Just(Layout::Gap)]
}

fn source() -> impl Strategy<Value = Source> {
    let appends = vec((vec(record(), 1..6), layout()), 0..14);
    (0_i64..1 << 40, appends).prop_map(|(start, appends)| {
        let mut source = Source::starting_at(start);
        appends.into_iter().for_each(|(records, layout)| source.append(records, &layout));
        source
    })
}

fn fetched(source: &Source, entries: std::ops::Range<usize>) -> Fetched {
    let records: Vec<u8> = source.entries[entries].iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    Fetched {
        high_watermark: source.next,
        last_stable_offset: source.next,
        log_start: 0,
        aborted: source.aborted.clone(),
        records: records.into(),
    }
}

fn slice_at(source_next: i64, target_next: i64, limit: usize) -> Slice {
    Slice::at(TopicPartition::new("orders", 0), Position { source_next, target_next }, 0).with_limit(limit)
}

/// What lies in the slice, with its offsets on the source, and the codec it lies in.
fn arrived(slice: &Slice) -> Vec<(Record, Codec)> {
    let mut target = slice.from.target_next;
    let mut all = Vec::new();
    for batch in &slice.batches {
        for record in batch.to_raw().decode(LIMIT).unwrap() {
            let offset = slice.runs.source_of(target).unwrap();
            all.push((Record { offset, ..record }, batch.header().codec()));
            target += 1;
        }
    }
    assert_eq!(target, slice.to.target_next);
    all
}

/// Whatever a broker of the target demands.
fn batches_are_acceptable(slice: &Slice, limit: usize) {
    let mut target = slice.from.target_next;
    for batch in &slice.batches {
        batch.to_raw().verify_crc().unwrap();
        let header = batch.header();
        assert!(header.size() <= limit, "{} bytes are above {limit}", header.size());
        assert!(header.is_dense() && !header.is_control() && !header.is_transactional());
        assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(Some(header.base_offset), slice.runs.source_of(target));
        let Stamp { producer_id, producer_epoch, base_sequence } = Stamp::nth(PRODUCER.id, PRODUCER.epoch, target);
        assert_eq!((header.producer_id, header.producer_epoch), (producer_id, producer_epoch));
        assert_eq!(header.base_sequence, base_sequence);
        target += i64::from(header.records_count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_arrives_is_what_a_consumer_sees(
        source in source(),
        start in any::<Index>(),
        cut in any::<Index>(),
        target in prop_oneof![Just(0), Just(i64::from(i32::MAX) - 3), 0_i64..1 << 40],
        limit in select(&[200, 1_000, 9_000, 20_000, MAX_BATCH_BYTES][..]),
    ) {
        let base = source.visible.first().map_or(source.next, |(record, _)| record.offset);
        let start = base + start.index((source.next - base) as usize + 1) as i64;
        let mut slice = slice_at(start, target, limit);
        let cut = cut.index(source.entries.len() + 1);
        let outcome = slice
            .append(fetched(&source, 0..cut), PRODUCER)
            .and_then(|()| slice.append(fetched(&source, cut..source.entries.len()), PRODUCER));

        batches_are_acceptable(&slice, limit);
        let expected: Vec<_> = source.visible.iter().filter(|(record, _)| record.offset >= start).cloned().collect();
        let arrived = arrived(&slice);
        prop_assert_eq!(&arrived[..], &expected[..arrived.len()]);
        for offset in start..=slice.to.source_next {
            let before = expected.iter().filter(|(record, _)| record.offset < offset).count().min(arrived.len());
            prop_assert_eq!(slice.runs.translate(offset), target + before as i64);
        }
        match outcome {
            Ok(()) => {
                prop_assert_eq!(arrived.len(), expected.len());
                let end = source.entries.last().map_or(start, |(next, _)| *next);
                prop_assert_eq!(slice.to.source_next, end.max(start));
            }
            Err(error) => {
                let (record, codec) = &expected[arrived.len()];
                let alone = encode(std::slice::from_ref(record), *codec, Stamp::NONE, 0).unwrap().bytes().len();
                prop_assert!(alone > limit, "{error}");
                prop_assert_eq!(error.kind, ErrorKind::Unsafe);
                prop_assert!(slice.to.source_next <= record.offset);
                let last = arrived.last().map_or(start, |(record, _)| record.offset + 1);
                prop_assert!(slice.to.source_next >= last);
                for part in [format!("offset {}", record.offset), alone.to_string(), limit.to_string()] {
                    prop_assert!(error.message.contains(&part), "{} lacks {part}", error.message);
                }
            }
        }
    }
}

fn small(value: &'static str) -> Record {
    Record { timestamp: 7, value: Some(Bytes::from(value)), ..Record::default() }
}

fn plain(codec: Codec) -> Layout {
    Layout::Batch { codec, kept: vec![true], log_append_time: false, transaction: None }
}

fn appended(source: &Source, limit: usize) -> Slice {
    let mut slice = slice_at(0, 0, limit);
    slice.append(fetched(source, 0..source.entries.len()), PRODUCER).unwrap();
    slice
}

fn reasons(slice: &Slice) -> Vec<(&str, i64)> {
    slice.reencoded.iter().collect()
}

#[test]
fn small_neighbours_of_a_codec_become_one_batch() {
    let mut source = Source::starting_at(0);
    for codec in [Codec::None, Codec::Lz4] {
        (0..1000).for_each(|_| source.append(vec![small("a small record")], &plain(codec)));
    }
    let slice = appended(&source, MAX_BATCH_BYTES);
    let counts: Vec<_> = slice.batches.iter().map(|batch| batch.header().records_count).collect();
    assert_eq!((counts, reasons(&slice)), (vec![1000, 1000], vec![("merged", 2000)]));
    assert_eq!(slice.runs.as_slice().len(), 1);
}

#[test]
fn merged_batches_stay_below_their_size() {
    let mut source = Source::starting_at(0);
    let record = Record { value: Some(noise(3, 10_000)), ..Record::default() };
    (0..120).for_each(|_| source.append(vec![record.clone()], &plain(Codec::None)));
    let sizes: Vec<_> = appended(&source, MAX_BATCH_BYTES).batches.iter().map(|batch| batch.size()).collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= 512 * 1024), "{sizes:?}");
}

#[test]
fn a_small_batch_alone_and_every_large_one_stay_as_they_are() {
    let mut source = Source::starting_at(0);
    let large = Record { value: Some(noise(5, 20_000)), ..Record::default() };
    for layout in [plain(Codec::None), plain(Codec::Zstd), plain(Codec::None)] {
        source.append(vec![small("alone")], &layout);
        source.append(vec![large.clone()], &layout);
        source.append(vec![large.clone()], &layout);
    }
    let slice = appended(&source, MAX_BATCH_BYTES);
    assert!(slice.reencoded.is_empty());
    let stored = source.entries.iter().map(|(_, bytes)| &bytes[61..]);
    assert!(slice.batches.iter().map(|batch| batch.log_pieces()[1].clone()).eq(stored));
}

#[test]
fn every_reason_is_counted_under_its_name() {
    let one = |layout: Layout, records: usize, limit: usize, from: i64| {
        let mut source = Source::starting_at(0);
        source.append(vec![Record { value: Some(noise(9, 900)), ..Record::default() }; records], &layout);
        let mut slice = slice_at(from, 0, limit);
        slice.append(fetched(&source, 0..source.entries.len()), PRODUCER).unwrap();
        let batches = slice.batches.len();
        (slice.reencoded.iter().map(|(reason, count)| (reason.to_owned(), count)).collect::<Vec<_>>(), batches)
    };
    let batch = |kept: &[bool], log_append_time| Layout::Batch {
        codec: Codec::None,
        kept: kept.to_vec(),
        log_append_time,
        transaction: None,
    };
    let old = Layout::Old { magic: 1, gzip: false, kept: vec![true], log_append_time: false };
    let counted = |reason: &str, count, batches| (vec![(reason.to_owned(), count)], batches);
    assert_eq!(one(batch(&[true, false], false), 3, MAX_BATCH_BYTES, 0), counted("holes", 1, 1));
    assert_eq!(one(plain(Codec::None), 3, MAX_BATCH_BYTES, 1), counted("straddles", 1, 1));
    assert_eq!(one(batch(&[true], true), 3, MAX_BATCH_BYTES, 0), counted("log-append-time", 1, 1));
    assert_eq!(one(old, 3, MAX_BATCH_BYTES, 0), counted("old-format", 3, 1));
    assert_eq!(one(plain(Codec::None), 8, 2_048, 0), counted("too-large", 1, 4));
}

/// Report 30: some kilobytes that stand for more than is unpacked at once.
#[test]
fn what_unpacks_to_more_than_is_held_at_once_is_taken_piece_by_piece() {
    let record = |at: u8| Record { timestamp: 7, value: Some(vec![at; 1 << 20].into()), ..Record::default() };
    let layout = Layout::Batch { codec: Codec::Zstd, kept: vec![true], log_append_time: true, transaction: None };
    let mut source = Source::starting_at(0);
    source.append(vec![small("before")], &plain(Codec::Zstd));
    source.append((0..48).map(record).collect(), &layout);
    source.append(vec![small("behind")], &plain(Codec::Zstd));
    assert!(source.entries[1].1.len() < 64 * 1024);
    let mut slice = slice_at(20, 7, MAX_BATCH_BYTES);
    slice.append(fetched(&source, 0..3), PRODUCER).unwrap();
    assert_eq!(reasons(&slice), [("straddles", 1)]);
    let counts: Vec<_> = slice.batches.iter().map(|batch| batch.header().records_count).collect();
    assert_eq!(counts, [8, 8, 8, 5, 1], "of eight megabytes each");
    let first = |(record, _): (Record, Codec)| (record.offset, record.value.unwrap()[0]);
    let found: Vec<_> = arrived(&slice).into_iter().map(first).collect();
    assert!(found[..29].iter().copied().eq((20..49).map(|offset| (offset, offset as u8 - 1))), "{found:?}");
    assert_eq!(found[29], (49, b'b'));
}

#[test]
fn what_unpacks_to_much_is_enough_for_a_slice() {
    let megabyte = Record { timestamp: 7, value: Some(vec![0; 1 << 20].into()), ..Record::default() };
    let dated = Layout::Batch { codec: Codec::Zstd, kept: vec![true], log_append_time: true, transaction: None };
    let mut source = Source::starting_at(0);
    (0..5).for_each(|_| source.append(vec![megabyte.clone(); 64], &dated));
    let mut slice = slice_at(0, 0, MAX_BATCH_BYTES);
    slice.append(fetched(&source, 0..5), PRODUCER).unwrap();
    assert_eq!((slice.to.source_next, slice.to.target_next), (256, 256), "four of five");
    slice.append(fetched(&source, 4..5), PRODUCER).unwrap();
    assert_eq!((slice.to.source_next, slice.to.target_next), (320, 320));
}

/// A wrapper is unpacked as a whole, whatever it is needed for.
#[test]
fn a_message_of_an_older_format_may_unpack_to_more_than_a_batch() {
    let megabyte = Record { timestamp: 7, value: Some(vec![0; 1 << 20].into()), ..Record::default() };
    let mut source = Source::starting_at(0);
    let old = Layout::Old { magic: 1, gzip: true, kept: vec![true], log_append_time: false };
    source.append(vec![megabyte; 40], &old);
    assert_eq!(arrived(&appended(&source, MAX_BATCH_BYTES)).len(), 40);
}

#[test]
fn a_record_above_the_limit_names_the_way_out_and_keeps_what_is_before_it() {
    let mut source = Source::starting_at(100);
    let large = Record { value: Some(noise(1, 5_000)), ..Record::default() };
    source.append(vec![small("before")], &plain(Codec::None));
    source.append(vec![small("before too"), large, small("behind")], &plain(Codec::None));
    let mut slice = slice_at(100, 7, 4_096);
    let error = slice.append(fetched(&source, 0..2), PRODUCER).unwrap_err();
    assert_eq!((slice.to.source_next, slice.to.target_next), (102, 9));
    let text = error.to_string();
    for part in ["orders", "offset 102", "4096", "raise max.message.bytes"] {
        assert!(text.contains(part), "{text}");
    }
    let mut slice = slice_at(102, 9, 8_192);
    slice.append(fetched(&source, 0..2), PRODUCER).unwrap();
    assert_eq!((slice.to.source_next, slice.to.target_next), (104, 11), "a larger limit lets it go on");
}

/// Damage of a batch's header can say that nothing of it is to be copied: a control batch, or one without records.
#[test]
fn what_is_before_damage_is_kept_and_nothing_damaged_is_left_out() {
    const CONTROL: (usize, u8) = (22, 0x20);
    const RECORDS_COUNT: (usize, u8) = (60, 1);
    let intact = {
        let mut source = Source::starting_at(0);
        (0..3).for_each(|_| source.append(vec![small("whole")], &plain(Codec::None)));
        source
    };
    let last = (intact.entries[2].1.len() - 1, 1);
    for (at, bits) in [CONTROL, RECORDS_COUNT, last] {
        let mut source = intact.clone();
        source.entries[2].1[at] ^= bits;
        let mut slice = slice_at(0, 0, MAX_BATCH_BYTES);
        let error = slice.append(fetched(&source, 0..3), PRODUCER).unwrap_err();
        assert_eq!((slice.to.source_next, slice.batches.len(), error.context.offset), (2, 1, Some(2)), "byte {at}");
    }
}

#[test]
fn a_slice_keeps_the_answers_in_memory_that_it_was_read_from() {
    let mut source = Source::starting_at(0);
    let big = Record { value: Some(noise(7, 20_000)), ..small("") };
    (0..2).for_each(|_| source.append(vec![big.clone()], &plain(Codec::None)));
    let answer = fetched(&source, 0..2);
    let (size, records) = (answer.records.len(), answer.records.clone());
    let mut slice = slice_at(0, 0, MAX_BATCH_BYTES);
    slice.append(answer, PRODUCER).unwrap();
    assert_eq!(slice.memory(), size);
    // The rest of an answer stays with the one batch that is taken from it.
    let mut behind = slice_at(1, 0, MAX_BATCH_BYTES);
    behind.append(Fetched { records, ..fetched(&source, 0..0) }, PRODUCER).unwrap();
    assert!(behind.bytes() < size && behind.memory() == size);
}

#[test]
fn the_lag_is_weighed_against_what_the_log_still_holds() {
    let holding = |log_start| {
        let mut slice = slice_at(100, 0, MAX_BATCH_BYTES);
        let records = Bytes::new();
        let fetched = Fetched { high_watermark: 120, last_stable_offset: 120, log_start, aborted: vec![], records };
        slice.append(fetched, PRODUCER).unwrap();
        slice
    };
    assert_eq!(holding(80).lag_share(), Some(50.0));
    assert_eq!(holding(0).lag_share(), None, "nothing was ever deleted");
    assert_eq!(holding(120).lag_share(), None, "it holds nothing");
    assert_eq!(holding(110).lag_share(), Some(100.0), "what is lost already is not more than all");
    let mut slice = slice_at(90, 0, MAX_BATCH_BYTES);
    slice.to.source_next = 100;
    slice.join(holding(80)).unwrap();
    assert_eq!(slice.lag_share(), Some(50.0));
}
