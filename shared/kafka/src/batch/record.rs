//! The records of a batch, as they lie there and taken apart (`DefaultRecord`).

use bytes::{Buf, BufMut, Bytes};

use super::BatchError;
use super::header::{Header, TimestampType};
use super::varint::{self, VarintFault, read_varint, read_varlong};

/// Bytes of the smallest record: length, attributes, two deltas, key length, value length, header count.
const SMALLEST_RECORD: usize = 7;
/// Bytes of the smallest header: key length, value length.
const SMALLEST_HEADER: usize = 2;
/// Length that stands for null.
const NULL: i64 = -1;

/// One record, as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, or -1: the broker's for a LogAppendTime batch, else the producer's.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers in their order; names may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Why a record could not be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The records end within it.
    Truncated,
    /// No broker writes that.
    Invalid(&'static str),
}

/// One record, with its fields from the key on as they lie in the batch: length and bytes of key and value, headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRecord<'a> {
    pub(super) index: usize,
    pub(super) attributes: u8,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) fields: &'a [u8],
}

/// Which record comes next, as a batch's header announces it.
#[derive(Debug)]
pub(super) struct Order {
    header: Header,
    index: usize,
    count: usize,
    next_delta: i32,
}

impl Order {
    /// Of the first record of the batch with `header`.
    pub(super) fn new(header: &Header) -> Self {
        let count = usize::try_from(header.records_count).unwrap_or(0);
        Self { header: *header, index: 0, count, next_delta: 0 }
    }

    /// Whether every record was taken.
    pub(super) const fn is_over(&self) -> bool {
        self.index == self.count
    }

    /// Takes the next record, whose bytes behind its length are `body`.
    pub(super) fn take<'a>(&mut self, mut body: &'a [u8]) -> Result<RawRecord<'a>, Fault> {
        let attributes = body.try_get_u8().map_err(|_| Fault::from(VarintFault::Truncated))?;
        let timestamp_delta = read_varlong(&mut body)?;
        let offset_delta = read_varint(&mut body)?;
        if !(self.next_delta..=self.header.last_offset_delta).contains(&offset_delta) {
            return Err(Fault::Invalid("the offset is out of order or outside the batch"));
        }
        self.next_delta = offset_delta.saturating_add(1);
        let index = self.index;
        self.index += 1;
        Ok(RawRecord {
            index,
            attributes,
            offset: self.header.base_offset + i64::from(offset_delta),
            timestamp: self.timestamp(timestamp_delta),
            fields: body,
        })
    }

    /// The error for a fault in the record that comes next.
    pub(super) const fn fault(&self, fault: Fault) -> BatchError {
        self.error(self.index, fault)
    }

    /// The error for a fault in record `index`.
    pub(super) const fn error(&self, index: usize, fault: Fault) -> BatchError {
        let offset = self.header.base_offset;
        match fault {
            Fault::Truncated => BatchError::Truncated { offset, index },
            Fault::Invalid(fault) => BatchError::Record { offset, index, fault },
        }
    }

    fn timestamp(&self, delta: i64) -> i64 {
        match self.header.timestamp_type() {
            // Wraps as the Java client's addition does, so that any value survives.
            TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(delta),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        }
    }
}

/// Reads the length in front of a record.
pub(super) fn read_length(bytes: &mut &[u8]) -> Result<usize, Fault> {
    let length = read_varint(bytes).map_err(|fault| match fault {
        VarintFault::Truncated => Fault::Truncated,
        VarintFault::Overflow => Fault::Invalid("the length is not a number"),
    })?;
    usize::try_from(length).map_err(|_| Fault::Invalid("the length is negative"))
}

/// Reads the records of a batch one after the other and checks that they are exactly those its header announces.
#[derive(Debug)]
pub(super) struct RawRecords<'a> {
    order: Order,
    rest: &'a [u8],
}

impl<'a> RawRecords<'a> {
    /// Over `data`, the decompressed records of the batch with `header`.
    pub(super) fn new(header: &Header, data: &'a [u8]) -> Self {
        Self { order: Order::new(header), rest: data }
    }

    /// At most how many records are left, however many the header claims.
    pub(super) fn size_limit(&self) -> usize {
        (self.order.count - self.order.index).min(self.rest.len() / SMALLEST_RECORD)
    }

    /// The next record; none after the last, when nothing follows it.
    pub(super) fn next(&mut self) -> Result<Option<RawRecord<'a>>, BatchError> {
        if self.order.is_over() {
            return match self.rest.len() {
                0 => Ok(None),
                bytes => Err(BatchError::Trailing { offset: self.order.header.base_offset, bytes }),
            };
        }
        self.read().map(Some).map_err(|fault| self.order.fault(fault))
    }

    /// The error for a fault in record `index`.
    pub(super) const fn error(&self, index: usize, fault: Fault) -> BatchError {
        self.order.error(index, fault)
    }

    fn read(&mut self) -> Result<RawRecord<'a>, Fault> {
        let length = read_length(&mut self.rest)?;
        let (body, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        self.order.take(body)
    }
}

impl<'a> RawRecord<'a> {
    /// Key, value, and the headers behind them.
    pub(super) fn view(&self) -> Result<RecordView<'a>, Fault> {
        let mut fields = self.fields;
        let (key, value) = (read_nullable(&mut fields)?, read_nullable(&mut fields)?);
        Ok(RecordView { offset: self.offset, timestamp: self.timestamp, key, value, headers: Some(fields) })
    }

    /// Takes the record apart; its parts share `data`, of which `fields` is a part.
    pub(super) fn materialise(&self, data: &Bytes) -> Result<Record, Fault> {
        self.view()?.record(|part| data.slice_ref(part))
    }
}

/// A record as it lies in its batch or message, for as long as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, or -1: the broker's for a LogAppendTime batch, else the producer's.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; none is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// How many headers there are, and the headers; none in formats without.
    headers: Option<&'a [u8]>,
}

impl<'a> RecordView<'a> {
    /// A record of a format without headers.
    pub(super) const fn without_headers(offset: i64, timestamp: i64, [key, value]: [Option<&'a [u8]>; 2]) -> Self {
        Self { offset, timestamp, key, value, headers: None }
    }

    /// A copy of it.
    ///
    /// # Errors
    /// [`BatchError::Record`] when its headers are malformed.
    pub fn to_record(&self) -> Result<Record, BatchError> {
        self.record(Bytes::copy_from_slice).map_err(|fault| match fault {
            Fault::Truncated => BatchError::Truncated { offset: self.offset, index: 0 },
            Fault::Invalid(fault) => BatchError::Record { offset: self.offset, index: 0, fault },
        })
    }

    fn record(&self, own: impl Fn(&[u8]) -> Bytes) -> Result<Record, Fault> {
        let mut headers = Vec::new();
        if let Some(mut fields) = self.headers {
            let count = read_varint(&mut fields)?;
            let count = usize::try_from(count).map_err(|_| Fault::Invalid("the header count is negative"))?;
            headers.reserve(count.min(fields.len() / SMALLEST_HEADER));
            for _ in 0..count {
                let name = read_nullable(&mut fields)?.ok_or(Fault::Invalid("a header has no name"))?;
                headers.push((own(name), read_nullable(&mut fields)?.map(&own)));
            }
            if !fields.is_empty() {
                return Err(Fault::Invalid("bytes follow the headers"));
            }
        }
        let (key, value) = (self.key.map(&own), self.value.map(&own));
        Ok(Record { offset: self.offset, timestamp: self.timestamp, key, value, headers })
    }
}

impl Record {
    /// Bytes of the fields from the key on.
    pub(super) fn fields_size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| sized(name) + nullable_sized(value.as_deref()));
        let count = varint::size(self.headers.len() as i64);
        nullable_sized(self.key.as_deref()) + nullable_sized(self.value.as_deref()) + count + headers.sum::<usize>()
    }

    /// Writes the fields from the key on.
    pub(super) fn put_fields(&self, out: &mut Vec<u8>) {
        put_nullable(out, self.key.as_deref());
        put_nullable(out, self.value.as_deref());
        varint::put(out, self.headers.len() as i64);
        for (name, value) in &self.headers {
            put_nullable(out, Some(name));
            put_nullable(out, value.as_deref());
        }
    }
}

/// Bytes of a record without headers in a batch whose records all have the same timestamp, with `key` and `value` bytes; at most,
/// for any of the first million records.
pub(crate) fn record_size(key: usize, value: usize) -> usize {
    const MILLION: i64 = 1 << 20;
    let part = |bytes: usize| varint::size(bytes as i64) + bytes;
    let body = size_of::<u8>() + varint::size(0) + varint::size(MILLION) + part(key) + part(value) + varint::size(0);
    part(body)
}

/// Bytes of the fields of a record without headers.
pub(super) fn fields_size(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    nullable_sized(key) + nullable_sized(value) + varint::size(0)
}

/// Writes the fields of a record without headers.
pub(super) fn put_fields(out: &mut Vec<u8>, key: Option<&[u8]>, value: Option<&[u8]>) {
    put_nullable(out, key);
    put_nullable(out, value);
    varint::put(out, 0);
}

impl From<VarintFault> for Fault {
    fn from(fault: VarintFault) -> Self {
        Self::Invalid(match fault {
            VarintFault::Truncated => "a field reaches beyond the record",
            VarintFault::Overflow => "a number is too long",
        })
    }
}

/// Any negative length is null, as for the Java client; writers use -1.
fn read_nullable<'a>(fields: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    let Ok(length) = usize::try_from(read_varint(fields)?) else { return Ok(None) };
    let (part, rest) = fields.split_at_checked(length).ok_or(VarintFault::Truncated)?;
    *fields = rest;
    Ok(Some(part))
}

fn put_nullable(out: &mut Vec<u8>, part: Option<&[u8]>) {
    varint::put(out, part.map_or(NULL, |part| part.len() as i64));
    out.put_slice(part.unwrap_or_default());
}

fn nullable_sized(part: Option<&[u8]>) -> usize {
    part.map_or(varint::size(NULL), sized)
}

fn sized(part: &[u8]) -> usize {
    varint::size(part.len() as i64) + part.len()
}
