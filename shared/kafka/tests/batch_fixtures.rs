//! Record sets that Kafka's own classes wrote (`fixtures/FixtureWriter.java`), read here and by Kafka.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafka::batch::{
    AbortedFilter, AbortedTransaction, Assembly, BatchError, Codec, DecodeLimit, Entry, RawBatch, Reason, Record,
    Reencoded, Stamp, TimestampType, entries, needs_reencoding, record_offsets, reencode, split,
};
use serde_json::{Value, json};

fn fixture(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension(extension)
}

fn batches(name: &str) -> Vec<RawBatch> {
    let log = fs::read(fixture(name, "log")).unwrap();
    let mut batches = split(log.into());
    let all = batches.by_ref().collect::<Result<_, _>>().unwrap();
    assert!(batches.rest().is_empty());
    all
}

/// What Kafka reads from the fixture.
fn expected(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name, "json")).unwrap()).unwrap()
}

fn all_names() -> impl Iterator<Item = String> {
    let by_codec = Codec::ALL.into_iter().flat_map(|codec| [codec.to_string(), format!("compacted-{codec}")]);
    by_codec.chain(["log-append-time", "transactions"].map(str::to_owned))
}

fn decode(batch: &RawBatch) -> Vec<Record> {
    batch.decode(DecodeLimit::default()).unwrap()
}

/// Small parts in hex, large ones as their length and checksum.
fn text(part: Option<&Bytes>) -> Value {
    match part {
        None => Value::Null,
        Some(part) if part.len() > 64 => {
            json!(format!("{} bytes, CRC-32C {:08x}", part.len(), crc32c::crc32c(part)))
        }
        Some(part) => json!(part.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn describe_record(record: &Record) -> Value {
    let headers = record.headers.iter().map(|(name, value)| json!([text(Some(name)), text(value.as_ref())]));
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": text(record.key.as_ref()),
        "value": text(record.value.as_ref()),
        "headers": headers.collect::<Vec<_>>(),
    })
}

/// The batch in the words of the fixtures.
fn describe(batch: &RawBatch) -> Value {
    let header = batch.header();
    let timestamp_type = match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    json!({
        "base_offset": header.base_offset,
        "last_offset": header.last_offset(),
        "size": header.size(),
        "leader_epoch": header.partition_leader_epoch,
        "crc": header.crc,
        "codec": header.codec().name(),
        "timestamp_type": timestamp_type,
        "transactional": header.is_transactional(),
        "control": header.is_control(),
        "delete_horizon": header.has_delete_horizon().then_some(header.base_timestamp),
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "count": header.records_count,
        "records": decode(batch).iter().map(describe_record).collect::<Vec<_>>(),
    })
}

#[test]
fn every_batch_reads_as_kafka_reads_it() {
    for name in all_names() {
        let expected = expected(&name);
        let expected = expected["batches"].as_array().unwrap();
        let batches = batches(&name);
        assert_eq!(batches.len(), expected.len(), "{name}");
        for (batch, expected) in batches.iter().zip(expected) {
            batch.verify_crc().unwrap();
            assert_eq!(&describe(batch), expected, "{name}");
        }
    }
}

#[test]
fn records_survive_the_way_to_another_cluster() {
    for name in all_names() {
        let mut next = 0;
        for batch in batches(&name).into_iter().filter(|batch| !batch.header().is_control()) {
            let records = decode(&batch);
            let runs = record_offsets(&batch, DecodeLimit::default()).unwrap();
            let stamp = Stamp::nth(7_000, 0, next);
            let sent = match needs_reencoding(batch.header(), 0) {
                None => batch.stamped(stamp).to_raw(),
                Some(_) => match reencode(&batch, .., stamp, DecodeLimit::default()).unwrap() {
                    Some(rebuilt) => {
                        assert_eq!(rebuilt.runs, runs, "{name}");
                        rebuilt.batch
                    }
                    None => continue,
                },
            };
            let offsets: Vec<_> = runs.iter().flat_map(|run| run.first..run.end()).collect();
            assert_eq!(offsets, records.iter().map(|record| record.offset).collect::<Vec<_>>(), "{name}");
            next += records.len() as i64;
            let arrived = RawBatch::parse(sent.to_produce().concat()).unwrap();
            arrived.verify_crc().unwrap();
            assert!(arrived.header().is_dense() && !arrived.header().is_transactional());
            let expected: Vec<_> = (0..).zip(records).map(|(offset, record)| Record { offset, ..record }).collect();
            assert_eq!(decode(&arrived), expected, "{name}");
        }
    }
}

#[test]
fn a_read_committed_consumer_sees_what_the_filter_leaves() {
    let expected = expected("transactions");
    let aborted = expected["aborted"].as_array().unwrap().iter().map(|one| AbortedTransaction {
        producer_id: one[0].as_i64().unwrap(),
        first_offset: one[1].as_i64().unwrap(),
    });
    let mut filter = AbortedFilter::new(aborted.collect());
    let mut seen = Vec::new();
    for batch in batches("transactions") {
        if !filter.is_aborted(&batch).unwrap() && !batch.header().is_control() {
            seen.extend(decode(&batch).iter().map(|record| record.offset));
        }
    }
    assert_eq!(json!(seen), expected["consumed"]);
}

#[test]
fn the_log_cleaner_leaves_holes_and_harmless_delete_horizons() {
    for codec in Codec::ALL {
        let batches = batches(&format!("compacted-{codec}"));
        let reasons: Vec<_> = batches.iter().map(|batch| needs_reencoding(batch.header(), 0)).collect();
        assert_eq!(reasons, [Some(Reason::Holes), Some(Reason::Holes), None, None]);
        let tombstones = batches[2].clone();
        assert!(tombstones.header().has_delete_horizon());
        assert_ne!(tombstones.header().base_timestamp, decode(&tombstones)[0].timestamp);
        let stamped = tombstones.clone().stamped(Stamp::NONE).to_raw();
        assert!(!stamped.header().has_delete_horizon());
        assert_eq!(decode(&stamped), decode(&tombstones));
    }
}

/// Fixtures that hold messages of magic 0 and 1.
fn old_names() -> impl Iterator<Item = String> {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];
    let by_codec = codecs.into_iter().flat_map(|codec| [0, 1].map(|magic| format!("old-{magic}-{codec}")));
    by_codec.chain(["upgraded".to_owned()])
}

fn all_entries(name: &str) -> Vec<Entry> {
    let mut all = entries(fs::read(fixture(name, "log")).unwrap().into());
    let read = all.by_ref().collect::<Result<_, _>>().unwrap();
    assert!(all.rest().is_empty());
    read
}

fn records_of(entry: &Entry) -> Vec<Record> {
    entry.verify_crc().unwrap();
    match entry {
        Entry::Batch(batch) => decode(batch),
        Entry::Old(message) => message.decode(DecodeLimit::default()).unwrap(),
    }
}

#[test]
fn every_old_message_reads_as_kafka_reads_it() {
    for name in old_names() {
        let read = all_entries(&name).into_iter().map(|entry| match &entry {
            Entry::Batch(batch) => describe(batch),
            Entry::Old(message) => json!({
                "magic": message.magic(),
                "last_offset": message.offset(),
                "size": message.size(),
                "codec": message.codec().name(),
                "records": records_of(&entry).iter().map(describe_record).collect::<Vec<_>>(),
            }),
        });
        assert_eq!(json!(read.collect::<Vec<_>>()), expected(&name)["batches"], "{name}");
    }
}

#[test]
fn old_messages_become_batches_of_the_same_records_and_codec() {
    for name in old_names() {
        for entry in all_entries(&name) {
            let records = records_of(&entry);
            let mut assembly = Assembly::new(entry.codec());
            assembly.add(&entry, .., DecodeLimit::default()).unwrap();
            let Reencoded { batch, runs } = assembly.finish(Stamp::nth(7_000, 0, 5)).unwrap().unwrap();
            assert_eq!((batch.header().codec(), batch.header().is_dense()), (entry.codec(), true), "{name}");
            let offsets: Vec<_> = runs.iter().flat_map(|run| run.first..run.end()).collect();
            assert_eq!(offsets, records.iter().map(|record| record.offset).collect::<Vec<_>>(), "{name}");
            let arrived = RawBatch::parse(batch.to_produce().concat()).unwrap();
            arrived.verify_crc().unwrap();
            let expected: Vec<_> = (0..).zip(records).map(|(offset, record)| Record { offset, ..record }).collect();
            assert_eq!(decode(&arrived), expected, "{name}");
        }
    }
}

#[test]
fn uncompressed_old_messages_in_a_row_become_one_batch() {
    let mut assembly = Assembly::new(Codec::None);
    let entries = all_entries("old-1-none");
    entries.iter().for_each(|entry| assembly.add(entry, 51.., DecodeLimit::default()).unwrap());
    let Reencoded { batch, runs } = assembly.finish(Stamp::NONE).unwrap().unwrap();
    let offsets: Vec<_> = entries.iter().map(Entry::next_offset).map(|next| next - 1).filter(|n| *n >= 51).collect();
    assert_eq!(runs.iter().flat_map(|run| run.first..run.end()).collect::<Vec<_>>(), offsets);
    let expected: Vec<_> = entries.iter().flat_map(records_of).skip(1).map(|record| describe_record(&record)).collect();
    let arrived = (0..).zip(decode(&batch)).map(|(n, record)| Record { offset: offsets[n], ..record });
    assert_eq!(arrived.map(|record| describe_record(&record)).collect::<Vec<_>>(), expected);
}

#[test]
fn where_only_batches_are_read_an_old_message_is_told() {
    for magic in [0, 1] {
        let log = fs::read(fixture(&format!("old-{magic}-none"), "log")).unwrap();
        assert_eq!(split(log.into()).next(), Some(Err(BatchError::OldFormat { offset: 50, magic })));
    }
}
