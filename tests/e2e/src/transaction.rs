//! A transaction that nobody ends: a transactional batch of which no coordinator knows, as a defect of a client or broker
//! can leave it (KIP-664).

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{Cluster, OffsetSpec, TopicPartition};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiKey, ProduceRequest, ProduceResponse, RequestHeader, TopicName, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use stack::{Side, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The last version of Produce before compact types.
const PRODUCE: i16 = 8;
/// Where a v2 batch has its CRC, its attributes, and the bit that says transactional.
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const TRANSACTIONAL: u8 = 0x10;

/// Lets brokers of the source take batches of transactions that their coordinator does not know; from 3.6 on they refuse
/// them otherwise (KIP-890).
///
/// # Errors
/// When the source refuses it.
pub async fn trust(stack: &Stack) -> anyhow::Result<()> {
    let server = stack.source_bootstrap();
    let all = ["--bootstrap-server", &server, "--alter", "--entity-type", "brokers", "--entity-default"];
    let config = ["--add-config", "transaction.partition.verification.enable=false"];
    stack.kafka_tool(Side::Source, "ConfigCommand", &[all.as_slice(), &config].concat()).await.map(drop)
}

/// Leaves a transaction open on `partition` whose records are `age` old, and returns the offset at which it begins. The
/// source has one broker.
///
/// # Errors
/// When the source refuses it.
pub async fn hang(stack: &Stack, source: &Cluster, partition: &TopicPartition, age: Duration) -> anyhow::Result<i64> {
    let ends = kafka::all_ok(source.list_offsets(std::slice::from_ref(partition), OffsetSpec::Latest).await)?;
    let producer = source.init_producer_id().await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let record = Record {
        offset: 0,
        timestamp: i64::try_from((now - age).as_millis())?,
        key: None,
        value: Some(Bytes::from_static(b"never committed")),
        headers: Vec::new(),
    };
    let batch = encode(&[record], Codec::None, Stamp::nth(producer.id, producer.epoch, 0), 0)?;
    produce(&stack.source_bootstrap(), partition, transactional(&batch.to_produce().concat())).await?;
    Ok(ends[partition])
}

/// The batch with the transactional bit set and a CRC that agrees.
fn transactional(batch: &[u8]) -> Bytes {
    let mut batch = BytesMut::from(batch);
    batch[ATTRIBUTES + 1] |= TRANSACTIONAL;
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

/// Sends one Produce request with a transactional id, which the project's own client never does.
async fn produce(server: &str, partition: &TopicPartition, batch: Bytes) -> anyhow::Result<()> {
    let data = PartitionProduceData::default().with_index(partition.partition).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(partition.topic.to_string())))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(StrBytes::from_static_str("nobody"))))
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic]);
    let header =
        RequestHeader::default().with_request_api_key(ApiKey::Produce as i16).with_request_api_version(PRODUCE);
    let mut body = BytesMut::new();
    header.encode(&mut body, 1)?;
    request.encode(&mut body, PRODUCE)?;
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len())?);
    frame.put_slice(&body);

    let mut stream = TcpStream::connect(server).await.with_context(|| format!("connecting to {server}"))?;
    stream.write_all(&frame).await?;
    let size = usize::try_from(stream.read_i32().await?)?;
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer).await?;
    let mut answer = Bytes::from(answer);
    // The correlation id.
    answer.advance(4);
    let answer = ProduceResponse::decode(&mut answer, PRODUCE)?;
    let outcome = answer.responses.first().and_then(|topic| topic.partition_responses.first());
    let outcome = outcome.context("the answer holds no outcome")?;
    ensure!(outcome.error_code == 0, "the source refused the batch: {outcome:?}");
    Ok(())
}
