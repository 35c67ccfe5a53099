//! What applications store beside their committed offsets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kafka::CommittedOffset;
use migration::config::Cutover;

/// Bytes of what Kafka Streams stores: a version and a timestamp of 8 bytes, from version 2 on followed by times of its
/// processors (`TopicPartitionMetadata` of Kafka Streams).
const STREAMS: usize = 9;

/// What is noted of an offset that differs on the target, beside which something is stored that may speak of offsets.
pub(crate) const SHIFTED: &str =
    "its metadata came over as it is; if its client keeps offsets in it, those are of the source";

/// Whether `metadata` may say something of offsets, as that of Confluent's parallel consumer does: a map of what was processed
/// beyond the committed offset. That of Kafka Streams holds times.
pub(crate) fn may_speak_of_offsets(metadata: &str) -> bool {
    !metadata.is_empty() && !is_of_streams(metadata)
}

fn is_of_streams(metadata: &str) -> bool {
    let decoded = STANDARD.decode(metadata).unwrap_or_default();
    match decoded.first() {
        Some(1) => decoded.len() == STREAMS,
        Some(2) => decoded.len() >= STREAMS,
        _ => false,
    }
}

/// The offset as it comes over: without its metadata when `cutover.drop_metadata_of` names the group.
pub(crate) fn carried(limits: &Cutover, group: &str, offset: CommittedOffset) -> CommittedOffset {
    if limits.drop_metadata_of.iter().any(|pattern| pattern.matches(group)) {
        return CommittedOffset { metadata: String::new(), ..offset };
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kafka_streams_stores_speaks_of_no_offset() {
        let streams = |version: u8, size: usize| {
            let mut bytes = vec![0; size];
            bytes[0] = version;
            STANDARD.encode(bytes)
        };
        for (metadata, speaks) in [
            (String::new(), false),
            (streams(1, 9), false),
            (streams(2, 40), false),
            (streams(1, 12), true),
            (streams(3, 9), true),
            ("done 103,107".to_owned(), true),
            ("AAEC".to_owned(), true),
        ] {
            assert_eq!(may_speak_of_offsets(&metadata), speaks, "{metadata}");
        }
    }
}
