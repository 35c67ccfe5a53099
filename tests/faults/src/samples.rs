//! Looks at a few partitions of the target with Kafka's own tools, beside the judges that look at all.

use anyhow::{Context, ensure};
use e2e::{Rehearsal, records};
use stack::Side;

/// Topics that nobody writes to during the migration, that are neither compacted nor trimmed on the target, and whose
/// partitions have many batches.
const TOPICS: [&str; 2] = ["notifications.email", "logs.application"];

/// A batch as `kafka-dump-log.sh` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    base_offset: i64,
    last_offset: i64,
    base_sequence: i64,
    producer_id: i64,
    is_control: bool,
    valid: bool,
}

/// Checks partition 0 of some topics: as many records on the target as there are on the source, in batches without a gap,
/// all of one producer id, each with its offset as sequence number.
///
/// # Errors
/// With what differs.
pub async fn check(rehearsal: &Rehearsal) -> anyhow::Result<()> {
    for topic in TOPICS {
        // The source has the cutovers' markers besides.
        let from = batches(rehearsal, Side::Source, topic).await?;
        let from: i64 =
            from.iter().filter(|batch| !batch.is_control).map(|batch| batch.last_offset + 1 - batch.base_offset).sum();
        let to = records::end(&rehearsal.stack, Side::Target, topic).await?;
        ensure!(
            from == to,
            "{topic}/0 has {from} records on the source (kafka-dump-log), {to} on the target (kafka-get-offsets)"
        );
        let batches = batches(rehearsal, Side::Target, topic).await?;
        contiguous(&batches, to).with_context(|| format!("{topic}/0 on the target (kafka-dump-log)"))?;
    }
    Ok(())
}

async fn batches(rehearsal: &Rehearsal, side: Side, topic: &str) -> anyhow::Result<Vec<Batch>> {
    let dirs = rehearsal.stack.cluster(side).log_dirs();
    // Where a broker was down when the topic was created, it has no replica.
    let dir = dirs.into_iter().map(|dir| dir.join(format!("{topic}-0"))).find(|dir| dir.exists());
    let dir = dir.with_context(|| format!("no broker of the {side:?} has {topic}/0"))?;
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "log") {
            segments.push(path.display().to_string());
        }
    }
    segments.sort();
    let printed = rehearsal.stack.kafka_tool(side, "DumpLogSegments", &["--files", &segments.join(",")]).await?;
    Ok(printed.lines().filter_map(parse).collect())
}

/// `baseOffset: 0 lastOffset: 9 count: 10 baseSequence: 0 …`; nothing for other lines.
fn parse(line: &str) -> Option<Batch> {
    let field = |name: &str| line.split_once(&format!("{name}: "))?.1.split_whitespace().next();
    let number = |name: &str| field(name)?.parse().ok();
    Some(Batch {
        base_offset: number("baseOffset")?,
        last_offset: number("lastOffset")?,
        base_sequence: number("baseSequence")?,
        producer_id: number("producerId")?,
        is_control: field("isControl")? == "true",
        valid: field("isvalid")? == "true",
    })
}

fn contiguous(batches: &[Batch], end: i64) -> anyhow::Result<()> {
    let producer = batches.first().context("there are no batches")?.producer_id;
    let mut next = 0;
    for batch in batches {
        ensure!(batch.base_offset == next, "a batch begins at another offset than {next}: {batch:?}");
        ensure!(
            batch.valid && !batch.is_control && batch.base_sequence == next && batch.producer_id == producer,
            "{batch:?}"
        );
        next = batch.last_offset + 1;
    }
    ensure!(next == end, "the batches end at {next}, the log at {end}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "baseOffset: 4 lastOffset: 9 count: 6 baseSequence: 4 lastSequence: 9 producerId: 1000 \
                        producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false \
                        deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1 size: 9 magic: 2 compresscodec: \
                        none crc: 1 isvalid: true";

    #[test]
    fn a_gap_a_foreign_producer_and_damage_are_seen() {
        let batch = || parse(LINE).unwrap();
        assert!(parse("Starting offset: 0").is_none());
        let first = Batch { base_offset: 0, last_offset: 3, base_sequence: 0, ..batch() };
        assert!(contiguous(&[batch()], 10).is_err());
        for wrong in [
            Batch { producer_id: 7, ..batch() },
            Batch { base_sequence: -1, ..batch() },
            Batch { valid: false, ..batch() },
        ] {
            let first = Batch { base_offset: 0, last_offset: 3, base_sequence: 0, ..batch() };
            assert!(contiguous(&[first, wrong], 10).is_err());
        }
        assert!(contiguous(&[first, batch()], 10).is_ok());
    }
}
