//! What an object is made of.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use kafka::batch::crc_combine;

/// The bytes of an object, in pieces that stay where they are, and the checksum of them all.
#[derive(Debug, Clone, Default)]
pub struct Content {
    pieces: Vec<Bytes>,
    size: usize,
    crc: u32,
}

impl Content {
    /// Adds a piece.
    pub fn push(&mut self, piece: Bytes) {
        let crc = crc32c::crc32c(&piece);
        self.add([piece], crc);
    }

    /// Adds pieces that have the CRC-32C `crc` together. S3 refuses the object when they do not.
    pub fn add(&mut self, pieces: impl IntoIterator<Item = Bytes>, crc: u32) {
        let before = self.size;
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.size += piece.len();
            self.pieces.push(piece);
        }
        self.crc = crc_combine(self.crc, crc, self.size - before);
    }

    /// Bytes of all pieces.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// CRC-32C of all pieces.
    pub const fn crc(&self) -> u32 {
        self.crc
    }

    /// All pieces in one, which copies them.
    pub fn concat(&self) -> Bytes {
        self.pieces.concat().into()
    }

    /// The checksum as S3 wants it (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>).
    pub(crate) fn checksum(&self) -> String {
        STANDARD.encode(self.crc.to_be_bytes())
    }

    /// The pieces as the body of a request, which may be repeated.
    pub(crate) fn into_stream(self) -> ByteStream {
        let body = move || {
            let frames =
                self.pieces.clone().into_iter().map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece)));
            SdkBody::from_body_1_x(StreamBody::new(stream::iter(frames)))
        };
        ByteStream::new(SdkBody::retryable(body))
    }
}

impl From<Bytes> for Content {
    fn from(piece: Bytes) -> Self {
        let mut content = Self::default();
        content.push(piece);
        content
    }
}

impl From<Vec<u8>> for Content {
    fn from(piece: Vec<u8>) -> Self {
        Bytes::from(piece).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_checksum_is_that_of_the_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
            let mut content = Content::default();
            pieces.iter().for_each(|piece| content.push(Bytes::copy_from_slice(piece)));
            let whole = pieces.concat();
            prop_assert_eq!((content.crc(), content.size()), (crc32c::crc32c(&whole), whole.len()));
            prop_assert_eq!(content.concat(), whole);
        }
    }

    #[test]
    fn the_checksum_is_written_as_s3_reads_it() {
        // The check value of CRC-32C, E3069283.
        assert_eq!(Content::from(Bytes::from_static(b"123456789")).checksum(), "4waSgw==");
    }

    #[tokio::test]
    async fn the_body_has_every_byte_each_time_it_is_sent() {
        let mut content = Content::from(Bytes::from_static(b"header"));
        content.push(Bytes::from_static(b"records"));
        let body = content.into_stream().into_inner();
        let again = body.try_clone().unwrap();
        for body in [body, again] {
            assert_eq!(ByteStream::new(body).collect().await.unwrap().into_bytes(), "headerrecords");
        }
    }
}
