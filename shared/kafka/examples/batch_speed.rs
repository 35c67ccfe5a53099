//! Prints how fast batches of about 1 MB are stamped, decoded and rebuilt on one core:
//! `cargo run --release -p kafka --example batch_speed`.
#![allow(clippy::print_stdout, reason = "its output is what it is run for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka::batch::{BatchError, Codec, DecodeLimit, RawBatch, Record, Stamp, encode, reencode};

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
    println!("GB/s: stamp and crc of the bytes in the batch, decode and reencode of {plain} bytes of records");
    for codec in Codec::ALL {
        let batch = encode(&records, codec, Stamp::NONE, 5)?;
        let size = batch.bytes().len();
        let mut own = RawBatch::parse(Bytes::copy_from_slice(batch.bytes())).ok();
        let stamp = rate(size, || own = own.take().map(|batch| batch.stamped(Stamp::nth(1, 0, 7))));
        let copied = rate(size, || batch.clone().stamped(Stamp::nth(1, 0, 7)));
        let crc = rate(size, || batch.verify_crc());
        let decode = rate(plain, || batch.decode(limit));
        let rebuild = rate(plain, || reencode(&batch, 6.., Stamp::NONE, limit));
        println!(
            "{:6} {size:8} bytes: stamp in place {stamp:7.0}, with a copy {copied:5.1}, crc {crc:5.1}, decode {decode:6.2}, \
             reencode {rebuild:5.2}",
            codec.name()
        );
    }
    Ok(())
}
