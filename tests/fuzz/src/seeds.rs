//! What a fuzzer begins with: the record sets that Kafka's own classes wrote, and objects made of them.

use std::iter;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use copy::{Slice, objects};
use journal::Position;
use kafka::TopicPartition;
use kafka::batch::{DecodeLimit, RawBatch, record_offsets, split};
use migration::{Error, Result};
use offsets::OffsetRuns;
use offsets::store::encode_sealed;

/// Where the record sets that Kafka wrote lie: with the tests of the crate `kafka`.
fn folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    workspace.join("shared").join("kafka").join("tests").join("fixtures")
}

/// Bytes to begin with.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Name of its file.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The seeds of the body `name`.
///
/// # Errors
/// Internal when the fixtures cannot be read, or there is no such body.
pub fn of(name: &str) -> Result<Vec<Seed>> {
    match name {
        "batch" => fixtures(),
        "tail" => tails(),
        "runs" => Ok(runs().into_iter().flat_map(|(name, runs)| as_bytes_and_text(name, &runs)).collect()),
        "sealed" => {
            let sealed =
                |(name, runs): (&str, OffsetRuns)| Some(Seed { name: name.to_owned(), bytes: encode_sealed(runs)? });
            Ok(runs().into_iter().filter_map(sealed).collect())
        }
        _ => Err(Error::internal(format_args!("there is no body {name}"))),
    }
}

fn fixtures() -> Result<Vec<Seed>> {
    let folder = folder();
    let cannot = |error| Error::internal(format_args!("cannot read {}: {error}", folder.display()));
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            seeds.push(Seed { name, bytes: std::fs::read(&path).map_err(cannot)? });
        }
    }
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(seeds)
}

/// A tail object of each fixture that can be copied, and one of all.
fn tails() -> Result<Vec<Seed>> {
    let copied: Vec<(String, Slice)> =
        fixtures()?.into_iter().filter_map(|seed| Some((seed.name, slice(seed.bytes)?))).collect();
    let mut seeds = Vec::new();
    for (name, slice) in &copied {
        seeds.push(Seed { name: name.clone(), bytes: objects::pack(iter::once(slice))?.concat().into() });
    }
    let all: Vec<_> = copied.into_iter().map(|(_, slice)| slice).collect();
    seeds.push(Seed { name: "all".to_owned(), bytes: objects::pack(all.iter())?.concat().into() });
    Ok(seeds)
}

/// The batches of a record set as a slice, if they can be read.
fn slice(log: Vec<u8>) -> Option<Slice> {
    let batches: Vec<RawBatch> = split(Bytes::from(log)).collect::<std::result::Result<_, _>>().ok()?;
    let first = batches.first()?.header().base_offset;
    let mut slice =
        Slice::at(TopicPartition::new("orders", 3), Position { source_next: first, target_next: 0 }, 1 << 40);
    for batch in batches {
        for run in record_offsets(&batch, DecodeLimit::default()).ok()? {
            slice.runs.push(run.first, run.count).ok()?;
        }
        slice.to = Position { source_next: batch.header().next_offset(), target_next: slice.runs.target_end() };
        slice.batches.push(batch.into());
    }
    Some(slice)
}

/// Runs of several shapes.
fn runs() -> Vec<(&'static str, OffsetRuns)> {
    let of = |target, runs: &mut dyn Iterator<Item = (i64, i64)>| {
        let mut all = OffsetRuns::starting_at(target);
        runs.for_each(|(source, len)| drop(all.push(source, len)));
        all
    };
    vec![
        ("none", of(5, &mut std::iter::empty())),
        ("one", of(0, &mut std::iter::once((0, 1 << 40)))),
        ("transactions", of(1 << 40, &mut (0..100).map(|n| (n * 2, 1)))),
        ("compacted", of(7, &mut (0..50).map(|n| (n * n * 1000 + 3, n + 1)))),
    ]
}

fn as_bytes_and_text(name: &str, runs: &OffsetRuns) -> [Seed; 2] {
    let text = runs.to_text().into_bytes();
    [Seed { name: name.to_owned(), bytes: runs.encode() }, Seed { name: format!("{name}-text"), bytes: text }]
}
