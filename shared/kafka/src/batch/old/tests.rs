//! Old messages that no broker should hold.

use bytes::BufMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{Assembly, Entry, Stamp, entries};
use super::*;

const LIMIT: DecodeLimit = DecodeLimit::bytes(1 << 20);

/// A message with its offset and a checksum that holds.
fn message(
    offset: i64,
    magic: u8,
    attributes: u8,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic == 1 {
        body.put_i64(timestamp);
    }
    for part in [key, value] {
        body.put_i32(part.map_or(-1, |part| part.len() as i32));
        body.extend_from_slice(part.unwrap_or_default());
    }
    sealed(offset, &body)
}

fn sealed(offset: i64, body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(body);
    let mut bytes = Vec::new();
    bytes.put_i64(offset);
    bytes.put_i32(body.len() as i32 + 4);
    bytes.put_u32(crc.sum());
    bytes.extend_from_slice(body);
    bytes
}

fn wrapper(offset: i64, magic: u8, codec: Codec, inner: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    codec.compress(inner, &mut value).unwrap();
    message(offset, magic, codec as u8, 77, None, Some(&value))
}

fn only(bytes: Vec<u8>) -> OldMessage {
    match entries(bytes.into()).next() {
        Some(Ok(Entry::Old(message))) => message,
        other => panic!("{other:?}"),
    }
}

fn offsets(bytes: Vec<u8>) -> Result<Vec<i64>, BatchError> {
    let records = only(bytes).decode(LIMIT)?;
    Ok(records.into_iter().map(|record| record.offset).collect())
}

fn inner(offsets: &[i64], magic: u8) -> Vec<u8> {
    offsets.iter().flat_map(|offset| message(*offset, magic, 0, 5, Some(b"k"), Some(b"v"))).collect()
}

#[track_caller]
fn fault(bytes: Vec<u8>, expected: &str) {
    let error = offsets(bytes).unwrap_err().to_string();
    assert!(error.contains(expected) && error.contains("offset 9"), "{error}");
}

#[test]
fn offsets_are_absolute_in_magic_0_and_relative_in_magic_1() {
    assert_eq!(offsets(wrapper(9, 0, Codec::Gzip, &inner(&[6, 8, 9], 0))).unwrap(), [6, 8, 9]);
    assert_eq!(offsets(wrapper(9, 1, Codec::Gzip, &inner(&[0, 2, 3], 1))).unwrap(), [6, 8, 9]);
    assert_eq!(offsets(wrapper(9, 1, Codec::Gzip, &inner(&[4], 1))).unwrap(), [9], "compaction removed the first four");
    assert_eq!(offsets(wrapper(0, 1, Codec::Gzip, &inner(&[0], 1))).unwrap(), [0]);
}

#[test]
fn timestamps_are_those_a_consumer_sees() {
    let times = |bytes| only(bytes).decode(LIMIT).unwrap().iter().map(|record| record.timestamp).collect::<Vec<_>>();
    assert_eq!(times(wrapper(9, 0, Codec::Snappy, &inner(&[9], 0))), [-1]);
    assert_eq!(times(wrapper(9, 1, Codec::Snappy, &inner(&[0], 1))), [5]);
    assert_eq!(times(wrapper(9, 1, Codec::Snappy, &inner(&[0], 0))), [-1], "magic 0 within magic 1");
    assert_eq!(times(message(9, 1, 8, 123, None, None)), [123], "LogAppendTime of a message alone");
    let mut value = Vec::new();
    Codec::Gzip.compress(&inner(&[0, 1], 1), &mut value).unwrap();
    assert_eq!(times(message(9, 1, 8 | 1, 123, None, Some(&value))), [123, 123], "LogAppendTime is the wrapper's");
}

#[test]
fn a_compressed_message_within_another_is_refused() {
    for magic in [0, 1] {
        let nested = wrapper(9, magic, Codec::Gzip, &wrapper(9, magic, Codec::Gzip, &inner(&[9], magic)));
        fault(nested, "lies within another");
    }
}

#[test]
fn wrappers_that_are_not_whole_are_refused() {
    let good = inner(&[0, 1], 1);
    fault(wrapper(9, 1, Codec::Gzip, &[]), "holds no others");
    fault(wrapper(9, 1, Codec::Gzip, &good[..good.len() - 1]), "cut off");
    fault(wrapper(9, 1, Codec::Gzip, &good[..5]), "cut off");
    fault(wrapper(9, 1, Codec::Gzip, &inner(&[10], 1)), "beyond that of the message around it");
    fault(wrapper(9, 1, Codec::Gzip, &inner(&[i64::MIN], 1)), "beyond that of the message around it");
    fault(wrapper(9, 1, Codec::Gzip, &inner(&[3, 2, 4], 1)), "out of order");
    fault(wrapper(9, 0, Codec::Gzip, &inner(&[10], 0)), "outside the message");
    fault(wrapper(9, 0, Codec::Gzip, &inner(&[-1, 9], 0)), "outside the message");
    fault(message(9, 1, Codec::Gzip as u8, 0, None, None), "has no value");
    fault(message(9, 1, Codec::Gzip as u8, 0, None, Some(b"noise")), "gzip");
    let mut damaged = inner(&[0], 1);
    *damaged.last_mut().unwrap() ^= 1;
    fault(wrapper(9, 1, Codec::Gzip, &damaged), "corrupt");
    let far = [&[0; 8][..], &i32::MAX.to_be_bytes(), &[0; 10]].concat();
    fault(wrapper(9, 1, Codec::Gzip, &far), "cut off");
    let negative = [&[0; 8][..], &(-1_i32).to_be_bytes(), &[0; 10]].concat();
    fault(wrapper(9, 1, Codec::Gzip, &negative), "negative");
}

#[test]
fn lengths_beyond_the_message_are_refused() {
    for lengths in [[i32::MAX, 0], [0, i32::MAX], [3, 0]] {
        let mut body = vec![0, 0];
        lengths.iter().for_each(|length| body.put_i32(*length));
        fault(sealed(9, &body), "the message");
    }
    fault(sealed(9, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "ends within its fields");
}

#[test]
fn impossible_fields_end_the_record_set() {
    for (bytes, expected) in [
        (message(9, 1, Codec::Zstd as u8, 0, None, None), "impossible codec"),
        (message(9, 1, 7, 0, None, None), "impossible codec"),
        (message(-9, 1, 0, 0, None, None), "impossible offset -9"),
    ] {
        let error = entries(bytes.into()).next().unwrap().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let zeros = vec![0; 4 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let error = offsets(wrapper(9, 1, codec, &zeros)).unwrap_err();
        assert_eq!(error, BatchError::TooLarge { offset: 9, limit: 1 << 20 }, "{codec}");
    }
}

#[test]
fn an_lz4_header_checksum_counts_in_magic_1_alone() {
    let broken = |magic, offsets: &[i64]| {
        let mut value = Vec::new();
        Codec::Lz4.compress(&inner(offsets, magic), &mut value).unwrap();
        // Magic number, flags and block size are before it.
        value[6] ^= 0xff;
        self::offsets(message(9, magic, Codec::Lz4 as u8, 0, None, Some(&value)))
    };
    assert_eq!(broken(0, &[8, 9]).unwrap(), [8, 9]);
    assert!(matches!(broken(1, &[0, 1]), Err(BatchError::Compression { offset: 9, codec: Codec::Lz4, .. })));
}

#[test]
fn a_message_of_another_content_fails_its_checksum() {
    let mut bytes = message(9, 1, 0, 5, Some(b"key"), Some(b"value"));
    only(bytes.clone()).verify_crc().unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(matches!(only(bytes).verify_crc(), Err(BatchError::Crc { offset: 9, .. })));
}

#[test]
fn what_cannot_be_added_leaves_an_assembly_as_it_was() {
    let entry = |bytes: Vec<u8>| entries(bytes.into()).next().unwrap().unwrap();
    let mut assembly = Assembly::new(Codec::None);
    assembly.add(&entry(message(7, 1, 0, 5, None, Some(b"seven"))), .., LIMIT).unwrap();
    let half_good = [inner(&[0], 1), wrapper(1, 1, Codec::Gzip, &inner(&[0], 1))].concat();
    assembly.add(&entry(wrapper(9, 1, Codec::Gzip, &half_good)), .., LIMIT).unwrap_err();
    assembly.add(&entry(message(9, 0, 0, 0, None, None)), .., LIMIT).unwrap();
    let made = assembly.finish(Stamp::NONE).unwrap().unwrap();
    assert_eq!(made.runs.iter().map(|run| (run.first, run.count)).collect::<Vec<_>>(), [(7, 1), (9, 1)]);
    let times: Vec<_> = made.batch.decode(LIMIT).unwrap().iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [5, -1]);
}

proptest! {
    #[test]
    fn damage_never_panics(
        magic in 0_u8..2,
        codec in proptest::sample::select(&[Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4][..]),
        flips in vec((any::<Index>(), any::<u8>()), 0..6),
        inner_flips in vec((any::<Index>(), any::<u8>()), 0..3),
    ) {
        let damage = |bytes: &mut Vec<u8>, flips: &[(Index, u8)]| {
            for (at, byte) in flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
        };
        let mut content = inner(&[0, 1, 2], magic);
        damage(&mut content, &inner_flips);
        let mut bytes = wrapper(2, magic, codec, &content);
        damage(&mut bytes, &flips);
        for entry in entries(bytes.into()).flatten() {
            let _ = entry.verify_crc();
            if let Entry::Old(message) = &entry {
                let _ = message.decode(LIMIT);
            }
            let _ = Assembly::new(entry.codec()).add(&entry, 1.., LIMIT);
        }
    }
}
