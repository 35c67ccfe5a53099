//! Prints how fast batches of about 1 MB are stamped, decoded and rebuilt, and small ones merged, on one core:
//! `cargo run --release -p kafka --example batch_speed`.
#![allow(clippy::print_stdout, reason = "its output is what it is run for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka::batch::{Assembly, BatchError, Codec, DecodeLimit, Record, Stamp, encode, entries, reencode};

const RECORDS: usize = 1_000;
const MEASURE: Duration = Duration::from_millis(500);

/// A value of about 1 KB that compresses to something like a third, as JSON does.
fn value(n: usize) -> Bytes {
    let mut state = n as u64 + 1;
    let fields = (0..40).map(|field| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("\"field{field}\":\"{:08x}\",", state >> 32)
    });
    fields.collect::<String>().into()
}

/// Runs `work` for a while; gives the rate in GB/s at `bytes` each time.
fn rate<T>(bytes: usize, mut work: impl FnMut() -> T) -> f64 {
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < MEASURE {
        black_box(work());
        done += bytes;
    }
    done as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn main() -> Result<(), BatchError> {
    let limit = DecodeLimit::default();
    let record = |n: usize| Record { key: Some(n.to_string().into()), value: Some(value(n)), ..Record::default() };
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let plain = encode(&records, Codec::None, Stamp::NONE, 0)?.bytes().len();
    println!("GB/s: stamp and crc of the bytes in the batch; MB/s: decode and reencode of {plain} bytes of records");
    for codec in Codec::ALL {
        let batch = encode(&records, codec, Stamp::NONE, 5)?;
        let size = batch.bytes().len();
        let stamp = rate(size, || batch.clone().stamped(Stamp::nth(1, 0, 7)));
        let crc = rate(size, || batch.verify_crc());
        let decode = 1e3 * rate(plain, || batch.decode(limit));
        let rebuild = 1e3 * rate(plain, || reencode(&batch, 6.., Stamp::NONE, limit));
        println!(
            "{:6} {size:8} bytes: stamp {stamp:7.0}, crc {crc:5.1}, decode {decode:5.0}, \
             reencode {rebuild:5.0}",
            codec.name()
        );
    }
    println!("MB/s of stored bytes: one-record batches cut, checked and merged into batches of half a megabyte");
    for codec in [Codec::None, Codec::Lz4] {
        for size in [100, 1_000] {
            let log = one_record_batches(codec, size)?;
            let stored = log.len();
            println!(
                "{:6} {size:5}-byte values: {:6.0}",
                codec.name(),
                1e3 * rate(stored, || merge(log.clone(), codec))
            );
        }
    }
    Ok(())
}

/// Half a megabyte of batches, each of one record with a value of `size` bytes.
fn one_record_batches(codec: Codec, size: usize) -> Result<Bytes, BatchError> {
    let mut log = Vec::new();
    for n in 0.. {
        let record = Record {
            timestamp: n,
            value: Some(Bytes::from([value(n as usize), value(n as usize)].concat()).slice(..size)),
            ..Record::default()
        };
        log.extend_from_slice(encode(&[record], codec, Stamp::NONE, n)?.bytes());
        if log.len() >= 512 * 1024 {
            break;
        }
    }
    Ok(log.into())
}

fn merge(log: Bytes, codec: Codec) -> Result<usize, BatchError> {
    let mut assembly = Assembly::new(codec);
    for entry in entries(log) {
        let entry = entry?;
        entry.verify_crc()?;
        assembly.add(&entry, .., DecodeLimit::default())?;
    }
    let mut merged = Vec::new();
    assembly.finish_within(1 << 20, &mut merged)?;
    Ok(merged.len())
}
