//! The Produce request, written around batches that stay where they are: with large batches, the bytes of a request are
//! those of its batches, and a copy of them would cost as much as reading them did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::{HeaderVersion, VersionRange};
use migration::TopicPartition;

use crate::api::Call;
use crate::batch::ProduceBytes;

/// All in-sync replicas have to have a batch before it is acknowledged.
const ALL_IN_SYNC: i16 = -1;

/// A Produce request outside of transactions.
pub(crate) struct RawProduce {
    /// How long the broker may wait for its replicas.
    pub(crate) timeout: Duration,
    /// One batch for each partition, by topic.
    pub(crate) topics: BTreeMap<Arc<str>, Vec<(TopicPartition, ProduceBytes)>>,
}

impl HeaderVersion for RawProduce {
    fn header_version(version: i16) -> i16 {
        ProduceRequest::header_version(version)
    }
}

impl Call for RawProduce {
    const API: ApiKey = ApiKey::Produce;
    // v7 is the first that takes zstd. Up to v8 (KIP-467) the layout is one and the same; later ones carry nothing more that
    // is of use here.
    const VERSIONS: VersionRange = VersionRange { min: 7, max: 8 };
    type Response = ProduceResponse;

    fn pieces(&self, _version: i16) -> Result<Vec<Bytes>, String> {
        let mut pieces = Pieces::default();
        pieces.between.put_i16(-1); // no transactional id
        pieces.between.put_i16(ALL_IN_SYNC);
        pieces.between.put_i32(i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX));
        pieces.count(self.topics.len())?;
        for (topic, batches) in &self.topics {
            pieces.between.put_i16(i16::try_from(topic.len()).map_err(|error| error.to_string())?);
            pieces.between.put_slice(topic.as_bytes());
            pieces.count(batches.len())?;
            for (partition, batch) in batches {
                pieces.between.put_i32(partition.partition);
                pieces.count(batch.size())?;
                batch.pieces().iter().for_each(|piece| pieces.push(piece.clone()));
            }
        }
        Ok(pieces.finish())
    }
}

/// Pieces of a request.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    /// What was written since the last piece.
    between: BytesMut,
}

impl Pieces {
    /// A number of elements or bytes.
    fn count(&mut self, count: usize) -> Result<(), String> {
        self.between.put_i32(i32::try_from(count).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn push(&mut self, piece: Bytes) {
        let between = self.between.split().freeze();
        self.done.extend([between, piece].into_iter().filter(|piece| !piece.is_empty()));
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.push(Bytes::new());
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::by_topic;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    #[test]
    fn the_bytes_are_those_of_the_whole_encoder() {
        let batch = |text: &'static str| Bytes::from_static(text.as_bytes());
        let ours = RawProduce {
            timeout: Duration::from_millis(1234),
            topics: by_topic(vec![
                (TopicPartition::new("orders", 3), batch("one").into()),
                (TopicPartition::new("payments", 1), batch("x").into()),
                (TopicPartition::new("orders", 0), batch("another").into()),
            ]),
        };
        let partition =
            |(index, text)| PartitionProduceData::default().with_index(index).with_records(Some(batch(text)));
        let topic = |name, batches: &[(i32, &'static str)]| {
            TopicProduceData::default()
                .with_name(TopicName(StrBytes::from_static_str(name)))
                .with_partition_data(batches.iter().copied().map(partition).collect())
        };
        let theirs = ProduceRequest::default()
            .with_acks(ALL_IN_SYNC)
            .with_timeout_ms(1234)
            .with_topic_data(vec![topic("orders", &[(3, "one"), (0, "another")]), topic("payments", &[(1, "x")])]);
        for version in RawProduce::VERSIONS.min..=RawProduce::VERSIONS.max {
            let mut expected = BytesMut::new();
            theirs.encode(&mut expected, version).unwrap();
            assert_eq!(ours.pieces(version).unwrap().concat(), expected, "v{version}");
        }
    }
}
