//! The data that is copied: the same bytes on every run, shaped as a data set says.

use bytes::Bytes;
use kafka::batch::{Codec, RawBatch, Record, Stamp, encode};
use serde::Serialize;

/// Different batches of a data set; they take turns. Brokers and copiers look at each batch alone, so that repeats cost what
/// new ones would.
const TEMPLATES: u64 = 16;

/// 2025-09-01T00:00:00Z in milliseconds, when the first record was written.
const BASE_TIME_MS: i64 = 1_756_684_800_000;

const WORDS: [&str; 16] = [
    "status",
    "pending",
    "shipped",
    "customer",
    "warehouse",
    "amount",
    "currency",
    "invoice",
    "region",
    "priority",
    "standard",
    "express",
    "returned",
    "category",
    "quantity",
    "checkout",
];

/// Characters of the part of a value that does not compress well.
const NOISE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a topic holds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DataSet {
    /// Name, also of its topic.
    pub(crate) name: String,
    /// Partitions.
    pub(crate) partitions: i32,
    /// `none`, `lz4` or `zstd`.
    pub(crate) codec: &'static str,
    /// Size of a stored batch in bytes, about; 0 for one record in each batch.
    pub(crate) batch_bytes: usize,
    /// Size of a record's value in bytes.
    pub(crate) value_bytes: usize,
    /// Bytes of all batches as they are stored, about.
    pub(crate) total_bytes: u64,
    /// Bytes of the burst that the tail has to catch up with; 0 for none.
    pub(crate) burst_bytes: u64,
}

const MB: u64 = 1_000_000;

/// The data sets of the comparison.
pub(crate) fn sets() -> Vec<DataSet> {
    let set = |name: &str, partitions, codec, batch_bytes, value_bytes, megabytes| DataSet {
        name: name.to_owned(),
        partitions,
        codec,
        batch_bytes,
        value_bytes,
        total_bytes: megabytes * MB,
        burst_bytes: 0,
    };
    let with_burst = |set: DataSet| DataSet { burst_bytes: 200 * MB, ..set };
    vec![
        set("large-lz4", 30, "lz4", 1_000_000, 1_000, 800),
        with_burst(set("medium-none", 30, "none", 64_000, 1_000, 600)),
        set("medium-zstd", 30, "zstd", 64_000, 1_000, 400),
        set("one-record", 30, "none", 0, 500, 40),
        set("many-partitions", 306, "lz4", 64_000, 1_000, 400),
        set("one-partition", 1, "lz4", 1_000_000, 1_000, 800),
    ]
}

/// The series that shows what partitions cost: the same bytes in more and more of them, in two sizes.
pub(crate) fn series() -> Vec<DataSet> {
    let sizes = [150, 300];
    let counts = [1, 30, 306, 3_060];
    let set = |partitions, megabytes| DataSet {
        name: format!("spread-{partitions}-{megabytes}"),
        partitions,
        codec: "none",
        batch_bytes: 16_000,
        value_bytes: 1_000,
        total_bytes: megabytes * MB,
        burst_bytes: 0,
    };
    sizes.into_iter().flat_map(|size| counts.map(|count| set(count, size))).collect()
}

impl DataSet {
    /// The batches that take turns, with base offset 0 and of no producer.
    ///
    /// # Errors
    /// When a codec fails.
    pub(crate) fn templates(&self) -> anyhow::Result<Vec<RawBatch>> {
        (0..TEMPLATES).map(|number| self.template(number)).collect()
    }

    fn template(&self, number: u64) -> anyhow::Result<RawBatch> {
        if self.batch_bytes == 0 {
            return self.batch(number, 1);
        }
        // A first guess tells how well the records compress; the second hits the size.
        let guess = (self.batch_bytes / self.value_bytes).max(1);
        let size = self.batch(number, guess)?.bytes().len();
        self.batch(number, (guess * self.batch_bytes / size).max(1))
    }

    fn batch(&self, number: u64, records: usize) -> anyhow::Result<RawBatch> {
        let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.value_bytes as u64);
        let record = |index: usize| Record {
            offset: 0,
            timestamp: BASE_TIME_MS + index as i64,
            key: Some(Bytes::from(format!("customer-{}", random.next() % 10_000))),
            value: Some(value(&mut random, self.value_bytes)),
            headers: Vec::new(),
        };
        let records: Vec<_> = (0..records).map(record).collect();
        Ok(encode(&records, self.codec()?, Stamp::NONE, 0)?)
    }

    fn codec(&self) -> anyhow::Result<Codec> {
        Ok(match self.codec {
            "none" => Codec::None,
            "lz4" => Codec::Lz4,
            "zstd" => Codec::Zstd,
            other => anyhow::bail!("no data set is written with {other}"),
        })
    }
}

/// Text of which LZ4 leaves about half: words that repeat, and as many characters that do not.
pub(crate) fn value(random: &mut Random, bytes: usize) -> Bytes {
    let mut text = Vec::with_capacity(bytes + 64);
    while text.len() < bytes {
        for _ in 0..4 {
            text.extend_from_slice(WORDS[(random.next() % WORDS.len() as u64) as usize].as_bytes());
            text.push(b' ');
        }
        let mut noise = [0; 20];
        noise.iter_mut().for_each(|byte| *byte = NOISE[(random.next() % 64) as usize]);
        text.extend_from_slice(&noise);
        text.push(b' ');
    }
    text.truncate(bytes);
    Bytes::from(text)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_have_the_size_that_the_set_names() {
        for set in sets().iter().chain(&series()).filter(|set| set.batch_bytes > 0) {
            for batch in set.templates().unwrap() {
                let size = batch.bytes().len();
                assert!(size.abs_diff(set.batch_bytes) * 20 < set.batch_bytes, "{}: {size}", set.name);
            }
        }
    }

    #[test]
    fn a_set_is_the_same_every_time_and_its_batches_differ() {
        let set = &sets()[0];
        let templates = set.templates().unwrap();
        assert_eq!(templates, set.templates().unwrap());
        assert_ne!(templates[0], templates[1]);
    }

    #[test]
    fn lz4_leaves_about_half() {
        let set = DataSet { codec: "lz4", ..sets().remove(0) };
        let batch = set.batch(0, 500).unwrap();
        let plain = DataSet { codec: "none", ..set }.batch(0, 500).unwrap();
        let percent = batch.bytes().len() * 100 / plain.bytes().len();
        assert!((40..60).contains(&percent), "{percent} %");
    }
}
