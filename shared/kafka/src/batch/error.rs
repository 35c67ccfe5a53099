//! What can be wrong with a batch.

use super::Codec;

/// A batch that cannot be used as it is, and the base offset it claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A message of the formats before Kafka 0.11 where only batches are read.
    #[error("batch at offset {offset} has the old message format {magic}")]
    OldFormat {
        /// Offset of the message; for a compressed one that is its last record's.
        offset: i64,
        /// 0 or 1.
        magic: i8,
    },
    /// A format that no released Kafka writes: most likely the bytes are not a batch.
    #[error("batch at offset {offset} has the unknown format {magic}")]
    UnknownFormat {
        /// Base offset.
        offset: i64,
        /// The magic byte.
        magic: i8,
    },
    /// The length field is smaller than the smallest batch of its format.
    #[error("batch at offset {offset} has the impossible length {length}")]
    Length {
        /// Base offset.
        offset: i64,
        /// Bytes after the length field, as stated.
        length: i32,
    },
    /// The bytes are not one whole batch and nothing else.
    #[error("{bytes} bytes are not exactly one batch")]
    NotOneBatch {
        /// Bytes given.
        bytes: usize,
    },
    /// A header field has a value no broker writes.
    #[error("batch at offset {offset} has the impossible {field} {value}")]
    Field {
        /// Base offset.
        offset: i64,
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The content is not what was written.
    #[error("batch at offset {offset} is corrupt: its checksum is {computed:#010x}, its header says {stored:#010x}")]
    Crc {
        /// Base offset.
        offset: i64,
        /// From the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// Decompressing or compressing failed.
    #[error("batch at offset {offset}: {codec}: {reason}")]
    Compression {
        /// Base offset.
        offset: i64,
        /// The batch's codec.
        codec: Codec,
        /// The codec library's words.
        reason: String,
    },
    /// The records are larger than the caller allows.
    #[error("batch at offset {offset} holds more than {limit} bytes of records")]
    TooLarge {
        /// Base offset.
        offset: i64,
        /// The most allowed, in bytes before compression.
        limit: usize,
    },
    /// The records end before the header's count is reached.
    #[error("batch at offset {offset} ends within record {index}")]
    Truncated {
        /// Base offset.
        offset: i64,
        /// Index of the record in the batch, from 0.
        index: usize,
    },
    /// A record that no broker writes.
    #[error("batch at offset {offset}, record {index}: {fault}")]
    Record {
        /// Base offset.
        offset: i64,
        /// Index of the record in the batch, from 0.
        index: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// Bytes follow the last record.
    #[error("batch at offset {offset} has {bytes} bytes after its last record")]
    Trailing {
        /// Base offset.
        offset: i64,
        /// How many.
        bytes: usize,
    },
    /// A single record is too large for a batch of its own.
    #[error(
        "the record at offset {offset} takes {bytes} bytes as a batch of its own, but the target takes {limit}: raise \
         max.message.bytes of the topic on the target, then resume"
    )]
    RecordTooLarge {
        /// Offset of the record.
        offset: i64,
        /// Bytes of the batch, header included.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The records to write do not make a batch.
    #[error("no batch at offset {offset} from these records: {reason}")]
    Encode {
        /// Base offset of the batch to be.
        offset: i64,
        /// Why not.
        reason: &'static str,
    },
}
