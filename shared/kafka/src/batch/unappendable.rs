//! A batch that no broker can append.

use bytes::Bytes;

use super::header::{HEADER_SIZE, Header, LOG_OVERHEAD, Stamp};

/// The header of a batch without records, whose checksum is not that of its bytes. Its fields are otherwise those that brokers want
/// of clients, so that they get as far as the checksum (`DefaultRecordBatch.isValid`).
pub(crate) fn unappendable() -> Bytes {
    let header = Header {
        base_offset: 0,
        batch_length: (HEADER_SIZE - LOG_OVERHEAD) as i32,
        partition_leader_epoch: -1,
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: Stamp::NONE.producer_id,
        producer_epoch: Stamp::NONE.producer_epoch,
        base_sequence: Stamp::NONE.base_sequence,
        records_count: 0,
    };
    let mut bytes = [0; HEADER_SIZE];
    let sealed = header.seal(&mut bytes);
    Bytes::copy_from_slice(&Header { crc: !sealed.crc, ..sealed }.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::{BatchError, RawBatch};
    use super::*;

    #[test]
    fn its_checksum_is_wrong_and_it_has_no_records() {
        let batch = RawBatch::parse(unappendable()).unwrap();
        assert!(matches!(batch.verify_crc(), Err(BatchError::Crc { .. })));
        assert_eq!((batch.header().records_count, batch.header().base_offset), (0, 0));
        assert!(!batch.header().is_control() && !batch.header().is_transactional());
        assert_eq!(batch.header().producer_id, -1);
    }
}
