//! Requests to frames, and frames to answers.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

use crate::api::Call;
use crate::error::{Error, Result};

/// The name under which brokers know this client.
pub const CLIENT_ID: &str = "msk-kraft";

/// Bytes of the length before a frame.
const LENGTH: usize = size_of::<i32>();

/// Everything to be written for a request, its length included, in pieces.
pub(crate) fn encode<C: Call>(broker: &Arc<str>, request: &C, version: i16, correlation: i32) -> Result<Vec<Bytes>> {
    let header = RequestHeader::default()
        .with_request_api_key(C::API as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let cannot = |error: String| protocol(broker, format_args!("cannot encode {:?} v{version}: {error}", C::API));
    let mut front = BytesMut::from(&[0; LENGTH][..]);
    header.encode(&mut front, C::header_version(version)).map_err(|error| cannot(error.to_string()))?;
    let request = request.pieces(version).map_err(cannot)?;
    let size = front.len() - LENGTH + request.iter().map(Bytes::len).sum::<usize>();
    let size = i32::try_from(size).map_err(|error| cannot(error.to_string()))?;
    front[..LENGTH].copy_from_slice(&size.to_be_bytes());
    Ok([front.freeze()].into_iter().chain(request).collect())
}

/// The answer to a request that was sent in `version`, of which the length is removed.
pub(crate) fn decode<C: Call>(broker: &Arc<str>, mut answer: Bytes, version: i16) -> Result<C::Response> {
    let decoded = (|| {
        ResponseHeader::decode(&mut answer, C::Response::header_version(version))?;
        C::Response::decode(&mut answer, version)
    })();
    let decoded = decoded.map_err(|error| {
        protocol(broker, format_args!("cannot read the answer to {:?} v{version}: {error}", C::API))
    })?;
    if answer.has_remaining() {
        let extra = answer.remaining();
        return Err(protocol(
            broker,
            format_args!("{extra} bytes too many after the answer to {:?} v{version}", C::API),
        ));
    }
    Ok(decoded)
}

fn protocol(broker: &Arc<str>, message: fmt::Arguments<'_>) -> Error {
    Error::Protocol { broker: broker.clone(), message: message.to_string() }
}
