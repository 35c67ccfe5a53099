//! Reading the records of a batch one after the other. In memory is one of them at a time, however much the batch unpacks to:
//! a few kilobytes can stand for gigabytes, and brokers take that.

use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::header::HEADER_SIZE;
use super::record::{Fault, Order, RawRecord, RecordView, read_length};
use super::varint::MAX_VARINT;
use super::{BatchError, Codec, DecodeLimit, Entry, RawBatch};

/// Reads the records of a batch, which it decompresses meanwhile, and checks that they are exactly those its header announces.
pub(super) struct RecordStream {
    order: Order,
    reader: BufReader<Box<dyn Read + Send>>,
    codec: Codec,
    base_offset: i64,
    /// The most bytes of a record.
    limit: usize,
    /// Behind the length of the record that was read last.
    body: Vec<u8>,
}

impl RecordStream {
    /// Over the records of `batch`, of at most `limit` each.
    pub(super) fn new(batch: &RawBatch, DecodeLimit(limit): DecodeLimit) -> Result<Self, BatchError> {
        let (header, mut codec, mut data) = (batch.header(), batch.header().codec(), batch.bytes.slice(HEADER_SIZE..));
        if header.records_count == 0 {
            (codec, data) = (Codec::None, Bytes::new());
        }
        let base_offset = header.base_offset;
        let reader = codec.reader(data).map_err(|failure| codec.error(failure, limit, base_offset))?;
        let order = Order::new(header);
        Ok(Self { order, reader: BufReader::new(reader), codec, base_offset, limit, body: Vec::new() })
    }

    /// The next record; none after the last, when nothing follows it.
    pub(super) fn next(&mut self) -> Result<Option<RawRecord<'_>>, BatchError> {
        if self.order.is_over() {
            return self.end().map(|()| None);
        }
        let length = self.length()?;
        if length > self.limit {
            return Err(self.order.fault(Fault::Invalid("it is larger than is read")));
        }
        self.body.clear();
        // Memory grows with what is really there.
        let read = (&mut self.reader).take(length as u64).read_to_end(&mut self.body);
        if read.map_err(|error| self.unreadable(&error))? < length {
            return Err(self.order.fault(Fault::Truncated));
        }
        match self.order.take(&self.body) {
            Ok(record) => Ok(Some(record)),
            Err(fault) => Err(self.order.fault(fault)),
        }
    }

    /// Makes sure that nothing follows.
    fn end(&mut self) -> Result<(), BatchError> {
        match io::copy(&mut self.reader, &mut io::sink()).map_err(|error| self.unreadable(&error))? {
            0 => Ok(()),
            bytes => Err(BatchError::Trailing { offset: self.base_offset, bytes: bytes as usize }),
        }
    }

    fn length(&mut self) -> Result<usize, BatchError> {
        let mut bytes = [0; MAX_VARINT];
        let mut read = 0;
        while read < MAX_VARINT {
            let at = &mut bytes[read..=read];
            if self.reader.read(at).map_err(|error| self.unreadable(&error))? == 0 {
                break;
            }
            let is_last = at[0] & 0x80 == 0;
            read += 1;
            if is_last {
                break;
            }
        }
        read_length(&mut &bytes[..read]).map_err(|fault| self.order.fault(fault))
    }

    fn unreadable(&self, error: &io::Error) -> BatchError {
        BatchError::Compression { offset: self.base_offset, codec: self.codec, reason: error.to_string() }
    }
}

impl Entry {
    /// Gives `each` the records, in order, until it says that it needs no more. In memory is one record of a batch at a time,
    /// and of a message of an older format all that it holds.
    ///
    /// # Errors
    /// [`BatchError::Record`] for a record of a batch, and [`BatchError::TooLarge`] for a whole message, beyond `limit`, and the error
    /// that names the fault when the records are malformed, cut off, out of order or followed by more bytes.
    pub fn visit(
        &self,
        limit: DecodeLimit,
        mut each: impl FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        match self {
            Self::Batch(batch) => batch.visit(limit, each),
            Self::Old(message) => {
                let mut goes_on = ControlFlow::Continue(());
                message.for_each(limit, |record| {
                    if goes_on.is_continue() {
                        goes_on = each(record);
                    }
                    Ok(())
                })
            }
        }
    }
}

impl RawBatch {
    /// See [`Entry::visit`].
    ///
    /// # Errors
    /// Those of [`Entry::visit`].
    pub fn visit(
        &self,
        limit: DecodeLimit,
        mut each: impl FnMut(&RecordView<'_>) -> ControlFlow<()>,
    ) -> Result<(), BatchError> {
        let mut records = RecordStream::new(self, limit)?;
        while let Some(record) = records.next()? {
            let (index, view) = (record.index, record.view());
            let view = view.map_err(|fault| Order::new(self.header()).error(index, fault))?;
            if each(&view).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Record, Stamp, encode};
    use super::*;

    /// The records, read one by one.
    pub(crate) fn visited(batch: &RawBatch, limit: DecodeLimit) -> Result<Vec<Record>, BatchError> {
        let mut records = Vec::new();
        batch.visit(limit, |record| {
            records.push(record.to_record());
            ControlFlow::Continue(())
        })?;
        records.into_iter().collect()
    }

    #[test]
    fn a_batch_that_unpacks_to_more_than_the_limit_is_read_record_by_record() {
        let limit = DecodeLimit::bytes(1 << 20);
        let record = Record { value: Some(vec![0; 300 << 10].into()), ..Record::default() };
        for codec in Codec::ALL {
            let batch = encode(&vec![record.clone(); 20], codec, Stamp::NONE, 0).unwrap();
            assert!(matches!(batch.decode(limit), Err(BatchError::TooLarge { .. })), "{codec}");
            assert_eq!(visited(&batch, limit).unwrap().len(), 20, "{codec}");
            let small = visited(&batch, DecodeLimit::bytes(1 << 10));
            assert!(matches!(small, Err(BatchError::Record { index: 0, .. })), "{codec}");
        }
    }
}
