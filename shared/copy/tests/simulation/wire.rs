//! Record batches written and read without the code under test: the fields of `DefaultRecordBatch` and `DefaultRecord`
//! one after the other.

use std::io::{Read, Write};

use bytes::{Buf, BufMut, Bytes};
use kafka::batch::Record;

/// Bytes before the records.
const HEADER: usize = 61;

const APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A batch in the open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    pub(crate) base: i64,
    /// Last offset minus the base, which compaction leaves alone.
    pub(crate) last_delta: i32,
    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub(crate) codec: i16,
    /// The broker's time, which then counts for every record.
    pub(crate) append_time: Option<i64>,
    pub(crate) transactional: bool,
    pub(crate) control: bool,
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
    pub(crate) max_timestamp: i64,
    pub(crate) records: Vec<Record>,
}

impl Batch {
    pub(crate) fn last(&self) -> i64 {
        self.base + i64::from(self.last_delta)
    }

    /// The batch as it lies in a log, with the offsets that its records have.
    pub(crate) fn encode(&self) -> Bytes {
        let first = self.records.first().map_or(0, |record| record.timestamp);
        let latest = self.records.iter().map(|record| record.timestamp).max().unwrap_or(first);
        let attributes = self.codec
            | if self.append_time.is_some() { APPEND_TIME } else { 0 }
            | if self.transactional { TRANSACTIONAL } else { 0 }
            | if self.control { CONTROL } else { 0 };
        let mut plain = Vec::new();
        self.records.iter().for_each(|record| put_record(&mut plain, record, self.base, first));
        let packed = if self.records.is_empty() { Vec::new() } else { compress(self.codec, &plain) };
        let mut checked = Vec::with_capacity(HEADER + packed.len());
        checked.put_i16(attributes);
        checked.put_i32(self.last_delta);
        checked.put_i64(first);
        checked.put_i64(self.append_time.unwrap_or(latest));
        checked.put_i64(self.producer);
        checked.put_i16(self.epoch);
        checked.put_i32(self.sequence);
        checked.put_i32(self.records.len() as i32);
        checked.extend_from_slice(&packed);
        let mut out = Vec::with_capacity(HEADER + packed.len());
        out.put_i64(self.base);
        out.put_i32((checked.len() + 9) as i32);
        out.put_i32(0);
        out.put_i8(2);
        out.put_u32(crc32c::crc32c(&checked));
        out.extend_from_slice(&checked);
        out.into()
    }

    /// Reads exactly one whole batch, as strictly as a broker: checksum, and every record in its place.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, String> {
        let mut head = bytes.get(..HEADER).ok_or("shorter than a header")?;
        let (base, length) = (head.get_i64(), head.get_i32());
        if length as usize + 12 != bytes.len() {
            return Err(format!("{} bytes that are not one batch of {length}", bytes.len()));
        }
        let (_leader_epoch, magic, crc) = (head.get_i32(), head.get_i8(), head.get_u32());
        if magic != 2 || crc != crc32c::crc32c(&bytes[21..]) {
            return Err(format!("magic {magic}, or the checksum does not hold"));
        }
        let attributes = head.get_i16();
        let last_delta = head.get_i32();
        let (first, latest) = (head.get_i64(), head.get_i64());
        let (producer, epoch, sequence) = (head.get_i64(), head.get_i16(), head.get_i32());
        let count = head.get_i32();
        let append_time = (attributes & APPEND_TIME != 0).then_some(latest);
        let plain = Bytes::from(decompress(attributes & 7, &bytes[HEADER..])?);
        let mut rest = &plain[..];
        let records = (0..count).map(|_| take_record(&mut rest, base, first, append_time)).collect::<Option<Vec<_>>>();
        let records = records.filter(|_| rest.is_empty()).ok_or("the records are not whole")?;
        Ok(Self {
            base,
            last_delta,
            codec: attributes & 7,
            append_time,
            transactional: attributes & TRANSACTIONAL != 0,
            control: attributes & CONTROL != 0,
            producer,
            epoch,
            sequence,
            max_timestamp: latest,
            records,
        })
    }
}

fn put_record(out: &mut Vec<u8>, record: &Record, base: i64, first: i64) {
    let mut body = vec![0];
    put_varint(&mut body, record.timestamp - first);
    put_varint(&mut body, record.offset - base);
    put_bytes(&mut body, record.key.as_ref());
    put_bytes(&mut body, record.value.as_ref());
    put_varint(&mut body, record.headers.len() as i64);
    for (name, value) in &record.headers {
        put_bytes(&mut body, Some(name));
        put_bytes(&mut body, value.as_ref());
    }
    put_varint(out, body.len() as i64);
    out.extend_from_slice(&body);
}

fn take_record(rest: &mut &[u8], base: i64, first: i64, append_time: Option<i64>) -> Option<Record> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (mut body, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    body.try_get_i8().ok()?;
    let timestamp = append_time.unwrap_or(first + take_varint(&mut body)?);
    if append_time.is_some() {
        take_varint(&mut body)?;
    }
    let offset = base + take_varint(&mut body)?;
    let (key, value) = (take_bytes(&mut body)?, take_bytes(&mut body)?);
    let count = take_varint(&mut body)?;
    let header = |_| Some((take_bytes(&mut body)??, take_bytes(&mut body)?));
    let headers = (0..count).map(header).collect::<Option<Vec<_>>>()?;
    body.is_empty().then_some(Record { offset, timestamp, key, value, headers })
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&Bytes>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.map_or(&[], |bytes| bytes));
}

fn take_bytes(rest: &mut &[u8]) -> Option<Option<Bytes>> {
    let Ok(length) = usize::try_from(take_varint(rest)?) else { return Some(None) };
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Some(Bytes::copy_from_slice(bytes)))
}

fn put_varint(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = rest.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
        }
    }
    None
}

/// What snappy-java puts in front of its blocks.
const SNAPPY: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

fn compress(codec: i16, plain: &[u8]) -> Vec<u8> {
    match codec {
        1 => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        2 => {
            let block = snap::raw::Encoder::new().compress_vec(plain).unwrap();
            [&SNAPPY[..], &(block.len() as u32).to_be_bytes(), &block].concat()
        }
        3 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(plain).unwrap();
            out.finish().unwrap()
        }
        4 => zstd::encode_all(plain, 1).unwrap(),
        _ => plain.to_vec(),
    }
}

fn decompress(codec: i16, packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let read = match codec {
        _ if packed.is_empty() => Ok(0),
        1 => flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut plain),
        2 => return unsnap(packed).ok_or_else(|| "snappy blocks are damaged".to_owned()),
        3 => lz4_flex::frame::FrameDecoder::new(packed).read_to_end(&mut plain),
        4 => return zstd::decode_all(packed).map_err(|error| error.to_string()),
        _ => return Ok(packed.to_vec()),
    };
    read.map(|_| plain).map_err(|error| error.to_string())
}

fn unsnap(packed: &[u8]) -> Option<Vec<u8>> {
    let mut rest = packed.strip_prefix(&SNAPPY)?;
    let mut plain = Vec::new();
    while !rest.is_empty() {
        let length = rest.try_get_u32().ok()? as usize;
        let (block, behind) = rest.split_at_checked(length)?;
        plain.extend(snap::raw::Decoder::new().decompress_vec(block).ok()?);
        rest = behind;
    }
    Some(plain)
}
