//! Record sets that Kafka's own classes wrote (`fixtures/FixtureWriter.java`), read here and by Kafka.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafka::batch::{
    AbortedFilter, AbortedTransaction, BatchError, Codec, DecodeLimit, RawBatch, Reason, Record, Stamp, TimestampType,
    needs_reencoding, record_offsets, reencode, split,
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
                None => batch.stamped(stamp),
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
            let arrived = RawBatch::parse(sent.into_produce_bytes()).unwrap();
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
        let stamped = tombstones.clone().stamped(Stamp::NONE);
        assert!(!stamped.header().has_delete_horizon());
        assert_eq!(decode(&stamped), decode(&tombstones));
    }
}

#[test]
fn formats_before_magic_2_are_told_apart() {
    for magic in [0, 1] {
        let log = fs::read(fixture(&format!("magic-{magic}"), "log")).unwrap();
        assert_eq!(split(log.into()).next(), Some(Err(BatchError::OldFormat { offset: 50, magic })));
    }
}
