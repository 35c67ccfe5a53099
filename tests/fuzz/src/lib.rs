//! What is fuzzed: everything that reads bytes which a broker sent or S3 kept. A body takes arbitrary bytes and panics
//! when something is wrong; `fuzz/` feeds it with a fuzzer, the tests of this crate with [`seeds`] and with what the
//! fuzzer once found.

pub mod seeds;

mod batch;
mod runs;

use bytes::Bytes;

/// A body, by the name of its fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// The name.
    pub name: &'static str,
    /// Reads the bytes, and panics when something is wrong.
    pub run: fn(&[u8]),
}

/// Every body.
pub const BODIES: [Body; 4] = [
    Body { name: "batch", run: batch },
    Body { name: "tail", run: tail },
    Body { name: "runs", run: runs },
    Body { name: "sealed", run: sealed },
];

/// Record sets as a broker sends them: split, checked, filtered, decoded, encoded again, stamped.
pub fn batch(bytes: &[u8]) {
    batch::record_set(Bytes::copy_from_slice(bytes));
}

/// Tail objects: what is read from one is whole.
pub fn tail(bytes: &[u8]) {
    let Ok(slices) = copy::objects::unpack(Bytes::copy_from_slice(bytes)) else { return };
    for slice in slices {
        assert!(slice.batches.iter().all(|batch| batch.to_raw().verify_crc().is_ok()));
        assert_eq!(slice.runs.target_end(), slice.to.target_next);
    }
}

/// Offset runs, as bytes and as text.
pub fn runs(bytes: &[u8]) {
    if let Ok(found) = offsets::OffsetRuns::decode(bytes) {
        runs::check(&found);
    }
    if let Some(found) = std::str::from_utf8(bytes).ok().and_then(|text| offsets::OffsetRuns::from_text(text).ok()) {
        runs::check(&found);
    }
}

/// Sealed objects of offset runs.
pub fn sealed(bytes: &[u8]) {
    if let Ok(found) = offsets::store::decode_sealed(bytes) {
        runs::check(&found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Bytes that once made a body panic, by body.
    fn found(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(name);
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn no_body_panics_on_its_seeds_whole_cut_or_damaged() {
        for Body { name, run } in BODIES {
            let seeds = seeds::of(name).unwrap();
            assert!(!seeds.is_empty(), "{name}");
            for seed in seeds.iter().map(|seed| &seed.bytes).chain(&found(name)) {
                run(seed);
                let step = seed.len() / 64 + 1;
                for at in (0..seed.len()).step_by(step) {
                    run(&seed[..at]);
                    let mut damaged = seed.clone();
                    damaged[at] ^= 0x81;
                    run(&damaged);
                }
            }
        }
    }

    /// A seed that is refused at once teaches a fuzzer nothing.
    #[test]
    fn seeds_are_read_to_their_end() {
        for seed in seeds::of("tail").unwrap() {
            copy::objects::unpack(seed.bytes.into()).unwrap();
        }
        for seed in seeds::of("runs").unwrap() {
            let text = std::str::from_utf8(&seed.bytes).ok().map(offsets::OffsetRuns::from_text);
            assert!(offsets::OffsetRuns::decode(&seed.bytes).is_ok() || text.is_some_and(|read| read.is_ok()));
        }
        for seed in seeds::of("sealed").unwrap() {
            offsets::store::decode_sealed(&seed.bytes).unwrap();
        }
        let whole = |seed: &seeds::Seed| kafka::batch::split(seed.bytes.clone().into()).all(|batch| batch.is_ok());
        assert!(seeds::of("batch").unwrap().iter().filter(|seed| whole(seed)).count() >= 10);
    }
}
