//! The requests this client sends: which response belongs to each, and in which versions it is understood here.
//!
//! The versions are narrower than what `kafka-protocol` can encode. The upper ends stop below a version whose meaning
//! differs from what the caller of this crate is promised (topic ids instead of names, other answers for groups that do
//! not exist), the lower ends at what a 2.8 broker has.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{self, ApiKey};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, VersionRange};

/// A request with the response that answers it.
pub(crate) trait Call: HeaderVersion + Send + Sync {
    /// Which API this is.
    const API: ApiKey;
    /// The versions in which this client uses it.
    const VERSIONS: VersionRange;
    /// The message that answers it.
    type Response: Decodable + HeaderVersion + Send;

    /// What is sent behind the header, in pieces to write one after the other.
    ///
    /// # Errors
    /// Says why it cannot be written in `version`.
    fn pieces(&self, version: i16) -> Result<Vec<Bytes>, String>;
}

/// A request in one piece.
fn encoded(request: &impl Encodable, version: i16) -> Result<Vec<Bytes>, String> {
    let mut piece = BytesMut::new();
    request.encode(&mut piece, version).map_err(|error| error.to_string())?;
    Ok(vec![piece.freeze()])
}

macro_rules! calls {
    ($($request:ident => $response:ident, $api:ident, $min:literal..=$max:literal;)*) => {
        $(
            impl Call for messages::$request {
                const API: ApiKey = ApiKey::$api;
                const VERSIONS: VersionRange = VersionRange { min: $min, max: $max };
                type Response = messages::$response;

                fn pieces(&self, version: i16) -> Result<Vec<Bytes>, String> {
                    encoded(self, version)
                }
            }
        )*

        /// Every API of the table, for its tests.
        #[cfg(test)]
        pub(crate) const TABLE: &[(ApiKey, VersionRange, VersionRange)] = &[$((
            ApiKey::$api,
            VersionRange { min: $min, max: $max },
            <messages::$request as kafka_protocol::protocol::Message>::VERSIONS,
        ),)* (
            crate::produce_request::RawProduce::API,
            crate::produce_request::RawProduce::VERSIONS,
            <messages::ProduceRequest as kafka_protocol::protocol::Message>::VERSIONS,
        )];
    };
}

calls! {
    ApiVersionsRequest => ApiVersionsResponse, ApiVersions, 3..=3;
    SaslHandshakeRequest => SaslHandshakeResponse, SaslHandshake, 1..=1;
    // v1 is the first that limits sessions (KIP-368).
    SaslAuthenticateRequest => SaslAuthenticateResponse, SaslAuthenticate, 1..=2;
    MetadataRequest => MetadataResponse, Metadata, 9..=12;
    // v1 is about controllers too (KIP-919), v2 about brokers that are fenced.
    DescribeClusterRequest => DescribeClusterResponse, DescribeCluster, 0..=0;
    FindCoordinatorRequest => FindCoordinatorResponse, FindCoordinator, 3..=4;
    // From v13 on topics are named by id only.
    FetchRequest => FetchResponse, Fetch, 4..=12;
    InitProducerIdRequest => InitProducerIdResponse, InitProducerId, 1..=4;
    // v2 is the first with an isolation level.
    ListOffsetsRequest => ListOffsetsResponse, ListOffsets, 2..=7;
    DeleteRecordsRequest => DeleteRecordsResponse, DeleteRecords, 0..=2;
    CreateTopicsRequest => CreateTopicsResponse, CreateTopics, 2..=7;
    CreatePartitionsRequest => CreatePartitionsResponse, CreatePartitions, 1..=3;
    DeleteTopicsRequest => DeleteTopicsResponse, DeleteTopics, 1..=5;
    DescribeConfigsRequest => DescribeConfigsResponse, DescribeConfigs, 1..=4;
    IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, IncrementalAlterConfigs, 0..=1;
    DescribeAclsRequest => DescribeAclsResponse, DescribeAcls, 1..=3;
    CreateAclsRequest => CreateAclsResponse, CreateAcls, 1..=3;
    DeleteAclsRequest => DeleteAclsResponse, DeleteAcls, 1..=3;
    DescribeClientQuotasRequest => DescribeClientQuotasResponse, DescribeClientQuotas, 0..=1;
    AlterClientQuotasRequest => AlterClientQuotasResponse, AlterClientQuotas, 0..=1;
    DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse, DescribeUserScramCredentials, 0..=0;
    DescribeLogDirsRequest => DescribeLogDirsResponse, DescribeLogDirs, 1..=4;
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, ListPartitionReassignments, 0..=0;
    DescribeProducersRequest => DescribeProducersResponse, DescribeProducers, 0..=0;
    ListTransactionsRequest => ListTransactionsResponse, ListTransactions, 0..=1;
    DescribeTransactionsRequest => DescribeTransactionsResponse, DescribeTransactions, 0..=0;
    // From v4 on only brokers among each other may use it.
    AddPartitionsToTxnRequest => AddPartitionsToTxnResponse, AddPartitionsToTxn, 1..=3;
    // v5 makes the coordinator end the transaction under an epoch that the client does not know beforehand (KIP-890).
    EndTxnRequest => EndTxnResponse, EndTxn, 1..=4;
    // v4 is the first that tells the state of a group, v5 the first that tells its type.
    ListGroupsRequest => ListGroupsResponse, ListGroups, 4..=5;
    // From v6 on a group that does not exist is an error instead of a dead group.
    DescribeGroupsRequest => DescribeGroupsResponse, DescribeGroups, 3..=5;
    ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse, ConsumerGroupDescribe, 0..=1;
    ShareGroupDescribeRequest => ShareGroupDescribeResponse, ShareGroupDescribe, 1..=1;
    // v7 is the first that can insist on stable offsets.
    OffsetFetchRequest => OffsetFetchResponse, OffsetFetch, 7..=9;
    OffsetCommitRequest => OffsetCommitResponse, OffsetCommit, 6..=8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_has_every_version_of_the_table() {
        for (api, ours, codec) in TABLE {
            assert!(ours.min <= ours.max, "{api:?}");
            assert!(codec.min <= ours.min && ours.max <= codec.max, "{api:?}: {ours} is not within {codec}");
        }
    }
}
