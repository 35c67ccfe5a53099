//! Control batches: what the brokers themselves write between the records of clients (KIP-98).

use bytes::{Buf, Bytes};

use super::record::{Fault, RawRecords};
use super::split::{Entry, entries};
use super::{BatchError, DecodeLimit, RawBatch};

/// What a control batch says (`org.apache.kafka.common.record.ControlRecordType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// The transaction of the batch's producer was aborted.
    Abort,
    /// It was committed.
    Commit,
    /// Something else that brokers tell each other.
    Other(i16),
}

impl From<i16> for ControlType {
    fn from(code: i16) -> Self {
        match code {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Other(other),
        }
    }
}

/// A control batch in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Its offset.
    pub offset: i64,
    /// When the broker wrote it, in milliseconds since 1970.
    pub timestamp: i64,
    /// What it says.
    pub control_type: ControlType,
}

/// What `batch` says if it is a control batch; nothing for records of clients, and for a control batch that compaction emptied.
///
/// # Errors
/// When its type cannot be read.
pub fn control_type(batch: &RawBatch) -> Result<Option<ControlType>, BatchError> {
    if !batch.header().is_control() {
        return Ok(None);
    }
    let data = batch.uncompressed(DecodeLimit::default())?;
    let mut records = RawRecords::new(batch.header(), &data);
    let Some(marker) = records.next()? else { return Ok(None) };
    let code =
        marker.view().and_then(|marker| read_type(marker.key)).map_err(|fault| records.error(marker.index, fault))?;
    Ok(Some(code.into()))
}

/// Reads a control record's key: version, then type.
fn read_type(key: Option<&[u8]>) -> Result<i16, Fault> {
    let mut key = key.unwrap_or_default();
    match (key.try_get_i16(), key.try_get_i16()) {
        (Ok(0..), Ok(control_type)) => Ok(control_type),
        _ => Err(Fault::Invalid("the key of a control record has no type")),
    }
}

/// The control batches of one producer id and epoch in a fetched record set, in the order of the log. Each one's checksum is
/// verified. Old messages, batches of others and a batch that is cut off at the end are passed over.
///
/// # Errors
/// The first batch that cannot be read.
pub fn markers(records: Bytes, producer_id: i64, producer_epoch: i16) -> Result<Vec<Marker>, BatchError> {
    let mut found = Vec::new();
    for entry in entries(records) {
        let Entry::Batch(batch) = entry? else { continue };
        let header = batch.header();
        if !header.is_control() || (header.producer_id, header.producer_epoch) != (producer_id, producer_epoch) {
            continue;
        }
        batch.verify_crc()?;
        let (offset, timestamp) = (header.base_offset, header.max_timestamp);
        found.extend(control_type(&batch)?.map(|control_type| Marker { offset, timestamp, control_type }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, Header, Record, Stamp, encode};
    use super::*;

    fn batch(offset: i64, stamp: (i64, i16), control: bool, key: &[u8]) -> Vec<u8> {
        const CONTROL_OF_A_TRANSACTION: i16 = 0x30;
        let record = Record { key: Some(key.to_vec().into()), timestamp: 5, ..Record::default() };
        let stamp = Stamp { producer_id: stamp.0, producer_epoch: stamp.1, base_sequence: -1 };
        let batch = encode(&[record], Codec::None, stamp, offset).unwrap();
        let mut bytes = batch.bytes().to_vec();
        let attributes = if control { CONTROL_OF_A_TRANSACTION } else { 0 };
        Header { attributes, ..*batch.header() }.seal(&mut bytes);
        bytes
    }

    fn log(batches: &[Vec<u8>]) -> Bytes {
        batches.concat().into()
    }

    const COMMIT: &[u8] = &[0, 0, 0, 1];
    const ABORT: &[u8] = &[0, 0, 0, 0];

    #[test]
    fn only_the_markers_of_the_one_identity_are_found() {
        let log = log(&[
            batch(7, (1, 0), true, COMMIT),
            batch(8, (1, 1), false, COMMIT),
            batch(9, (1, 1), true, ABORT),
            batch(10, (2, 1), true, COMMIT),
            batch(11, (1, 1), true, COMMIT),
        ]);
        let marker = |offset, control_type| Marker { offset, timestamp: 5, control_type };
        let expected = [marker(9, ControlType::Abort), marker(11, ControlType::Commit)];
        assert_eq!(markers(log.clone(), 1, 1).unwrap(), expected);
        assert_eq!(markers(log.slice(..log.len() - 1), 1, 1).unwrap(), expected[..1], "the last one is cut off");
        assert_eq!(markers(log, 3, 0).unwrap(), []);
    }

    #[test]
    fn a_marker_is_as_large_as_the_one_of_a_broker() {
        // With the version and the coordinator's epoch as its value, as brokers write it.
        let record = Record { key: Some(COMMIT.into()), value: Some(vec![0; 6].into()), ..Record::default() };
        assert_eq!(encode(&[record], Codec::None, Stamp::NONE, 0).unwrap().bytes().len(), 78);
    }

    #[test]
    fn a_damaged_marker_is_not_believed() {
        let mut bytes = batch(7, (1, 0), true, COMMIT);
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(markers(bytes.into(), 1, 0), Err(BatchError::Crc { offset: 7, .. })));
    }

    #[test]
    fn types_that_are_not_of_transactions_are_told() {
        let leader_change = RawBatch::parse(batch(0, (-1, -1), true, &[0, 0, 0, 2]).into()).unwrap();
        assert_eq!(control_type(&leader_change), Ok(Some(ControlType::Other(2))));
        let of_a_client = RawBatch::parse(batch(0, (-1, -1), false, COMMIT).into()).unwrap();
        assert_eq!(control_type(&of_a_client), Ok(None));
        for key in [&[][..], &[0, 0, 0], &[0xff, 0xff, 0, 0]] {
            let broken = RawBatch::parse(batch(3, (1, 0), true, key).into()).unwrap();
            assert!(matches!(control_type(&broken), Err(BatchError::Record { offset: 3, index: 0, .. })));
        }
    }
}
